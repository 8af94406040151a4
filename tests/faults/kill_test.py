"""Kill a training run with SIGKILL at random moments, half of them inside a save, and compare how it ends with an
undisturbed run.

    python tests/faults/kill_test.py            # 100 kills, some minutes on one core
    python tests/faults/kill_test.py --kills 5 --workers 1

Every run is killed again and again, resumed each time, until it reaches its end; then its last checkpoint, its averaged
weights and its log must be those of the undisturbed run, to the bit. A second run with another seed follows, and so on,
until all kills are done. Exit status 0: all the same. The moments are drawn from --seed, but what a process is doing
then depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

import ambientkit.run.train  # noqa: F401  (imported here, so that no fork has to)
from ambientkit.cli import main
from ambientkit.registry import load
from ambientkit.run.folder import checkpoint_of

CHANGING = ("time", "examples_per_s", "eta_s", "memory_mb")
"""What of a log line depends on the clock."""


def command(folder: Path, seed: int, steps: int, workers: int) -> list[str]:
    """The arguments of a new run, or of one that goes on with what is there."""
    if (folder / "config.yaml").exists():
        return ["train", "--resume", str(folder)]
    run = [
        "train",
        "--data",
        "mixture",
        "--set",
        "data.n=64",
        "--set",
        "model.width=64",
        "--set",
        "model.depth=2",
        "--device",
        "cpu",
    ]
    run += [
        "--grad-accum-steps",
        "2",
        "--batch-size",
        "8",
        "--end-step",
        str(steps),
        "--save-every",
        "3",
        "--keep-last",
        "2",
    ]
    run += ["--log-every", "2", "--skip-preflight", "--num-workers", str(workers), "--seed", str(seed)]
    return [*run, "--output-dir", str(folder)]


def start(arguments: list[str], output: Path) -> BaseProcess:
    """Run a command in a fork of this process, which has everything imported: a fresh interpreter would take seconds
    each time."""

    def child() -> None:
        stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        sys.argv = ["ambientkit", *arguments]
        main()

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    return process


def kill_inside_a_save(process: BaseProcess, folder: Path, skip: int, delay: float) -> str:
    """Kill while a save is going on: `delay` seconds after the folder that it writes aside has appeared for the (skip +
    1)-th time."""
    seen: set[str] = set()
    while process.is_alive():
        aside = {path.name for path in folder.glob("checkpoints/.checkpoint_*.tmp-*")}
        seen |= aside
        if aside and len(seen) > skip:
            time.sleep(delay)
            process.kill()
            process.join()
            # Named by what is left behind: by then the save may have gone further.
            return "inside a save" if any(folder.glob("**/.*.tmp-*")) else "at the end of a save"
    return ""


def kill_after(process: BaseProcess, seconds: float) -> str:
    """Kill after a time, whatever the run is doing."""
    process.join(seconds)
    if not process.is_alive():
        return ""
    process.kill()
    process.join()
    return "at a random moment"


def contents(folder: Path) -> dict[str, object]:
    """What must be the same: the newest checkpoint, the averaged weights, and the log without what depends on the
    clock."""
    checkpoint = checkpoint_of(folder, None)
    assert checkpoint is not None
    path, files = checkpoint
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    log = [{key: value for key, value in line.items() if key not in CHANGING} for line in lines]
    return {"checkpoint": path.name, **files, "average": (folder / "model_ema.safetensors").read_bytes(), "log": log}


def finish(folder: Path, seed: int, steps: int, workers: int, output: Path) -> float:
    """Run to the end without disturbance; returns the seconds it took."""
    began = time.monotonic()
    process = start(command(folder, seed, steps, workers), output)
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"{folder.name} ended with status {process.exitcode}:\n{output.read_text()[-2000:]}")
    return time.monotonic() - began


def kill_runs(place: Path, kills: int, steps: int, workers: int, seed: int) -> Counter[str]:
    """All kills, in as many runs as it takes. Exits with a message where a run cannot go on or ends otherwise than
    undisturbed."""
    draw, done, run_seed = random.Random(seed), Counter[str](), 0
    while done.total() < kills:
        whole, broken, output = (
            place / f"whole_{run_seed}",
            place / f"broken_{run_seed}",
            place / f"output_{run_seed}.txt",
        )
        duration = finish(whole, run_seed, steps, workers, output)
        while done.total() < kills:
            process = start(command(broken, run_seed, steps, workers), output)
            if draw.random() < 0.5:
                how = kill_inside_a_save(process, broken, draw.randrange(4), draw.uniform(0, 0.01))
            else:
                how = kill_after(process, draw.uniform(0, duration / 2))
            if not how:  # it came to its end first
                if process.exitcode != 0:
                    raise SystemExit(
                        f"a resumed run ended with status {process.exitcode}:\n{output.read_text()[-2000:]}"
                    )
                break
            done[how] += 1
        finish(broken, run_seed, steps, workers, output)
        expected, found = contents(whole), contents(broken)
        if different := [name for name in expected if expected[name] != found.get(name)]:
            raise SystemExit(f"{broken} ended otherwise than the undisturbed {whole}, in {', '.join(different)}")
        run_seed += 1
        print(
            f"{done.total()} kills: {dict(done)}; run {run_seed} ended in the bits of the undisturbed one", flush=True
        )
        shutil.rmtree(whole), shutil.rmtree(broken)
    return done


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--steps", type=int, default=120, help="optimiser steps of each run")
    parser.add_argument("--workers", type=int, default=0, help="processes that read data")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    load()  # and so are the plug-ins
    torch.set_num_threads(1)  # a fork may not inherit a pool of threads
    with tempfile.TemporaryDirectory() as name:
        total = kill_runs(Path(name), given.kills, given.steps, given.workers, given.seed)
    print(f"{total.total()} kills, all runs ended in the same bits: {dict(total)}")
