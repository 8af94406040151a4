"""How often `inspect` calls a column or line hot where none is, and from which height on it finds one:

python examples/benchmarks/hot_lines.py [--seeds 30]

Four kinds of scene, sets of three sizes, white noise of three levels, and a camera with fixed offsets of its columns,
as sCMOS cameras have. One column of each set is made hot by so many noise levels; at 0 none is, and what is found is a
false alarm. Prints the share of the sets in which exactly that column is found, and in which any other is.
"""

from __future__ import annotations

import argparse

import numpy as np
from gain_errors import cells, hills, ridges, texture
from stopped import stoppable

from ambientkit.inspection.lone import hot_lines

SETS = ((8, 64), (40, 64), (8, 128))
"""(pictures, pixels along a side)."""
CONTRASTS = (2.0, 10.0, 50.0)
"""Range of a scene over the noise."""
OFFSETS = 0.3
"""Std of the offsets of columns, in noise levels."""
HEIGHTS = (0.0, 1.5, 2.0, 2.5, 3.0, 4.0, 8.0)


def main() -> None:
    """Look at every set and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    seeds = parser.parse_args().seeds
    print("| scene | sets | height in noise levels | found | another column or line |\n|---|---|---|---|---|")
    for make in (hills, cells, texture, ridges):
        found, other = dict.fromkeys(HEIGHTS, 0), dict.fromkeys(HEIGHTS, 0)
        for seed in range(seeds):
            for n, size in SETS:
                for contrast in CONTRASTS:
                    rng = np.random.default_rng([seed, n, size, int(contrast)])
                    scene = make(rng, n, size)
                    scene = contrast * (scene - scene.min()) / np.ptp(scene)
                    x = scene + OFFSETS * rng.standard_normal(size) + rng.standard_normal(scene.shape)
                    column = int(rng.integers(1, size - 1))
                    for height in HEIGHTS:
                        hot = x.copy()
                        hot[..., column] += height
                        said = hot_lines(hot[:, None])
                        found[height] += height > 0 and ("*", column) in said
                        other[height] += any(one != ("*", column) or not height for one in said)
        sets = seeds * len(SETS) * len(CONTRASTS)
        for height in HEIGHTS:
            share = f"{found[height] / sets:.2f}" if height else ""
            print(f"| {make.__name__} | {sets} | {height:g} | {share} | {other[height] / sets:.4f} |", flush=True)


if __name__ == "__main__":
    stoppable(main)
