"""The part of x_0 that the operators of a data set measure, and the part that none of them does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ambientkit.operators.base import Operator

MOST = 2304
"""Values of a row up to which the mean of A^T A is formed."""
ROWS, WORK = 16, 2**22
"""Rows averaged over, at least, where they bring operators of their own; more of them for small rows, while the values
of all matrices stay below `WORK`."""
SHARE = 1e-6
"""Of the largest eigenvalue, below which a direction counts as never measured."""


@dataclass(frozen=True, slots=True)
class Identifiability:
    """The mean of A^T A over rows: what training can learn of x_0."""

    smallest: float
    """Smallest eigenvalue."""
    largest: float
    """Largest eigenvalue: the squared norm of a stack of all operators."""
    lost: int
    """Directions of x_0 that no row measures."""
    frequencies: tuple[tuple[int, int], ...] = ()
    """(vertical, horizontal) frequencies of pictures, in cycles across them, in which the lost directions lie,
    strongest first; at most 8."""

    @property
    def condition(self) -> float:
        """largest / smallest; infinity where something is lost."""
        return self.largest / self.smallest if self.lost == 0 and self.smallest > 0 else float("inf")

    def __str__(self) -> str:
        if not self.lost:
            return (
                f"the mean of A^T A has condition {self.condition:.3g} (eigenvalues {self.smallest:.3g} to "
                f"{self.largest:.3g})"
            )
        where = ", ".join(f"({ky}, {kx})" for ky, kx in self.frequencies)
        named = (
            f", at frequencies (vertical, horizontal) {where}{', ...' if self.lost > len(self.frequencies) else ''}"
            if where
            else ""
        )
        return f"{self.lost} directions of x_0 are measured in no row{named}"


def identifiability(
    operator: Operator, sampled: Tensor, given: Mapping[str, Tensor], shape: tuple[int, ...]
) -> Identifiability | None:
    """Of the rows (B,) of a data set: their masks `sampled` (B, *M) bool, what they bring of their own, and the shape
    of a clean row. None for rows of more than `MOST` values."""
    d = int(torch.tensor(shape).prod())
    if d > MOST:
        return None
    basis = torch.eye(d, dtype=torch.float64).reshape(d, *shape)
    own = {name: value for name, value in given.items() if name in operator.per_row}
    if not own:
        share = sampled.double().mean(0, keepdim=True)
        mean = operator.adjoint(share * operator.forward(basis, {}), {}).reshape(d, d)
    else:
        rows = range(0, len(sampled), max(1, len(sampled) // max(ROWS, WORK // d**2)))
        mean = torch.zeros(d, d, dtype=torch.float64)
        for row in rows:
            one = {name: value[row : row + 1].double().expand(d, *value.shape[1:]) for name, value in own.items()}
            measured = sampled[row : row + 1].double() * operator.forward(basis, one)
            mean += operator.adjoint(measured, one).reshape(d, d) / len(rows)
    values, vectors = torch.linalg.eigh((mean + mean.T) / 2)
    gone = values < SHARE * values[-1].clamp(min=torch.finfo(torch.float64).tiny)
    return Identifiability(float(values[0]), float(values[-1]), int(gone.sum()), _frequencies(vectors[:, gone], shape))


def _frequencies(lost: Tensor, shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Where in the Fourier plane the lost directions (d, n) lie."""
    if lost.shape[1] == 0 or len(shape) < 3:
        return ()
    height, width = shape[-2:]
    pictures = lost.T.reshape(-1, height, width)
    power = torch.fft.fft2(pictures, norm="ortho").abs().square().sum(0)
    found: list[tuple[int, int]] = []
    for place in power.flatten().argsort(descending=True).tolist():
        ky, kx = place // width, place % width
        if power[ky, kx] < 0.1 or len(found) == 8:
            break
        pair = (ky - height * (ky > height // 2), kx - width * (kx > width // 2))
        if (-pair[0], -pair[1]) not in found:
            found.append(pair)
    return tuple(found)
