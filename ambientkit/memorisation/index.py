"""An approximate index over the rows, for sets that are asked often or are too large for the exhaustive search."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from ambientkit.errors import InputError
from ambientkit.memorisation.moved import distance_moved
from ambientkit.memorisation.neighbours import Neighbours, check_finite, keep_nearest

CANDIDATES = 32
"""Rows that the index offers for each query, of which the distances are then measured exactly."""
SEARCH = 256
"""Rows that a walk through the index keeps in view: more find more, and take longer."""
BLOCK = 4096
"""Rows added, and queries asked, at a time."""


def nearest_indexed(
    queries: Tensor,
    rows: Tensor,
    k: int = 2,
    *,
    flip: bool = False,
    exclude: Tensor | None = None,
    groups: Tensor | None = None,
    candidates: int = CANDIDATES,
    search: int = SEARCH,
) -> Neighbours:
    """The k nearest of the rows that an HNSW index of usearch offers. Arguments and result as `nearest`.

    The index (arXiv 1603.09320) offers `candidates` rows for a query, and as many for its mirror image where `flip`.
    Their distances are measured in float64 and ordered as `nearest` orders them, so every distance is exact; a row that
    the index does not offer is missed. One thread builds it, so that the same rows give the same answer. queries (m,
    *S), rows (N, *S). Raises InputError where usearch is not installed, and for values that are not finite.
    """
    try:
        from usearch.index import Index
    except ImportError as error:
        raise InputError(
            'index "usearch": the package usearch is not installed; pip install "ambientkit[index]"'
        ) from error
    if queries.shape[1:] != rows.shape[1:]:
        raise InputError(
            f"nearest rows: queries of shape {tuple(queries.shape[1:])}, but rows of {tuple(rows.shape[1:])}"
        )
    asked, known = queries.detach().cpu(), rows.detach().cpu()
    check_finite(asked, "queries")
    check_finite(known, "rows")
    centre = known.flatten(1).mean(0, dtype=torch.float64)  # float32 loses less near to 0
    index = Index(ndim=len(centre), metric="l2sq", dtype="f32", expansion_search=search)
    for start in range(0, len(known), BLOCK):
        part = _vectors(known[start : start + BLOCK], centre)
        index.add(torch.arange(start, start + len(part)).numpy(), part.numpy(), threads=1)
    wide = min(len(known), max(candidates, k) + (exclude is not None))
    distance = torch.full((len(asked), k), torch.inf, dtype=torch.float64)
    row = torch.full((len(asked), k), -1, dtype=torch.int64)
    for start in range(0, len(asked), BLOCK):
        at = slice(start, start + BLOCK)
        offered = torch.cat([_offered(index, one, centre, wide) for one in _views(asked[at], flip)], dim=1)
        offered = pad(offered, (0, max(0, k - offered.shape[1])), value=-1)
        shut = None if exclude is None else exclude[at]
        distance[at], row[at] = _measured(asked[at], known, offered, k, flip, shut, groups)
    return Neighbours(distance, row)


def _views(queries: Tensor, flip: bool) -> list[Tensor]:
    return [queries, queries.flip(-1)] if flip and queries.ndim == 4 else [queries]


def _vectors(rows: Tensor, centre: Tensor) -> Tensor:
    return (rows.flatten(1).double() - centre).float()


def _offered(index: object, queries: Tensor, centre: Tensor, wide: int) -> Tensor:
    """(m, wide), numbers of rows; -1 where the index offers fewer."""
    found = index.search(_vectors(queries, centre).numpy(), wide, threads=1)  # type: ignore[attr-defined]
    keys = torch.from_numpy(found.keys.astype("int64")).reshape(len(queries), -1)
    counts = torch.as_tensor(found.counts.astype("int64")) if hasattr(found, "counts") else torch.tensor([wide])
    return keys.masked_fill(torch.arange(keys.shape[1]) >= counts.reshape(-1, 1), -1)


def _measured(
    queries: Tensor, rows: Tensor, offered: Tensor, k: int, flip: bool, shut: Tensor | None, groups: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The k nearest of the rows offered, by their exact distances."""
    offered = offered.sort(dim=1).values
    unusable = offered < 0
    unusable[:, 1:] |= offered[:, 1:] == offered[:, :-1]  # offered for the query and for its mirror image
    if shut is not None:
        unusable |= offered == shut.unsqueeze(1)
    distance = torch.full(offered.shape, torch.inf, dtype=torch.float64)
    for column in range(offered.shape[1]):
        distance[:, column] = distance_moved(queries, rows[offered[:, column].clamp(min=0)], flip=flip)
    distance = distance.masked_fill(unusable, torch.inf)
    return keep_nearest(distance, offered.masked_fill(unusable, -1), k, groups)
