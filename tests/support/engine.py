"""Small training runs for the tests of the engine, in this process and in others."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import torch

from ambientkit.batch import Term
from ambientkit.config import Source, resolve
from ambientkit.interfaces import Objective
from ambientkit.registry import load
from ambientkit.training import build
from tests.support import forked

SMALL = {
    "data": {"name": "mixture", "n": 40},
    "model": {"name": "mlp", "width": 16, "depth": 1},
    "batch_size": 16,
    "end_step": 12,
    "device": "cpu",
    "objective": [
        {"objective": "tweedie"},
        {"objective": {"name": "consistency", "fraction": 0.5}, "weight": 0.1, "start": 3, "ramp": 4},
    ],
}
SMALL_MODEL = ["--set", "model.width=16", "--set", "model.depth=1", "--device", "cpu"]
MIXTURE = ["--data", "mixture", "--set", "data.n=64", *SMALL_MODEL]
FLAGS = [*MIXTURE, "--skip-preflight", "--log-every", "2"]
CHANGING = ("time", "examples_per_s", "eta_s", "memory_mb")


class ByRow(Objective):
    """Draws nothing: a loss that depends on the row and on the network only."""

    name = "by-row"

    def loss(self, denoiser, batch, tools):
        sigma = 0.1 + 0.05 * batch.row.to(batch.x_n.dtype)
        return {"a": Term((denoiser(batch.x_n, sigma) - 1).square().mean(1), sigma)}


def make(only=None, **changes):
    """A training at step 0. only: an objective that takes the place of the configured ones."""
    config = resolve(Source({**SMALL, **changes}), load())
    if only is not None:
        object.__setattr__(config, "objective", (config.objective[0].model_copy(update={"objective": only}),))
    return build(config)


def bits(run):
    """Copies of the weights and of their average."""
    state = {
        **run.bare_network.state_dict(),
        **{f"ema.{name}": value for name, value in run.average.state_dict().items()},
    }
    return {name: value.clone() for name, value in state.items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def command(*arguments, program=("-m", "ambientkit"), **kwargs):
    """Start a command in a process of its own, forked from one that has imported what it needs."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **kwargs.pop("env", {})}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}
    return forked.start([*program, *arguments], env=environment, **pipes, **kwargs)


def finish(process, timeout=120):
    """(exit status, stdout, stderr)."""
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def threads_of_gloo() -> list[str]:
    """The threads by which this process talks with others; empty where there is no /proc to tell."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if "gloo" in name]


def log(folder: Path):
    """The lines of a run's log, without what depends on the clock."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in CHANGING} for line in lines]


def contents(folder: Path, step: int):
    """The files of a checkpoint, the averaged weights and the log."""
    files = {path.name: path.read_bytes() for path in (folder / "checkpoints" / f"checkpoint_{step}").iterdir()}
    return {**files, "average": (folder / "model_ema.safetensors").read_bytes(), "log": log(folder)}
