"""Operators as a user would write them, on pictures (1, 8, 8) in numpy alone; none is like those that are built in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard

SIDE = 8
Values = NDArray[Any]


class Shears:
    """Sums along the lines of four shears, a few views of a tomograph: (1, 4, 22). Of 64 directions it measures 48."""

    def __init__(self) -> None:
        line, column = np.mgrid[:SIDE, :SIDE]
        slanted = [column - slope * line for slope in (-2, -1, 0, 1)]
        self.bins = [bins - bins.min() for bins in slanted]
        self.many = 1 + max(int(bins.max()) for bins in self.bins)

    def forward(self, x: Values) -> Values:
        sums = [np.bincount(bins.ravel(), x.ravel(), self.many) for bins in self.bins]
        return np.stack(sums)[None].astype(x.dtype) / 6

    def adjoint(self, y: Values) -> Values:
        return np.stack([y[0, k][bins] for k, bins in enumerate(self.bins)]).sum(0)[None] / 6


class Patterns:
    """28 of the 64 patterns of a Hadamard matrix, under random signs: a vector."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.matrix = hadamard(SIDE**2)[rng.permutation(SIDE**2)[:28]] * rng.choice([-1, 1], SIDE**2) / SIDE

    def forward(self, x: Values) -> Values:
        return (self.matrix @ x.ravel()).astype(x.dtype)

    def adjoint(self, y: Values) -> Values:
        return (self.matrix.T @ y).reshape(1, SIDE, SIDE).astype(y.dtype)


class Thinned:
    """A blur along lines, of which every third column is kept: (1, 8, 3)."""

    kernel = 1.5 * np.array([0.1, 0.2, 0.4, 0.2, 0.1])

    def forward(self, x: Values) -> Values:
        wide = np.pad(x, ((0, 0), (0, 0), (2, 2)))
        return sum(w * wide[..., k : k + SIDE : 3] for k, w in enumerate(self.kernel)).astype(x.dtype)

    def adjoint(self, y: Values) -> Values:
        wide = np.zeros((1, SIDE, SIDE + 4), y.dtype)
        for k, w in enumerate(self.kernel):
            wide[..., k : k + SIDE : 3] += w * y
        return wide[..., 2:-2]


class Steps:
    """The first pixel, and the step from each pixel to the next, line after line: all is known, and the mean hardly."""

    def forward(self, x: Values) -> Values:
        return np.diff(x.ravel(), prepend=0)

    def adjoint(self, y: Values) -> Values:
        return (y - np.append(y[1:], 0)).reshape(1, SIDE, SIDE).astype(y.dtype)


SHEARS, PATTERNS, THINNED, STEPS = Shears(), Patterns(), Thinned(), Steps()
NAMES = ("SHEARS", "PATTERNS", "THINNED", "STEPS")


def spec(name: str) -> dict[str, str]:
    """How a configuration names one."""
    return {"name": "python", "object": f"{__name__}:{name}"}


def dense(name: str) -> NDArray[np.float64]:
    """Its matrix, (m, 64)."""
    one = globals()[name]
    return np.stack([one.forward(unit.reshape(1, SIDE, SIDE)).ravel() for unit in np.eye(SIDE**2)], axis=1)
