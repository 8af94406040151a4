"""From a run folder to a denoiser."""

from __future__ import annotations

import hashlib
import math
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ambientkit.checkpoint.base import NONE, Base, base_of, check_base, network_of
from ambientkit.checkpoint.initial import initial_weights
from ambientkit.checkpoint.names import BEST, CHECKPOINTS, CONFIG, VERSIONS, WEIGHTS, step_of_checkpoint
from ambientkit.checkpoint.weights import fill, load_weights
from ambientkit.config import RunConfig, Source, resolve
from ambientkit.config.places import beside
from ambientkit.data import Observed, WithoutHeldOut, observed, of_one_shape
from ambientkit.data.held_out import split
from ambientkit.data.identity import rows_of_run, stored_fingerprint
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Signal
from ambientkit.messages import note
from ambientkit.operators import ANSWERS, refuse_another
from ambientkit.registry import Registry
from ambientkit.rows import Rows, as_rows, decodes
from ambientkit.sample.described import check_described, stored_signal
from ambientkit.sample.own_units import OwnUnits

MANY = 10**6
"""Tensors of a network at most."""
Noise = Literal["simulated", "declared", "estimated", "unknown"]


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained denoiser and what it was trained for."""

    config: RunConfig
    signal: Signal
    denoiser: Denoiser
    step: int
    units: OwnUnits = OwnUnits()
    """What the files that it was trained on meant by their values; [-1, 1] where the run does not say."""
    sigma_n: tuple[float, float] | None = None
    """Lowest and highest noise level of the rows it was trained on, data units; None where the run does not say."""
    sha256: str = ""
    """Of the weights file."""
    network: nn.Module | None = None
    """What the denoiser wraps."""
    noise: Noise = "unknown"
    """How the noise level of the rows is known."""
    fingerprint: Mapping[str, Any] | None = None
    """What the data are known by (`data.identity`); None where the run does not say."""
    base: Base = NONE
    """What of the network is frozen."""
    latents: bool = False
    """Whether its rows are latents, which only their data set makes pictures of."""
    path: Path | None = None
    """The path that it was loaded from, as `load_run` was given it."""
    kept_after: int = 0
    """Steps that the run had taken when these weights were its best on rows held out; 0 where they are simply the
    newest."""
    maps: tuple[str, ...] = ()
    """Names of what its rows brought for the operator of the corruption, such as "coils"."""

    operator: tuple[float, ...] | None = None
    """What the operator of the corruption is known by (`operators.answers`); None where the run does not say."""

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        tensors = self.network.state_dict().values() if self.network is not None else ()
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    @property
    def called(self) -> str:
        """Its name in messages."""
        return "the run" if self.path is None else str(self.path)

    def rows(self) -> Rows:
        """The rows that it was trained on. Raises InputError where they cannot be read, or are other ones by now."""
        return rows_of_run(self.config.data, self.fingerprint, self.called)

    def observed(self) -> tuple[Observed, Observed | None]:
        """The noisy rows that it was trained on, as it saw them, and those that it held out; None where it held none
        out. Raises InputError as `rows`."""
        config = self.config
        every = observed(self.rows(), config.corruption, config.seed, config.augment)
        seen, positions = split(every, config.hold_out, config.seed)
        unseen = WithoutHeldOut(every, sorted(set(range(len(every))) - set(positions))) if positions else None
        return of_one_shape(seen), unseen

    def decoder(self) -> Callable[[Tensor], Tensor | None] | None:
        """How its rows become pictures (`Rows.decode`); None where they are pictures, or points, themselves.

        Where they are latents and the data set that decodes them cannot be opened, a note says so, and there are no
        pictures.
        """
        if not self.latents:
            return None
        try:
            return as_rows(self.config.data.rows()).decode
        except InputError as error:
            note(
                "no pictures: the rows of this run are latents, and the data set that decodes them cannot be "
                f"opened: {error}"
            )
            return lambda rows: None


def is_begun(path: Path) -> bool:
    """Whether this is the folder of a run, with or without weights."""
    return (path / WEIGHTS).is_file() or all((path / name).is_file() for name in (CONFIG, VERSIONS))


def checkpoint_step(path: Path) -> int | None:
    """The step of a checkpoint, by its folder; None for anything else."""
    whole = Path(os.path.realpath(path))
    return step_of_checkpoint(whole.name) if path.is_dir() and whole.parent.name == CHECKPOINTS else None


def run_of(path: Path) -> Path:
    """The run folder of a run, of its weights file, or of one of its checkpoints."""
    if checkpoint_step(path) is None:
        return path if path.is_dir() else path.parent
    return path.parents[1] if path.parent.name == CHECKPOINTS else Path(os.path.realpath(path)).parents[1]


def trained_of(subject: Any) -> Trained | None:
    """The `Trained` that a subject is, or that it holds, as an `ambientkit.Run` does; None for anything else."""
    return next((one for one in (subject, getattr(subject, "trained", None)) if isinstance(one, Trained)), None)


def load_run(path: Path, registry: Registry, device: str | torch.device = "cpu") -> Trained:
    """The averaged weights of a run. path: the run folder, a file of weights in it, or one of its checkpoints.

    Of a folder they are those kept by rows held out, where it has any (best.safetensors), otherwise the newest; a
    note says where the two differ. Raises InputError naming the file at fault.
    """
    file = path
    if path.is_dir():
        kept = run_of(path) / BEST
        file = kept if kept.is_file() and checkpoint_step(path) is None else run_of(path) / WEIGHTS
    if not file.is_file() and (path / CONFIG).is_file():
        raise InputError(
            f"{path}: this run has not saved its averaged weights yet ({WEIGHTS} is missing): it was stopped "
            "before its first checkpoint, or in the "
            "middle of it. "
            f"Go on with: ambientkit train --resume {shlex.quote(str(path))}"
        )
    if not file.is_file():
        raise InputError(
            f"{file}: there is no such file; give the folder that `ambientkit train` wrote (its --output-dir)"
        )
    tensors, metadata = load_weights(file)
    averaged = str(file)
    if (step := checkpoint_step(path)) is not None:  # it holds tensors; what the run is stands in the run's own file
        tensors, averaged = initial_weights(path.resolve())
        metadata["step"] = step
    try:
        signal = stored_signal(metadata["signal"])
        tree, step = dict(metadata["config"]), int(metadata["step"])
        units, sigma_n, noise = _about_data(metadata.get("data"))
        fingerprint = stored_fingerprint((metadata.get("data") or {}).get("fingerprint"))
        latents = bool((metadata.get("data") or {}).get("latents", False))
        maps = tuple(map(str, (metadata.get("data") or {}).get("maps", ())))
        answered = _answers(metadata.get("data"))
        frozen = int((metadata.get("base") or {}).get("tensors", 0))
        if step < 0 or not 0 <= frozen < MANY:
            raise ValueError(f"step {step}, {frozen} frozen tensors")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{file}: its metadata are not those of an ambientkit run ({type(error).__name__}: {error})"
        ) from None
    if step < (newest := metadata.get("newest", step)):
        note(
            f"{file}: the weights of step {step}, kept by the Tweedie loss on rows held out; those of step "
            f"{newest} are in {WEIGHTS}, and can be named instead"
        )
    source = beside(Source(tree, {(key,): str(file) for key in tree}), file.parent)
    config = resolve(source, registry, absent=True)
    check_described(config, signal, tensors, frozen, averaged)
    refuse_another(config.corruption, signal.shape, answered, str(path))
    try:
        network = network_of(config, signal).to(device)  # then filled, but for a frozen base
    except (RuntimeError, ValueError, TypeError, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{file}: the network that its metadata describe cannot be built ({type(error).__name__}: {reason})"
        ) from None
    base = base_of(network)
    check_base(base, metadata.get("base"), file)
    fill(network, tensors, averaged, base)
    network.eval().requires_grad_(False)
    with Path(averaged).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Trained(
        config,
        signal,
        config.model.denoiser(network, signal),
        step,
        units,
        sigma_n,
        digest,
        network,
        noise,
        fingerprint,
        base,
        latents,
        path,
        kept_after=int(metadata.get("newest", 0)),
        maps=maps,
        operator=answered,
    )


def about_data(
    rows: Any, sigma_n: tuple[float, float], noise: Noise = "unknown", maps: Sequence[str] = ()
) -> dict[str, Any]:
    """What a weights file says of the data, under "data": the meaning of file values, the lowest and highest noise
    level, how that is known, the rows and files that were left out, each with its cause, and the names of what rows
    bring for an operator (maps)."""
    left_out = list(as_rows(rows).left_out)
    told: dict[str, Any] = {"left_out": left_out} if left_out else {}
    if decodes(rows):
        told["latents"] = True
    if maps:
        told["maps"] = list(maps)
    return {"units": OwnUnits.of(rows).plain(), "sigma_n": list(sigma_n), "noise": noise, **told}


def _answers(stored: Mapping[str, Any] | None) -> tuple[float, ...] | None:
    """What the operator of a run is known by; None where a file does not say. Raises ValueError for anything else."""
    known = (stored or {}).get("operator")
    if known is None:
        return None
    if len(found := tuple(map(float, known))) != ANSWERS:
        raise ValueError(f"operator {str(known)[:100]}")
    return found


def _about_data(stored: Any) -> tuple[OwnUnits, tuple[float, float] | None, Noise]:
    if not stored:  # a run of an early version
        return OwnUnits(), None, "unknown"
    low, high = map(float, stored["sigma_n"])
    if not 0 <= low <= high < math.inf:
        raise ValueError(f"sigma_n {low}, {high}")
    noise = stored.get("noise", "unknown")
    return OwnUnits.from_plain(stored["units"]), (low, high), noise if noise in get_args(Noise) else "unknown"
