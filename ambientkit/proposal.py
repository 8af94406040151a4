"""What a model proposes for rows of a kind: its fields, and a training that suits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Proposal:
    """How a model would be used for some rows where nobody named one; see `Model.proposal`."""

    preference: int
    """The model with the highest one is taken, of equal ones the first by name. 0 is the last resort, 10 suits the
    shape, 20 is measured on such rows."""
    why: str
    """In what it suits them, for the user."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of the model, by name."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the configuration, such as {"end_step": 4000, "optimizer": {"lr": 1e-3}}. What the user gives counts
    more, key by key."""
    levels_by_rows: bool = False
    """Whether the run's range of noise levels is that of the rows: up to the largest distance of two of them."""
