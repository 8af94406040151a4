"""The training runs of the experiment: which rows, which arm, and where a run is kept."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import ambientkit as ak
from ambientkit.maths.noise import standard_normal
from ambientkit.maths.randomness import keyed_generator


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    end_step: int
    stops: tuple[int, ...]
    """Steps at which every arm is looked at as well: clean training stopped early is the honest baseline."""
    width: int
    lr: float
    samples: int
    draws: int
    particles: int
    steps: int
    """Of the samplers."""
    attacked: int
    """Training rows that are attacked; of held-out rows twice as many."""
    network: str = "mlp"
    """`mlp` of `width` at the rate `lr`, or `default`: the network and the rate that `train` picks for such rows."""

    def longer(self, end_step: int) -> Size:
        """The same for another number of steps, looked at where its first stop is doubled, again and again."""
        stops = [self.stops[0]]
        while 2 * stops[-1] < end_step:
            stops.append(2 * stops[-1])
        return replace(self, end_step=end_step, stops=tuple(stops))


SMALL_ROW, LARGE_ROW_RATE = 64, 1 / 3
"""Values of a row up to which the rate is `Size.lr`, and what it is multiplied by above: at the rate of the digits
samples of clothes reach 1e12 after 2,000 steps (100 clean rows, seed 0)."""

QUICK = Size(end_step=40, stops=(20,), width=16, lr=3e-3, samples=24, draws=2, particles=4, steps=4, attacked=24)
SMALL = Size(
    end_step=3000,
    stops=(250, 500, 1000, 2000),
    width=128,
    lr=3e-3,
    samples=1000,
    draws=2,
    particles=16,
    steps=16,
    attacked=60,
)
FULL = Size(
    end_step=60_000,
    stops=(1000, 2000, 4000, 8000, 16_000, 32_000),
    width=512,
    lr=1e-3,
    samples=5000,
    draws=16,
    particles=64,
    steps=64,
    attacked=1000,
)


@dataclass(frozen=True)
class Arm:
    """A way to train: its name, the objective, and the noise of the rows it is given."""

    name: str
    objective: Any
    sigma_n: float
    both: bool = False
    """Whether it is given the clean rows too, beside a noisy copy of each."""


def split_levels(level: float) -> Arm:
    """Clean rows up to `level`, noisy copies of that level above it."""
    return Arm(f"split-{level:g}", {"name": "split-levels", "clean_below": level}, level, both=True)


def overlap(level: float) -> Arm:
    """Noisy copies of that level, and clean rows up to twice of it: both teach between the two."""
    return Arm(f"overlap-{level:g}", {"name": "split-levels", "clean_below": 2 * level}, level, both=True)


ARMS = {
    arm.name: arm
    for arm in (
        Arm("clean", "denoising", 0.0),
        *(Arm(f"noisy-{level:g}", "tweedie-consistency", level) for level in (0.1, 0.2, 0.4)),
        *(split_levels(level) for level in (0.2, 0.4, 0.8)),
        *(overlap(level) for level in (0.4, 0.8)),
    )
}


def pictures(data: str) -> tuple[Tensor, Tensor]:
    """(rows (N, *S) in [-1, 1], labels (N,)) of a data set, all of them."""
    if data == "digits":
        from sklearn.datasets import load_digits

        found = load_digits()
        return torch.from_numpy(found.images.astype(np.float32) / 8 - 1).unsqueeze(1), torch.from_numpy(found.target)
    from ambientkit.builtin.data.fashion_mnist import FashionMNIST

    part = FashionMNIST()
    rows = part.rows()
    return torch.stack([rows[i].x_0 for i in range(20_000)]), part.labels()[:20_000]


def split(data: str, rows: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """(training rows, held-out rows, their labels): one random order of the whole set, so that both are drawn alike.
    Rows given twice count once."""
    x, labels = pictures(data)
    _, first = np.unique(x.flatten(1).numpy(), axis=0, return_index=True)
    keep = torch.from_numpy(np.sort(first))
    order = keep[torch.randperm(len(keep), generator=keyed_generator(seed, "memorisation.split"))]
    train, held = order[:rows], order[rows:][:10_000]
    return x[train], x[held], labels[held]


def given_to(arm: Arm, x: Tensor, seed: int) -> tuple[Tensor, np.ndarray]:
    """(rows, the noise level of each) that an arm is trained on: clean rows, one noisy copy of each, or both. A copy is
    made once."""
    generators = [keyed_generator(seed, "memorisation.copy", row=row) for row in range(len(x))]
    copies = x + arm.sigma_n * standard_normal(x, generators)
    rows = torch.cat([x, copies]) if arm.both else copies
    levels = np.full(len(rows), arm.sigma_n, dtype=np.float32)
    if arm.both:
        levels[: len(x)] = 0
    return rows, levels


def train(home: Path, arm: Arm, x: Tensor, size: Size, seed: int) -> ak.Run:
    """The run of one arm, trained to its end on all its rows; one that is there goes on, or is returned as it is.

    No row is held out (a run does so by default) and nothing stops it, so that all arms train on the same rows for the
    same number of steps; each checkpoint keeps the averaged weights of its step.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    logger, handler = logging.getLogger("ambientkit"), logging.FileHandler(home.with_name(home.name + ".log"))
    logger.addHandler(handler)
    logger.propagate = False
    rows, levels = given_to(arm, x, seed)
    noise: dict[str, Any] = {"sigma_n": levels} if arm.sigma_n else {"clean": True, "sigma_n": 0}
    rate = size.lr * (1 if x[0].numel() <= SMALL_ROW else LARGE_ROW_RATE)
    network: dict[str, Any] = {"model": {"name": "mlp", "width": size.width}, "lr": rate}
    try:
        return ak.train(
            rows.numpy(),
            **noise,
            objective=arm.objective,
            **(network if size.network == "mlp" else {}),
            end_step=size.end_step,
            save_every=min(size.stops),
            keep_last=1000,
            batch_size=min(64, len(x)),
            hold_out=0,
            stop_early=False,
            seed=seed,
            device="auto" if torch.cuda.is_available() else "cpu",
            output_dir=home,
            skip_preflight=True,
        )
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
        handler.close()
