"""Runs to sample from, without the time that training them would take."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ambientkit.checkpoint.weights import save_weights
from ambientkit.config import Source, dump, resolve
from ambientkit.interfaces import Model, Signal
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.registry import Entry, Registry
from ambientkit.registry import environment as environment_here  # by its own name: tests put others in its place
from ambientkit.sample.load import WEIGHTS
from ambientkit.sample.own_units import OwnUnits
from ambientkit.units.ranges import ValueRange
from tests.support import ROOT
from tests.support.engine import command

SHAPE = (1, 4, 6)
SHELL = ["-m", "tests.support.sample_shell"]


class Tinted(Model):
    """A network that knows one grey value for each class, and takes rows for that value with noise of the row's own
    spread 0.5."""

    name = "tinted"
    source = "the posterior mean of N(value, 0.5^2)"
    num_classes: int = 0

    def network(self, signal: Signal) -> nn.Module:
        return nn.Embedding(self.num_classes + 1, 1)

    def denoiser(self, network: nn.Module, signal: Signal):
        def denoise(x, sigma, /, class_cond=None, tone=None):
            class_cond = tone if class_cond is None else class_cond
            label = torch.zeros(len(x), dtype=torch.int64, device=x.device) if class_cond is None else class_cond
            level = sigma.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
            value = network(label).to(x.dtype).reshape(level.shape)
            return value + 0.25 / (0.25 + level**2) * (x - value)

        return denoise


def registry() -> Registry:
    """The usual parts, and `tinted`."""
    return Registry([*environment_here().entries(), Entry("model", Tinted, "tests", "1")])


def write_run(
    folder: Path,
    *,
    values=(0.2,),
    shape=SHAPE,
    units: OwnUnits | None = None,
    sigma_n=(0.3, 0.3),
    data="digits",
    conds=None,
    objective=None,
    fingerprint=None,
    **more,
) -> Path:
    """A run folder of `tinted` whose classes have these grey values; sigma_max 5."""
    model = {"name": "tinted", "num_classes": len(values) - 1}
    levels = {"sigma_min": 0.002, "sigma_max": 5.0}
    tree = {"data": data, "model": model, "levels": levels, "corruption": {"name": "gaussian", "sigma_n": 0.3}, **more}
    config = resolve(Source(tree if objective is None else {**tree, "objective": objective}), registry())
    signal = Signal(shape, 0.5, conds or {})
    with isolated_global_generator(0, "test"):
        network = config.model.network(signal)
    network.weight.data = torch.tensor(values).reshape(-1, 1)
    metadata = {
        "config": dump(config),
        "signal": {"shape": signal.shape, "sigma_data": signal.sigma_data, "conds": dict(signal.conds)},
        "step": 7,
        "data": {"units": (units or OwnUnits()).plain(), "sigma_n": list(sigma_n), "fingerprint": fingerprint},
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / WEIGHTS, network, metadata)
    return folder


def ok(answer):
    """What a command printed that has ended well."""
    status, out, err = answer
    assert status == 0, err
    return out + err


def files(folder):
    """Every file below a folder, without the manifests, which name the run."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def start(*arguments, program=tuple(SHELL)):
    """Start the command line with the parts of the tests, in a process of its own."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return command(*arguments, program=program, env={"PYTHONPATH": path}, cwd=ROOT)


def noisy_file(folder, sigma_n, n=6, value_range=(0, 4000)):
    """(path of noisy rows in file units, path of their levels): grey rows about .2 with spread .5."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    level = np.broadcast_to(np.asarray(sigma_n, np.float64), (n, 4, 6))
    x = 0.2 + 0.5 * rng.standard_normal((n, 4, 6)) + level * rng.standard_normal((n, 4, 6))
    values = ValueRange(*value_range).from_unit(x)
    np.save(folder / "noisy.npy", values.astype(np.float32))
    np.save(folder / "levels.npy", np.asarray(sigma_n, np.float32))
    return f"array{{path: {folder / 'noisy.npy'}, layout: NHW, value_range: [0, 4000]}}", folder / "levels.npy", x
