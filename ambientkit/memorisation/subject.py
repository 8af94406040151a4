"""The model that is examined: a run, its weights, or any function that denoises."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ambientkit.config.datapath import DataLike
from ambientkit.data import Observations
from ambientkit.data.held_out import held_out_positions
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Levels
from ambientkit.registry import Registry
from ambientkit.sample import load_run
from ambientkit.sample.load import Trained, checkpoint_step, is_begun, trained_of


@dataclass(frozen=True, slots=True)
class Subject:
    """A model that can be asked. None in `data` and `shape`: it does not say what it was trained on."""

    name: str
    denoiser: Denoiser
    levels: Levels
    sigma_data: float | None = None
    """Std of its clean data; None where nobody says, and that of the training rows counts."""
    shape: tuple[int, ...] | None = None
    data: DataLike = None
    """The rows that it was trained on, without the noise that was simulated on them."""
    step: int | None = None
    trained: Trained | None = None
    """The run; None for a function."""

    def held_out(self) -> list[int]:
        """The positions of the rows of `data` that the run held out: it was not trained on them. Raises InputError
        where its rows cannot be read, or are other ones by now."""
        if self.trained is None:
            return []
        config = self.trained.config
        observations = Observations(self.trained.rows(), config.corruption, config.seed)
        return held_out_positions(observations, config.hold_out, config.seed)

    @property
    def told(self) -> str:
        """Its name, and the step of its weights where it has one."""
        return self.name if self.step is None else f"{self.name}, step {self.step}"

    def said(self, rows: Tensor, sigma_n: float) -> float:
        """The std of the clean data; of rows (N, *S) with noise of level sigma_n where the model does not say it."""
        if self.sigma_data is not None:
            return self.sigma_data
        return max(float(rows.double().var()) - sigma_n**2, 1e-12) ** 0.5


def subject_of(subject: Any, registry: Registry, place: torch.device, levels: Levels | None) -> Subject | None:
    """The model, if the subject is one: a `Run`, a `Trained`, the path of a run, of its weights or of a checkpoint, or
    a function D(x, sigma) -> E[x_0 | x]. None for samples.

    levels: of a function, the range that it is made for. Raises InputError for a conditional run, and for levels of a
    run, which says them itself.
    """
    trained, name = None, ""
    if (held := trained_of(subject)) is not None:
        trained, name = held, held.called
    elif isinstance(subject, str | os.PathLike):
        path, name = Path(subject), os.fspath(subject)
        if path.suffix == ".safetensors" or is_begun(path) or checkpoint_step(path) is not None:
            trained = load_run(path, registry, place)
    elif callable(subject) and not hasattr(subject, "__array__"):
        found = Levels(*levels) if levels is not None else Levels()
        if not 0 < found.sigma_min < found.sigma_max:
            raise InputError(f"levels {tuple(found)}: should be (sigma_min, sigma_max) with 0 < sigma_min < sigma_max")
        return Subject(getattr(subject, "__name__", type(subject).__name__), _on(subject, place), found)
    if trained is None:
        return None
    if levels is not None:
        raise InputError(f"levels: {name} says them itself; they are for functions that denoise")
    if trained.signal.conds:
        raise InputError(
            f"{name}: the run is conditional ({', '.join(trained.signal.conds)}), which this does not do yet"
        )
    return Subject(
        name,
        trained.denoiser,
        trained.config.levels.as_levels(),
        trained.signal.sigma_data,
        tuple(trained.signal.shape),
        trained.config.data,
        trained.step,
        trained,
    )


def _on(function: Any, place: torch.device) -> Denoiser:
    """A function of a user, whose answer must have the shape of what it is asked."""

    def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        with torch.no_grad():
            answer = function(x, sigma)
        if not isinstance(answer, Tensor) or answer.shape != x.shape:
            got = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
            raise InputError(
                f"the function should return E[x_0 | x], a tensor of shape {tuple(x.shape)} for points x and levels "
                f"sigma "
                f"(B,), but returned {got}"
            )
        return answer.to(x)

    return denoise
