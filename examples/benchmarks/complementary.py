"""Clothes of which half of the pixels are missing: random masks, or a checkerboard and its inverse.

Under complementary masks what one hides is never asked for where the other is seen. Prints the rms error of missing
pixels of restored held-out pictures, and that of a mean picture.

    python examples/benchmarks/complementary.py --seeds 0 1
"""

from __future__ import annotations

import argparse
from typing import Literal

import torch
from kspace import Rows, grey
from masks import HELD_OUT, LOWEST, NETWORKS
from stopped import stoppable
from torch import Tensor

import ambientkit as ak
from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.maths.randomness import keyed_generator
from ambientkit.training import steps

Kind = Literal["random", "board"]


def observed(kind: Kind, x_0: Tensor, seed: int) -> Batch:
    """Rows without noise, of which half of the pixels are there."""
    generator = keyed_generator(seed, "benchmark.complementary")
    shape = (len(x_0), 1, *x_0.shape[2:])
    if kind == "random":
        seen = torch.rand(shape, generator=generator) < 0.5
    else:
        board = (torch.arange(shape[2])[:, None] + torch.arange(shape[3])) % 2
        seen = (board == torch.randint(0, 2, (len(x_0), 1, 1), generator=generator)).unsqueeze(1)
    return Batch(torch.where(seen, x_0, 0.0), torch.zeros(len(x_0)), torch.arange(len(x_0)), {"mask": seen})


def run(kind: Kind, seed: int, end_step: int) -> tuple[float, float]:
    """Rms error of missing pixels, restored, and of a mean picture."""
    x_0, test = grey("fashion-mnist", "train", 8, 8000), grey("fashion-mnist", "test", 16, HELD_OUT)
    mask = Mask(missing=0.5, allow_unseen=True)
    rows = Rows(observed(kind, x_0, seed))
    config = ak.configure(
        rows, corruption=mask, objective="tweedie", seed=seed, end_step=end_step, **NETWORKS["transformer"]
    )
    training = ak.build(config)
    for _ in steps(training):
        pass
    asked, level = observed(kind, test, 1000 + seed), torch.full((len(test),), LOWEST)
    view = mask.show(asked, level, keyed_generator(seed, "benchmark.view"))
    with torch.no_grad():
        restored = training.teacher(view.x, level, **view.cond)
    hidden = ~asked.cond["mask"]
    off = [(one - test)[hidden].square().mean().sqrt() for one in (restored, x_0.mean(0, keepdim=True))]
    return float(off[0]), float(off[1])


def main() -> None:
    """Train both kinds for each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=900)
    asked = parser.parse_args()
    for seed in asked.seeds:
        for kind in ("random", "board"):
            restored, mean = run(kind, seed, asked.steps)
            print(f"{kind}, seed {seed}: {restored:.3f}, a mean picture {mean:.3f}", flush=True)


if __name__ == "__main__":
    stoppable(main)
