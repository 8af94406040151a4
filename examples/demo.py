"""The main job on real data: digits seen only through noise; what lies under the noise, and new samples.

    python examples/demo.py [--sigma-n 0.3] [--seed 0] [--end-step N] [--output-dir DIR]

Noise is added once to scikit-learn's 1,797 scans, and training sees nothing else: the same call, without any setting
of its own, trains on your rows. The picture shows the first rows as they were given, what the model makes of them
(posterior mean, two draws, and where it is uncertain), the hidden clean rows, which nothing here has read, and the
first new samples. How good they are is measured by examples/benchmarks/recognised.py.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any

# One thread: a network this small is slower on two, and much slower where the second core is busy. Before torch is
# imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import ambientkit as ak

SHOWN, DRAWS, SAMPLES = 24, 8, 96
SAMPLER = "stochastic-heun"
"""That of restorations. Its fresh noise takes back some of the errors of a network that has trained for minutes."""
COLUMNS = 4


def scans() -> Any:
    """The clean scans, (1797, 1, 8, 8), float32 in [-1, 1]."""
    import numpy as np
    from sklearn.datasets import load_digits

    return (load_digits().images[:, None] / 8 - 1).astype(np.float32)


def with_noise(clean: Any, sigma_n: float, seed: int) -> Any:
    """The scans with white noise, added once."""
    import numpy as np

    noise = np.random.default_rng(seed).standard_normal(clean.shape).astype(np.float32)
    return clean + np.float32(sigma_n) * noise


def draw_picture(run: ak.Run, noisy: Any, clean: Any, sigma_n: float, path: Path) -> None:
    """Write the picture: the first rows in a line of panels, and the first samples below. Nothing is chosen by eye."""
    import torch
    from PIL import Image

    from ambientkit.checkpoint.folder import write_file
    from ambientkit.sample.picture import PAPER, grid, panels, png

    found = run.restore(noisy, sigma_n=sigma_n, n=SHOWN, draws=DRAWS, seed=0)
    shown = {
        "given: noisy rows": torch.from_numpy(noisy[:SHOWN]),
        "posterior mean": found.mean,
        "one draw": found.draws[:, 0],
        "another draw": found.draws[:, 1],
        f"uncertainty (white: {sigma_n:g})": 2 * found.std / sigma_n - 1,
        "hidden: clean rows": torch.from_numpy(clean[:SHOWN]),
    }
    above = panels([(title, grid(rows, COLUMNS)) for title, rows in shown.items()])
    across = (above.width - 32) // (above.width // (COLUMNS * len(shown) + len(shown)))
    new = grid(run.sample(SAMPLES, seed=0, sampler=SAMPLER), min(across, SAMPLES // 4))
    below = panels([("new samples of clean digits", new)])
    page = Image.new("RGB", (max(above.width, below.width), above.height + below.height), PAPER)
    page.paste(above, (0, 0))
    page.paste(below, (0, above.height))
    write_file(path, png(page))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sigma-n", type=float, default=0.3, help="std of the noise, in units of [-1, 1]")
    parser.add_argument("--seed", type=int, default=0, help="of the noise, the weights and the batches")
    parser.add_argument("--end-step", type=int, help="optimiser steps; by default those of the model chosen")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/demo"))
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    if (args.output_dir / "checkpoints").is_dir():
        print(f"{args.output_dir} holds an earlier demo; it is replaced")
        shutil.rmtree(args.output_dir)
    length = {} if args.end_step is None else {"end_step": args.end_step}
    clean = scans()
    noisy = with_noise(clean, args.sigma_n, args.seed)
    try:
        run = ak.train(
            noisy,
            sigma_n=args.sigma_n,
            seed=args.seed,
            output_dir=args.output_dir,
            progress=sys.stderr.isatty(),
            **length,
        )
        picture = args.output_dir / "demo.png"
        draw_picture(run, noisy, clean, args.sigma_n, picture)
    except ak.AmbientError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("interrupted; the same command begins anew", file=sys.stderr)
        return 130
    print(f"run: {run.path}\npicture: {picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
