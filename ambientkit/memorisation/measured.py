"""Every measure of a set of samples, with its interval and the figure of held-out rows in their place."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.maths.randomness import keyed_generator
from ambientkit.memorisation import measures as m
from ambientkit.memorisation.measures import Measure
from ambientkit.memorisation.neighbours import Neighbours
from ambientkit.memorisation.sides import Similarity


def all_measures(
    alike: Similarity,
    known: Tensor,
    judged: Tensor,
    unseen: Tensor,
    near: Neighbours,
    null: Neighbours,
    groups: Tensor,
    level: float,
    seed: int,
    resamples: int = m.RESAMPLES,
) -> tuple[Measure, ...]:
    """All measures. known, judged, unseen: training rows, samples and held-out rows as they are compared; near, null:
    the two nearest training rows of samples and of held-out rows. Where held-out rows stand in for samples, a random
    half of them does, and the other half is their null. resamples: of the intervals; 0 for none."""
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
            m.bootstrap(share, ratio, null_ratio, seed=seed, resamples=resamples),
            len(ratio),
            share(null_ratio[one], null_ratio[other]),
            m.bootstrap(share, null_ratio[one], null_ratio[other], seed=seed, resamples=resamples),
            len(one),
            f"share of samples that single out one training row, by the ratio to the second, as only {level:g} of "
            "held-out rows do: copies; "
            f"{level:g} or less is expected of a model that memorises nothing",
        ),
        Measure(
            f"distance, p <= {level:g}",
            share(near_1, null_1),
            m.bootstrap(share, near_1, null_1, seed=seed, resamples=resamples),
            len(near_1),
            share(null_1[one], null_1[other]),
            m.bootstrap(share, null_1[one], null_1[other], seed=seed, resamples=resamples),
            len(one),
            f"share of samples nearer to a training row than all but {level:g} of held-out rows; blurred pictures "
            "are near without being copies",
        ),
        Measure(
            "ratio below 1/3",
            m.share_of_third(near.distance),
            m.bootstrap(m.share_of_third, near.distance, seed=seed, resamples=resamples),
            len(near_1),
            m.share_of_third(null.distance),
            m.bootstrap(m.share_of_third, null.distance, seed=seed, resamples=resamples),
            len(null_1),
            "share of samples at less than 1/3 of the distance to the second nearest training row: copies by the "
            "usual rule",
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
            m.bootstrap(copying, drawn, held, seed=seed, resamples=resamples),
            len(near_1),
            copying(held[one], held[other]),
            m.bootstrap(copying, held[one], held[other], seed=seed, resamples=resamples),
            len(one),
            "standard deviations by which samples lie farther from training rows than held-out rows do; well below "
            "0: copies, above 0: poor samples too",
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
            m.bootstrap(authentic, pairs, seed=seed, resamples=resamples),
            len(pairs),
            authentic(null_pairs),
            m.bootstrap(authentic, null_pairs, seed=seed, resamples=resamples),
            len(null_pairs),
            "share of samples farther from their nearest training row than that row is from the others; below the "
            "figure of held-out rows: copies",
        )
    )
    measured.append(_gap(alike, known, judged, unseen, seed, resamples))
    return (*measured, *_mifid(known, judged, unseen, seed, resamples))


def _gap(alike: Similarity, known: Tensor, judged: Tensor, unseen: Tensor, seed: int, resamples: int) -> Measure:
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
        _paired(a, b, seed, resamples),
        len(a),
        m.nearer_to_train(c, d),
        _paired(c, d, seed, resamples),
        third,
        f"share of samples nearer to a training row than to any of as many ({size}) held-out rows, less 1/2: 0 "
        "where nothing is memorised, 0.5 at most",
    )


def _paired(a: Tensor, b: Tensor, seed: int, resamples: int) -> tuple[float, float] | None:
    return m.bootstrap(
        lambda x: m.nearer_to_train(x[:, 0], x[:, 1]), torch.stack([a, b], 1), seed=seed, resamples=resamples
    )


def _mifid(known: Tensor, judged: Tensor, unseen: Tensor, seed: int, resamples: int) -> list[Measure]:
    """Nothing where torchmetrics is missing: it belongs to an extra."""
    reference, flat, held = known.flatten(1), judged.flatten(1), unseen.flatten(1)
    try:
        value = m.mifid(reference, flat)
    except InputError:
        return []

    def of(x: Tensor) -> float:
        return m.mifid(reference, x)

    told = (
        "Frechet distance to the training rows, over the cosine distance of the nearest: larger for copies and "
        "for poor samples; compare at equal n"
    )
    return [
        Measure(
            "mifid",
            value,
            m.jackknife(of, flat, seed=seed) if resamples else None,
            len(flat),
            of(held),
            m.jackknife(of, held, seed=seed) if resamples else None,
            len(held),
            told,
        )
    ]
