"""Whether what an operator calls its transpose is one, on rows as they are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ambientkit.maths.randomness import keyed_generator
from ambientkit.operators.base import Operator

TOLERANCE = 1e-3
"""Most relative error in float32, as deepinv's own test of adjointness allows."""


def adjointness(operator: Operator, x: Tensor, y: Tensor, given: Mapping[str, Tensor]) -> float:
    """|<A u, v> - <u, A^T v>| / (|A u| |v|), the largest of the rows, for white noise u like x and v like y.

    x: (B, *S) rows, y: (B, *M) measurements; only shape and dtype are used. given: what the rows bring of their own.
    0 for a right transpose, up to rounding.
    """
    generator = keyed_generator(0, "operators.adjointness")
    u, v = (torch.randn(like.shape, generator=generator).to(like) for like in (x, y))
    seen = operator.forward(u, given)
    forward = (seen.double() * v.double()).flatten(1).sum(1)
    backward = (u.double() * operator.adjoint(v, given).double()).flatten(1).sum(1)
    size = seen.double().flatten(1).norm(dim=1) * v.double().flatten(1).norm(dim=1)
    return float(((forward - backward).abs() / size.clamp(min=torch.finfo(torch.float64).tiny)).max())
