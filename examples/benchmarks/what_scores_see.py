"""What each measure of `ambientkit evaluate` sees: clean Fashion-MNIST against spoilt copies of other rows of it.

    python examples/benchmarks/what_scores_see.py [--n 1000] [--extractor NAME ...]

Prints one row a measure: the value for rows that are not spoilt (the floor), and for each way of spoiling them.
"""

from __future__ import annotations

import argparse
import time

import torch
from stopped import stoppable
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from ambientkit.builtin.data.fashion_mnist import FashionMNIST
from ambientkit.evaluation import proximal
from ambientkit.evaluation.judge import Judge
from ambientkit.interfaces import Extractor
from ambientkit.registry import load


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--extractor", nargs="*", default=["pixels", "patches", "lenet", "efficientnet-lite0"])
    args = parser.parse_args()
    judge = Judge(tuple(load().build(Extractor, name) for name in args.extractor))  # type: ignore[arg-type]
    data = FashionMNIST(split="test")
    rows, labels = data.rows(), data.labels()
    reference, other = (torch.stack([rows[i].x_0 for i in range(first, first + args.n)]) for first in (0, args.n))
    few = [i for i in range(args.n, len(rows)) if labels[i] < 5][: args.n]  # type: ignore[arg-type]
    spoilt: dict[str, Tensor] = {
        "other rows": other,
        "noise .05": proximal(other, 0.05, 0),
        "noise .1": proximal(other, 0.1, 0),
        "noise .2": proximal(other, 0.2, 0),
        "blur .5": gaussian_blur(other, [5, 5], [0.5, 0.5]),
        "blur 1": gaussian_blur(other, [5, 5], [1.0, 1.0]),
        "half the classes": torch.stack([rows[i].x_0 for i in few]),
        "100 rows, repeated": other[torch.arange(args.n) % 100],
    }
    began, seen = time.monotonic(), judge.read(reference)
    table = {}
    for name, rows_ in spoilt.items():
        read = judge.read(rows_)
        table[name] = [*judge.distances(seen, read), *judge.alone(read)]
    print("| measure | " + " | ".join(table) + " |\n|---|" + "---|" * len(table))
    for place, score in enumerate(table["other rows"]):
        print(f"| {score.title} | " + " | ".join(f"{scores[place].value:.3g}" for scores in table.values()) + " |")
    print(f"\nn = {args.n}, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    stoppable(main)
