"""Whether the gain that `inspect` measures on ordinary rows is as far off as its standard error says:

python examples/benchmarks/gain_errors.py [--seeds 12]

Counts of three cameras on four kinds of scene, in three sizes of a set; a line for each, with the mean and the root
mean square of (gain - true) / error over the seeds (0 and 1 are right), and of the relative errors.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.ndimage import gaussian_filter
from stopped import stoppable

from ambientkit.inspection.photon import photon_transfer

SETS = ((12, 64), (60, 64), (2, 256))
"""(pictures, pixels along a side)."""
CAMERAS = ((1.0, 0.0, 0.0, 30.0, 80.0), (2.1, 100.0, 4.0, 5.0, 400.0), (0.5, 10.0, 1.0, 100.0, 4000.0))
"""(gain, offset, read noise, electrons in the darkest place, in the brightest)."""


def ridges(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Stripes with sharp valleys."""
    wave = np.abs(np.sin(np.arange(size) / 9 + rng.uniform(0, 3, (n, 1))))
    return np.repeat(wave[:, :, None], size, axis=2)


def hills(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Smooth hills."""
    return gaussian_filter(rng.standard_normal((n, size, size)), (0, 8, 8))


def cells(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Round things with soft edges on a dark ground."""
    y, x = np.mgrid[:size, :size]
    found = np.zeros((n, size, size))
    for picture in found:
        for _ in range(size * size // 300):
            far = np.hypot(y - rng.uniform(0, size), x - rng.uniform(0, size))
            picture += rng.uniform(0.2, 1) / (1 + np.exp((far - rng.uniform(2, 6)) / 0.8))
    return np.minimum(found, 1)


def texture(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Fine texture on hills."""
    fine, coarse = (
        gaussian_filter(rng.standard_normal((n, size, size)), (0, width, width)) * height
        for width, height in ((1.5, 0.3), (10, 6))
    )
    return fine + coarse


def main() -> None:
    """Measure every set and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=12)
    seeds = parser.parse_args().seeds
    print(
        "| scene | set | gain | error / said: mean | rms | relative error: mean | rms | said |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for scene in (ridges, hills, cells, texture):
        for n, size in SETS:
            for gain, offset, read, low, high in CAMERAS:
                off, said = [], []
                for seed in range(seeds):
                    rng = np.random.default_rng([seed, n, round(10 * gain)])
                    p = scene(rng, n, size)
                    electrons = rng.poisson(low + (high - low) * (p - p.min()) / (p.max() - p.min()))
                    values = np.rint(gain * electrons + offset + read * rng.standard_normal(electrons.shape))
                    if (fit := photon_transfer(values[:, None])) is not None:
                        off.append(fit.gain / gain - 1)
                        said.append(fit.gain_error / gain)
                ratio = np.array(off) / np.array(said)
                print(
                    f"| {scene.__name__} | {n} x {size} x {size} | {gain:g} | {ratio.mean():.2f} "
                    f"| {np.sqrt((ratio**2).mean()):.2f} | {np.mean(off):.3f} | {np.sqrt(np.mean(np.square(off))):.3f} "
                    f"| {np.mean(said):.3f} |",
                    flush=True,
                )


if __name__ == "__main__":
    stoppable(main)
