"""Which checkpoint of a run is best, and how sure that is."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambientkit.checkpoint.folder import whole_checkpoints
from ambientkit.checkpoint.names import CHECKPOINTS, WEIGHTS
from ambientkit.errors import InputError
from ambientkit.evaluation.compare import evaluate
from ambientkit.evaluation.document import FORMAT, MEANS
from ambientkit.evaluation.features import fid
from ambientkit.evaluation.score import label
from ambientkit.evaluation.setup import set_up
from ambientkit.messages import warn
from ambientkit.public import public, with_defaults
from ambientkit.registry import Registry, load
from ambientkit.sample import load_run
from ambientkit.tables import Record, Table, number


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


@dataclass(frozen=True, slots=True)
class Ranking(Record):
    """The checkpoints of a run, the best first: iterate it for them."""

    facts: Mapping[str, Any]
    """What fixes the numbers, as JSON holds it."""
    head: tuple[str, ...]
    """The two sides of the comparison, in sentences."""
    ranked_by: str
    """The group, the measure and its extractor."""
    group: str
    """"clean" or "proximal"."""
    reference: str
    """The reference of that group, in words."""
    order: tuple[Ranked, ...]
    """By mean score, the lowest first."""

    def __iter__(self) -> Iterator[Ranked]:
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)

    @property
    def best(self) -> Ranked:
        """The checkpoint that is first on average; the best of several is better than it would be again."""
        return self.order[0]

    def blocks(self) -> list[str | Table]:
        """The head, the checkpoints in order, and how sure the order is."""
        best, repeats = self.best, len(self.best.values)
        rows = []
        for one in self.order:
            gap = [a - b for a, b in zip(one.values, best.values, strict=True)]
            behind = (
                "-" if one is best else f"{statistics.fmean(gap):+.3g} +- {statistics.stdev(gap) / len(gap) ** 0.5:.2g}"
            )
            spread = statistics.stdev(one.values)
            rows.append((str(one.step), number(one.mean, 4), number(spread, 2), " ".join(map(str, one.ranks)), behind))
        caption = f"{len(self.order)} checkpoints by {self.ranked_by}: {MEANS[self.group]} ({self.reference})"
        firsts = sum(one == 1 for one in best.ranks)
        return [
            *self.head,
            "",
            Table(caption, ("step", "mean", "spread", "ranks by seed", "behind the first, +- standard error"), rows),
            "",
            f"step {best.step} is first on average, and under {firsts} of {repeats} seeds",
            f"spread: std over {repeats} sample seeds, the same for every checkpoint; the choice of reference rows "
            "is not in it",
            "the best of several is better than it would be again: score it afresh with another --seed",
        ]

    def to_dict(self) -> dict[str, Any]:
        """The document that `evaluate --all-checkpoints --json` writes."""
        table = [{"step": one.step, "values": list(one.values), "ranks": list(one.ranks)} for one in self.order]
        return {"format": FORMAT, **self.facts, "ranked_by": self.ranked_by, "group": self.group, "checkpoints": table}


@public("ambientkit.rank_checkpoints", evaluate)
def rank_checkpoints(run: str | os.PathLike[str], *, registry: Registry | None = None, **options: Any) -> Ranking:
    """Rank the checkpoints of a run folder by the `fid` of the first extractor, against noisy rows where there are any
    (`proximal`).

    Every checkpoint is sampled from the same seeds, so that they can be paired. options: those of `evaluate`, with its
    defaults. Damaged checkpoints are left out, with a warning. Raises InputError where fewer than two are left, and for
    fewer than two repeats.
    """
    registry = registry or load()
    asked = with_defaults(evaluate, options) | {"registry": registry}
    repeats, seed = asked["repeats"], asked["seed"]
    found = _checkpoints(Path(run), repeats)
    setup = set_up(run, **asked)
    group = setup.groups[-1]  # the noisy rows where there are any
    values: dict[int, list[float]] = {}
    for step, path in found:
        denoiser = load_run(path, registry, setup.options.device).denoiser
        samples = (setup.draw(denoiser, seed + repeat) for repeat in range(repeats))
        values[step] = [
            float(fid(group.reference.features[0], setup.judged(group, one).features[0])) for one in samples
        ]
    name = f"{group.name} fid[{label(setup.judge.extractors[0])}]"
    return Ranking(setup.facts(), setup.head(), name, group.name, group.rows.what, tuple(ranked(values)))


def ranked(values: Mapping[int, Sequence[float]]) -> list[Ranked]:
    """Checkpoints by mean score, the lowest first, with their ranks under each seed; values: step -> score by seed."""
    repeats = len(next(iter(values.values())))
    by_seed = [sorted(values, key=lambda step: values[step][repeat]) for repeat in range(repeats)]
    found = [
        Ranked(step, tuple(own), tuple(order.index(step) + 1 for order in by_seed)) for step, own in values.items()
    ]
    return sorted(found, key=lambda one: one.mean)


def _checkpoints(run: Path, repeats: int) -> list[tuple[int, Path]]:
    """(step, path) of those that can be ranked. Raises InputError where there is nothing to rank."""
    if not (run / WEIGHTS).is_file():
        raise InputError(f"--all-checkpoints: {run} should be the folder of a run")
    whole, damaged = whole_checkpoints(run / CHECKPOINTS)
    if len(whole) < 2:
        number_of = f"{len(whole)} checkpoint" + "s" * (len(whole) != 1)
        unread = " that can be read" if damaged else ""
        lines = [f"{run}: has {number_of}{unread}; two or more can be ranked (train keeps --keep-last of them)"]
        raise InputError("\n".join([*lines, *damaged]))
    if repeats < 2:
        raise InputError("--all-checkpoints needs --repeats 2 or more: without, nothing says how sure a rank is")
    for line in damaged:
        warn(f"left out: {line}")
    return whole
