"""The training runs of the experiment: which rows, which arm, and where a run is kept."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import ambientkit as ak
from ambientkit.maths.randomness import keyed_generator


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    end_step: int
    stops: tuple[int, ...]
    """Steps at which training is looked at as well: clean training stopped early is the honest baseline."""
    width: int
    samples: int
    draws: int
    steps: int
    """Of the samplers."""
    attacked: int
    """Training rows, and held-out rows, that are attacked."""


QUICK = Size(end_step=40, stops=(20,), width=16, samples=24, draws=2, steps=4, attacked=24)
SMALL = Size(end_step=6000, stops=(500, 1000, 2000, 3000), width=256, samples=1000, draws=4, steps=24, attacked=60)
FULL = Size(
    end_step=30_000, stops=(1000, 2000, 4000, 8000, 16_000), width=512, samples=5000, draws=16, steps=64, attacked=1000
)


@dataclass(frozen=True)
class Arm:
    """A way to train: its name, the objective, and the noise of the rows."""

    name: str
    objective: Any
    sigma_n: float


ARMS = (
    Arm("clean", "denoising", 0.0),
    Arm("noisy-0.1", "tweedie-consistency", 0.1),
    Arm("noisy-0.2", "tweedie-consistency", 0.2),
    Arm("noisy-0.4", "tweedie-consistency", 0.4),
)


def pictures(data: str) -> tuple[Tensor, Tensor]:
    """(rows (N, *S) in [-1, 1], labels (N,)) of a data set, all of them."""
    if data == "digits":
        from sklearn.datasets import load_digits

        found = load_digits()
        return torch.from_numpy(found.images.astype(np.float32) / 8 - 1).unsqueeze(1), torch.from_numpy(found.target)
    from ambientkit.builtin.data.fashion_mnist import FashionMNIST

    part = FashionMNIST()
    rows = part.rows()
    return torch.stack([rows[i].x_0 for i in range(len(rows))]), part.labels()


def split(data: str, rows: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """(training rows, held-out rows, their labels): one random order of the whole set, so that both are drawn alike.
    Rows given twice count once."""
    x, labels = pictures(data)
    _, first = np.unique(x.flatten(1).numpy(), axis=0, return_index=True)
    keep = torch.from_numpy(np.sort(first))
    order = keep[torch.randperm(len(keep), generator=keyed_generator(seed, "memorisation.split"))]
    train, held = order[:rows], order[rows:][:10_000]
    return x[train], x[held], labels[held]


def train(home: Path, arm: Arm, x: Tensor, size: Size, seed: int) -> ak.Run:
    """The run of one arm, trained to its end; one that is there goes on, or is returned as it is."""
    home.parent.mkdir(parents=True, exist_ok=True)
    logger, handler = logging.getLogger("ambientkit"), logging.FileHandler(home.with_name(home.name + ".log"))
    logger.addHandler(handler)
    logger.propagate = False
    try:
        return ak.train(
            x.numpy(),
            clean=True,
            sigma_n=arm.sigma_n,
            objective=arm.objective,
            model={"name": "mlp", "width": size.width},
            end_step=size.end_step,
            save_every=min(size.stops),
            keep_last=100,
            batch_size=min(64, len(x)),
            seed=seed,
            device="auto" if torch.cuda.is_available() else "cpu",
            output_dir=home,
            skip_preflight=True,
        )
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
        handler.close()
