"""`ambientkit verify --run RUN`: measurements of a trained denoiser without clean data."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ambientkit.batch import Batch, take
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.checkpoint.folder import write_file
from ambientkit.cli.tables import print_table
from ambientkit.config import RunConfig
from ambientkit.config.files import KeyPath
from ambientkit.config.inline import split_fields
from ambientkit.config.request import Request, configure
from ambientkit.data import observed
from ambientkit.errors import InputError
from ambientkit.interfaces import Sampler
from ambientkit.maths.randomness import derive_seed
from ambientkit.registry import Registry, load, spec_of
from ambientkit.sample import Trained, load_run
from ambientkit.sample.load import run_of
from ambientkit.sample.picture import panels, png
from ambientkit.tables import number
from ambientkit.verify.chart import bars, chart
from ambientkit.verify.trained import HOP, Curve, SeedSensitivity, consistency_residual, noisy_rows, seed_sensitivity, tweedie_loss

FORMAT = 1
"""Of the JSON file."""
RESTORED = 32
"""Observations that are restored from several seeds."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The flags of `ambientkit verify --run` as given."""

    run: Path
    data: str | None = None
    sigma_n: str | None = None
    rows: int = 256
    seed: int = 0
    json: Path | None = None
    device: str = "auto"


def run(request: RunRequest) -> None:
    """Print the report, and write it with its picture into RUN/verify (the JSON file to `json`, where that is given)."""
    registry = load()
    device = request.device if request.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    trained = load_run(request.run, registry, device)
    config = trained.config
    levels, sampler = config.levels.as_levels(), kernel_sampler(config)
    own = noisy_rows(some_rows(config, config.seed, request.rows, device), config.corruption, levels)
    other, other_config = None, _other(request, trained, registry)
    if other_config is not None:
        fresh = derive_seed(config.seed, "verify.held-out")  # not the noise that the run's rows of these numbers have
        other = noisy_rows(some_rows(other_config, fresh, request.rows, device), other_config.corruption, levels)
        if other.x_n.shape[1:] != own.x_n.shape[1:]:
            raise InputError(
                f"--data {request.data}: rows of shape {tuple(other.x_n.shape[1:])}, but the run has {tuple(own.x_n.shape[1:])}"
            )
    held_out = _describe_rows(config, own, other_config, other)
    print(f"run: {request.run}, step {trained.step}; {held_out}")

    judged, corruption = (other, other_config.corruption) if other is not None and other_config else (own, config.corruption)
    residual = consistency_residual(trained.denoiser, judged, corruption, sampler, levels, seed=request.seed)
    losses = [("rows of the run", tweedie_loss(trained.denoiser, own, config.corruption, levels, seed=request.seed))]
    if other is not None:
        losses.append(("held-out rows", tweedie_loss(trained.denoiser, other, corruption, levels, seed=request.seed)))
    few = take(judged, torch.arange(min(RESTORED, len(judged.x_n)), device=judged.x_n.device))
    spread = seed_sensitivity(trained.denoiser, few, corruption, sampler, levels, seed=request.seed)
    _print(residual, losses, spread, sampler, trained.signal.sigma_data)

    folder = run_of(request.run) / "verify"
    folder.mkdir(exist_ok=True)
    content = {
        "format": FORMAT,
        "run": str(request.run),
        "step": trained.step,
        "rows": held_out,
        "seed": request.seed,
        "sampler": spec_of(sampler),
        "consistency_residual": dataclasses.asdict(residual),
        "tweedie_loss": {name: dataclasses.asdict(curve) for name, curve in losses},
        "seed_sensitivity": {**dataclasses.asdict(spread), "total": spread.total, "sigma_data": trained.signal.sigma_data},
    }
    file = request.json or folder / "report.json"
    write_file(file, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
    write_file(folder / "report.png", _picture(residual, losses, spread, trained.signal.sigma_data))
    print(f"report: {file}\npicture: {folder / 'report.png'}")


def kernel_sampler(config: RunConfig) -> Sampler:
    """The run's own sampler if it draws from the reverse kernel, otherwise `ancestral`."""
    return config.sampler if "reverse-kernel" in config.sampler.claims else Ancestral()


def _other(request: RunRequest, trained: Trained, registry: Registry) -> RunConfig | None:
    """A configuration with the data of --data and otherwise that of the run. Raises InputError where these are the run's own data."""
    if request.data is None:
        if request.sigma_n is not None:
            raise InputError("--sigma-n declares the noise of --data: give that too")
        return None
    own: dict[KeyPath, tuple[str, Any]] = {("corruption",): ("the run", spec_of(trained.config.corruption))}
    text, settings = request.data, []
    if "{" in text:  # NAME{field: value}: the same as --set data.field=value
        text, fields = split_fields(text)
        settings = [f"data.{name}={json.dumps(value)}" for name, value in fields.items()]
    config = configure(Request(own, text, request.sigma_n, (), tuple(settings), None, None, True, True), registry, None)
    if config.data == trained.config.data:
        raise InputError(f"--data {request.data}: the run was trained on these rows, so that nothing would be held out; give others")
    return config


def some_rows(config: RunConfig, seed: int, rows: int, device: str) -> Batch:
    """Up to `rows` evenly spaced observations, on the device."""
    observations = observed(config.data.rows(), config.corruption, seed, config.augment)
    chosen = torch.linspace(0, len(observations) - 1, min(rows, len(observations))).round().long().unique().tolist()
    batch = observations.__getitems__(chosen)

    def there(tensor: Tensor) -> Tensor:
        return tensor.to(device)

    return Batch(there(batch.x_n), there(batch.sigma_n), there(batch.row), {name: there(value) for name, value in batch.cond.items()})


def _describe_rows(config: RunConfig, own: Batch, other_config: RunConfig | None, other: Batch | None) -> str:
    if other is None or other_config is None:
        return (
            f"measured on {len(own.x_n)} noisy rows of {config.data.name}, all of which the run trained on: "
            "nothing is held out, and a network that has memorised its rows looks better than it is (give others with --data)"
        )
    return f"measured on {len(other.x_n)} rows of {other_config.data.name} that the run has not seen, beside {len(own.x_n)} of its own"


def _print(residual: Curve, losses: list[tuple[str, Curve]], spread: SeedSensitivity, sampler: Sampler, sigma_data: float) -> None:
    print(
        f"\nconsistency residual E|E[D(x_s) | x_t] - D(x_t)|^2 a pixel, hops of log ratio {HOP:g} by {sampler.name!r}; 0 for an exact denoiser"
    )
    print_table(
        ("sigma", "residual", "standard error", "ratio"),
        [
            (number(s), number(m), number(e), f"{m / e:+.1f}" if e > 0 else "-")
            for s, m, e in zip(residual.sigma, residual.mean, residual.error, strict=True)
        ],
    )
    print(f"n = {residual.n} rows; a ratio beyond 3 is more than chance. A negative value is chance: the estimate is unbiased.")

    print("\nTweedie loss mean((a D + b x_t - x_n)^2) a pixel, without weights; its least value is not 0")
    names = [name for name, _ in losses]
    rows = []
    for place, sigma in enumerate(losses[0][1].sigma):
        cells = [f"{number(c.mean[place], 4)} +- {number(c.error[place], 2)}" for _, c in losses]
        if len(losses) == 2:
            (_, first), (_, second) = losses
            gap, error = second.mean[place] - first.mean[place], (first.error[place] ** 2 + second.error[place] ** 2) ** 0.5
            cells.append(f"{gap:+.2g} ({gap / error:+.1f} standard errors)" if error > 0 else f"{gap:+.2g}")
        rows.append((number(sigma), *cells))
    print_table(("sigma", *names, *(["gap"] if len(losses) == 2 else [])), rows)

    print(f"\nseed sensitivity of x_0 restored from x_n: {spread.observations} observations, {spread.seeds} seeds each; std per pixel")
    print(
        f"across seeds {number(spread.within)}, across observations {number(spread.across)}; together {number(spread.total)}, "
        f"and the clean data have sigma_data {number(sigma_data)}"
    )


def _picture(residual: Curve, losses: list[tuple[str, Curve]], spread: SeedSensitivity, sigma_data: float) -> bytes:
    squares = [sigma**2 for sigma in residual.sigma]  # every error vanishes with sigma: only in this unit do all levels show
    relative = dataclasses.replace(
        residual,
        mean=tuple(m / q for m, q in zip(residual.mean, squares, strict=True)),
        error=tuple(e / q for e, q in zip(residual.error, squares, strict=True)),
    )
    restored = [
        ("across seeds", spread.within),
        ("across observations", spread.across),
        ("together", spread.total),
        ("sigma_data", sigma_data),
    ]
    return png(
        panels(
            [
                ("consistency residual, +- 2 standard errors", chart([("divided by sigma^2; 0 is right", relative)], "sigma")),
                ("Tweedie loss, +- 2 standard errors", chart(losses, "sigma", log_y=True)),
                ("std of restored rows", bars(restored)),
            ]
        )
    )
