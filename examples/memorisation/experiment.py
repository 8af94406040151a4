"""Does training on noisy copies memorise less, at equal quality? The experiment, whole and small; everything is
resumable.

    python examples/memorisation/experiment.py OUT [--quick | --full] [--data digits] [--rows 100 300 1000]
        [--seeds 0 1 2] [--arms ...] [--end-step 3000] [--network mlp | default] [--look 1000 3000]

Arms: clean training; `tweedie-consistency` on noisy copies at several sigma_n; and `split-levels`, clean rows at low
levels and noisy copies above. Each is measured at several steps of one training: stopping clean training early is the
honest baseline. Quality: distances in pixels to all held-out rows, and the share of samples that a classifier
recognises. Memory: the calibrated share of copies among samples, the train gap, and two attacks. OUT holds a folder for
each run, a file for each point, table.txt, verdict.txt and pictures. An arm whose losses or
restorations are not finite is recorded as diverged, and the next one follows. Several processes may share OUT if each
is given other arms, rows or seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from arms import ARMS, FULL, QUICK, SMALL, Size, split, train
from measuring import Classifier, has_diverged, measure
from pictures import DIVERGED, gallery, pareto, table, verdict
from stopped import stoppable

from ambientkit.checkpoint.folder import whole_checkpoints, write_file
from ambientkit.errors import AmbientError, RunError


def looked_at(home: Path, size: Size) -> list[tuple[int, Path]]:
    """(step, weights) of a run that are measured: at its end, and where it might have been stopped."""
    whole, _ = whole_checkpoints(home / "checkpoints")
    return [(step, path) for step, path in whole if step in {size.end_step, *size.stops}]


def points(out: Path) -> list[dict[str, Any]]:
    """All points measured."""
    return [json.loads(file.read_text()) for file in sorted((out / "points").glob("*.json"))]


def perform(
    out: Path, size: Size, data: str, rows: list[int], seeds: list[int], arms: list[str], look: list[int] | None = None
) -> Iterator[str]:
    """Train and measure, at the steps `look` alone if they are given; finished points are not done again. Yields a line
    for each point."""
    (out / "points").mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for count in rows:
            x, held, labels = split(data, count, seed)
            classifier = Classifier(held, labels)
            for name in arms:
                run = f"{data}-{count}-{name}-s{seed}"
                files = {step: out / "points" / f"{run}-{step}.json" for step in look or (*size.stops, size.end_step)}
                if all(file.is_file() for file in files.values()):
                    continue
                began = time.process_time()
                ended = ""
                try:
                    train(out / run, ARMS[name], x, size, seed)
                except AmbientError as error:
                    if not has_diverged(error):
                        raise
                    ended = str(error)
                trained = time.process_time() - began
                weights = dict(looked_at(out / run, size))
                for step in sorted(files):
                    if files[step].is_file():
                        continue
                    facts = {"data": data, "rows": count, "seed": seed, "arm": name, "step": step}
                    try:
                        if step not in weights:
                            raise RunError(f"step {step} was not reached: {ended}")
                        point = {**facts, **measure(weights[step], x, held, classifier, size, seed)}
                    except AmbientError as error:
                        if not has_diverged(error):
                            raise
                        point = {**facts, DIVERGED: str(error)}
                    write_file(files[step], json.dumps(point).encode())
                    if DIVERGED in point:
                        yield f"{run} step {step}: diverged: {point[DIVERGED]}"
                        continue
                    yield (
                        f"{run} step {step}: fid {point['fid']:.3g}, recognised {point['recognised']:.2f}, "
                        f"copies {point['ratio, p <= 0.01']:.3f}, train gap {point['train gap']:.2f}, "
                        f"mask AUC {point['mask auc']:.2f}"
                    )
                yield f"{run}: {trained:.0f} CPU s of training, {time.process_time() - began:.0f} in all"


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true", help="a size that shows nothing and takes seconds, for tests")
    parser.add_argument("--full", action="store_true", help="for GPUs")
    parser.add_argument("--data", default="digits", choices=["digits", "fashion-mnist"])
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--end-step", type=int, help="of each training; looked at where the first stop is doubled too")
    parser.add_argument("--look", type=int, nargs="+", metavar="STEP", help="only these of its steps are measured")
    parser.add_argument(
        "--network", default="mlp", choices=["mlp", "default"], help="`default`: what `train` picks for such rows"
    )
    parser.add_argument("--report", action="store_true", help="only the tables and pictures of what is there")
    given = parser.parse_args(argv)
    size = replace(QUICK if given.quick else FULL if given.full else SMALL, network=given.network)
    if given.end_step is not None:
        if given.end_step <= size.stops[0]:
            parser.error(f"--end-step {given.end_step}: more than {size.stops[0]}, the first step looked at")
        size = size.longer(given.end_step)
    wrong = set(given.look or ()) - {*size.stops, size.end_step}
    if wrong:
        parser.error(f"--look {min(wrong)}: the steps are {', '.join(map(str, (*size.stops, size.end_step)))}")
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "size.json").write_text(json.dumps(asdict(size), indent=1))
    if not given.report:
        for line in perform(given.out, size, given.data, given.rows, given.seeds, given.arms, given.look):
            print(line, flush=True)
    found = points(given.out)
    if found:
        (given.out / "table.txt").write_text(table(found) + "\n")
        (given.out / "verdict.txt").write_text(verdict(found) + "\n")
        pareto(found, given.out / "pareto.png")
        said = gallery(
            given.out, size, given.data, given.rows[0], given.seeds[0], given.arms, given.out / "gallery.png"
        )
        (given.out / "gallery.txt").write_text(said + "\n")
        print(f"{table(found)}\n\n{verdict(found)}\n\n{said}")


if __name__ == "__main__":
    stoppable(main, goes_on=True)
