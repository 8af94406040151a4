"""`ambientkit evaluate --all-checkpoints`: which checkpoint of a run is best, and how sure that is."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambientkit.checkpoint.base import network_of
from ambientkit.checkpoint.folder import whole_checkpoints
from ambientkit.checkpoint.initial import initial_weights
from ambientkit.checkpoint.weights import fill
from ambientkit.cli.tables import print_table
from ambientkit.evaluate import fid
from ambientkit.evaluate.compare import Group, Setup, draw_samples
from ambientkit.evaluate.document import FORMAT, MEANS, facts, print_head
from ambientkit.evaluate.score import label
from ambientkit.interfaces import Denoiser
from ambientkit.sample import Trained
from ambientkit.tables import number


@dataclass(frozen=True, slots=True)
class Ranked:
    """The scores of one checkpoint over the sample seeds, and its ranks among all (1: best)."""

    step: int
    values: tuple[float, ...]
    ranks: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.values)


def rank(setup: Setup) -> dict[str, Any]:
    """Print the checkpoints in order, and return the JSON document. Every checkpoint is sampled from the same seeds, so that they can be paired.

    Needs two checkpoints and two repeats or more, which `prepare` has checked. Damaged checkpoints are left out, as it has said.
    """
    request, trained = setup.request, setup.trained
    assert trained is not None
    found, _ = whole_checkpoints(Path(request.subject) / "checkpoints")
    group = setup.groups[-1]  # the noisy rows where there are any
    name = f"{group.name} fid[{label(setup.judge.extractors[0])}]"
    values: dict[int, list[float]] = {}
    for step, path in found:
        denoiser = with_average(trained, str(path), initial_weights(path)[0], setup.device)
        values[step] = [_score(setup, group, denoiser, request.seed + repeat) for repeat in range(request.repeats)]
    order = ranked(values)
    print_head(setup)
    print(f"\n{len(order)} checkpoints by {name}: {MEANS[group.name]} ({group.rows.what})")
    best = order[0]
    rows = []
    for one in order:
        gap = [a - b for a, b in zip(one.values, best.values, strict=True)]
        said = "-" if one is best else f"{statistics.fmean(gap):+.3g} +- {statistics.stdev(gap) / len(gap) ** 0.5:.2g}"
        spread = statistics.stdev(one.values)
        rows.append((str(one.step), number(one.mean, 4), number(spread, 2), " ".join(map(str, one.ranks)), said))
    print_table(("step", "mean", "spread", "ranks by seed", "behind the first, +- standard error"), rows)
    firsts = sum(one == 1 for one in best.ranks)
    print(f"\nstep {best.step} is first on average, and under {firsts} of {request.repeats} seeds")
    print(f"spread: std over {request.repeats} sample seeds, the same for every checkpoint; the choice of reference rows is not in it")
    print("the best of several is better than it would be again: score it afresh with another --seed")
    table = [{"step": one.step, "values": list(one.values), "ranks": list(one.ranks)} for one in order]
    return {"format": FORMAT, **facts(setup), "ranked_by": name, "group": group.name, "checkpoints": table}


def ranked(values: dict[int, list[float]]) -> list[Ranked]:
    """Checkpoints by mean score, the lowest first, with their ranks under each seed; values: step -> score by seed."""
    repeats = len(next(iter(values.values())))
    by_seed = [sorted(values, key=lambda step: values[step][repeat]) for repeat in range(repeats)]
    found = [Ranked(step, tuple(own), tuple(order.index(step) + 1 for order in by_seed)) for step, own in values.items()]
    return sorted(found, key=lambda one: one.mean)


def _score(setup: Setup, group: Group, denoiser: Denoiser, seed: int) -> float:
    judged = setup.judge.read(setup.judged(group, draw_samples(setup, denoiser, seed)))
    return float(fid(group.read.features[0], judged.features[0]))


def with_average(trained: Trained, where: str, tensors: dict[str, Any], device: str) -> Denoiser:
    """The denoiser of a run with the averaged weights of a checkpoint. Raises InputError where they do not fit."""
    network = network_of(trained.config, trained.signal).to(device)
    fill(network, tensors, where, trained.base)
    network.eval().requires_grad_(False)
    return trained.config.model.denoiser(network, trained.signal)
