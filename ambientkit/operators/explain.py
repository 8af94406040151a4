"""Rows that explain measurements through an operator: whether there are any, and how large the operator makes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ambientkit.operators.base import Operator

ITERATIONS, CLOSE = 60, 0.02
"""Most iterations of least squares for a row, and |A^T r| / (|A| |r|) at which what is left is at right angles to all
that the operator measures."""
EXPLAINED = 1e-6
"""|r| / |y| at which a row is explained."""
FIRST, SETTLED = 8, 1e-5
"""Most iterations of least squares for rows whose size is asked for, and `CLOSE` of them: above rounding in float32."""
TINY = torch.finfo(torch.float64).tiny
STDS = 6.0
"""Standard deviations of the noise's own energy by which what is left has to exceed it."""


def unexplained(
    operator: Operator, y: Tensor, sampled: Tensor, level: Tensor, given: Mapping[str, Tensor], shape: tuple[int, ...]
) -> float:
    """The share of the energy of measurements that no rows of `shape` explain: (|r|^2 - sum sigma_n^2) / (|M y|^2 - sum
    sigma_n^2), r = M (y - A x) at the least |r|; 0 where noise explains it, or least squares do not settle.

    y: (B, *M), sampled: (B, *M) bool, level: (B, *M), noise std. given: what the rows bring of their own. White noise
    leaves at most its own energy, with std (2 sum sigma_n^4)^(1/2), so that a right operator exceeds it by six of these
    in no run. An operator that can make any measurements, such as an invertible one, explains all of them. Method: LSQR
    (Paige and Saunders, 1982), as scipy has it.
    """
    left = noise = power = spread = 0.0
    for i in range(len(y)):
        own = {name: value[i : i + 1] for name, value in given.items()}
        rest = _rest(operator, y[i : i + 1], sampled[i], own, shape)
        if rest is None:
            return 0.0
        variance = level[i][sampled[i]].double().square()
        left += rest
        noise += float(variance.sum())
        spread += float(2 * variance.square().sum())
        power += float(y[i][sampled[i]].double().square().sum())
    over = left - noise
    return over / (power - noise) if over > STDS * spread**0.5 and power > noise else 0.0


def gain_of(
    operator: Operator, y: Tensor, sampled: Tensor, level: Tensor, given: Mapping[str, Tensor], shape: tuple[int, ...]
) -> float:
    """|A x| / |x| of rows x such as those behind the measurements y (B, *M); 0 where nothing was measured.

    x: what at most `FIRST` iterations of least squares make of each row. They find the directions that the operator
    passes well first, so that x has the spectrum of the clean rows there, and little of the noise that its inverse
    would enlarge. They end where what is left is no more than the noise, of std level (B, *M) (the discrepancy
    principle), or at right angles to all that the operator measures: behind that lie rounding errors alone, in
    directions that it does not measure. A ratio, so that it does not matter how much of x they have found.
    """
    through = within = 0.0
    for i in range(len(y)):
        own = {name: value[i : i + 1] for name, value in given.items()}
        variance = level[i][sampled[i]].double().square()
        btol = float((variance.sum() / y[i][sampled[i]].double().square().sum().clamp(min=TINY)).sqrt())
        found = _least_squares(operator, y[i : i + 1], sampled[i], own, shape, SETTLED, max(btol, EXPLAINED), FIRST)
        if found is None:
            continue
        x = torch.from_numpy(found[0]).reshape(1, *shape).to(y)
        through += float(operator.forward(x, own).double().square().sum())
        within += float(x.double().square().sum())
    return (through / within) ** 0.5 if within else 0.0


def _rest(
    operator: Operator, y: Tensor, sampled: Tensor, own: Mapping[str, Tensor], shape: tuple[int, ...]
) -> float | None:
    """The least |M (y - A x)|^2 of one row of measurements y (1, *M); None where least squares do not settle."""
    found = _least_squares(operator, y, sampled, own, shape, CLOSE, EXPLAINED, ITERATIONS)
    if found is None:
        return 0.0
    settled = found[1] <= 2  # the row is explained, or what is left is at right angles to all that A gives
    return float(found[3]) ** 2 if settled else None


def _least_squares(
    operator: Operator,
    y: Tensor,
    sampled: Tensor,
    own: Mapping[str, Tensor],
    shape: tuple[int, ...],
    atol: float,
    btol: float,
    iter_lim: int,
) -> tuple[Any, ...] | None:
    """What scipy's lsqr finds of one row of measurements y (1, *M); None where nothing was measured."""
    from scipy.sparse.linalg import LinearOperator, lsqr

    def forward(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return _numpy(operator.forward(torch.from_numpy(x).reshape(1, *shape).to(y), own)[0][sampled])

    def adjoint(v: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = torch.zeros_like(y)
        whole[0, sampled] = torch.from_numpy(v).reshape(-1).to(y)
        return _numpy(operator.adjoint(whole, own).flatten())

    if not sampled.any():
        return None
    size = (int(sampled.sum()), math.prod(shape))
    a = LinearOperator(size, matvec=forward, rmatvec=adjoint, dtype="float64")
    found: tuple[Any, ...] = lsqr(a, _numpy(y[0][sampled]), atol=atol, btol=btol, iter_lim=iter_lim)
    return found


def _numpy(values: Tensor) -> NDArray[np.float64]:
    return values.double().cpu().numpy()
