"""Whether an operator is a linear map, and what it calls its transpose is one, on rows as they are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ambientkit.maths.randomness import keyed_generator
from ambientkit.operators.base import Operator

TOLERANCE = 1e-3
"""Most relative error in float32, as deepinv's own test of adjointness allows."""


def flaw(operator: Operator, x: Tensor, y: Tensor, given: Mapping[str, Tensor]) -> str:
    """What keeps an operator from being a linear map with its transpose, in words; empty where nothing does.

    x: (B, *S) rows, y: (B, *M) measurements; only shape and dtype are used. given: what the rows bring of their own.
    Raises InputError for an operator that raises, or answers with no real numbers.
    """
    generator = keyed_generator(0, "operators.flaw")
    u, v = (torch.randn(like.shape, generator=generator).to(like) for like in (x, x))
    kept = u.clone()
    seen, again = operator.forward(u, given), operator.forward(u, given)
    if seen.shape != y.shape:
        return (
            f"of measurements {_shape(y)} its adjoint makes rows {_shape(x)}, and of these its forward makes "
            f"measurements {_shape(seen)}"
        )
    back = operator.adjoint(y, given)
    if back.shape != x.shape:
        return f"its adjoint gives rows of {_shape(back)}, and rows are {_shape(x)}"
    if not torch.equal(u, kept):
        return "it changes the rows that it is given: have it work on a copy"
    size = max(float(seen.double().norm()), torch.finfo(torch.float64).tiny)
    if not seen.any():
        return "it measures nothing: white noise gives 0 everywhere"
    if (off := float((again - seen).double().norm()) / size) > TOLERANCE:
        return (
            f"two calls with the same rows differ by {off:.2g} of the measurements: noise belongs into sigma_n, and "
            "a random part, such as a mask, has to be drawn once"
        )
    if (off := float(operator.forward(torch.zeros_like(u), given).double().norm()) / size) > TOLERANCE:
        return f"it is not linear: A 0 is not 0, but {off:.2g} of the measurements. Subtract the offset from the rows"
    both, other = operator.forward(u + 2 * v, given), operator.forward(v, given)
    if (off := float((both - seen - 2 * other).double().norm()) / size) > TOLERANCE:
        return f"it is not linear: A (u + 2 v) and A u + 2 A v differ by {off:.2g} of A u"
    error = adjointness(operator, x, y, given)
    if not error <= TOLERANCE:
        return (
            f"its adjoint is not its transpose on these rows: <A u, v> and <u, A^T v> differ by {error:.2g} of "
            f"|A u| |v| (at most {TOLERANCE:g})"
        )
    return ""


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


def _shape(values: Tensor) -> tuple[int, ...]:
    return tuple(values.shape[1:])
