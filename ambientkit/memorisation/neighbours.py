"""The nearest rows, exactly, in memory that does not grow with the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ambientkit.errors import InputError

QUERIES, ROWS = 1024, 8192
"""Queries and rows compared at a time."""
SPARE = 6
"""Candidates beyond k that are measured exactly: with a fast search in float32 the order of near ones may be wrong."""
Blocks = Tensor | Iterable[Tensor]
"""Rows (N, *S), or blocks of them in order, of which one is in memory at a time."""


class Neighbours(NamedTuple):
    """The k nearest rows of each of m queries, the nearest first."""

    distance: Tensor
    """(m, k) float64: root mean square difference over the values of a row, L2 / sqrt(values), in units of the rows."""
    row: Tensor
    """(m, k) int64; of equal ones the first. -1, at distance inf, where there are fewer than k rows."""


def nearest(
    queries: Tensor, rows: Blocks, k: int = 2, *, exclude: Tensor | None = None, groups: Tensor | None = None
) -> Neighbours:
    """The k rows with the least |query - row|, by exhaustive search. queries (m, *S), rows (N, *S).

    Candidates are found by |q|^2 + |r|^2 - 2 q r in float32, then measured as differences in float64; wherever its
    rounding could have hidden a nearer row, the block is searched again without that formula. So the answer is exact,
    and the time is that of a product of matrices: O(m N F), in memory O(m k) and a block; a block that cannot hold a
    nearer row costs the product alone. exclude (m,): for each query the number of a row that does not count, such as
    itself. groups (N,): of rows with one number only the nearest counts, so that a duplicate is no second neighbour.
    Raises InputError for rows of another shape, and for values that are not finite.
    """
    wanted = queries.detach().cpu().flatten(1)
    check_finite(wanted, "queries")
    best = torch.full((len(wanted), k), torch.inf, dtype=torch.float64)
    row = torch.full((len(wanted), k), -1, dtype=torch.int64)
    for first, block in _blocks(rows):
        if block.shape[1:] != queries.shape[1:]:
            raise InputError(
                f"nearest rows: queries of shape {tuple(queries.shape[1:])}, but rows of {tuple(block.shape[1:])}"
            )
        flat = block.detach().cpu().flatten(1)
        check_finite(flat, "rows")
        centre = flat.mean(0, dtype=torch.float64)  # rounding grows with the length of the vectors
        r = (flat.double() - centre).float()
        for start in range(0, len(wanted), QUERIES):
            part = slice(start, start + QUERIES)
            shut = None if exclude is None else exclude[part] - first
            of_block = None if groups is None else groups[first : first + len(flat)]
            active, distance, place = _block(wanted[part], flat, centre, r, k, shut, of_block, best[part, -1])
            if len(active):
                both = torch.cat([best[part][active], distance], dim=1)
                at = torch.cat([row[part][active], torch.where(place < 0, place, place + first)], dim=1)
                best[part][active], row[part][active] = keep_nearest(both, at, k, groups)
    return Neighbours(best / max(wanted.shape[1], 1) ** 0.5, row)


def check_finite(values: Tensor, what: str) -> None:
    """Raise InputError where a value is not finite."""
    if not bool(values.isfinite().all()):
        raise InputError(f"nearest rows: the {what} hold values that are not finite")


def _blocks(rows: Blocks) -> Iterator[tuple[int, Tensor]]:
    first = 0
    for block in [rows] if isinstance(rows, Tensor) else rows:
        for part in block.split(ROWS):
            yield first, part
            first += len(part)


def keep_nearest(distance: Tensor, row: Tensor, k: int, groups: Tensor | None) -> tuple[Tensor, Tensor]:
    """The k nearest of each line, (distances (m, k), rows (m, k)), one of each group; of equal distances the lower row.

    distance (m, c), row (m, c): -1, at distance inf, where there is none.
    """
    order = row.argsort(dim=1, stable=True)
    distance, row = distance.gather(1, order), row.gather(1, order)
    order = distance.argsort(dim=1, stable=True)
    distance, row = distance.gather(1, order), row.gather(1, order)
    if groups is not None:
        group = torch.where(row < 0, torch.full_like(row, -1), groups[row.clamp(min=0)])
        earlier = (group.unsqueeze(2) == group.unsqueeze(1)).tril(-1).any(2) & (row >= 0)
        distance, row = distance.masked_fill(earlier, torch.inf), row.masked_fill(earlier, -1)
        order = distance.argsort(dim=1, stable=True)
        distance, row = distance.gather(1, order), row.gather(1, order)
    return distance[:, :k], row[:, :k]


def _block(
    queries: Tensor,
    rows: Tensor,
    centre: Tensor,
    r: Tensor,
    k: int,
    shut: Tensor | None,
    groups: Tensor | None,
    limit: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """(places of the queries that have a row here nearer than `limit` (m,), perhaps; L2 distances and places in the
    block of their k nearest).

    centre (F,): near to the rows; r: float32, rows - centre.
    """
    count = len(rows)
    wide = min(k + SPARE, count)
    q = (queries.double() - centre).float()
    squares, lengths = q.square().sum(1), r.square().sum(1)
    rough = torch.addmm(lengths.unsqueeze(0), q, r.T, alpha=-2)  # short of |q|^2, the same for all rows
    if shut is not None:
        inside = ((shut >= 0) & (shut < count)).nonzero().squeeze(1)
        rough[inside, shut[inside]] = torch.inf
    # 2 q r of F terms errs by at most F eps |q| |r| <= F eps (|q|^2 + |r|^2) / 2, each square by as much (Higham
    # (2002), eq. 3.5).
    bound = (torch.finfo(torch.float32).eps * (q.shape[1] + 8) * (squares + lengths.max())).double()
    active = (rough.amin(1).double() + squares - bound < limit.square()).nonzero().squeeze(1)
    if len(active) == 0:
        return active, torch.empty(0, k, dtype=torch.float64), torch.empty(0, k, dtype=torch.int64)
    rough, squares, bound, queries, limit = (
        rough[active],
        squares[active],
        bound[active],
        queries[active].double(),
        limit[active],
    )
    near, place = rough.topk(wide, dim=1, largest=False)
    distance = torch.full(near.shape, torch.inf, dtype=torch.float64)
    for column in range(wide):  # one column at a time: (m, F) and no (m, k, F)
        distance[:, column] = (queries - rows[place[:, column]].double()).square().sum(1)
    distance = distance.masked_fill(near.isinf(), torch.inf)
    found, where = _of(distance, place, k, groups)
    if wide < count:
        unseen = near[:, -1].double() + squares - bound
        doubtful = (unseen < torch.minimum(found[:, -1], limit.square())).nonzero().squeeze(1)
        for part in doubtful.split(64) if len(doubtful) else ():
            exact = torch.cdist(queries[part], rows.double(), compute_mode="donot_use_mm_for_euclid_dist").square()
            exact = exact.masked_fill(rough[part].isinf(), torch.inf)
            found[part], where[part] = _of(exact, torch.arange(count).expand(len(part), -1), k, groups)
    return active, found.sqrt(), where


def _of(squared: Tensor, place: Tensor, k: int, groups: Tensor | None) -> tuple[Tensor, Tensor]:
    """The k least, padded with (inf, -1)."""
    place = torch.where(squared.isinf(), torch.full_like(place, -1), place)
    if groups is not None and squared.shape[1] > k + SPARE:  # a whole line: the pairs of it would not fit into memory
        squared, order = squared.sort(dim=1, stable=True)
        place = place.gather(1, order)
        lines = [_first_of_groups(a, b, groups, k) for a, b in zip(squared, place, strict=True)]
        return torch.stack([a for a, _ in lines]), torch.stack([b for _, b in lines])
    least, where = keep_nearest(squared, place, k, groups)
    if least.shape[1] < k:
        short = (len(least), k - least.shape[1])
        least = torch.cat([least, torch.full(short, torch.inf, dtype=torch.float64)], dim=1)
        where = torch.cat([where, torch.full(short, -1, dtype=torch.int64)], dim=1)
    return least, where


def _first_of_groups(squared: Tensor, place: Tensor, groups: Tensor, k: int) -> tuple[Tensor, Tensor]:
    kept: list[int] = []
    seen: set[int] = set()
    for at, (one, valid) in enumerate(zip(place.tolist(), squared.isfinite().tolist(), strict=True)):
        if valid and int(groups[one]) not in seen:
            seen.add(int(groups[one]))
            kept.append(at)
        if len(kept) == k:
            break
    least = torch.full((k,), torch.inf, dtype=torch.float64)
    where = torch.full((k,), -1, dtype=torch.int64)
    least[: len(kept)], where[: len(kept)] = squared[kept], place[kept]
    return least, where
