"""The main job on real data: digits seen only through noise, then samples of the clean digits.

    python examples/demo.py [--sigma-n 0.3] [--end-step N] [--output-dir DIR]

Runs `ambientkit train` as a user would, on scikit-learn's 1,797 scans with noise added once, and prints where the picture
and the run are. The settings are in examples/demo.yaml.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sigma-n", default="0.3", help="std of the noise, in units of [-1, 1]")
    parser.add_argument("--end-step", help="optimiser steps; by default those of demo.yaml")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/demo"))
    args = parser.parse_args()
    command = [sys.executable, "-m", "ambientkit", "train", "--objective", "tweedie-consistency", "--config", str(HERE / "demo.yaml")]
    command += ["--sigma-n", args.sigma_n, "--output-dir", str(args.output_dir)]
    if args.end_step:
        command += ["--end-step", args.end_step]
    if (args.output_dir / "checkpoints").is_dir():
        print(f"{args.output_dir} holds an earlier demo; it is replaced")
        shutil.rmtree(args.output_dir)
    print("$ ambientkit", *command[3:], flush=True)
    # One thread: a network this small is slower on two, and much slower where the second core is busy.
    return subprocess.run(command, env={"OMP_NUM_THREADS": "1", **os.environ}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
