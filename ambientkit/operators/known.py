"""What an operator is known by: its measurements of one fixed row. A file or an object that it names may be another by
now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ambientkit.errors import InputError
from ambientkit.maths.randomness import keyed_generator
from ambientkit.operators.base import Operator

SAME = 1e-4
"""Most difference of two answers, as a share of |A u|: above rounding in float32, below one value of a small matrix."""


ANSWERS = 5


def answers(part: object, shape: tuple[int, ...]) -> list[float] | None:
    """The number of measurements, |A u| and three of <v, A u> for fixed white noise u, a clean row of `shape`, and v.
    None for a corruption without an operator, and for an operator that nothing is known by: one that does not answer
    twice alike, or that rows bring maps to, without which it may have no answer."""
    if (operator := operator_in(part)) is None or operator.per_row:
        return None
    generator = keyed_generator(0, "operators.answers")
    u = torch.randn(1, *shape, generator=generator, dtype=torch.float64)
    y, again = (operator.forward(u.clone(), {}).double().flatten() for _ in range(2))
    v = torch.randn(3, len(y), generator=generator, dtype=torch.float64)
    if not float((again - y).norm()) <= SAME * float(y.norm()):
        return None
    return [float(len(y)), float(y.norm()), *(v @ y).tolist()]


def refuse_another(part: object, shape: tuple[int, ...], known: Sequence[float] | None, where: str) -> None:
    """Raise InputError where the operator of a corruption answers otherwise than the one whose `answers` are known;
    where none are, nothing is said. where: the run, for messages."""
    operator = operator_in(part)
    if operator is None or known is None or (found := answers(operator, shape)) is None:
        return
    if found[0] != known[0] or max(abs(a - b) for a, b in zip(found, known, strict=True)) > SAME * known[1]:
        raise InputError(
            f"{where}: operator {operator.name}: is another one than the run was trained through (of the same row it "
            f"makes {found[0]:,.0f} measurements of norm {found[1]:.5g}, and made {known[0]:,.0f} of {known[1]:.5g}). "
            "Give its file or object the contents of then, or begin a new run"
        )


def operator_in(part: object) -> Operator | None:
    """An operator, or that of a corruption; None where it has none."""
    found = part if isinstance(part, Operator) else getattr(part, "operator", None)
    return found if isinstance(found, Operator) else None


def files_of(part: object) -> list[Path]:
    """The files that the operator of a corruption reads."""
    operator = operator_in(part)
    named = [getattr(operator, name) for name in type(operator).model_fields] if operator is not None else []
    return [value for value in named if isinstance(value, Path)]
