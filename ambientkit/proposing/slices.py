"""Volumes are proposed by their slices: no network here is made for volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ambientkit.config.files import KeyPath
from ambientkit.readers import Stored

WAYS: dict[str, dict[str, str]] = {"nifti": {"slices": "z"}, "mrc": {"sections": "rows"}}
"""Name of a data set -> the fields by which its volumes come as slices."""


def slices_of(
    part: Stored, spec: Mapping[str, Any], shape: tuple[int, ...]
) -> tuple[dict[str, str], dict[KeyPath, str]]:
    """The fields that make slices of rows of this shape, and why; empty for pictures, where something else was asked
    for, and for data sets that cannot."""
    fields = WAYS.get(part.name, {})
    if len(shape) != 4 or shape[1] == 1 or not fields or any(name in spec for name in fields):
        return {}, {}
    name, value = next(iter(fields.items()))
    why = (
        f"The files hold volumes, {' x '.join(map(str, shape[1:]))}; networks here are made for pictures, so slices "
        "are rows. Results are volumes again."
    )
    return {name: value}, {("data", name): why}
