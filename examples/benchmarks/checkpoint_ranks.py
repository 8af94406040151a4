"""Does the proximal score, which needs no clean data, order checkpoints as their true distance to clean rows does?

    python examples/benchmarks/checkpoint_ranks.py [--arms naive,tweedie,tweedie-consistency] [--seeds 0,1] [--steps
    1000] [--save-every 200]
                                                   [--model mlp] [--within 5,10] [--folder build/checkpoint-ranks]
                                                   [--json FILE] [--quick]

Trains small runs on noisy digits and scores every checkpoint three times: samples made as noisy as the data against the
run's own noisy rows (what `evaluate --all-checkpoints` does), the same against noisy rows held out, and samples against
clean rows held out: the truth. The truth is measured on samples of another seed, since otherwise both sides would share
the luck of the draw and agree for that reason.

Prints Spearman's rank correlation with a 95 % bootstrap interval over checkpoints: over all checkpoints, within runs
(which moment of a run?), and at one step (which run?); then how far the checkpoint that the proximal score picks is
behind the best of its run. Runs and scores are kept in --folder: the script may be stopped and started again, with more
arms or seeds. Tables are Markdown.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stopped import stoppable

from ambientkit.interfaces import Sampler
from ambientkit.rows import evenly

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small networks gain nothing from two

from quality_arms import ARMS, DATA
from tqdm import tqdm
from train_run import train_run

SIGMA_N = 0.2
"""Units of [-1, 1]."""
MEASURES = ("fid[pixels]", "pixel-statistics", "patch-w2", "spectrum-db", "residual-noise", "high-frequency")
"""The last two are of one set: their score is how far they are from what the reference has."""
MODELS = {"mlp": {"width": 256, "depth": 3}, "image_transformer_v1": {"patch_size": 2, "width": 64}}
"""Names of models with their fields. The first takes several times as many steps a second."""
PAIRS = (
    *((measure, measure) for measure in MEASURES),
    ("fid[pixels]", "residual-noise"),
    ("patch-w2", "residual-noise"),
)
"""(proximal measure, true measure) whose orders are compared."""
KINDS = ("proximal", "held out")
"""Against the run's own noisy rows, and against noisy rows it has not seen."""
GROUPS = {"all": lambda one: "", "within runs": lambda one: (one.arm, one.seed), "at one step": lambda one: one.step}
"""Checkpoints are ordered within each group; the correlation is the mean over groups."""
RESAMPLES = 1000


@dataclass(frozen=True)
class Size:
    """How much is done: steps of a run, steps between checkpoints, samples, steps of the sampler."""

    steps: int
    save_every: int
    n: int = 297
    sampler_steps: int = 16


@dataclass(frozen=True)
class Scored:
    """One checkpoint: its arm, seed and step, and kind -> measure -> value; the lower the better."""

    arm: str
    seed: int
    step: int
    scores: dict[str, dict[str, float]]


def train(arm: str, seed: int, size: Size, model: str, home: Path) -> None:
    """Train a run to its end, from its last checkpoint where it was begun."""
    from ambientkit.config import Source, merge
    from ambientkit.config.run import DEFAULTS

    own = {
        "corruption": {"name": "gaussian", "sigma_n": SIGMA_N},
        "seed": seed,
        "device": "cpu",
        "end_step": size.steps,
        "save_every": size.save_every,
        "keep_last": 10_000,
        "model": {"name": model, **MODELS[model]},
    }
    layers = (DEFAULTS, DATA["digits"].settings, own, ARMS[arm].settings)
    train_run(home, dict(merge([Source(layer) for layer in layers if layer]).tree))


def score(home: Path, arm: str, seed: int, size: Size) -> list[Scored]:
    """Every checkpoint of a run, scored; earlier scores are read."""
    import torch
    from quality_measures import held_out

    from ambientkit.checkpoint.folder import checkpoints, write_file
    from ambientkit.data import Observations
    from ambientkit.evaluation import proximal
    from ambientkit.registry import load
    from ambientkit.sample import draw_all, load_run, step_grid

    torch.set_num_threads(1)
    registry = load()
    trained = load_run(home, registry)
    clean, noisy, _ = held_out(json.dumps(DATA["digits"].held_out), SIGMA_N, size.n)
    rows = Observations(trained.config.data.rows(), trained.config.corruption, trained.config.seed)
    own = rows.__getitems__(evenly(len(rows), size.n)).x_n
    sampler = registry.build(Sampler, "heun")
    sigmas = step_grid(size.sampler_steps, trained.config.levels.as_levels())
    found = []
    for step, path in sorted(checkpoints(home / "checkpoints")):
        file = home.parent / f"{home.name}-step{step}-n{size.n}.json"
        if not file.exists():
            denoiser = load_run(path, registry).denoiser
            first, second = (
                draw_all(denoiser, sampler, trained.signal.shape, size.n, sigmas=sigmas, seed=draws, batch_size=size.n)
                for draws in (0, 1)
            )
            near = proximal(first, SIGMA_N, 0)
            scores = {
                "proximal": measure(own, near),
                "held out": measure(noisy.x_n, near),
                "true": measure(clean, second),
            }
            write_file(file, json.dumps(scores).encode())
        found.append(Scored(arm, seed, step, json.loads(file.read_text())))
    return found


def measure(reference: Any, judged: Any) -> dict[str, float]:
    """MEASURES of judged rows (n, 1, H, W) against the reference's."""
    from ambientkit.evaluation import (
        fid,
        high_frequency,
        patch_distance,
        pixel_statistics_distance,
        power_spectrum_distance,
        residual_noise,
    )
    from ambientkit.maths.randomness import keyed_generator

    values = (
        float(fid(reference.flatten(1), judged.flatten(1))),
        float(pixel_statistics_distance(reference, judged)),
        float(patch_distance(reference, judged, keyed_generator(0, "patches"))),
        float(power_spectrum_distance(reference, judged)),
        abs(float(residual_noise(judged)) - float(residual_noise(reference))),
        abs(float(high_frequency(judged)) - float(high_frequency(reference))),
    )
    return dict(zip(MEASURES, values, strict=True))


def correlation(guess: Any, truth: Any, groups: Any) -> tuple[float, float, float]:
    """Spearman's rank correlation of guess (n,) with truth (n,), the mean over groups, and its 95 % bootstrap interval.

    groups (n,): what each belongs to. Checkpoints are drawn again within their group, so that groups keep their size. A
    group in which either side is constant has no correlation and is left out; NaN where that is so of all.
    """
    import numpy as np
    from scipy import stats

    guess, truth = np.asarray(guess, float), np.asarray(truth, float)
    names = list(dict.fromkeys(groups))
    members = [np.array([place for place, group in enumerate(groups) if group == name]) for name in names]

    def mean_correlation(*chosen: Any, axis: int = -1) -> Any:
        with np.errstate(invalid="ignore"):
            each = [
                _pearson(stats.rankdata(guess[c], axis=axis), stats.rankdata(truth[c], axis=axis), axis) for c in chosen
            ]
            known = np.isfinite(each)
            return np.where(known, each, 0).sum(0) / known.sum(0)

    value = float(mean_correlation(*members))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", stats.DegenerateDataWarning
        )  # where both orders agree wholly, every resample says 1
        result = stats.bootstrap(
            members,
            mean_correlation,
            n_resamples=RESAMPLES,
            method="percentile",
            vectorized=True,
            random_state=np.random.default_rng(0),
        )
    drawn = result.bootstrap_distribution[np.isfinite(result.bootstrap_distribution)]
    low, high = np.quantile(drawn, (0.025, 0.975)) if len(drawn) else (math.nan, math.nan)
    return value, float(low), float(high)


def _pearson(a: Any, b: Any, axis: int) -> Any:
    """Of ranks this is Spearman's correlation; scipy's `spearmanr` takes one pair at a time, and thousands are
    resampled."""
    a, b = a - a.mean(axis=axis, keepdims=True), b - b.mean(axis=axis, keepdims=True)
    return (a * b).sum(axis=axis) / ((a * a).sum(axis=axis) * (b * b).sum(axis=axis)) ** 0.5


def behind(scored: list[Scored], kind: str, name: str, truth: str) -> dict[tuple[str, int], tuple[float, float]]:
    """For each run, by how much (a share) the checkpoint that is first by kind and name, and the last checkpoint, are
    behind the best in truth."""
    found = {}
    for run in dict.fromkeys((one.arm, one.seed) for one in scored):
        own = [one for one in scored if (one.arm, one.seed) == run]
        best = min(one.scores["true"][truth] for one in own)
        pick, last = min(own, key=lambda one: one.scores[kind][name]), max(own, key=lambda one: one.step)
        found[run] = (pick.scores["true"][truth] / best - 1, last.scores["true"][truth] / best - 1)
    return found


def report(scored: list[Scored], within: list[float]) -> dict[str, Any]:
    """Print the tables; returns what they say."""
    runs = len({(one.arm, one.seed) for one in scored})
    print(
        f"{len(scored)} checkpoints of {runs} runs: digits, sigma_n {SIGMA_N:g}; Spearman's correlation (95 % "
        "bootstrap interval)\n"
    )
    print(f"| against | its measure | true measure | {' | '.join(GROUPS)} |\n|---|---|---|{'---|' * len(GROUPS)}")
    correlations: list[dict[str, Any]] = []
    for kind in KINDS:
        for name, truth in PAIRS if kind == "proximal" else PAIRS[:1]:
            cells = []
            for title, group in GROUPS.items():
                guess, real = [one.scores[kind][name] for one in scored], [one.scores["true"][truth] for one in scored]
                value, low, high = correlation(guess, real, [group(one) for one in scored])
                cells.append(f"{value:.2f} ({low:.2f} to {high:.2f})")
                kept = {"value": value, "low": low, "high": high}
                kept = {key: number if math.isfinite(number) else None for key, number in kept.items()}  # type: ignore[misc]
                correlations.append({"kind": kind, "measure": name, "true": truth, "group": title, **kept})
            print(
                f"| {'own rows' if kind == 'proximal' else 'rows held out'} | {name} | {truth} | {' | '.join(cells)} |"
            )
    picks: list[dict[str, Any]] = []
    print(
        "\n| against | picked by | mean behind the best of its run | "
        f"{' | '.join(f'within {x:g} %' for x in within)} | largest |"
    )
    print("|---|---|---|" + "---|" * (len(within) + 1))
    for place, kind in enumerate((*KINDS, "-")):
        name = MEASURES[0]
        found = [pair[kind == "-"] for pair in behind(scored, "proximal" if kind == "-" else kind, name, name).values()]
        shares = [sum(one <= x / 100 for one in found) for x in within]
        title = ("own rows", "rows held out", "-")[place]
        said = "the last checkpoint" if kind == "-" else name
        cells = [f"{share} of {runs}" for share in shares]
        print(
            f"| {title} | {said} | {100 * sum(found) / runs:.1f} % | {' | '.join(cells)} | {100 * max(found):.1f} % |"
        )
        picks.append(
            {"by": said, "kind": kind, "behind": found, "within": dict(zip(map(str, within), shares, strict=True))}
        )
    last = max(one.step for one in scored)
    print(
        f"\nstep {last}, mean over seeds: proximal / true\n\n| arm | {' | '.join(MEASURES)} "
        f"|\n|---|{'---|' * len(MEASURES)}"
    )
    for arm in dict.fromkeys(one.arm for one in scored):
        own = [one.scores for one in scored if (one.arm, one.step) == (arm, last)]
        cells = [
            " / ".join(f"{sum(s[kind][name] for s in own) / len(own):.3g}" for kind in ("proximal", "true"))
            for name in MEASURES
        ]
        print(f"| {arm} | {' | '.join(cells)} |")
    return {
        "sigma_n": SIGMA_N,
        "checkpoints": [asdict(one) for one in scored],
        "correlations": correlations,
        "picks": picks,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--arms",
        default="naive,tweedie,tweedie-consistency",
        help=f"separated by commas, of {', '.join(ARMS).replace('%', '%%')}",
    )
    parser.add_argument("--seeds", default="0,1", help="seeds, separated by commas: noise, weights and batches")
    parser.add_argument("--steps", type=int, default=1000, help="steps of each run")
    parser.add_argument("--save-every", type=int, default=200, help="steps between checkpoints")
    parser.add_argument("--model", choices=MODELS, default="mlp", help="what all runs train")
    parser.add_argument("--within", default="5,10", help="per cent behind the best, separated by commas")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/checkpoint-ranks"), help="where runs and scores are kept"
    )
    parser.add_argument(
        "--json", type=Path, help="write the scores of every checkpoint, the correlations and the picks"
    )
    parser.add_argument(
        "--quick", action="store_true", help="two runs of 12 steps: shows that it works, not how well (seconds)"
    )
    args = parser.parse_args(arguments)
    arms, seeds = args.arms.split(","), [int(seed) for seed in args.seeds.split(",")]
    size = Size(args.steps, args.save_every)
    if args.quick:
        arms, seeds, size = arms[:2], seeds[:1], Size(12, 4, n=32, sampler_steps=4)
    if unknown := [arm for arm in arms if arm not in ARMS or ARMS[arm].truncated or arm == "clean"]:
        parser.error(f"--arms: {', '.join(unknown)} is no arm that trains on noisy rows")
    if size.save_every < 1 or size.steps < 3 * size.save_every:
        parser.error(
            f"--save-every {size.save_every}: should be at most a third of --steps {size.steps}: fewer checkpoints "
            "have no order"
        )
    folder = args.folder / ("quick" if args.quick else f"{size.steps}-by-{size.save_every}") / args.model
    scored: list[Scored] = []
    for arm, seed in tqdm([(arm, seed) for arm in arms for seed in seeds], unit="run", disable=None):
        home = folder / arm / f"seed{seed}"
        train(arm, seed, size, args.model, home)
        scored += score(home, arm, seed, size)
    content = report(scored, [float(x) for x in args.within.split(",")])
    if args.json:
        args.json.write_text(json.dumps(content, indent=1, allow_nan=False))


if __name__ == "__main__":
    stoppable(main, goes_on=True)
