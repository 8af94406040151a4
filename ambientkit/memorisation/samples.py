"""How much of a set of samples is copied from the training rows, measured beside rows that were held out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ambientkit.config.datapath import DataLike
from ambientkit.errors import InputError
from ambientkit.evaluation.rows import chosen, drawn_rows
from ambientkit.interfaces import Extractor, Part, Sampler
from ambientkit.maths.randomness import keyed_generator
from ambientkit.memorisation import measures as m
from ambientkit.memorisation.copies import duplicate_groups
from ambientkit.memorisation.measures import Measure
from ambientkit.memorisation.neighbours import Neighbours
from ambientkit.memorisation.pvalues import conformal_p_values, listed, listing, need_null_rows
from ambientkit.memorisation.sides import Side, Similarity, sides, similarity_of
from ambientkit.processes import device_of
from ambientkit.registry import Registry, load
from ambientkit.sample import Trained, draw_all, load_run, step_grid
from ambientkit.sample.load import checkpoint_step, is_begun
from ambientkit.tables import Record, Table, number

DRAWN, MOST = 1000, 10_000
FEWEST = 20
"""Samples, and held-out rows, without which no measure means anything."""
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Memorization(Record):
    """What part of the samples lies nearer to training rows than held-out rows do, and whose copies they are."""

    facts: Mapping[str, Any]
    head: tuple[str, ...]
    """What was compared with what, in sentences."""
    measures: tuple[Measure, ...]
    p_values: Tensor
    """(m,), of each sample: how often a held-out row has as small a ratio of the distances to its nearest and second nearest training row."""
    listed: Tensor
    """(m,) bool, copies by Benjamini-Hochberg at the false-discovery rate of `facts`."""
    neighbours: Neighbours
    """The two nearest training rows of each sample, of different groups."""
    heldout_neighbours: Neighbours
    """Those of the held-out rows: the null."""
    groups: Tensor
    """(N,), the group of duplicates that each training row belongs to."""
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
        """What was compared, the measures beside their held-out figures, and the samples that are listed."""
        rows = [
            (one.name, number(one.value, 4), _interval(one.interval), str(one.n), number(one.heldout, 4), _interval(one.heldout_interval))
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
            listing(len(copies), len(self.samples), self.facts["heldout_rows"], self.facts["fdr"], "samples are listed as copies"),
        ]
        if copies:
            order = sorted(copies, key=lambda at: (float(self.p_values[at]), float(self.neighbours.distance[at, 0])))[:10]
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
    similarity: str | Mapping[str, Any] | Extractor = "pixels",
    shift: int | None = None,
    flip: bool = True,
    level: float = 0.01,
    fdr: float = 0.1,
    n: int | None = None,
    duplicates_within: float = 0.0,
    seed: int = 0,
    steps: int = 32,
    sampler: str | Mapping[str, Any] | Part = "heun",
    batch_size: int = 64,
    device: str | torch.device = "auto",
    progress: bool = False,
    registry: Registry | None = None,
) -> Memorization:
    """Measure how near samples lie to the training rows, calibrated by held-out rows.

    subject: a `Run` or `Trained`, the path of a run, of its weights or a checkpoint (n samples are drawn, 1,000 by default); or samples: a path, an array or a
    tensor (m, *S) in [-1, 1]. train: the training rows; of a run its own by default. heldout: rows of the same law that the model has not seen.
    Both without duplicates of each other. sigma_n: declared noise of both, where they are files that do not say; 0: clean.

    similarity: "pixels" (root mean square difference, the least over moves by up to `shift` pixels, 2 for pictures of 8 x 8 or more, and
    mirroring where `flip`), "correlation" (the same after each row's mean is taken away and its std made 1, so that brightness and contrast do
    not count), or any `Extractor`. level: of the single p-values behind the share. fdr: false-discovery rate of the list of copies.
    duplicates_within: distance at which training rows are one group; groups are found first, and the second neighbour is of another group.

    Raises InputError for rows of another shape, unit or noise level, for held-out rows that are training rows, for too few held-out rows for
    `level`, for a conditional run, and for fewer than 20 rows on a side. No differential privacy follows from any of these figures.
    """
    registry = registry or load()
    place = device_of(device)
    trained, name = subject_of(subject, registry, place)
    if not 0 < level < 1:
        raise InputError(f"level {level:g}: should be above 0 and below 1")
    own, held = sides(train, heldout, sigma_n, trained, registry)
    need_null_rows(len(held.x), level)
    if len(held.x) < FEWEST or len(own.x) < 3:
        raise InputError(f"{len(own.x)} training and {len(held.x)} held-out rows: at least 3 and {FEWEST} are needed")
    alike = similarity_of(similarity, tuple(own.x.shape[1:]), shift, flip, place, registry)
    samples, numbers = _samples(subject, name, trained, own, n, seed, steps, sampler, batch_size, place, progress, registry)
    groups = duplicate_groups(own.x, tolerance=duplicates_within, flip=flip)
    known, judged, unseen = alike.view(own.x), alike.view(samples), alike.view(held.x)
    near, null = alike.nearest(judged, known, groups=groups), alike.nearest(unseen, known, groups=groups)
    p = conformal_p_values(-m.ratios(near.distance), -m.ratios(null.distance))
    found = _measures(alike, known, judged, unseen, near, null, groups, level, seed)
    kept = len(groups.unique())
    facts = {
        "subject": name,
        "n": len(samples),
        "train": own.what,
        "train_rows": len(own.x),
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
        f"{name}: {len(samples)} samples against {len(own.x)} training rows of {own.what}; null: {len(held.x)} held-out rows of {held.what}",
        f"similarity: {alike.told}; {copies} training rows are duplicates or mirror images of others"
        + (" and count with them as one" if copies else ""),
    )
    return Memorization(facts, head, found, p, listed(p, fdr), near, null, groups, samples, numbers, own.x[near.row[:, 0]])


def subject_of(subject: Any, registry: Registry, place: torch.device) -> tuple[Trained | None, str]:
    """The run, if the subject is one, and its name in words. Raises InputError for a conditional run."""
    trained, name = None, "the samples"
    if isinstance(getattr(subject, "trained", None), Trained):  # an `ambientkit.Run`, which this layer does not know
        trained, name = subject.trained, os.fspath(subject.path)
    elif isinstance(subject, Trained):
        trained, name = subject, "a run in memory"
    elif isinstance(subject, str | os.PathLike):
        path, name = Path(subject), os.fspath(subject)
        if path.suffix == ".safetensors" or is_begun(path) or checkpoint_step(path) is not None:
            trained = load_run(path, registry, place)
    if trained is not None and trained.signal.conds:
        raise InputError(f"{name}: the run is conditional ({', '.join(trained.signal.conds)}), which this does not do yet")
    return trained, name


def _samples(
    subject: Any,
    name: str,
    trained: Trained | None,
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
    if trained is None:
        if hasattr(subject, "__array__") or isinstance(subject, Tensor):
            x = torch.as_tensor(subject).detach().cpu().float()[: n or MOST]
        else:
            rows = drawn_rows(subject, n or MOST, seed, registry)
            numbers = torch.tensor(chosen(rows.total, n or MOST, seed))
            numbers, order = numbers.sort()
            x = rows.x[order]
        if tuple(x.shape[1:]) != shape:
            raise InputError(f"{name}: samples of shape {tuple(x.shape[1:])}, but the training rows have {shape}; neither is resized")
    else:
        part = registry.build(Sampler, sampler)
        sigmas = step_grid(steps, trained.config.levels.as_levels())
        what = f"{name}: the samples"
        x = draw_all(
            trained.denoiser,
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
    if len(x) < FEWEST or not bool(x.isfinite().all()):
        raise InputError(f"{name}: {len(x)} samples; should be {FEWEST} or more, and finite")
    return x, torch.arange(len(x)) if numbers is None else numbers


def _measures(
    alike: Similarity,
    known: Tensor,
    judged: Tensor,
    unseen: Tensor,
    near: Neighbours,
    null: Neighbours,
    groups: Tensor,
    level: float,
    seed: int,
) -> tuple[Measure, ...]:
    """All measures. Where held-out rows stand in for samples, a random half of them does, and the other half is their null."""
    order = torch.randperm(len(unseen), generator=keyed_generator(seed, "memorisation.halves"))
    one, other = order[: len(order) // 2], order[len(order) // 2 :]
    near_1, null_1 = near.distance[:, 0], null.distance[:, 0]

    def share(a: Tensor, b: Tensor) -> float:
        return m.share_nearer(a, b, level)

    ratio, null_ratio = m.ratios(near.distance), m.ratios(null.distance)
    measured = [
        Measure(
            f"ratio, p <= {level:g}",
            share(ratio, null_ratio),
            m.bootstrap(share, ratio, null_ratio, seed=seed),
            len(ratio),
            share(null_ratio[one], null_ratio[other]),
            m.bootstrap(share, null_ratio[one], null_ratio[other], seed=seed),
            len(one),
            f"share of samples that single out one training row, by the ratio to the second, as only {level:g} of held-out rows do: copies; "
            f"{level:g} or less is expected of a model that memorises nothing",
        ),
        Measure(
            f"distance, p <= {level:g}",
            share(near_1, null_1),
            m.bootstrap(share, near_1, null_1, seed=seed),
            len(near_1),
            share(null_1[one], null_1[other]),
            m.bootstrap(share, null_1[one], null_1[other], seed=seed),
            len(one),
            f"share of samples nearer to a training row than all but {level:g} of held-out rows; blurred pictures are near without being copies",
        ),
        Measure(
            "ratio below 1/3",
            m.share_of_third(near.distance),
            m.bootstrap(m.share_of_third, near.distance, seed=seed),
            len(near_1),
            m.share_of_third(null.distance),
            m.bootstrap(m.share_of_third, null.distance, seed=seed),
            len(null_1),
            "share of samples at less than 1/3 of the distance to the second nearest training row: copies by the usual rule",
        ),
    ]
    cells, (a, b) = m.cells_of(known.flatten(1), judged.flatten(1), unseen.flatten(1), seed=seed)
    drawn, held = torch.stack([near_1, a.double()], 1), torch.stack([null_1, b.double()], 1)

    def copying(x: Tensor, y: Tensor) -> float:
        return m.data_copying(x[:, 0], y[:, 0], x[:, 1], y[:, 1], cells)

    measured.append(
        Measure(
            "C_T",
            copying(drawn, held),
            m.bootstrap(copying, drawn, held, seed=seed),
            len(near_1),
            copying(held[one], held[other]),
            m.bootstrap(copying, held[one], held[other], seed=seed),
            len(one),
            "standard deviations by which samples lie farther from training rows than held-out rows do; well below 0: copies, above 0: poor samples too",
        )
    )
    # Each training row beside the nearest one of another group.
    own = alike.nearest(known, known, 2, groups=groups).distance[:, 1]
    pairs, null_pairs = (torch.stack([x.distance[:, 0], own[x.row[:, 0]]], 1) for x in (near, null))

    def authentic(x: Tensor) -> float:
        return m.authenticity(x[:, 0], x[:, 1])

    measured.append(
        Measure(
            "authenticity",
            authentic(pairs),
            m.bootstrap(authentic, pairs, seed=seed),
            len(pairs),
            authentic(null_pairs),
            m.bootstrap(authentic, null_pairs, seed=seed),
            len(null_pairs),
            "share of samples farther from their nearest training row than that row is from the others; below the figure of held-out rows: copies",
        )
    )
    measured.append(_gap(alike, known, judged, unseen, seed))
    return (*measured, *_mifid(known, judged, unseen, seed))


def _gap(alike: Similarity, known: Tensor, judged: Tensor, unseen: Tensor, seed: int) -> Measure:
    """As many training rows as held-out rows, chosen at random; a third of the held-out rows stands in for samples."""
    rows = torch.randperm(len(known), generator=keyed_generator(seed, "memorisation.gap.train"))
    held = torch.randperm(len(unseen), generator=keyed_generator(seed, "memorisation.gap.heldout"))
    third = len(held) // 3
    size, least = min(len(known), len(unseen)), min(len(known), len(unseen) - third)

    def distances(queries: Tensor, against: Tensor) -> Tensor:
        return alike.nearest(queries, against, 1).distance[:, 0]

    a, b = distances(judged, known[rows[:size]]), distances(judged, unseen[held[:size]])
    c, d = (
        distances(unseen[held[:third]], known[rows[:least]]),
        distances(unseen[held[:third]], unseen[held[third : third + least]]),
    )
    return Measure(
        "train gap",
        m.nearer_to_train(a, b),
        _paired(a, b, seed),
        len(a),
        m.nearer_to_train(c, d),
        _paired(c, d, seed),
        third,
        f"share of samples nearer to a training row than to any of as many ({size}) held-out rows, less 1/2: 0 where nothing is memorised, 0.5 at most",
    )


def _paired(a: Tensor, b: Tensor, seed: int) -> tuple[float, float] | None:
    return m.bootstrap(lambda x: m.nearer_to_train(x[:, 0], x[:, 1]), torch.stack([a, b], 1), seed=seed)


def _mifid(known: Tensor, judged: Tensor, unseen: Tensor, seed: int) -> list[Measure]:
    """Nothing where torchmetrics is missing: it belongs to an extra."""
    reference, flat, held = known.flatten(1), judged.flatten(1), unseen.flatten(1)
    try:
        value = m.mifid(reference, flat)
    except InputError:
        return []

    def of(x: Tensor) -> float:
        return m.mifid(reference, x)

    told = "Frechet distance to the training rows, over the cosine distance of the nearest: larger for copies and for poor samples; compare at equal n"
    return [
        Measure("mifid", value, m.jackknife(of, flat, seed=seed), len(flat), of(held), m.jackknife(of, held, seed=seed), len(held), told)
    ]


def _interval(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{number(interval[0])} to {number(interval[1])}"
