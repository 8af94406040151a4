"""Pictures that may be mirrored and moved: the nearest rows under these, and the distance of single pairs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.memorisation.neighbours import Blocks, Neighbours, nearest


def nearest_moved(
    queries: Tensor,
    rows: Blocks,
    k: int = 2,
    *,
    shift: int = 0,
    flip: bool = True,
    exclude: Tensor | None = None,
    groups: Tensor | None = None,
) -> Neighbours:
    """The k nearest rows where a query may be mirrored left to right, and moved by up to `shift` pixels in both
    directions.

    The distance is the least over all (2 shift + 1)^2 moves, with the mirrored query as well where `flip`, of the root
    mean square difference on the pixels that both pictures show. queries (m, C, H, W), rows (N, C, H, W); arguments and
    errors else as `nearest`, which does the work once for each move: rows that are no pictures are compared as they
    are. Raises InputError for a shift by half a picture or more.
    """
    moves = list(_moves(tuple(queries.shape[1:]), shift, flip))
    if len(moves) > 1 and not isinstance(rows, Tensor):
        rows = torch.cat(list(rows))  # each move reads them again
    found: Neighbours | None = None
    for mirrored, (down, right) in moves:
        one = queries.flip(-1) if mirrored else queries
        here = nearest(
            _cut(one, down, right),
            rows if down == right == 0 else _cut(rows, -down, -right),  # type: ignore[arg-type]
            k,
            exclude=exclude,
            groups=groups,
        )
        found = here if found is None else _merged(found, here, k, groups)
    assert found is not None
    return found


def distance_moved(a: Tensor, b: Tensor, *, shift: int = 0, flip: bool = True) -> Tensor:
    """The distance of `nearest_moved` between a[i] and b[i], (n,) float64. a, b: (n, *S)."""
    a, b = a.detach().double().cpu(), b.detach().double().cpu()
    least = torch.full((len(a),), torch.inf, dtype=torch.float64)
    for mirrored, (down, right) in _moves(tuple(a.shape[1:]), shift, flip):
        one = a.flip(-1) if mirrored else a
        if down or right:
            difference = _cut(one, down, right) - _cut(b, -down, -right)
        else:
            difference = one - b
        least = torch.minimum(least, difference.flatten(1).square().mean(1).sqrt())
    return least


def _moves(shape: tuple[int, ...], shift: int, flip: bool) -> Iterator[tuple[bool, tuple[int, int]]]:
    if len(shape) != 3:
        yield False, (0, 0)
        return
    if shift < 0 or 2 * shift >= min(shape[1:]):
        raise InputError(
            f"shift {shift}: should be 0 or more, and less than half of a picture of {shape[1]} x {shape[2]}"
        )
    for mirrored in (False, True) if flip else (False,):
        for down in range(-shift, shift + 1):
            for right in range(-shift, shift + 1):
                yield mirrored, (down, right)


def _cut(pictures: Tensor, down: int, right: int) -> Tensor:
    """The rest of pictures whose first `down` rows and `right` columns (the last, where negative) are cut off."""
    if down == right == 0:
        return pictures
    rows = slice(down, None) if down >= 0 else slice(None, down)
    columns = slice(right, None) if right >= 0 else slice(None, right)
    return pictures[..., rows, columns]


def _merged(a: Neighbours, b: Neighbours, k: int, groups: Tensor | None) -> Neighbours:
    """The k nearest of two lists, in which a row may stand twice."""
    distance, row = torch.cat([a.distance, b.distance], 1), torch.cat([a.row, b.row], 1)
    order = distance.argsort(dim=1, stable=True)
    distance, row = distance.gather(1, order), row.gather(1, order)
    name = row if groups is None else torch.where(row < 0, row, groups[row.clamp(min=0)])
    earlier = (name.unsqueeze(2) == name.unsqueeze(1)).tril(-1).any(2)
    distance, row = distance.masked_fill(earlier, torch.inf), row.masked_fill(earlier, -1)
    order = distance.argsort(dim=1, stable=True)
    return Neighbours(distance.gather(1, order)[:, :k], row.gather(1, order)[:, :k])
