"""The sides of a comparison: training rows, held-out rows, and the rows that a model made; all that can be wrong with
them is
found here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ambientkit.config.datapath import DataLike
from ambientkit.config.inline import split_fields
from ambientkit.errors import InputError
from ambientkit.evaluation.rows import all_rows
from ambientkit.evaluation.score import extract, label
from ambientkit.interfaces import Extractor
from ambientkit.memorisation.copies import refuse_overlap
from ambientkit.memorisation.index import nearest_indexed
from ambientkit.memorisation.moved import nearest_moved
from ambientkit.memorisation.neighbours import Neighbours, nearest
from ambientkit.memorisation.subject import Subject
from ambientkit.memorisation_parts import Similarity
from ambientkit.registry import Registry
from ambientkit.sample.own_units import OwnUnits
from ambientkit.units.scale import judge_scale

SAME_LEVEL = 0.01
"""Share by which the noise levels of training and held-out rows may differ."""
INDICES = ("exact", "usearch")
"""How nearest rows are found: all are compared, or an approximate index offers some."""
OUTSIDE = (0.01, 0.99)
"""Quantiles of rows in memory by which their units are judged."""
BELOW = 0.5
"""Rows that lie in [0, 1] are in other units than rows that reach this far below 0."""
SHIFT = 2
"""Pixels by which pictures of 8 x 8 or more may be moved, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Side:
    """Rows, and what is known of them."""

    what: str
    x: Tensor
    """(N, *S), units of [-1, 1]."""
    sigma_n: float
    """Their noise level, the mean over the rows; 0 for clean rows."""
    units: OwnUnits
    numbers: Tensor
    """(N,), of these rows in their data set."""
    held_out: int = 0
    """Rows of the data set that are not among these, as the run held them out."""

    @property
    def told(self) -> tuple[str, ...]:
        """A line on the rows that are not among these, where there are any."""
        said = f"{self.held_out} rows of {self.what} are no training rows: the run held them out"
        return (said,) if self.held_out else ()

    def without(self, positions: Sequence[int]) -> Side:
        """All but the rows at these positions."""
        kept = torch.ones(len(self.x), dtype=torch.bool)
        kept[list(positions)] = False
        return replace(self, x=self.x[kept], numbers=self.numbers[kept], held_out=len(positions))


def side(data: DataLike, sigma_n: float | None, registry: Registry, flag: str) -> Side:
    """All rows that `data` stand for. An array or a tensor is rows (N, *S) in units of [-1, 1], channels first, clean
    unless `sigma_n` is given."""
    if isinstance(data, np.ndarray | Tensor):
        x = in_memory(data, flag, float(sigma_n or 0))
        if x.ndim < 2 or len(x) == 0 or not bool(x.isfinite().all()):
            raise InputError(f"{flag}: should be finite rows (N, *S), not {tuple(x.shape)}")
        return Side("rows in memory", x, float(sigma_n or 0), OwnUnits(), torch.arange(len(x)))
    rows, units = all_rows(data, sigma_n, registry, flag)
    level = 0.0 if rows.sigma_n is None else float(rows.sigma_n.mean())
    return Side(rows.what, rows.x.float(), level, units, torch.arange(len(rows.x)))


def in_memory(data: Any, flag: str, sigma_n: float = 0.0) -> Tensor:
    """An array or a tensor of numbers in units of [-1, 1], as float32 on the CPU. Raises InputError for other numbers,
    and for other units: where all but a few values lie far beyond [-1, 1]."""
    try:
        given = torch.as_tensor(data).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{flag}: should be an array of real numbers ({error})") from None
    if given.is_complex() or given.dtype == torch.bool:
        raise InputError(f"{flag}: should be an array of real numbers, not of {given.dtype}")
    x = given.float()
    if x.numel() and bool(x.isfinite().all()):
        low, high = np.quantile(x.numpy(), OUTSIDE)  # single samples of a poor model run away
        doubt = judge_scale(float(low), float(high), sigma_n, assumed=True, stored="")
        if doubt is not None and doubt.refused:
            raise InputError(
                f"{flag}: the values go from {float(x.min()):g} to {float(x.max()):g}, far beyond [-1, 1], the units "
                f"in which rows in memory are taken; give x / 127.5 - 1 of values 0..255, say"
            )
    return x


def other_range(own: Tensor, other: Tensor) -> str:
    """What shows that rows are not in the units of the training rows `own`: those of one side lie in [0, 1], where the
    other reaches far below 0. Empty where nothing does."""
    (a, b), (c, d) = (side.aminmax() for side in (own, other))
    within = [float(low) >= 0 and float(high) <= 1 for low, high in ((a, b), (c, d))]
    if within[0] == within[1] or float(min(a, c)) > -BELOW:
        return ""
    ends, known = (f"[{float(low):.3g}, {float(high):.3g}]" for low, high in ((c, d), (a, b)))
    return f"all values lie in {ends}, those of the training rows in {known}"


def sides(
    train: DataLike | None, heldout: DataLike, sigma_n: float | None, asked: Subject | None, registry: Registry
) -> tuple[Side, Side]:
    """(training rows, held-out rows). train: by default the rows of the run, without the noise that was simulated on
    them, and without those that it held out itself.

    Raises InputError for rows of another shape, unit or noise level, and for held-out rows that are training rows.
    """
    if sigma_n is not None and not 0 <= sigma_n < float("inf"):
        raise InputError(f"--sigma-n {sigma_n}: should be finite and 0 or more")
    if train is None and (asked is None or asked.data is None):
        what = "samples do not say what their model was" if asked is None else "a function does not say what it was"
        raise InputError(f"--train: {what} trained on; give the training rows")
    if train is None:
        assert asked is not None
        own = side(asked.data, None, registry, "the run's own data").without(asked.held_out())
    else:
        own = side(train, sigma_n, registry, "--train")
    held = side(heldout, sigma_n, registry, "--heldout")
    shape = tuple(own.x.shape[1:])
    if asked is not None and asked.shape is not None and asked.shape != shape:
        raise InputError(f"{own.what}: rows of shape {shape}, but the run has {asked.shape}; neither is resized")
    if tuple(held.x.shape[1:]) != shape:
        raise InputError(
            f"--heldout {held.what}: rows of shape {tuple(held.x.shape[1:])}, but the training rows have {shape}"
        )
    if own.units.mapping is not None and held.units.mapping is not None and own.units.mapping != held.units.mapping:
        raise InputError(
            f"--heldout {held.what}: of its values {held.units.mapping}, of those of the training rows "
            f"{own.units.mapping}: both must be drawn alike"
        )
    if unlike := other_range(own.x, held.x):
        raise InputError(f"--heldout {held.what}: {unlike}: both must be in the same units")
    if abs(own.sigma_n - held.sigma_n) > SAME_LEVEL * max(own.sigma_n, held.sigma_n):
        raise InputError(
            f"--heldout {held.what}: noise level {held.sigma_n:.4g}, but the training rows have {own.sigma_n:.4g}; "
            f"held-out rows must be "
            "as noisy as the training rows"
        )
    refuse_overlap(own.x, held.x, own.numbers)
    return own, held


@dataclass(frozen=True, slots=True)
class Alike:
    """A similarity as it is used: with the moves that pictures may make, on a device; or the features of an
    extractor."""

    part: Similarity | Extractor
    shift: int
    flip: bool
    device: str | torch.device = "cpu"
    index: str = "exact"
    """One of `INDICES`."""

    def view(self, rows: Tensor) -> Tensor:
        """Rows as they are compared: the view of the similarity, or features (N, F)."""
        if isinstance(self.part, Extractor):
            found = extract(self.part, rows.to(self.device)).float()
            if len(found) != len(rows):
                raise InputError(
                    f"similarity {label(self.part)}: this extractor sees several parts in a row; take one that sees "
                    f"a row as a whole"
                )
            return found
        found = self.part.view(rows)
        if len(found) != len(rows) or not found.is_floating_point() or not bool(found.isfinite().all()):
            raise InputError(
                f"similarity {self.part.name!r}: should give {len(rows)} finite rows, but gave {tuple(found.shape)} "
                f"of {found.dtype}"
            )
        return found.detach().cpu()

    def nearest(self, queries: Tensor, rows: Tensor, k: int = 2, **more: Any) -> Neighbours:
        """The k nearest, of views."""
        if self.index == "usearch":
            return nearest_indexed(queries, rows, k, flip=self.flip, **more)
        if self.shift == 0 and not self.flip:
            return nearest(queries, rows, k, **more)
        return nearest_moved(queries, rows, k, shift=self.shift, flip=self.flip, **more)

    @property
    def told(self) -> str:
        """In words."""
        if isinstance(self.part, Extractor):
            return f"features of {label(self.part)}" + (
                f", by an index of {self.index}" if self.index != "exact" else ""
            )
        moved = f", moved by up to {self.shift} pixels" if self.shift else ""
        found = f", by an index of {self.index}" if self.index != "exact" else ""
        return f"{self.part.name}{moved}{', mirrored' if self.flip else ''}{found}"


def similarity_of(
    named: str | Mapping[str, Any] | Similarity | Extractor,
    shape: tuple[int, ...],
    shift: int | None,
    flip: bool,
    device: Any,
    registry: Registry,
    index: str = "exact",
) -> Alike:
    """A similarity, or an extractor: by name, as 'NAME{field: value}', or itself; of one name for both, the similarity.
    Raises InputError for another one, and for an index that is not known or cannot serve moved pictures."""
    if index not in INDICES:
        raise InputError(f"index {index!r}: should be one of {', '.join(INDICES)}")
    if isinstance(named, str):
        name, fields = split_fields(named)
        named = {"name": name, **fields}
    part: Any = named
    if isinstance(named, Mapping):
        known = registry.names("similarity")
        if named.get("name") not in (*known, *registry.names("extractor")):
            raise InputError(
                f"similarity {named.get('name')!r}: there is none of this name. Similarities: {', '.join(known)}; "
                f"extractors: "
                f"{', '.join(registry.names('extractor'))}"
            )
        part = registry.build(Similarity if named["name"] in known else Extractor, named)
    if not isinstance(part, Similarity | Extractor):
        raise InputError(f"similarity: should be a similarity or an extractor, by name or as a part, not {part!r}")
    picture = len(shape) == 3 and isinstance(part, Similarity) and part.moves
    if shift is None:
        shift = SHIFT if picture and min(shape[1:]) >= 8 else 0
    shift = shift if picture else 0
    if shift and index != "exact":
        raise InputError(
            f"index {index!r} finds no pictures that are moved (by up to {shift} pixels): give shift 0, or leave the "
            f"search exact"
        )
    return Alike(part, shift, flip and picture, device, index)
