"""Learning from k-space with missing lines: how far training closes the gap between zero-filled and fully sampled rows.

Clothes of 28 x 28, or grey photo patches of 32 x 32, one coil, columns of k-space missing but for the middle. Each arm
trains the same network for the same number of steps and restores the same held-out rows, of which the same lines are
missing, in one call.

    clean        fully sampled rows; a step shows of them what `ambient` sees of its own
    zero-fill    missing lines are 0, and the rows taken for clean ones
    published    further lines that are drawn once for each row, every measured value weighted alike
    ambient      `tweedie` on the corruption `linear`: fresh further lines, hidden values weighted by their chance

    python examples/benchmarks/kspace.py --out runs/kspace --data fashion-mnist --acceleration 2 4 --seeds 0
    python examples/benchmarks/kspace.py --out runs/kspace-u-net --data photo-patches --network u-net
    python examples/benchmarks/kspace.py --out runs/offsets --complex --lines offsets --acceleration 4 --drop 0.5

With `--complex` the pictures have a phase, linear in place and another for each, and two channels. With `--lines
offsets` a row has every R-th column from one of R offsets, and the middle, in place of columns at random. `--drop` is
the chance that a step hides a line. A run that is there is not trained again; runs with other options need a folder of
their own.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from masks import HELD_OUT, LOWEST, NETWORKS
from stopped import stoppable
from torch import Tensor
from torch.utils.data import Dataset

import ambientkit as ak
from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.interfaces import Data
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.masks import draw_mask
from ambientkit.maths.noise import RandomSource, per_row, uniform
from ambientkit.maths.randomness import keyed_generator
from ambientkit.registry import load
from ambientkit.training import steps

DATA = ("fashion-mnist", "photo-patches")
STRIDED = ("photo-patches",)
ARMS = ("clean", "zero-fill", "published", "ambient")
CENTRES = {2: 0.125, 4: 0.0625}
"""Acceleration -> share of the columns in the middle that are never missing."""


class PublishedLines(Linear):
    """Further lines that are drawn once for each row, and all measured values alike."""

    name = "published-lines"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A^T y_t, with further lines that are a function of the row."""
        width = batch.x_n.shape[-1]
        kept = [keyed_generator(0, "published-lines", row=int(row)) for row in batch.row]
        u = torch.stack([torch.rand(1, 1, width, generator=g) for g in kept])
        shown = batch.cond["sampled"] & (u >= self.drop)
        return self.show(batch._replace(cond={**batch.cond, "sampled": shown}), sigma, generator)

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """min(1/a^2, cap) for every measured value."""
        a = self.slope(view, batch)
        measured = batch.cond["sampled"].expand_as(a)
        return torch.where(measured, capped_inverse_square(a, per_row(cap, a)), torch.zeros_like(a))


class FreshLines(Linear):
    """Of fully sampled rows a view shows what it would of rows measured like those of the other arms."""

    name = "fresh-lines"

    scanned: dict[str, Any]
    """The fields of the corruption of the other arms."""
    offsets: int = 0
    """As of `drawn`."""

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A^T y_t of lines that are drawn anew."""
        width = batch.x_n.shape[-1]
        other = Linear(**self.scanned)
        first = drawn(batch.x_n, other, self.offsets, generator)
        shown = (first & draw_mask(batch.x_n, other.kind, other.drop, generator)).expand(len(batch.x_n), 1, -1, width)
        return self.show(batch._replace(cond={**batch.cond, "sampled": shown}), sigma, generator)

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """min(1/a^2, cap) for values that are shown, `hidden` for the others: all of them are known."""
        a = self.slope(view, batch)
        known = capped_inverse_square(a, per_row(cap, a))
        return torch.where(view.cond["sampled"], known, per_row(hidden.to(a.dtype), a))


def drawn(like: Tensor, scanner: Linear, offsets: int, generator: RandomSource) -> Tensor:
    """Which columns of rows `like` (B, C, H, W) are measured, (B, 1, 1, W): at random, or every `offsets`-th from an
    offset of the row, and the middle."""
    if not offsets:
        return draw_mask(like, "columns", scanner.missing, generator, scanner.centre)
    middle = draw_mask(like, "columns", 1.0, generator, scanner.centre)
    first = (uniform(like.new_empty(len(like), 1, 1, 1), generator) * offsets).floor()
    return middle | (torch.arange(like.shape[-1], device=like.device) % offsets == first)


def scan(x_0: Tensor, scanner: Linear, offsets: int, generator: torch.Generator) -> Batch:
    """The measurements of clean rows."""
    observed = scanner.observe(x_0, torch.arange(len(x_0)), generator)
    if not offsets:
        return observed
    seen = drawn(observed.x_n, scanner, offsets, generator)
    whole = scanner.operator.forward(x_0, {})
    sampled = seen.expand(len(x_0), 1, *whole.shape[2:])
    return observed._replace(x_n=torch.where(sampled, whole, 0.0), cond={**observed.cond, "sampled": sampled})


def phased(x: Tensor, seed: int) -> Tensor:
    """Pictures (n, 1, H, W) as complex ones of two channels: brightness times exp(i (a + b u + c v)), u and v the place
    in [-1, 1], b and c normal with std pi / 2."""
    generator = keyed_generator(seed, "benchmark.phase")
    a, b, c = torch.randn(3, len(x), 1, 1, 1, generator=generator) * math.pi / 2
    v, u = torch.meshgrid(*(torch.linspace(-1, 1, size) for size in x.shape[2:]), indexing="ij")
    angle = 2 * a + b * u + c * v
    return torch.cat([(x + 1) / 2 * angle.cos(), (x + 1) / 2 * angle.sin()], dim=1)


class Rows(Dataset[Batch]):
    """Observations in memory."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return len(self.batch.x_n)

    def __getitem__(self, index: int) -> Batch:
        cond = {name: value[index] for name, value in self.batch.cond.items()}
        return Batch(self.batch.x_n[index], self.batch.sigma_n[index], torch.tensor(index), cond)


def grey(data: str, split: str, stride: int, most: int) -> Tensor:
    """Grey pictures (n, 1, H, W) in [-1, 1], in an order of their own; `stride` is that of patches."""
    rows = load().build(Data, {"name": data, "split": split, **({"stride": stride} if data in STRIDED else {})}).rows()
    order = torch.randperm(len(rows), generator=keyed_generator(0, "benchmark.kspace"))[:most]
    return torch.stack([rows[int(i)].x_0.mean(0, keepdim=True) for i in order])


def lines(acceleration: int, real: bool, drop: float) -> dict[str, Any]:
    """The fields of the corruption: outside the middle so many columns are missing that 1 / acceleration are there."""
    centre = CENTRES[acceleration]
    missing = 1 - (1 / acceleration - centre) / (1 - centre)
    operator = {"name": "fourier", "real": real}
    return {"operator": operator, "kind": "columns", "centre": centre, "missing": missing, "drop": drop}


def run(asked: argparse.Namespace, arm: str, acceleration: int, seed: int) -> dict[str, object]:
    """Train an arm: what is measured of the rows that it restores."""
    began = time.process_time()
    fields = lines(acceleration, not asked.complex, asked.drop)
    offsets = acceleration if asked.lines == "offsets" else 0
    scanner = Linear(**fields)
    x_0, test = grey(asked.data, "train", 8, 8000), grey(asked.data, "test", 16, HELD_OUT)
    if asked.complex:
        x_0, test = phased(x_0, 0), phased(test, 1)
    number = torch.arange(len(x_0))
    observed = scan(x_0, scanner, offsets, keyed_generator(seed, "benchmark.lines"))
    if arm == "clean":
        corruption: Any = FreshLines(operator=fields["operator"], kind=fields["kind"], scanned=fields, offsets=offsets)
        train: Any = Rows(corruption.observe(x_0, number, keyed_generator(seed, "benchmark.lines")))
    elif arm == "zero-fill":
        filled = scanner.show(observed, observed.sigma_n, keyed_generator(0, "unused")).x
        corruption, train = {"name": "gaussian"}, Rows(Batch(filled, observed.sigma_n, number, {}))
    else:
        corruption, train = (scanner if arm == "ambient" else PublishedLines(**fields)), Rows(observed)
    objective = "naive" if arm == "zero-fill" else "tweedie"
    settings = NETWORKS[asked.network]
    training = ak.build(
        ak.configure(train, corruption=corruption, objective=objective, seed=seed, end_step=asked.steps, **settings)
    )
    for _ in steps(training):
        pass
    gaps = scan(test, scanner, offsets, keyed_generator(1000 + seed, "benchmark.lines"))
    level = torch.full((len(test),), LOWEST)
    view = scanner.show(gaps, level, keyed_generator(seed, "benchmark.view"))
    zero_filled = scanner.show(gaps, gaps.sigma_n, keyed_generator(0, "unused")).x
    with torch.no_grad():
        cond = {} if arm == "zero-fill" else dict(view.cond)
        restored = training.teacher(view.x, level, **cond)
    return {
        "data": asked.data,
        "arm": arm,
        "acceleration": acceleration,
        "lines": asked.lines,
        "complex": asked.complex,
        "drop": asked.drop,
        "seed": seed,
        "end_step": asked.steps,
        "network": asked.network,
        "rms": float((restored - test).square().mean().sqrt()),
        "rms_zero_filled": float((zero_filled - test).square().mean().sqrt()),
        "cpu_seconds": time.process_time() - began,
    }


def table(found: list[dict[str, Any]]) -> str:
    """Mean over the seeds, and the share of the gap between the arms `zero-fill` and `clean` that is closed."""
    out = ["| acceleration | seeds | arm | rms of restored rows | gap closed |", "|---|---|---|---|---|"]
    for acceleration in sorted({one["acceleration"] for one in found}):
        own = [one for one in found if one["acceleration"] == acceleration]
        mean = {arm: [one["rms"] for one in own if one["arm"] == arm] for arm in ARMS}
        given = float(np.mean([one["rms_zero_filled"] for one in own]))
        out.append(f"| {acceleration} | | the rows as they are, zero-filled | {given:.4f} | |")
        for arm in ARMS:
            if mean[arm]:
                rms = float(np.mean(mean[arm]))
                whole = mean["zero-fill"] and mean["clean"]
                worst, best = (float(np.mean(mean[name] or [np.nan])) for name in ("zero-fill", "clean"))
                closed = f"{(worst - rms) / (worst - best):.0%}" if whole else "-"
                out.append(f"| {acceleration} | {len(mean[arm])} | {arm} | {rms:.4f} | {closed} |")
    return "\n".join(out)


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/kspace"), help="folder of the results")
    parser.add_argument("--data", choices=DATA, default=DATA[0])
    parser.add_argument("--acceleration", type=int, nargs="+", default=[2, 4], choices=sorted(CENTRES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--network", choices=sorted(NETWORKS), default="transformer")
    parser.add_argument("--complex", action="store_true", help="pictures with a phase, in two channels")
    parser.add_argument("--lines", choices=("random", "offsets"), default="random")
    parser.add_argument("--drop", type=float, default=0.2, help="chance that a step hides a line")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for seed in asked.seeds:
        for acceleration in asked.acceleration:
            for arm in asked.arms:
                file = asked.out / f"{asked.data}-{acceleration}-{arm}-{seed}.json"
                if not file.is_file():
                    found = run(asked, arm, acceleration, seed)
                    file.write_text(json.dumps(found, indent=1) + "\n")
    print(table([json.loads(file.read_text()) for file in sorted(asked.out.glob(f"{asked.data}-*.json"))]))


if __name__ == "__main__":
    stoppable(main, goes_on=True)
