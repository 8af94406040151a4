"""Few noisy rows: which training still learns, when it begins to memorise its rows, and what stopping in time
saves.

    python examples/benchmarks/few_rows.py [--data digits] [--rows 200,500,1500] [--sigma-n .2,.4]
        [--arms clean,naive,default] [--seeds 0] [--steps 6000] [--hold-out .1] [--cosine] [--judge]
        [--folder build/few_rows] [--json FILE] [--markdown FILE] [--quick]

Trained by the library, without run folders. Each training is watched at steps in equal ratios, and its figures are kept
as a file under --folder, so that the script may be stopped at any moment and started again. "error" is the mean squared
error of the averaged denoiser against held-out clean rows, the mean over .1, .25, .5 and .75 sigma_n. "kept" is that of
the weights a run would keep by the rows held out of training (noisy, --hold-out of all); "best" is where the error
itself was lowest: what stopping could give if one knew.

"Gap closed" is (naive - arm) / (naive - clean) for the same network, each with its lowest error over the training,
which flatters these two.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stopped import stoppable

os.environ.setdefault("OMP_NUM_THREADS", "1")

from few_rows_arms import ARMS

BELOW = (0.1, 0.25, 0.5, 0.75)
FROM = (1.0, 2.0)
RATIO = 1.5
"""Between two looks at a training."""
FIRST = 100
"""The step of the first look."""
TEST = 297
"""Clean rows held out, at most."""


@dataclass(frozen=True)
class Unit:
    """One training."""

    data: str
    rows: int
    sigma_n: float
    arm: str
    seed: int
    steps: int
    hold_out: float
    judge: bool
    cosine: bool = False

    def file(self, folder: Path) -> Path:
        """Where its figures are kept."""
        return (
            folder
            / self.data
            / f"{self.rows}-{self.sigma_n:g}-{self.steps}-{self.hold_out:g}{'-cosine' * self.cosine}"
            / f"{self.arm}-{self.seed}{'-judged' * self.judge}.json"
        )


class Some:
    """Some rows of a data set; each keeps its number, and so its noise."""

    def __init__(self, rows: Any, chosen: list[int]) -> None:
        self._rows, self._chosen = rows, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Any:
        return self._rows[self._chosen[index]]

    def number(self, index: int) -> int:
        """The row of the files at position `index`."""
        return self._chosen[index]


def looks(steps: int) -> list[int]:
    """The steps after which a training is measured."""
    found, at = [], float(FIRST)
    while at < steps:
        found.append(round(at))
        at *= RATIO
    return [*found, steps]


def train(unit: Unit) -> dict[str, Any]:
    """Train one unit and return its figures, look by look."""
    import torch
    from quality_arms import DATA
    from quality_measures import held_out

    from ambientkit.config import Source, merge, resolve
    from ambientkit.data import observed, survey
    from ambientkit.evaluation import denoiser_error
    from ambientkit.maths.randomness import keyed_generator
    from ambientkit.registry import load
    from ambientkit.run.levels import suiting_levels
    from ambientkit.training import build, steps
    from ambientkit.training.holdout import POINTS, HoldOut, tweedie_by_row

    torch.set_num_threads(1)
    arm, began = ARMS[unit.arm], time.monotonic()
    own = {
        "data": DATA[unit.data].settings["data"],
        "corruption": {"name": "gaussian", "sigma_n": 0.0 if arm.clean else unit.sigma_n},
        "seed": unit.seed,
        "device": "cpu",
        "end_step": unit.steps,
    }
    if unit.cosine:
        own["optimizer"] = {"lr": 1e-3, "schedule": "cosine"}
    if arm.own_network:
        own |= {"model": DATA[unit.data].settings["model"]}
    layers = [layer for layer in (own, arm.settings) if layer]
    config = resolve(merge(map(Source, layers)), load())
    every = config.data.rows()
    order = torch.randperm(len(every), generator=keyed_generator(unit.seed, "few rows")).tolist()[: unit.rows]  # type: ignore[arg-type]
    count = 0 if arm.clean else round(unit.hold_out * unit.rows)
    trained, others = (
        observed(Some(every, some), config.corruption, unit.seed, config.augment)
        for some in (order[count:], order[:count])
    )
    if arm.levels_by_rows and (suiting := suiting_levels(trained, config.corruption)) is not None:
        config = resolve(merge(map(Source, [*layers, {"levels": suiting._asdict()}])), load())
    levels = config.levels.as_levels()
    signal = survey(trained, config.corruption, levels, config.sigma_data).signal
    measured = {"own": trained.__getitems__(list(range(min(max(count, 32), 64, len(trained)))))}
    if count:
        measured["held"] = others.__getitems__(list(range(count)))
    run, watch = build(config, signal, trained), HoldOut()
    by_level = [HoldOut() for _ in range(POINTS)]
    sets: dict[int, dict[str, Any]] = {}
    clean = held_out(json.dumps(DATA[unit.data].held_out), unit.sigma_n, 1000)[0][:TEST]
    at = [share * unit.sigma_n for share in (*BELOW, *FROM)]

    found: list[dict[str, Any]] = []
    due = set(looks(unit.steps))
    kept: dict[str, Any] = {}
    for step in steps(run):
        if step.step not in due:
            continue
        squares = [one.rms**2 for one in denoiser_error(run.teacher, clean, at, keyed_generator(0, "noise"))]
        look: dict[str, Any] = {"step": step.step, "squares": squares, "error": statistics.mean(squares[: len(BELOW)])}
        by_row = {
            name: tweedie_by_row(run.teacher, batch, config.corruption, levels, signal.sigma_data, unit.seed)
            for name, batch in measured.items()
        }
        look |= {name: values.mean(1).tolist() for name, values in by_row.items()}
        if count:
            seen = watch.seen(step.step, by_row["held"], by_row["own"])
            look |= seen._asdict()
            if seen.keep:
                kept = weights(run)
            look["kept_by_level"] = []
            for level, one in enumerate(by_level):  # by the loss at one level alone
                pair = [by_row[name][level].expand(2, -1) for name in ("held", "own")]
                if one.seen(step.step, *pair).keep:
                    sets[level] = weights(run)
                look["kept_by_level"].append(one.kept)
        found.append(look)
    figures: dict[str, Any] = {"looks": found, "parameters": sum(p.numel() for p in run.network.parameters())}
    if unit.judge:
        figures["final"] = judged(unit, run.teacher, levels)
        if kept:
            at_levels = measured_levels(unit.sigma_n, signal.sigma_data)
            figures["by level"] = judged(unit, Switched(run, sets, at_levels), levels)
            run.average.module.load_state_dict(kept)
            figures["kept"] = judged(unit, run.teacher, levels)
    return {**figures, "seconds": round(time.monotonic() - began, 1)}


def weights(run: Any) -> dict[str, Any]:
    """A copy of the averaged weights."""
    return {name: value.clone() for name, value in run.average.module.state_dict().items()}


def measured_levels(sigma_n: float, sigma_data: float) -> list[float]:
    """The levels at which a run measures its loss on rows held out."""
    import torch

    from ambientkit.maths.levels import geometric_grid
    from ambientkit.training.holdout import HIGHEST, LOWEST, POINTS

    low = LOWEST * sigma_n
    return (
        geometric_grid(torch.tensor([low]), torch.tensor([max(2 * low, HIGHEST * sigma_data)]), POINTS)
        .flatten()
        .tolist()
    )


class Switched:
    """At each noise level the weights kept by the loss at the nearest level that is measured."""

    def __init__(self, run: Any, sets: dict[int, dict[str, Any]], levels: list[float]) -> None:
        self._run, self._sets, self._levels, self._now = run, sets, levels, -1

    def __call__(self, x: Any, sigma: Any, /, **cond: Any) -> Any:
        import math

        import torch

        out = torch.empty_like(x)
        logs = torch.tensor([math.log(level) for level in self._levels])
        nearest = (sigma.double().log()[:, None] - logs).abs().argmin(1)
        for level in nearest.unique().tolist():
            if level != self._now:
                self._run.average.module.load_state_dict(self._sets[level])
                self._now = level
            mine = nearest == level
            out[mine] = self._run.teacher(x[mine], sigma[mine], **{name: value[mine] for name, value in cond.items()})
        return out


def judged(unit: Unit, denoiser: Any, levels: Any) -> dict[str, float]:
    """The named distances of restored rows and samples."""
    from quality_arms import DATA
    from quality_measures import PictureJudge

    data = DATA[unit.data]
    judge = PictureJudge(
        json.dumps(data.held_out),
        data.extractor,
        unit.sigma_n,
        1000 if unit.data == "digits" else 250,
        300 if unit.data == "digits" else 100,
    )
    return judge.judge(denoiser, False, levels)[0]


def perform(unit: Unit, folder: Path) -> dict[str, Any]:
    """The figures of a unit, from its file where it is there."""
    from ambientkit.checkpoint.folder import write_file

    file = unit.file(folder)
    if file.exists():
        return json.loads(file.read_text())
    figures = train(unit)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, json.dumps(figures).encode())
    return figures


def summary(figures: dict[str, Any]) -> dict[str, Any]:
    """What the table shows of one unit."""
    found = figures["looks"]
    best = min(found, key=lambda look: look["error"])
    told = {"final": found[-1]["error"], "best": best["error"], "best_step": best["step"]}
    if any(look.get("keep") for look in found):
        kept = [look for look in found if look["keep"]][-1]
        told |= {"kept": kept["error"], "kept_step": kept["step"], "held": found[-1]["held"][0]}
        stopped = [look["step"] for look in found if look["stop"]]
        told |= {"stops": stopped[0]} if stopped else {}
    told["own"] = found[-1]["own"][0]
    return told


HEAD = (
    "| arm | seeds | final | kept (at) | best (at) | stops at | gap closed: final | kept | best | loss next to "
    "sigma_n: own rows | held out |"
)


def table(done: dict[Unit, dict[str, Any]]) -> str:
    """Markdown: one table for each data set, number of rows and level. Errors in 1e-5; mean over the seeds, and
    range."""
    parts = []
    for key in dict.fromkeys((u.data, u.rows, u.sigma_n, u.steps, u.hold_out, u.cosine) for u in done):
        mine = {
            u: summary(f) for u, f in done.items() if (u.data, u.rows, u.sigma_n, u.steps, u.hold_out, u.cosine) == key
        }
        lowest = {(u.arm, u.seed): s["best"] for u, s in mine.items()}
        lines = [
            f"**{key[0]}, {key[1]} rows, sigma_n {key[2]:g}, {key[3]} steps, {key[4]:.0%} held "
            f"out{', cosine' * key[5]}**",
            "",
            HEAD,
        ]
        lines += ["|---|---|" + "---:|" * 9]
        for arm in dict.fromkeys(u.arm for u in mine):
            own = {u.seed: s for u, s in mine.items() if u.arm == arm}
            cells = [_cell([1e5 * s["final"] for s in own.values()], "{:.0f}")]
            for name in ("kept", "best"):
                some = [s for s in own.values() if name in s]
                where = _cell([s[f"{name}_step"] for s in some], "{:.0f}")
                cells.append(f"{_cell([1e5 * s[name] for s in some], '{:.0f}')} ({where})" if some else "")
            cells.append(_cell([s["stops"] for s in own.values() if "stops" in s], "{:.0f}"))
            for name in ("final", "kept", "best"):
                ends = {seed: [lowest.get((one, seed)) for one in ARMS[arm].beside] for seed in own}
                gaps = [
                    100 * (ends[seed][0] - s[name]) / (ends[seed][0] - ends[seed][1])
                    for seed, s in own.items()
                    if all(ends[seed]) and name in s
                ]
                cells.append(_cell(gaps, "{:.0f} %"))
            cells += [_cell([s[name] for s in own.values() if name in s], "{:.3f}") for name in ("own", "held")]
            lines.append(f"| {arm} | {', '.join(map(str, own))} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _cell(values: Iterable[float], form: str) -> str:
    values = list(values)
    if not values:
        return ""
    low, high = form.format(min(values)), form.format(max(values))
    return form.format(statistics.mean(values)) + (f" [{low} to {high}]" if low != high else "")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--rows", default="200")
    parser.add_argument("--sigma-n", default=".2")
    parser.add_argument("--arms", default="clean,naive,default")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--hold-out", type=float, default=0.1)
    parser.add_argument("--folder", type=Path, default=Path("build/few_rows"))
    parser.add_argument("--json", type=Path, help="write a list of the units with their figures")
    parser.add_argument("--markdown", type=Path, help="write the tables")
    parser.add_argument(
        "--cosine", action="store_true", help="rate 1e-3 on a cosine, as in quality.py, not the default 5e-4"
    )
    parser.add_argument("--judge", action="store_true", help="the named distances too, of restored rows and samples")
    parser.add_argument(
        "--quick", action="store_true", help="300 steps of three arms: shows that it works, not how well"
    )
    args = parser.parse_args(arguments)
    steps = 300 if args.quick else args.steps
    units = [
        Unit(data, int(rows), float(sigma_n), arm, int(seed), steps, args.hold_out, args.judge, args.cosine)
        for data in args.data.split(",")
        for rows in args.rows.split(",")
        for sigma_n in args.sigma_n.split(",")
        for seed in args.seeds.split(",")
        for arm in args.arms.split(",")
    ]
    done = {}
    for unit in units:
        done[unit] = perform(unit, args.folder)
        s = summary(done[unit])
        told = "  ".join(f"{name} {value:.5g}" for name, value in s.items())
        print(
            f"{unit.data} {unit.rows} {unit.sigma_n:g} {unit.arm} seed {unit.seed}: {told}  "
            f"({done[unit]['seconds']:.0f} s)",
            flush=True,
        )
    print(table(done))
    if args.markdown:
        args.markdown.write_text(table(done))
    if args.json:
        args.json.write_text(json.dumps([{**unit.__dict__, **figures} for unit, figures in done.items()], indent=1))


if __name__ == "__main__":
    stoppable(main, goes_on=True)
