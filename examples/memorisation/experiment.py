"""Does training on noisy copies memorise less, at equal quality? The experiment, whole and small; everything is
resumable.

    python examples/memorisation/experiment.py OUT [--quick | --full] [--data digits] [--rows 100 300 1000] [--seeds 3]

Arms: clean training, the same stopped early at several steps (the honest baseline), and `tweedie-consistency` on noisy
copies at several sigma_n. Quality: Frechet distance in pixels to all held-out rows, and the share of samples that a
classifier recognises. Memorisation: the calibrated share of copies among samples, and two attacks. OUT holds a folder
for each run, points.jsonl with one line for each point, table.txt, and pareto.html.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from arms import ARMS, FULL, QUICK, SMALL, Arm, Size, split, train

from ambientkit.checkpoint.folder import whole_checkpoints
from ambientkit.evaluation import fid
from ambientkit.memorisation import attack, memorization
from ambientkit.webpage import Series, curves, figures_page

ATTACKS = (("noise", 2.0), ("noise", 4.0), ("mask", 0.75))
RECOGNISED = 0.9
"""Share of clean rows, not used to fit the classifier, that count as recognised: what sets the margin."""


class Classifier:
    """A support vector machine on one half of the held-out rows; a picture is recognised if its margin is that of 90 % of the other half."""

    def __init__(self, rows: Tensor, labels: Tensor) -> None:
        from sklearn.svm import SVC

        x, half = rows.flatten(1).numpy()[:4000], min(len(rows), 4000) // 2
        self._fitted = SVC(gamma="scale", C=10.0, decision_function_shape="ovr").fit(x[:half], labels[:half].numpy())
        self._least = float(self._margin(rows[half : 2 * half]).quantile(1 - RECOGNISED))

    def _margin(self, rows: Tensor) -> Tensor:
        first_two = torch.from_numpy(self._fitted.decision_function(rows.flatten(1).numpy())).topk(2, dim=1).values
        return first_two[:, 0] - first_two[:, 1]

    def recognises(self, rows: Tensor) -> float:
        """The share of rows (n, *S) that are recognised."""
        return float((self._margin(rows) >= self._least).double().mean())


def measure(path: Path, x: Tensor, held: Tensor, classifier: Classifier, size: Size, seed: int) -> dict[str, Any]:
    """Quality and memorisation of one set of weights."""
    found = memorization(
        path,
        train=x,
        heldout=held,
        n=size.samples,
        steps=size.steps,
        shift=1,
        seed=seed,
        device="auto" if torch.cuda.is_available() else "cpu",
    )
    made: dict[str, Any] = {one.name: one.value for one in found.measures} | {
        "listed": float(found.listed.double().mean()),
        "fid": float(fid(held.flatten(1).double(), found.samples.flatten(1).double())),
        "recognised": classifier.recognises(found.samples),
    }
    for kind, level in ATTACKS:
        got = attack(
            path,
            train=x,
            heldout=held,
            kind=kind,  # type: ignore[arg-type]
            level=level,
            n=size.attacked,
            null=2 * size.attacked,
            draws=size.draws,
            steps=size.steps,
            particles=16,
            seed=seed,
            device="auto" if torch.cuda.is_available() else "cpu",
        )
        made |= {
            f"{kind} {level:g} auc": got.auc,
            f"{kind} {level:g} share": got.share,
            f"{kind} {level:g} listed": len(got.listed.nonzero()),
        }
    return made


def weights_of(home: Path, size: Size) -> list[tuple[int, Path]]:
    """(step, weights) of a run that are looked at: at its end, and where it might have been stopped."""
    whole, _ = whole_checkpoints(home / "checkpoints")
    wanted = {size.end_step, *size.stops}
    return [(step, path) for step, path in whole if step in wanted]


def done_before(file: Path) -> list[dict[str, Any]]:
    """The points already measured."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def run(
    out: Path, size: Size, data: str, rows: list[int], seeds: int, arms: tuple[Arm, ...], measure_only: bool
) -> list[dict[str, Any]]:
    """Train and measure every arm; what is there already is not done again."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "points.jsonl"
    points = done_before(file)
    have = {(p["data"], p["rows"], p["seed"], p["arm"], p["step"]) for p in points}
    for seed in range(seeds):
        for count in rows:
            x, held, labels = split(data, count, seed)
            classifier = Classifier(held, labels)
            for arm in arms:
                home = out / f"{data}-{count}-{arm.name}-s{seed}"
                if measure_only and not (home / "checkpoints").is_dir():
                    continue
                if not measure_only:
                    train(home, arm, x, size, seed)
                for step, path in weights_of(home, size):
                    key = (data, count, seed, arm.name, step)
                    if key in have:
                        continue
                    facts = dict(zip(("data", "rows", "seed", "arm", "step"), key, strict=True))
                    point = {**facts, **measure(path, x, held, classifier, size, seed)}
                    points.append(point)
                    with file.open("a") as stream:
                        stream.write(json.dumps(point) + "\n")
                    print(
                        f"{data} {count} rows, seed {seed}, {arm.name}, step {step}: fid {point['fid']:.3g}, listed {point['listed']:.1%}"
                    )
    return points


def summary(points: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """(data, rows, arm, step, seeds, {measure: (mean, standard error or nan)}) of every arm."""
    grouped = defaultdict(list)
    for point in points:
        grouped[point["data"], point["rows"], point["arm"], point["step"]].append(point)
    found = []
    for key, several in sorted(grouped.items()):
        names = [name for name in several[0] if name not in ("data", "rows", "seed", "arm", "step")]
        values = {name: [one[name] for one in several] for name in names}
        errors = {
            name: (statistics.fmean(v), statistics.stdev(v) / len(v) ** 0.5 if len(v) > 1 else float("nan"))
            for name, v in values.items()
        }
        found.append((*key, len(several), errors))
    return found


def dominates(a: dict[str, tuple[float, float]], b: dict[str, tuple[float, float]], memory: str) -> bool:
    """Whether arm a is better than b on both axes, by more than two standard errors where these are known."""

    def less(name: str) -> bool:
        (x, dx), (y, dy) = a[name], b[name]
        error = (dx**2 + dy**2) ** 0.5
        return x < y - (2 * error if error == error else 0.0)

    return less("fid") and less(memory)


def report(out: Path, points: list[dict[str, Any]]) -> str:
    """table.txt and pareto.html; returns the table."""
    columns = ("fid", "recognised", "ratio, p <= 0.01", "distance, p <= 0.01", "ratio below 1/3", "listed", "train gap")
    columns += tuple(f"{kind} {level:g} {what}" for kind, level in ATTACKS for what in ("auc", "share"))
    lines = ["\t".join(("data", "rows", "arm", "step", "seeds", *columns))]
    found = summary(points)
    for data, rows, arm, step, seeds, values in found:
        cells = [f"{values[name][0]:.3g}" + (f"+-{values[name][1]:.2g}" if seeds > 1 else "") for name in columns]
        lines.append("\t".join((data, str(rows), arm, str(step), str(seeds), *cells)))
    memory, figures = "ratio, p <= 0.01", []
    for data, rows in sorted({one[:2] for one in found}):
        here = [one for one in found if one[:2] == (data, rows)]
        clean = [one for one in here if one[2] == "clean"]
        for one in here:
            if one[2] != "clean" and clean:
                beaten = [other[3] for other in clean if dominates(one[5], other[5], memory)]
                better = [other[3] for other in clean if dominates(other[5], one[5], memory)]
                lines.append(
                    f"{data}, {rows} rows: {one[2]} is better on both axes than clean at steps {beaten}; clean is better at steps {better}"
                )
        series = [
            Series(
                name,
                [o[5]["fid"][0] for o in here if o[2] == name],
                [o[5][memory][0] for o in here if o[2] == name],
                look=i,
                dash=i,
            )
            for i, name in enumerate(dict.fromkeys(o[2] for o in here))
        ]
        figures.append(
            curves(
                f"{data}, {rows} training rows",
                series,
                "Frechet distance in pixels to held-out rows",
                "share of copies, p <= 0.01",
            )
        )
    said = [
        "Towards the lower left is better. A curve of clean training runs through the steps at which it is stopped."
    ]
    (out / "table.txt").write_text("\n".join(lines) + "\n")
    (out / "pareto.html").write_text(figures_page("Memorisation against quality", figures, said=said))
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true", help="a size that shows nothing and takes seconds, for tests")
    parser.add_argument("--full", action="store_true", help="for GPUs")
    parser.add_argument("--data", default="digits", choices=["digits", "fashion-mnist"])
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", default=[arm.name for arm in ARMS], choices=[arm.name for arm in ARMS])
    parser.add_argument("--measure-only", action="store_true", help="measure the runs that are there, train none")
    given = parser.parse_args(argv)
    size = QUICK if given.quick else FULL if given.full else SMALL
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "size.json").write_text(json.dumps(asdict(size), indent=1))
    chosen = tuple(arm for arm in ARMS if arm.name in given.arms)
    print(report(given.out, run(given.out, size, given.data, given.rows, given.seeds, chosen, given.measure_only)))


if __name__ == "__main__":
    main()
