"""Random masks: which values of a row are seen, and with what chance. A mask is bool, true where a value is seen.

A pattern is drawn again and again: for what the data show, and for what a training step hides on top of it.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from ambientkit.maths.noise import RandomSource, uniform

Kind = Literal["pixels", "rows", "columns", "boxes"]
TOGETHER, PLACES = 20, 1024
"""Rows that have both values of a pair by chance, at least, for it to count; and places of a row that are compared, at
most."""
APART = 0.05
"""Share of pairs that no row has together from which training on them is refused."""


def draw_mask(like: Tensor, kind: Kind, hidden: float, generator: RandomSource, centre: float = 0.0) -> Tensor:
    """A mask for rows `like` (B, *S) that broadcasts to them; true: seen. The channels of a picture share one.

    pixels, rows and columns are hidden independently with probability `hidden`, but for the share `centre` of the lines
    in the middle, which are never hidden. boxes: one box in each row at a place that is uniform among those inside the
    picture, of sides sqrt(hidden) times those of the picture, rounded, at least 1. Rows of one axis have no lines:
    single values are hidden there, or an interval of the share `hidden`.
    """
    one = _one(like)
    if kind == "boxes":
        return _outside(one, hidden, generator)
    lines = _lines(one, kind)
    kept = uniform(lines.to(like.dtype if like.is_floating_point() else torch.float32), generator) >= hidden
    return kept | _middle(lines, kind, centre)


def chance_of_hiding(like: Tensor, kind: Kind, hidden: float, centre: float = 0.0) -> Tensor:
    """The probability, value by value, that `draw_mask` hides it; float64, of shape (1, ...) that broadcasts to
    `like`."""
    one = _one(like)[:1]
    if kind != "boxes":
        lines = _lines(one, kind)
        chance = torch.full(lines.shape, hidden, dtype=torch.float64, device=like.device)
        return torch.where(_middle(lines, kind, centre), 0.0, chance)
    chance = torch.ones((), dtype=torch.float64, device=like.device)
    for axis, side in _sides(one, hidden).items():
        chance = chance * _along(_covered(one.shape[axis], side).to(like.device), axis, one.ndim)
    return chance


def chance_of_seen(q: Tensor, d: Tensor) -> Tensor:
    """P(a value was measured | the view hides it) = q d / (1 - q (1 - d)), for a value that is measured with
    probability q and then hidden once more, independently, with probability d.

    It is 1 - K of Millard and Chiew (arXiv 2210.01696), K = (1 - q) / (1 - q (1 - d)). For d = 0, where nothing that
    was measured is ever hidden, it is 0. Source: Bayes' rule.
    """
    return q * d / (1 - q * (1 - d)).clamp(min=torch.finfo(q.dtype).tiny)


def never_together(seen: Tensor) -> float:
    """The share of pairs of values that no row has both of, where chance would give them to `TOGETHER` rows or more.

    seen: (B, *S) bool, the masks of B rows. Values that all rows have, or none, do not count; of more than `PLACES`,
    that many are drawn. Masks that are independent of one another have such a pair with probability exp(-TOGETHER) at
    most (hypergeometric law). Complementary masks have many: P(A_i = 1 | A~) is 0 there for each hidden value i, so
    that nothing shows what lies there. Learning from masked rows needs that there are none; that is not enough for
    it.
    """
    known = seen.flatten(1)
    count = known.sum(0)
    known = known[:, (count > 0) & (count < len(known))]
    if known.shape[1] > PLACES:
        drawn = torch.randperm(known.shape[1], generator=torch.Generator().manual_seed(0))[:PLACES]
        known = known[:, drawn.to(known.device)]
    x = known.float()
    usual = (x.sum(0)[:, None] * x.sum(0) >= TOGETHER * len(x)).triu(1)
    pairs = int(usual.sum())
    return int(((x.T @ x == 0) & usual).sum()) / pairs if pairs else 0.0


def _one(like: Tensor) -> Tensor:
    """Without channels, where there are any."""
    return like[:, :1] if like.ndim > 2 else like


def _lines(one: Tensor, kind: Kind) -> Tensor:
    """An empty tensor with one value for all that are hidden together."""
    if kind == "pixels" or one.ndim < 4:
        return torch.empty_like(one)
    return torch.empty_like(one[..., :1] if kind == "rows" else one[..., :1, :])


def _middle(lines: Tensor, kind: Kind, centre: float) -> Tensor:
    """True for the lines that are never hidden; `lines` as of `_lines`."""
    kept = torch.zeros(lines.shape, dtype=torch.bool, device=lines.device)
    if centre > 0 and kind != "pixels":
        axis = lines.ndim - 2 if kind == "rows" and lines.ndim >= 4 else lines.ndim - 1
        count = math.ceil(centre * lines.shape[axis])
        kept.narrow(axis, (lines.shape[axis] - count) // 2, count).fill_(True)
    return kept


def _sides(one: Tensor, share: float) -> dict[int, int]:
    """axis -> side of a box: the last two axes of a picture, otherwise the last one."""
    axes = [one.ndim - 1] if one.ndim < 4 else [one.ndim - 2, one.ndim - 1]
    return {axis: max(1, round(one.shape[axis] * share ** (1 / len(axes)))) for axis in axes}


def _outside(one: Tensor, share: float, generator: RandomSource) -> Tensor:
    sides = _sides(one, share)
    u = uniform(torch.empty(len(one), len(sides), dtype=torch.float64, device=one.device), generator)
    inside = torch.ones([len(one)] + [1] * (one.ndim - 1), dtype=torch.bool, device=one.device)
    for index, (axis, side) in enumerate(sides.items()):
        size = one.shape[axis]
        first = (u[:, index] * (size - side + 1)).long().clamp(max=size - side)
        first = first.reshape(-1, *[1] * (one.ndim - 1))
        place = _along(torch.arange(size, device=one.device), axis, one.ndim)
        inside = inside & (place >= first) & (place < first + side)
    return ~inside


def _along(values: Tensor, axis: int, ndim: int) -> Tensor:
    return values.reshape([len(values) if i == axis else 1 for i in range(ndim)])


def _covered(size: int, side: int) -> Tensor:
    """(size,), the share of the places of an interval of length `side` within `size` that cover each point."""
    place = torch.arange(size, dtype=torch.float64)
    first, last = (place - side + 1).clamp(min=0), place.clamp(max=size - side)
    return (last - first + 1) / (size - side + 1)
