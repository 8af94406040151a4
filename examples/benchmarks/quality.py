"""Every way to learn below the noise of the data, through one trainer: same model, budget and seeds, judged on what is
known.

    python examples/benchmarks/quality.py [--data mixture,fashion-mnist] [--sigma-n 0.2] [--arms
    clean,naive,tweedie-consistency]
                                          [--seeds 0,1,2] [--jobs 2] [--folder build/quality] [--json FILE] [--pictures
                                          FOLDER] [--quick]

Each training run is a run folder under --folder and is resumed or taken over where it is there already; its figures lie
beside it. So the script may be stopped at any moment and started again, with more arms, seeds or data. Noise levels are
in units of [-1, 1]; for the mixtures, whose modes have std 0.1, sigma_n = 0.2 is twice that.

"Gap closed" is (naive - arm) / (naive - clean) in the measure named: 0 % is no better than taking the noisy rows for
clean, 100 % is as good as the same network trained on clean rows. A ratio whose denominator is noise is a dash in the
tables: where |naive - clean| is no larger than the range, over the seeds, of `naive`, of `clean` or of the arm. Of one
seed no range is known; for `naive` and `clean` the largest one measured at another noise level of the same data then
stands in. The JSON has every ratio. The first line of a table shows the noisy rows themselves (in `restored`), so that
a measure that does not see the noise shows itself.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from stopped import stoppable

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core a job: small networks gain nothing from two

from quality_arms import ARMS, DATA, TAU
from rich.console import Console
from rich.table import Table
from tqdm import tqdm
from train_run import train_run

MEAN_BELOW = "denoising error below sigma_n"
GAPS = {
    True: (MEAN_BELOW, "sliced W2"),
    False: (MEAN_BELOW, "restored: fid", "restored: patch distance", "restored: residual noise"),
}
"""The measures of which the gap closed is given: for mixtures, and for pictures."""
REFERENCES = {True: ("perfect", "maximum-likelihood"), False: ("noisy-rows", "clean-rows")}


BEGIN, END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"
"""Between these lines `--markdown` replaces the tables of a page, such as docs/quality-tables.md."""


@dataclass(frozen=True)
class Unit:
    """One arm on one data set at one noise level and seed."""

    data: str
    sigma_n: float
    arm: str
    seed: int
    folder: Path
    quick: bool

    @property
    def home(self) -> Path:
        """Where its run and figures lie. The clean arm is the same at all noise levels but for what it is compared
        at."""
        trained = ARMS[self.arm].trained_as or self.arm if self.arm in ARMS else self.arm
        level = "any" if trained == "clean" else f"{self.sigma_n:g}"
        return self.folder / ("quick" if self.quick else "full") / self.data / level / trained / f"seed{self.seed}"

    @property
    def figures(self) -> Path:
        """The file of its figures."""
        return self.home.parent / f"{self.home.name}-{self.arm}-{self.sigma_n:g}.json"


def settings_of(unit: Unit) -> dict[str, Any]:
    """The whole configuration of a unit's run; for a reference, what the runs it stands beside have in common."""
    from ambientkit.config import Source, merge

    data = DATA[unit.data]
    arm = ARMS[ARMS[unit.arm].trained_as or unit.arm].settings if unit.arm in ARMS else {}
    own = {
        "corruption": {"name": "gaussian", "sigma_n": unit.sigma_n},
        "seed": unit.seed,
        "device": "cpu",
        "save_every": 500,
        "keep_last": 1,
    }
    layers = [data.settings, own, arm, data.quick if unit.quick else {}]
    return dict(merge([Source(layer) for layer in layers if layer]).tree)


def train(unit: Unit) -> None:
    """Train a unit's run to its end, from its last checkpoint where it was begun."""
    from ambientkit.config.run import DEFAULTS

    train_run(unit.home, {**DEFAULTS, **settings_of(unit)})


def perform(unit: Unit) -> Path:
    """Train and judge one unit, unless its figures are there already."""
    if unit.figures.exists():
        return unit.figures
    import torch
    from quality_measures import POINTS, QUICK_POINTS, PictureJudge, judge_mixture, maximum_likelihood

    from ambientkit.builtin.data.mixture import Mixture
    from ambientkit.checkpoint.folder import write_file
    from ambientkit.registry import load
    from ambientkit.sample import load_run

    torch.set_num_threads(1)
    data = DATA[unit.data]
    pictures = {}
    if data.held_out is None:
        law, points = Mixture(std=TAU).law(), QUICK_POINTS if unit.quick else POINTS
        if unit.arm == "perfect":
            figures = judge_mixture(law.denoiser(), law, unit.sigma_n, truncated=False, points=points)
        elif unit.arm == "maximum-likelihood":
            fitted = maximum_likelihood(settings_of(unit))
            figures = judge_mixture(fitted.denoiser(), law, unit.sigma_n, truncated=False, points=points)
        else:
            train(unit)
            figures = judge_mixture(
                load_run(unit.home, load()).denoiser, law, unit.sigma_n, ARMS[unit.arm].truncated, points
            )
    else:
        n, samples = (100, 64) if unit.quick else (1000, 500)
        judge = PictureJudge(json.dumps(data.held_out), data.extractor, unit.sigma_n, n, samples)
        if unit.arm in REFERENCES[False]:
            rows = judge.noisy.x_n if unit.arm == "noisy-rows" else judge.clean
            figures, pictures = judge.pictures("restored", rows), {"restored": rows[:8]}
        else:
            train(unit)
            figures, pictures = judge.judge(load_run(unit.home, load()).denoiser, ARMS[unit.arm].truncated)
    unit.figures.parent.mkdir(parents=True, exist_ok=True)
    kept = {name: rows.tolist() for name, rows in pictures.items()}
    write_file(unit.figures, json.dumps({"figures": figures, "pictures": kept}).encode())
    return unit.figures


def units_of(args: argparse.Namespace) -> list[Unit]:
    """The arms to train, the references of each comparison first."""
    found = []
    for data in args.data:
        for sigma_n in args.sigma_n or DATA[data].levels:
            for seed in args.seeds:
                for arm in (*REFERENCES[DATA[data].held_out is None], *args.arms):
                    found.append(Unit(data, sigma_n, arm, seed, args.folder, args.quick))
    return found


def rows_of(units: Iterable[Unit]) -> list[dict[str, Any]]:
    """One row for every figure, and for every gap closed."""
    rows = []
    figures = {unit: json.loads(unit.figures.read_text())["figures"] for unit in units}
    for unit, own in figures.items():
        ends = [
            next(
                (
                    f
                    for other, f in figures.items()
                    if (other.data, other.sigma_n, other.seed, other.arm) == (*key, arm)
                ),
                {},
            )
            for key in [(unit.data, unit.sigma_n, unit.seed)]
            for arm in ("naive", "clean")
        ]
        gaps = {}
        for name, value in own.items():
            if (
                name.startswith(GAPS[DATA[unit.data].held_out is None])
                and all(name in end for end in ends)
                and unit.arm in ARMS
            ):
                naive, clean = (end[name] for end in ends)
                if naive != clean:
                    gaps[f"gap closed: {name}"] = (naive - value) / (naive - clean)
        for name, value in {**own, **gaps}.items():
            rows.append(
                {
                    "data": unit.data,
                    "sigma_n": unit.sigma_n,
                    "arm": unit.arm,
                    "seed": unit.seed,
                    "measure": name,
                    "value": value,
                }
            )
    return rows


SHORT = {
    "denoising error below sigma_n": "error below sigma_n",
    "sliced W2": "sliced W2",
    "std in a mode": "std in a mode",
    "restored: fid": "restored: fid",
    "restored: patch distance": "patch distance",
    "restored: residual noise": "residual noise",
    "sampled: fid": "sampled: fid",
    "proximal: fid": "proximal: fid",
}
"""Start of a measure's name -> the heading of its column; measures that are not here are in the JSON only."""


def tables(rows: list[dict[str, Any]]) -> Iterable[tuple[str, list[str], list[list[str]]]]:
    """Title, headings and cells for each data set and noise level: mean over the seeds (range), and the gap closed
    beside its measure."""
    for data, sigma_n in dict.fromkeys((row["data"], row["sigma_n"]) for row in rows):
        mine = [row for row in rows if (row["data"], row["sigma_n"]) == (data, sigma_n)]
        names = dict.fromkeys(row["measure"] for row in mine)
        shown = [name for start in SHORT for name in names if name.startswith(start)]
        in_tau = f" = {sigma_n / TAU:g} tau" if DATA[data].held_out is None else ""
        seeds = sorted({row["seed"] for row in mine})
        title = f"{data}, sigma_n {sigma_n:g}{in_tau}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
        extractor = next((name.partition("[")[2] for name in names if "[" in name), "")
        heads = [next(text for start, text in SHORT.items() if name.startswith(start)) for name in shown]
        heads = [f"{head}[{extractor}" if head.endswith("fid") else head for head in heads]
        around = [row for row in rows if row["data"] == data]
        body = []
        for arm in dict.fromkeys(row["arm"] for row in mine):
            cells = [_cell(_values(mine, arm, name), percent=False) for name in shown]
            gaps = [_gap(mine, around, arm, name) if arm not in ("naive", "clean") else "" for name in shown]
            own = sorted({row["seed"] for row in mine if row["arm"] == arm})
            label = arm if own == seeds else f"{arm} (seed{'s' * (len(own) > 1)} {', '.join(map(str, own))})"
            body.append([label, *(f"{cell}; {gap}" if gap else cell for cell, gap in zip(cells, gaps, strict=True))])
        yield title, ["arm", *heads], body


def markdown(rows: list[dict[str, Any]]) -> str:
    """The tables as Markdown."""
    parts = []
    for title, heads, body in tables(rows):
        lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *body]
        parts.append(f"**{title}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines))
    return "\n\n".join(parts) + "\n"


def denominator_is_noise(naive: list[float], clean: list[float], arm: list[float], elsewhere: float = 0.0) -> bool:
    """Whether |naive - clean| is no larger than the range, over the seeds, of `naive`, of `clean` or of the arm.

    Of a single seed no range is known: `elsewhere`, the range of `naive` and `clean` at other noise levels, stands in
    for theirs.
    """
    ends = [_range(end) if len(end) > 1 else elsewhere for end in (naive, clean)]
    return abs(statistics.mean(naive) - statistics.mean(clean)) <= max(*ends, _range(arm))


def _gap(rows: list[dict[str, Any]], around: list[dict[str, Any]], arm: str, measure: str) -> str:
    """The gap closed by an arm as a cell: empty where it is not defined, a dash where its denominator is noise.

    `rows` are those of one data set and noise level, `around` those of all levels of the data set.
    """
    own, naive, clean = (_values(rows, name, measure) for name in (arm, "naive", "clean"))
    if (
        arm not in ARMS
        or not measure.startswith(GAPS[DATA[rows[0]["data"]].held_out is None])
        or not (own and naive and clean)
    ):
        return ""
    levels = [[row for row in around if row["sigma_n"] == level] for level in {row["sigma_n"] for row in around}]
    elsewhere = max(_range(_values(level, end, measure)) for level in levels for end in ("naive", "clean"))
    if denominator_is_noise(naive, clean, own, elsewhere):
        return "-"
    return _cell(_values(rows, arm, f"gap closed: {measure}"), percent=True)


def _range(values: list[float]) -> float:
    """The largest value less the smallest."""
    return max(values, default=0.0) - min(values, default=0.0)


def put(page: str, text: str) -> str:
    """The page with what stands between its two marks replaced; of a page without marks nothing is left but the
    text."""
    if BEGIN not in page or END not in page:
        return text
    return page.partition(BEGIN)[0] + BEGIN + text + END + page.partition(END)[2]


def _values(rows: list[dict[str, Any]], arm: str, measure: str) -> list[float]:
    return [row["value"] for row in rows if row["arm"] == arm and row["measure"] == measure]


def _cell(values: list[float], percent: bool) -> str:
    if not values:
        return ""
    form = (lambda v: f"{100 * v:.0f} %") if percent else (lambda v: f"{v:.3g}")
    low, high = form(min(values)), form(max(values))
    return form(statistics.mean(values)) + (f" ({low} to {high})" if low != high else "")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", help=f"data sets, separated by commas: {', '.join(DATA)}; mixture by default, with --quick digits too"
    )
    parser.add_argument(
        "--sigma-n", default="", help="noise levels, separated by commas; those of each data set by default"
    )
    parser.add_argument(
        "--arms",
        help=f"arms, separated by commas: {', '.join(ARMS).replace('%', '%%')}; all by default, with --quick five",
    )
    parser.add_argument(
        "--seeds", default="0", help="seeds, separated by commas: noise, weights and batches of all arms"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    parser.add_argument("--folder", type=Path, default=Path("build/quality"), help="where runs and figures are kept")
    parser.add_argument("--json", type=Path, help="write a list of rows: data, sigma_n, arm, seed, measure, value")
    parser.add_argument(
        "--markdown", type=Path, help="write the tables as Markdown, in a page with marks between these"
    )
    parser.add_argument("--pictures", type=Path, help="write a picture of each comparison into this folder")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="few steps, one noise level: shows that it works, not how well (two minutes)",
    )
    args = parser.parse_args(arguments)
    args.data = args.data or ("mixture,digits" if args.quick else "mixture")
    if args.quick and not args.sigma_n:
        args.sigma_n = "0.2"
    args.arms = args.arms or ("clean,naive,tweedie,truncated,tweedie-consistency" if args.quick else ",".join(ARMS))
    args.data, args.arms = args.data.split(","), args.arms.split(",")
    args.seeds = [int(seed) for seed in args.seeds.split(",")]
    args.sigma_n = [float(level) for level in args.sigma_n.split(",") if level]
    for kind, given, known in (("--data", args.data, DATA), ("--arms", args.arms, ARMS)):
        if unknown := [name for name in given if name not in known]:
            parser.error(f"{kind}: {', '.join(unknown)} is not known; known are {', '.join(known)}")

    units = units_of(args)
    # Arms that share a run are done one after the other, or two jobs would train it at once.
    groups: dict[Path, list[Unit]] = {}
    for unit in units:
        groups.setdefault(unit.home, []).append(unit)
    failed = []
    for home, error in tqdm(_performed(list(groups.values()), args.jobs), total=len(groups), unit="run", disable=None):
        if error is not None:
            failed.append(f"{home}: {type(error).__name__}: {error}")
    rows = rows_of([unit for unit in units if unit.figures.exists()])
    console = Console() if sys.stdout.isatty() else Console(width=200)
    for title, heads, body in tables(rows):
        table = Table(title=f"{title}: mean (range); gap closed")
        for head in heads:
            table.add_column(head, justify="left" if head == "arm" else "right", no_wrap=head == "arm")
        for line in body:
            table.add_row(*line)
        console.print(table)
    if args.markdown:
        before = args.markdown.read_text() if args.markdown.exists() else ""
        args.markdown.write_text(put(before, markdown(rows)))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    if args.pictures:
        from quality_pictures import write_pictures

        write_pictures(units, args.pictures)
    if failed:
        print("\n".join(failed), file=sys.stderr)
        sys.exit(1)


def _performed(groups: list[list[Unit]], jobs: int) -> Iterator[tuple[Path, BaseException | None]]:
    """Perform the groups, `jobs` at a time, each in a process of its own where there are several; what failed comes
    with its error."""
    if jobs == 1:
        for group in groups:
            yield group[0].home, _all(group)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(_all, group): group[0].home for group in groups}
        for future in as_completed(futures):
            yield futures[future], future.exception() or future.result()


def _all(group: list[Unit]) -> BaseException | None:
    try:
        for unit in group:
            perform(unit)
    except (Exception, SystemExit) as error:
        return error
    return None


if __name__ == "__main__":
    stoppable(main, goes_on=True)
