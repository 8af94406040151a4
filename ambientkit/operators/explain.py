"""Whether measurements can have come through an operator at all."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ambientkit.operators.base import Operator

ITERATIONS, CLOSE = 60, 0.02
"""Most iterations of least squares for a row, and |A^T r| / (|A| |r|) at which what is left is at right angles to all
that the operator measures."""
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
    from scipy.sparse.linalg import LinearOperator, lsqr

    left = noise = power = spread = 0.0
    for i in range(len(y)):
        own = {name: value[i : i + 1] for name, value in given.items()}
        at, one = sampled[i], y[i : i + 1]

        def forward(x, own=own, at=at, one=one):  # type: ignore[no-untyped-def]
            row = torch.from_numpy(x).reshape(1, *shape).to(one)
            return operator.forward(row, own)[0][at].double().cpu().numpy()

        def adjoint(v, own=own, at=at, one=one):  # type: ignore[no-untyped-def]
            whole = torch.zeros_like(one)
            whole[0, at] = torch.from_numpy(v).reshape(-1).to(one)
            return operator.adjoint(whole, own).flatten().double().cpu().numpy()

        size = (int(at.sum()), math.prod(shape))
        if not size[0]:
            continue
        a = LinearOperator(size, matvec=forward, rmatvec=adjoint, dtype="float64")
        found = lsqr(a, one[0][at].double().cpu().numpy(), atol=CLOSE, btol=1e-6, iter_lim=ITERATIONS)
        if found[1] > 2:  # neither explained nor at right angles: nothing is known of what is left
            return 0.0
        variance = level[i][at].double().square()
        left += float(found[3]) ** 2
        noise += float(variance.sum())
        spread += float(2 * variance.square().sum())
        power += float(one[0][at].double().square().sum())
    over = left - noise
    return over / (power - noise) if over > STDS * spread**0.5 and power > noise else 0.0
