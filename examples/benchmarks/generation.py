"""Samples from pure noise at real size: Fashion-MNIST learned from noisy pictures alone, by a network that can
generate.

    python examples/benchmarks/generation.py [--scale small] [--arms clean,naive,tweedie,truncated,default]
                                             [--sigma-n 0.2] [--seeds 0] [--sample-seeds 0,1,2] [--by-class]
                                             [--device auto] [--folder build/generation] [--json FILE]
                                             [--markdown FILE] [--gallery FOLDER]

Every arm trains the same network for as many steps, in a run folder under --folder that goes on where it was stopped;
its samples and figures lie beside it. So the script may be stopped at any moment and started again, with more arms,
levels or seeds. The pictures of the test set are held out of training; samples are compared with all of them.

Measures, each the mean over the sample seeds with its range: `fid[lenet]` (shape: a network that distinguishes clothes
apart), `fid[patches]` (4 x 4 windows: it sees noise and texture), `precision` and `recall` (lenet), the residual noise,
and ten times the share of the rarest and of the commonest kind of clothes, as the LeNet names them. The lines
`train-rows` (as many clean training pictures) and `noisy-rows` show what each measure makes of right pictures and of
the noise. The gallery shows the first samples of the first sample seed, of every arm: nothing is chosen by eye.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stopped import stoppable

os.environ.setdefault("OMP_NUM_THREADS", "1")

from quality_arms import NO_PAIRS, late_pairs, without_pairs
from train_run import train_run


@dataclass(frozen=True)
class Scale:
    """How large a network is, how long it trains, and how many samples are judged."""

    model: dict[str, Any]
    steps: int
    samples: int
    sampler_steps: int = 18
    batch: int = 64
    save_every: int = 1000
    lr: float = 1e-3


SCALES = {
    "full": Scale({"name": "unet2d", "channels": [64, 96, 128], "layers_per_block": 1}, 60_000, 10_000, batch=128),
    "medium": Scale(
        {"name": "image_transformer_v1", "patch_size": 7, "width": 192, "depth": 3, "positions": "learned"},
        5_000,
        2_000,
        batch=128,
        lr=2e-3,
    ),
    "small": Scale(
        {"name": "image_transformer_v1", "patch_size": 7, "width": 192, "depth": 3, "positions": "learned"},
        1_400,
        2_000,
        batch=128,
        save_every=200,
        lr=2e-3,
    ),
    "tiny": Scale({"name": "image_transformer_v1", "patch_size": 7, "width": 64, "depth": 1}, 20, 64, 4, 16, 10),
}
"""full: 3.9 million parameters, for a GPU; medium: 2.2 million, half an hour an arm on one core of a processor; small:
the same network, a quarter of the steps; tiny: shows that the script works, and nothing else. full has not been run so
far."""
OBJECTIVES: dict[str, Any] = {
    "clean": "denoising",
    "naive": "naive",
    "tweedie": "tweedie",
    "default": "tweedie-consistency",
    "samples-first": "samples-first",
    "no-pairs": without_pairs(),
    "late-pairs": late_pairs(0.6),
    "tweedie-no-pairs": NO_PAIRS,
    "clean-around-1": {"name": "denoising", "p_mean": 0.0},
}
"""Arm -> what it trains. `no-pairs` is the default without pairs of views next to sigma_n, `late-pairs` has them from
60 % of the run on, `tweedie-no-pairs` is `tweedie` without them; `clean-around-1` is clean training with log sigma
normal around 0 in place of -1.2, as in `samples-first`."""
CLEAN = ("clean", "clean-around-1")
TRUNCATED = {"truncated": "tweedie", **{f"{arm}-truncated": arm for arm in OBJECTIVES if arm != "tweedie"}}
"""Arm -> the one whose run it shares: sampled down to sigma_n only, with a last denoising."""
DEFAULT_ARMS = "clean,naive,tweedie,truncated,default"
REFERENCES = ("train-rows", "noisy-rows")
SHOWN = 64
CLASSES = 10


@dataclass(frozen=True)
class Unit:
    """One arm at one noise level and seed of training."""

    arm: str
    sigma_n: float
    seed: int
    scale: str
    by_class: bool
    folder: Path

    @property
    def trained(self) -> str:
        """The arm whose run it is."""
        return TRUNCATED.get(self.arm, self.arm)

    @property
    def home(self) -> Path:
        """The run folder. The clean arm is the same at all levels."""
        level = "any" if self.trained in CLEAN else f"{self.sigma_n:g}"
        kind = "by-class" if self.by_class else "unconditional"
        return self.folder / self.scale / kind / level / self.trained / f"seed{self.seed}"

    def figures(self, sample_seed: int) -> Path:
        """The file of the figures of one set of samples."""
        return self.home.parent / f"{self.home.name}-{self.arm}-{self.sigma_n:g}-samples{sample_seed}.json"

    def samples(self, sample_seed: int) -> Path:
        """The first samples of a set, for the gallery."""
        return self.figures(sample_seed).with_suffix(".npy")


def settings(unit: Unit, device: str) -> dict[str, Any]:
    """The whole configuration of a unit's run."""
    scale = SCALES[unit.scale]
    model = {**scale.model, **({"num_classes": CLASSES} if unit.by_class else {})}
    return {
        "data": {"name": "fashion-mnist", "labelled": unit.by_class},
        "corruption": {"name": "gaussian", "sigma_n": 0.0 if unit.trained in CLEAN else unit.sigma_n},
        "model": model,
        "objective": OBJECTIVES[unit.trained],
        "cond_dropout": 0.1 if unit.by_class else 0.0,
        "batch_size": scale.batch,
        "end_step": scale.steps,
        "optimizer": {"lr": scale.lr, "schedule": "cosine"},
        "hold_out": 0.0,
        "seed": unit.seed,
        "device": device,
        "save_every": scale.save_every,
        "keep_last": 1,
    }


class Judge:
    """Compares samples with the pictures of the test set."""

    def __init__(self, count: int) -> None:
        from ambientkit.evaluation import extract
        from ambientkit.interfaces import Extractor
        from ambientkit.registry import load

        self.extractors = {name: load().build(Extractor, name) for name in ("lenet", "patches")}
        self.count = count
        test = pictures("test", 10_000 if count > 1000 else count)
        self.reference = {name: extract(one, test) for name, one in self.extractors.items()}

    def judge(self, rows: Any) -> dict[str, float]:
        """All measures of a set of pictures (N, 1, 28, 28) in [-1, 1]."""
        from ambientkit.evaluation import extract, fid, precision_recall, residual_noise

        found = {name: extract(one, rows) for name, one in self.extractors.items()}
        figures = {f"fid[{name}]": float(fid(self.reference[name], values)) for name, values in found.items()}
        few = min(len(rows), len(self.reference["lenet"]))
        precision, recall = precision_recall(self.reference["lenet"][:few], found["lenet"][:few])
        shares = class_shares(self.extractors["lenet"], rows)
        return {
            **figures,
            "precision": float(precision),
            "recall": float(recall),
            "residual noise": float(residual_noise(rows)),
            **shares,
        }


def class_shares(lenet: Any, rows: Any) -> dict[str, float]:
    """Ten times the least and the largest share of a class: 1 where all are equally frequent."""
    import torch

    kind = lenet.class_probabilities(rows).argmax(1)
    shares = torch.bincount(kind, minlength=CLASSES).double() / len(rows) * CLASSES
    return {"rarest": float(shares.min()), "commonest": float(shares.max())}


def pictures(split: str, count: int, sigma_n: float = 0.0) -> Any:
    """The first pictures of a split, (count, 1, 28, 28), as they are or with noise."""
    import torch

    from ambientkit.config import Source, resolve
    from ambientkit.data import Observations
    from ambientkit.registry import load

    tree = {"data": {"name": "fashion-mnist", "split": split}, "corruption": {"sigma_n": sigma_n}}
    config = resolve(Source(tree), load())
    rows = Observations(config.data.rows(), config.corruption, 0)
    return torch.cat([rows.__getitems__(list(part)).x_n for part in _parts(min(count, len(rows)))])


def _parts(count: int, size: int = 1000) -> Iterable[range]:
    return (range(first, min(first + size, count)) for first in range(0, count, size))


def perform(unit: Unit, sample_seeds: list[int], judge: Judge, device: str) -> None:
    """Train a unit's run to its end, and judge the sets of samples whose figures are missing."""
    import numpy as np

    from ambientkit.checkpoint.folder import write_file

    scale = SCALES[unit.scale]
    missing = [seed for seed in sample_seeds if not unit.figures(seed).exists()]
    if not missing:
        return
    unit.home.parent.mkdir(parents=True, exist_ok=True)
    for seed in missing:
        if unit.arm in REFERENCES:
            noise = unit.sigma_n if unit.arm == "noisy-rows" else 0.0
            rows = pictures("train", scale.samples, noise)
        else:
            run = train_run(unit.home, settings(unit, device))
            classes = {"classes": list(range(CLASSES))} if unit.by_class else {}  # in turn
            stop = {"sigma_min": unit.sigma_n} if unit.arm in TRUNCATED else {}
            rows = run.sample(scale.samples, seed=seed, steps=scale.sampler_steps, batch_size=250, **classes, **stop)
        figures = {"n": len(rows), **judge.judge(rows)}
        np.save(unit.samples(seed), rows[:SHOWN].numpy().astype(np.float32))
        write_file(unit.figures(seed), json.dumps(figures).encode())
        told = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        print(f"{unit.arm} {unit.sigma_n:g} seed {unit.seed}, samples {seed}: {told}", flush=True)


def collect(units: list[Unit], sample_seeds: list[int]) -> list[dict[str, Any]]:
    """A row for every figure that is there."""
    return [
        {"arm": u.arm, "sigma_n": u.sigma_n, "seed": u.seed, "samples": seed, "measure": name, "value": value}
        for u in units
        for seed in sample_seeds
        if u.figures(seed).exists()
        for name, value in json.loads(u.figures(seed).read_text()).items()
    ]


def table(rows: list[dict[str, Any]], scale: str, by_class: bool) -> str:
    """Markdown: one table for each noise level; mean over seeds of training and of samples, and range."""
    measures = [name for name in dict.fromkeys(row["measure"] for row in rows) if name != "n"]
    kind = "by class" if by_class else "unconditional"
    parts = []
    for sigma_n in dict.fromkeys(row["sigma_n"] for row in rows):
        mine = [row for row in rows if row["sigma_n"] == sigma_n]
        count = max(row["value"] for row in mine if row["measure"] == "n")
        title = f"**Fashion-MNIST, {kind}, sigma_n {sigma_n:g}, scale {scale}, {count:,.0f} samples**"
        lines = [title, "", f"| arm | {' | '.join(measures)} |", "|---|" + "---:|" * len(measures)]
        for arm in dict.fromkeys(row["arm"] for row in mine):
            cells = [
                _cell([row["value"] for row in mine if row["arm"] == arm and row["measure"] == name])
                for name in measures
            ]
            lines.append(f"| {arm} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    low, high, mean = (f"{one:.3g}" for one in (min(values), max(values), statistics.mean(values)))
    return mean + (f" ({low} to {high})" if low != high else "")


def gallery(units: list[Unit], sample_seed: int, folder: Path) -> None:
    """One page for each noise level: the first samples of every arm."""
    import numpy as np
    import torch

    from ambientkit.checkpoint.folder import write_file
    from ambientkit.sample.picture import grid, panels, png

    folder.mkdir(parents=True, exist_ok=True)
    for sigma_n in dict.fromkeys(unit.sigma_n for unit in units):
        shown = []
        for unit in (u for u in units if u.sigma_n == sigma_n and u.samples(sample_seed).exists()):
            picture = grid(torch.from_numpy(np.load(unit.samples(sample_seed)))[:24], columns=4)
            shown += [(unit.arm, picture)] if picture is not None else []
        if shown:
            write_file(folder / f"fashion-mnist-{sigma_n:g}-generated.png", png(panels(shown)))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--arms", default=DEFAULT_ARMS, help="separated by commas; NAME-truncated stops at sigma_n")
    parser.add_argument("--sigma-n", default="0.2", help="noise levels, separated by commas")
    parser.add_argument("--seeds", default="0", help="seeds of training: noise, weights, batches")
    parser.add_argument("--sample-seeds", default="0,1,2", help="seeds of the sets of samples")
    parser.add_argument("--by-class", action="store_true", help="train and sample with the kind of clothes given")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--folder", type=Path, default=Path("build/generation"))
    parser.add_argument("--json", type=Path, help="write a list of rows: arm, sigma_n, seed, samples, measure, value")
    parser.add_argument("--markdown", type=Path, help="write the tables")
    parser.add_argument("--gallery", type=Path, help="write a picture of each noise level into this folder")
    args = parser.parse_args(arguments)
    arms = args.arms.split(",")
    if unknown := [arm for arm in arms if arm not in {*OBJECTIVES, *TRUNCATED}]:
        parser.error(f"--arms {unknown[0]}: known are {', '.join([*OBJECTIVES, *TRUNCATED])}")
    sample_seeds = [int(seed) for seed in args.sample_seeds.split(",")]
    units = [
        Unit(arm, float(sigma_n), int(seed), args.scale, args.by_class, args.folder)
        for sigma_n in args.sigma_n.split(",")
        for seed in args.seeds.split(",")
        for arm in (*REFERENCES, *arms)
    ]
    judge = Judge(SCALES[args.scale].samples)
    for unit in units:
        perform(unit, sample_seeds[:1] if unit.arm in REFERENCES else sample_seeds, judge, args.device)
    rows = collect(units, sample_seeds)
    print(table(rows, args.scale, args.by_class))
    if args.markdown:
        args.markdown.write_text(table(rows, args.scale, args.by_class))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    if args.gallery:
        gallery(units, sample_seeds[0], args.gallery)


if __name__ == "__main__":
    stoppable(main, goes_on=True)
