"""Whether new samples can be drawn from a run, or rows restored alone."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import torch

from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption, Signal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.sample.load import Trained

DRAWS = 8
"""Draws of a row, where nobody says."""


def by_operator(corruption: Corruption) -> bool:
    """Whether rows were measured through an operator, so that a restored one is its posterior mean alone."""
    return bool(corruption.carries - {"mask"})


def draws_of(draws: int | None, corruption: Corruption) -> int:
    """Draws of each row, as they were asked for or by default: `DRAWS`, and 0 for rows measured through an operator.
    Raises InputError where an operator's rows are to be drawn."""
    if draws is None:
        return 0 if by_operator(corruption) else DRAWS
    if draws > 0 and by_operator(corruption):
        raise InputError(
            f"corruption {corruption.name!r}: rows measured through an operator are restored by the posterior mean "
            "alone; give 0 draws (--draws 0), or leave it out"
        )
    return draws


def why_no_samples(corruption: Corruption, signal: Signal, maps: Sequence[str]) -> str:
    """The reason why a run draws no new samples, in words; empty where it does. maps: names of what its rows brought
    for the operator."""
    operator = getattr(corruption, "operator", None)
    if not by_operator(corruption) or operator is None:
        return ""
    if not operator.orthonormal:
        return f"operator {operator.name!r}: samples are those of x_0 only where A^T A = I, as for fourier"
    blank = torch.zeros(1, *signal.shape)
    made = tuple(
        corruption.observe(blank, torch.zeros(1, dtype=torch.long), keyed_generator(0, "suited")).x_n.shape[1:]
    )
    if maps or signal.conds.get("measured", made) != made:
        brought = ", ".join(maps) or "maps"
        return (
            f"operator {operator.name!r}: this run was trained on rows that brought {brought} of their own, and "
            "samples bring none"
        )
    return ""


def refuse_no_samples(trained: Trained) -> None:
    """Raise InputError where a run draws no new samples."""
    if why := _why(trained):
        raise InputError(f"{why}; this run restores measured rows instead: --from ROWS")


def sample_command(path: str | Path, restores: bool) -> str:
    """The shell command that draws from the run or weights at `path`. restores: whether it draws no samples."""
    return f"ambientkit sample {shlex.quote(str(path))}" + " --from ROWS" * restores


def restores_alone(trained: Trained) -> bool:
    """Whether a run draws no samples."""
    return bool(_why(trained))


def _why(trained: Trained) -> str:
    return why_no_samples(trained.config.corruption, trained.signal, trained.maps)
