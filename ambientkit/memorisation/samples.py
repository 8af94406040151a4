"""How much of a set of samples is copied from the training rows, measured beside rows that were held out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ambientkit.config.datapath import DataLike
from ambientkit.errors import InputError
from ambientkit.evaluation.rows import chosen, drawn_rows
from ambientkit.evaluation.setup import need_counts
from ambientkit.interfaces import Extractor, Levels, Part, Sampler
from ambientkit.maths import copying as m
from ambientkit.maths.conformal import conformal_p_values, listed, listing, need_levels, need_null_rows
from ambientkit.memorisation.copies import duplicate_groups
from ambientkit.memorisation.measured import Measure, all_measures, registered
from ambientkit.memorisation.neighbours import Neighbours
from ambientkit.memorisation.sides import Side, in_memory, other_range, sides, similarity_of
from ambientkit.memorisation.subject import Subject, subject_of
from ambientkit.memorisation_parts import Similarity
from ambientkit.processes import device_of
from ambientkit.registry import Registry, load
from ambientkit.sample import draw_all, step_grid, warn_of_far
from ambientkit.seeds import check_seed
from ambientkit.tables import Record, Table, number

DRAWN, MOST = 1000, 10_000
FEWEST = 20
"""Samples, and held-out rows, without which no measure means anything."""
LEAST = 3
"""Training rows that differ from each other, without which there is no second neighbour to compare with."""
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Memorization(Record):
    """What part of the samples lies nearer to training rows than held-out rows do, and whose copies they are."""

    facts: Mapping[str, Any]
    head: tuple[str, ...]
    """The two sides of the comparison, in sentences."""
    measures: tuple[Measure, ...]
    p_values: Tensor
    """(m,), of each sample: how often a held-out row has as small a ratio of the distances to its nearest and second
    nearest training row."""
    listed: Tensor
    """(m,) bool, copies by Benjamini-Hochberg at the false-discovery rate of `facts`."""
    neighbours: Neighbours
    """The two nearest training rows of each sample, of different groups."""
    heldout_neighbours: Neighbours
    """Those of the held-out rows: the null."""
    groups: Tensor
    """(N,), the group of duplicates that each training row belongs to, without rows that the run held out."""
    samples: Tensor
    """(m, *S)."""
    numbers: Tensor
    """(m,), of the samples in their file, or as they were drawn."""
    nearest_rows: Tensor
    """(m, *S), the nearest training row of each sample."""

    def measure(self, name: str) -> Measure:
        """One of the measures. Raises KeyError with those there are."""
        found = {one.name: one for one in self.measures}
        if name not in found:
            raise KeyError(f"no measure {name!r}; there are {', '.join(found)}")
        return found[name]

    def blocks(self) -> list[str | Table]:
        """The sides of the comparison, the measures beside their held-out figures, and the samples that are listed."""
        rows = [
            (
                one.name,
                number(one.value, 4),
                _interval(one.interval),
                str(one.n),
                number(one.heldout, 4),
                _interval(one.heldout_interval),
            )
            for one in self.measures
        ]
        copies = self.listed.nonzero().squeeze(1).tolist()
        found: list[str | Table] = [
            *self.head,
            "",
            Table("", ("measure", "samples", "95 % interval", "n", "held-out rows", "95 % interval of these"), rows),
            "",
            *(f"{one.name}: {one.means}" for one in self.measures),
            "",
            listing(
                len(copies),
                len(self.samples),
                self.facts["heldout_rows"],
                self.facts["fdr"],
                "samples are listed as copies",
            ),
        ]
        if copies:
            order = sorted(copies, key=lambda at: (float(self.p_values[at]), float(self.neighbours.distance[at, 0])))[
                :10
            ]
            lines = [
                (
                    str(int(self.numbers[at])),
                    str(int(self.neighbours.row[at, 0])),
                    number(float(self.neighbours.distance[at, 0])),
                    number(float(self.p_values[at])),
                )
                for at in order
            ]
            found.append(Table("the first of them", ("sample", "training row", "distance", "p"), lines))
        return found

    def html(self) -> str:
        """One page that needs nothing else: figures, histograms and pictures."""
        from ambientkit.memorisation.page import memorization_page

        return memorization_page(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures."""
        return {
            "format": FORMAT,
            **self.facts,
            "measures": [one.to_dict() for one in self.measures],
            "p_values": self.p_values.tolist(),
            "listed": self.numbers[self.listed].tolist(),
            "samples": self.numbers.tolist(),
            "nearest_rows": self.neighbours.row[:, 0].tolist(),
            "distances": self.neighbours.distance[:, 0].tolist(),
            "heldout_distances": self.heldout_neighbours.distance[:, 0].tolist(),
        }


def memorization(
    subject: Any,
    *,
    train: DataLike | None = None,
    heldout: DataLike,
    sigma_n: float | None = None,
    similarity: str | Mapping[str, Any] | Similarity | Extractor = "pixels",
    shift: int | None = None,
    flip: bool = True,
    level: float = 0.01,
    fdr: float = 0.1,
    n: int | None = None,
    duplicates_within: float = 0.0,
    index: str = "exact",
    resamples: int = m.RESAMPLES,
    seed: int = 0,
    steps: int = 32,
    sampler: str | Mapping[str, Any] | Part = "heun",
    levels: tuple[float, float] | None = None,
    batch_size: int = 64,
    device: str | torch.device = "auto",
    progress: bool = False,
    registry: Registry | None = None,
) -> Memorization:
    """Measure how near samples lie to the training rows, calibrated by held-out rows.

    subject: a `Run` or `Trained`, the path of a run, of its weights or a checkpoint (n samples are drawn, 1,000 by
    default), or a function that denoises, as for `attack`; or samples: a path, an array or a tensor (m, *S) in [-1, 1].
    train: the training rows; of a run its own by default, but for those that it held out. heldout: rows of the same law
    that the model has not seen. Both without duplicates of each other. sigma_n: declared noise of both, where they are
    files that do not say; 0: clean.

    similarity: "pixels" (root mean square difference, the least over moves by up to `shift` pixels, 2 for pictures of 8
    x 8 or more, and mirroring where `flip`), "correlation" (the same after each row's mean is taken away and its std
    made 1, so that brightness and contrast do not count), or any `Extractor`. level: of the single p-values behind the
    share. fdr: false-discovery rate of the list of copies. duplicates_within: distance at which training rows are one
    group; groups are found first, and the second neighbour is of another group. index:
    "exact" compares all rows; "usearch" asks an approximate index for candidates and measures those exactly (with
    shift 0 only). resamples: of the intervals, which take a good part of the time; 0 for none.

    Raises InputError for rows of another shape, unit or noise level, for held-out rows that are training rows, for too
    few held-out rows for `level`, for a conditional run, and for fewer than 20 rows on a side. No differential privacy
    follows from any of these figures.
    """
    check_seed(seed)
    need_counts(n=(n, FEWEST), resamples=(resamples, 0), steps=(steps, 1), batch_size=(batch_size, 1), shift=(shift, 0))
    if not 0 <= duplicates_within < float("inf"):
        raise InputError(f"--duplicates-within {duplicates_within}: should be finite and 0 or more")
    registry = registry or load()
    place = device_of(device)
    asked = subject_of(subject, registry, place, Levels(*levels) if levels is not None else None)
    name = asked.name if asked else os.fspath(subject) if isinstance(subject, str | os.PathLike) else "the samples"
    need_levels(level=level, fdr=fdr)
    own, held = sides(train, heldout, sigma_n, asked, registry)
    need_null_rows(len(held.x), level)
    if len(held.x) < FEWEST or len(own.x) < LEAST:
        raise InputError(
            f"{len(own.x)} training and {len(held.x)} held-out rows: at least {LEAST} and {FEWEST} are needed"
        )
    alike = similarity_of(similarity, tuple(own.x.shape[1:]), shift, flip, place, registry, index)
    samples, numbers = _samples(
        subject, name, asked, own, n, seed, steps, sampler, batch_size, place, progress, registry
    )
    groups = duplicate_groups(own.x, tolerance=duplicates_within, flip=flip)
    kept = len(groups.unique())
    if kept < LEAST:
        raise InputError(
            f"{own.what}: {len(own.x)} training rows, of which {kept} differ; at least {LEAST} must, or every sample "
            f"lies nearest to the one"
        )
    known, judged, unseen = alike.view(own.x), alike.view(samples), alike.view(held.x)
    near, null = alike.nearest(judged, known, groups=groups), alike.nearest(unseen, known, groups=groups)
    p = conformal_p_values(-m.ratios(near.distance), -m.ratios(null.distance))
    measures = registered(registry, level)
    found = all_measures(measures, alike, known, (judged, near), (unseen, null), groups, seed, resamples)
    facts = {
        "subject": name,
        "n": len(samples),
        "train": own.what,
        "train_rows": len(own.x),
        "train_held_out": own.held_out,
        "train_groups": kept,
        "heldout": held.what,
        "heldout_rows": len(held.x),
        "sigma_n": own.sigma_n,
        "similarity": alike.told,
        "level": level,
        "fdr": fdr,
        "seed": seed,
    }
    copies = len(own.x) - kept
    head = (
        f"{name}: {len(samples)} samples against {len(own.x)} training rows of {own.what}; null: {len(held.x)} "
        f"held-out rows of {held.what}",
        f"similarity: {alike.told}; {copies} training rows are duplicates or mirror images of others"
        + (" and count with them as one" if copies else ""),
    )
    notes = own.told
    if asked is None and (unlike := other_range(own.x, samples)):
        notes = (*notes, f"warning: of the samples {unlike}: are both in units of [-1, 1]?")
    nearest_rows = own.x[near.row[:, 0]]
    near, null = (one._replace(row=torch.where(one.row < 0, -1, own.numbers[one.row])) for one in (near, null))
    return Memorization(
        facts, (*head, *notes), found, p, listed(p, fdr), near, null, groups, samples, numbers, nearest_rows
    )


def _samples(
    subject: Any,
    name: str,
    asked: Subject | None,
    own: Side,
    n: int | None,
    seed: int,
    steps: int,
    sampler: Any,
    batch_size: int,
    place: torch.device,
    progress: bool,
    registry: Registry,
) -> tuple[Tensor, Tensor]:
    """(samples (m, *S) on the CPU, their numbers). Raises InputError for samples of another shape, and for too few."""
    shape, numbers = tuple(own.x.shape[1:]), None
    if asked is None:
        if hasattr(subject, "__array__") or isinstance(subject, Tensor):
            x = in_memory(subject, name)[: n or MOST]
        else:
            rows = drawn_rows(subject, n or MOST, seed, registry)
            numbers = torch.tensor(chosen(rows.total, n or MOST, seed))
            numbers, order = numbers.sort()
            x = rows.x[order]
        if tuple(x.shape[1:]) != shape:
            raise InputError(
                f"{name}: samples of shape {tuple(x.shape[1:])}, but the training rows have {shape}; neither is resized"
            )
    else:
        part = registry.build(Sampler, sampler)
        sigmas = step_grid(steps, asked.levels)
        what = f"{name}: the samples"
        x = draw_all(
            asked.denoiser,
            part,
            shape,
            n or DRAWN,
            sigmas=sigmas,
            seed=seed,
            batch_size=batch_size,
            device=place,
            progress=progress,
            what=what,
        )
        warn_of_far(x, what)
    if len(x) < FEWEST or not bool(x.isfinite().all()):
        raise InputError(f"{name}: {len(x)} samples; should be {FEWEST} or more, and finite")
    return x, torch.arange(len(x)) if numbers is None else numbers


def _interval(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{number(interval[0])} to {number(interval[1])}"
