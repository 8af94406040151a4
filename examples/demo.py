"""The main job on real data: digits seen only through noise, then samples of the clean digits.

    python examples/demo.py [--sigma-n 0.3] [--end-step N] [--output-dir DIR]

Trains on scikit-learn's 1,797 scans with noise added once, and prints where the picture and the run are. The settings
are in examples/demo.yaml.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
from pathlib import Path

# One thread: a network this small is slower on two, and much slower where the second core is busy. Before torch is
# imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import ambientkit as ak

SETTINGS = Path(__file__).parent / "demo.yaml"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sigma-n", type=float, default=0.3, help="std of the noise, in units of [-1, 1]")
    parser.add_argument("--end-step", type=int, help="optimiser steps; by default those of demo.yaml")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/demo"))
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    if (args.output_dir / "checkpoints").is_dir():
        print(f"{args.output_dir} holds an earlier demo; it is replaced")
        shutil.rmtree(args.output_dir)
    length = {} if args.end_step is None else {"end_step": args.end_step}
    try:
        run = ak.train(
            config=SETTINGS, sigma_n=args.sigma_n, output_dir=args.output_dir, progress=sys.stderr.isatty(), **length
        )
    except ak.AmbientError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    print(f"run: {run.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
