"""A trained run: the object that training and loading return."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ambientkit.config import RunConfig
from ambientkit.interfaces import Part, Signal
from ambientkit.processes import device_of
from ambientkit.registry import Registry
from ambientkit.registry import load as load_registry
from ambientkit.run.train import Ended
from ambientkit.sample import Trained, load_run
from ambientkit.sample.load import run_of


class Run:
    """A run on disk, and what can be done with it. `ambientkit.train` and `ambientkit.load` return one."""

    def __init__(self, path: str | Path, *, device: str = "auto", registry: Registry | None = None, ended: Ended | None = None) -> None:
        self.path = Path(path)
        """The run folder, or the checkpoint or weights file that was loaded."""
        self.device = device
        self.ended = ended or Ended(self.path, "finished", 0)
        """How the training ended that returned this run."""
        self._registry = registry or load_registry()
        self._trained: Trained | None = None

    @property
    def folder(self) -> Path:
        """The run folder."""
        return run_of(self.path)

    @property
    def trained(self) -> Trained:
        """The denoiser with its averaged weights, read when it is first needed. Raises InputError where there are none yet."""
        if self._trained is None:
            self._trained = load_run(self.path, self._registry, device_of(self.device))
        return self._trained

    @property
    def config(self) -> RunConfig:
        """The configuration."""
        return self.trained.config

    @property
    def signal(self) -> Signal:
        """Shape of a row, std of the clean data, and conditions."""
        return self.trained.signal

    @property
    def step(self) -> int:
        """Optimiser steps behind the weights."""
        return self.trained.step

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


def load(path: str | Path, *, device: str = "auto", parts: Sequence[type[Part]] = ()) -> Run:
    """A run that was trained before: its folder, one of its checkpoints, or a weights file that `export` wrote.

    device: where its network works. parts: classes of the run's own parts that no installed package registers. Raises InputError naming the
    file at fault, now rather than when the weights are first used.
    """
    run = Run(path, device=device, registry=load_registry().including(parts))
    run.trained  # noqa: B018  (reads and checks the file)
    return run
