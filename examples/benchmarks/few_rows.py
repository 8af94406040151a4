"""Few noisy rows: which training still learns, when it begins to learn its rows by heart, and what stopping in time saves.

    python examples/benchmarks/few_rows.py [--data digits] [--rows 200,500,1500] [--sigma-n .2,.4] [--arms clean,naive,default] [--seeds 0]
                                           [--steps 6000] [--hold-out .1] [--folder build/few_rows] [--json FILE] [--markdown FILE] [--quick]

Each training is one process-long unit: it is watched at steps in equal ratios, and its figures are kept as a file under --folder, so that the script
may be stopped at any moment and started again. "error" is the mean squared error of the averaged denoiser against
held-out clean rows, the mean over .1, .25, .5 and .75
sigma_n; "stopped" is the same at the step where the Tweedie loss of the rows held out of training (noisy, --hold-out of all) was lowest, "best" where the error
itself was: what stopping could give if one knew. "Gap closed" is (naive - arm) / (naive - clean), with the lowest
error of both ends over their training, which flatters them.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from few_rows_arms import ARMS

BELOW = (0.1, 0.25, 0.5, 0.75)
FROM = (1.0, 2.0)
RATIO = 1.25
"""Between two looks at a training."""
FIRST = 40
TEST = 297


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

    def file(self, folder: Path) -> Path:
        """Where its figures are kept."""
        return (
            folder
            / self.data
            / f"{self.rows}-{self.sigma_n:g}-{self.steps}-{self.hold_out:g}"
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
    from ambientkit.training.run import accelerator_for
    from quality_arms import DATA
    from quality_measures import held_out

    from ambientkit.config import Source, merge, resolve
    from ambientkit.data import observed, survey
    from ambientkit.evaluation import denoiser_error
    from ambientkit.maths.randomness import keyed_generator
    from ambientkit.registry import load
    from ambientkit.training import build, steps
    from ambientkit.training.holdout import tweedie_by_row

    torch.set_num_threads(1)
    arm, began = ARMS[unit.arm], time.monotonic()
    own = {
        "data": DATA[unit.data].settings["data"],
        "corruption": {"name": "gaussian", "sigma_n": 0.0 if arm.clean else unit.sigma_n},
        "seed": unit.seed,
        "device": "cpu",
        "end_step": unit.steps,
    }
    settings = dict(merge([Source(layer) for layer in (own, arm.settings) if layer]).tree)
    if unit.arm not in ("clean", "naive") and callable(arm.change):
        settings = arm.change(settings)
    config = resolve(Source(settings), load())
    if arm.objective:
        config = config.model_copy(update={"objective": arm.objective()})
    every = config.data.rows()
    order = torch.randperm(len(every), generator=keyed_generator(unit.seed, "few rows")).tolist()[: unit.rows]  # type: ignore[arg-type]
    kept_back = 0 if arm.clean else round(unit.hold_out * unit.rows)
    trained = observed(Some(every, order[kept_back:]), config.corruption, unit.seed)
    levels = config.levels.as_levels()
    signal = survey(trained, config.corruption, levels, config.sigma_data).signal
    held = (
        observed(Some(every, order[:kept_back]), config.corruption, unit.seed).__getitems__(list(range(kept_back))) if kept_back else None
    )
    n_own = max(min(kept_back, 64), 32)
    shown = trained.__getitems__(list(range(min(n_own, len(trained)))))
    run = build(config, signal, arm.rows(trained) if arm.rows else trained, accelerator_for(config))
    clean = held_out(json.dumps(DATA[unit.data].held_out), unit.sigma_n, 1000)[0][:TEST]
    at = [share * unit.sigma_n for share in (*BELOW, *FROM)]

    found: list[dict[str, Any]] = []
    due = set(looks(unit.steps))
    kept, lowest = None, float("inf")
    for step in steps(run):
        if step.step not in due:
            continue
        with torch.no_grad():
            rms = [one.rms for one in denoiser_error(run.teacher, clean, at, keyed_generator(0, "noise"))]
        look: dict[str, Any] = {"step": step.step, "squares": [r * r for r in rms]}
        look["error"] = sum(look["squares"][: len(BELOW)]) / len(BELOW)
        for name, batch in (("held", held), ("own", shown)):
            if batch is not None:
                values = tweedie_by_row(run.teacher, batch, config.corruption, levels, signal.sigma_data, unit.seed)
                look[name] = values.mean(1).tolist()
                look[f"{name}_rows"] = [float(f"{value:.5g}") for value in values.mean(0).tolist()]
                look[f"{name}_error"] = float(values.mean(0).std() / len(values.T) ** 0.5)
                if name == "held" and float(values.mean()) < lowest:
                    lowest, kept = float(values.mean()), copy.deepcopy(run.average.module.state_dict())
        found.append(look)
    figures: dict[str, Any] = {"looks": found, "parameters": sum(p.numel() for p in run.network.parameters())}
    for name, weights in (("final", None), ("stopped", kept)):
        if weights is not None:
            run.average.module.load_state_dict(weights)
        if unit.judge and (weights is not None or name == "final"):
            figures[name] = judged(unit, run.teacher)
    return {**figures, "seconds": round(time.monotonic() - began, 1)}


def judged(unit: Unit, denoiser: Any) -> dict[str, float]:
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
    return judge.judge(denoiser, False)[0]


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
    if "held" in found[0]:
        stopped = min(found, key=lambda look: sum(look["held"]))
        told |= {"stopped": stopped["error"], "stopped_step": stopped["step"], "held_final": statistics.mean(found[-1]["held"])}
        told |= {"held_stopped": statistics.mean(stopped["held"])}
    told["own_final"] = statistics.mean(found[-1]["own"])
    return told


def table(done: dict[Unit, dict[str, Any]]) -> str:
    """Markdown: one table for each data set, number of rows and level."""
    parts = []
    for key in dict.fromkeys((u.data, u.rows, u.sigma_n, u.steps, u.hold_out) for u in done):
        mine = {u: summary(f) for u, f in done.items() if (u.data, u.rows, u.sigma_n, u.steps, u.hold_out) == key}
        ends = {(u.arm, u.seed): s["best"] for u, s in mine.items() if u.arm in ("clean", "naive")}
        lines = [f"**{key[0]}, {key[1]} rows, sigma_n {key[2]:g}, {key[3]} steps, {key[4]:g} held out**", ""]
        lines += ["| arm | seeds | final | stopped (at) | best (at) | gap closed: final | stopped | best | own loss | held-out loss |"]
        lines += ["|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
        for arm in dict.fromkeys(u.arm for u in mine):
            own = {u.seed: s for u, s in mine.items() if u.arm == arm}
            cells = [_cell([1e5 * s["final"] for s in own.values()], "{:.0f}")]
            for name in ("stopped", "best"):
                some = [s for s in own.values() if name in s]
                where = _cell([s[f"{name}_step"] for s in some], "{:.0f}")
                cells.append(f"{_cell([1e5 * s[name] for s in some], '{:.0f}')} ({where})" if some else "")
            for name in ("final", "stopped", "best"):
                gaps = [
                    100 * (ends["naive", seed] - s[name]) / (ends["naive", seed] - ends["clean", seed])
                    for seed, s in own.items()
                    if ("naive", seed) in ends and ("clean", seed) in ends and name in s
                ]
                cells.append(_cell(gaps, "{:.0f} %"))
            cells.append(_cell([s["own_final"] for s in own.values()], "{:.3f}"))
            cells.append(_cell([s["held_final"] for s in own.values() if "held_final" in s], "{:.3f}"))
            lines.append(f"| {arm} | {','.join(map(str, own))} | " + " | ".join(cells) + " |")
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
    parser.add_argument("--judge", action="store_true", help="the named distances too, of restored rows and samples")
    parser.add_argument("--quick", action="store_true", help="300 steps of three arms: shows that it works, not how well")
    args = parser.parse_args(arguments)
    steps = 300 if args.quick else args.steps
    units = [
        Unit(data, int(rows), float(sigma_n), arm, int(seed), steps, args.hold_out, args.judge)
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
        print(f"{unit.data} {unit.rows} {unit.sigma_n:g} {unit.arm} seed {unit.seed}: {told}  ({done[unit]['seconds']:.0f} s)", flush=True)
    print(table(done))
    if args.markdown:
        args.markdown.write_text(table(done))
    if args.json:
        args.json.write_text(json.dumps([{**unit.__dict__, **figures} for unit, figures in done.items()], indent=1))


if __name__ == "__main__":
    main()
