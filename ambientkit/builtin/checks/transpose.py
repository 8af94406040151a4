"""Whether views of measured rows come through the transpose of the operator, on pictures large and uneven enough that a
shift is not its own inverse. A probe for `operator-views`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import torch
from torch import Generator, Tensor

from ambientkit.batch import Batch
from ambientkit.builtin.checks.labelled import require
from ambientkit.builtin.checks.travel import key
from ambientkit.errors import InputError
from ambientkit.interfaces import Case, Corruption

SHAPES = (((1, 6, 10), (2, 6, 10), (1, 8, 8)), ((1, 5, 7), (2, 5, 7)), ((3, 6, 10), (3, 5, 7)))
"""Of pictures: of even sides, of odd ones and of three channels. Of each the first that the operator takes is used; one
for rows of a shape of its own may take none."""
LARGE = 50.0
"""Times pictures of white noise of std 1: what saturates is not linear."""
ROWS = 3
TOLERANCE = 1e-4


def shows_through_the_transpose(part: Corruption, case: Case) -> None:
    """<A u, v> = <u, A^T v> for white u and v, A that of `observe` and A^T that of `show`, both with what they measure
    and the noise that they add held fixed by equal generators; and A (s u) = s A u. Raises Broken."""
    for shapes in SHAPES:
        shape = measured_shape(part, shapes)
        if shape is not None:
            _transposed(part, case, shape)


def _transposed(part: Corruption, case: Case, shape: tuple[int, ...]) -> None:
    u = torch.randn(ROWS, *shape, generator=key(case, "transpose.u"), dtype=torch.float64)
    one, none, large = (
        part.observe(size * u, torch.arange(ROWS), key(case, "transpose")) for size in (1.0, 0.0, LARGE)
    )
    off = (large.x_n - none.x_n - LARGE * (one.x_n - none.x_n)).abs().max()
    require(bool(off <= TOLERANCE * (1 + large.x_n.abs().max())), "what is measured is not linear in the picture")
    seen = one.cond["sampled"].expand_as(one.x_n)
    v = torch.randn(one.x_n.shape, generator=key(case, "transpose.v"), dtype=torch.float64) * seen
    back = _shown(part, case, one, v) - _shown(part, case, one, torch.zeros_like(v))
    forward = ((one.x_n - none.x_n) * v).flatten(1).sum(1)
    size = (one.x_n - none.x_n).flatten(1).norm(dim=1) * v.flatten(1).norm(dim=1)
    off = (forward - (u * back).flatten(1).sum(1)).abs() / size.clamp(min=1e-12)
    require(bool((off < TOLERANCE).all()), "views do not come through the transpose of the operator")


def measured_shape(part: Corruption, shapes: Iterable[tuple[int, ...]]) -> tuple[int, ...] | None:
    """The first of some shapes of rows that a corruption measures, and shows again as rows of that shape; None where it
    takes none of them."""
    for shape in shapes:
        x = torch.zeros(2, *shape, dtype=torch.float64)
        with contextlib.suppress(InputError, RuntimeError, IndexError):
            batch = part.observe(x, torch.arange(2), Generator().manual_seed(0))
            sigma = part.floor(batch).clamp(min=0.1) * 2
            if part.show(batch, sigma, Generator().manual_seed(0)).x.shape == x.shape:
                return shape
    return None


def _shown(part: Corruption, case: Case, batch: Batch, y: Tensor) -> Tensor:
    sigma = part.floor(batch).clamp(min=0.1) * 1.5
    return part.show(batch._replace(x_n=y), sigma, key(case, "transpose.show")).x
