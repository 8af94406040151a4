"""How often planted copies are found: by kind of copy, by similarity, and by how isolated the copied row is.

    python examples/memorisation/power.py [--repeats 5] [--train 300] [--planted 40]

Digits: training rows, held-out rows, and samples of which most are fresh rows (what a perfect model draws) and some are
copies. Printed: the share of the copies on the list at a false-discovery rate of 0.1, for the rows nearer to another
training row than the median, and for the others; and the share of fresh rows on the list, which are false alarms.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from arms import split
from stopped import stoppable

from ambientkit.maths.copying import ratios
from ambientkit.maths.randomness import keyed_generator
from ambientkit.memorisation import conformal_p_values, listed, nearest
from ambientkit.memorisation.sides import similarity_of
from ambientkit.registry import load

SIMILARITIES = {
    "pixels": {"named": "pixels", "shift": 0, "flip": False},
    "pixels, moved by 2, mirrored": {"named": "pixels", "shift": 2, "flip": True},
    "correlation, moved by 2, mirrored": {"named": "correlation", "shift": 2, "flip": True},
}


def planted(kind: str, rows: Tensor, others: Tensor, seed: int) -> Tensor:
    """Copies of rows (n, 1, 8, 8)."""
    noise = torch.randn(rows.shape, generator=keyed_generator(seed, "power.noise"))
    if kind == "mirrored":
        return rows.flip(-1)
    if kind == "shifted by 2":
        return torch.roll(rows, (1, 2), (2, 3))
    if kind == "brighter":
        return 0.8 * rows + 0.4
    if kind == "noise 0.1":
        return rows + 0.1 * noise
    if kind == "noise 0.4":
        return rows + 0.4 * noise
    if kind == "patch 4 x 4":
        pasted = others.clone()
        pasted[..., 2:6, 2:6] = rows[..., 2:6, 2:6]
        return pasted
    return rows


KINDS = ("exact", "mirrored", "shifted by 2", "brighter", "noise 0.1", "noise 0.4", "patch 4 x 4")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--train", type=int, default=300)
    parser.add_argument("--planted", type=int, default=40)
    given = parser.parse_args()
    registry = load()
    print("copy\tsimilarity\tcrowded rows\tisolated rows\tfresh rows")
    for kind in KINDS:
        for name, arguments in SIMILARITIES.items():
            near, far, false = [], [], []
            for seed in range(given.repeats):
                x, held, _ = split("digits", given.train, seed)
                fresh, null = held[:360], held[360:]
                own = nearest(x, x, 1, exclude=torch.arange(len(x))).distance[:, 0]
                copies = planted(kind, x[: given.planted], fresh[: given.planted], seed)
                samples = torch.cat([fresh[given.planted :], copies])
                alike = similarity_of(device="cpu", registry=registry, shape=(1, 8, 8), **arguments)  # type: ignore[arg-type]
                known, judged, unseen = map(alike.view, (x, samples, null))
                ratio, null_ratio = (ratios(alike.nearest(one, known).distance) for one in (judged, unseen))
                found = listed(conformal_p_values(-ratio, -null_ratio), 0.1)  # as `memorization` does
                hit, isolated = found[-given.planted :], own[: given.planted] > own.median()
                near.append(hit[~isolated])
                far.append(hit[isolated])
                false.append(found[: -given.planted])
            shares = [f"{torch.cat(one).double().mean():.2f}" for one in (near, far)]
            print("\t".join((kind, name, *shares, f"{torch.cat(false).double().mean():.4f}")), flush=True)


if __name__ == "__main__":
    stoppable(main)
