"""Measurements of a trained denoiser that need no clean data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ambientkit.batch import Batch, take
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.config import RunConfig
from ambientkit.config.datapath import DataLike
from ambientkit.config.noise import NOISE, says_the_same, with_noise
from ambientkit.data import Observed, observed, of_one_shape
from ambientkit.errors import InputError
from ambientkit.interfaces import Sampler
from ambientkit.maths.randomness import derive_seed
from ambientkit.messages import note
from ambientkit.processes import device_of
from ambientkit.registry import Registry, load, spec_of
from ambientkit.rows import evenly
from ambientkit.sample import Trained, load_run
from ambientkit.sample.suited import why_no_samples
from ambientkit.seeds import check_seed
from ambientkit.tables import Record, Table, number
from ambientkit.verification.trained import (
    HOP,
    Curve,
    SeedSensitivity,
    consistency_residual,
    noisy_rows,
    seed_sensitivity,
    tweedie_loss,
)
from ambientkit.webpage import Series, bars, curves, figures_page

FORMAT = 1
"""Of the JSON file."""
RESTORED = 32
"""Observations that are restored from several seeds."""
OWN, HELD_OUT = "rows of the run", "held-out rows"
"""The names of the two Tweedie losses."""
FEWEST = 16
"""Rows that a run held out from which they are measured, rather than those that it trained on."""


@dataclass(frozen=True, slots=True)
class RunMeasurements(Record):
    """Three measurements of a trained denoiser, with their sampling errors; see `ambientkit.verification.trained`."""

    run: str
    """The run that was measured, by its path."""
    step: int
    rows: str
    """Which rows were measured on, and whether the run has seen them."""
    seed: int
    sampler: dict[str, Any]
    """The one that draws from the reverse kernel here."""
    residual: Curve
    """Consistency residual; 0 for an exact denoiser."""
    losses: Mapping[str, Curve]
    """Tweedie loss of the rows of the run, and of held-out ones."""
    spread: SeedSensitivity
    sigma_data: float

    def blocks(self) -> list[str | Table]:
        """The three measurements as tables and sentences."""
        residual, spread = self.residual, self.spread
        ratios = [(m, e, f"{m / e:+.1f}" if e > 0 else "-") for m, e in zip(residual.mean, residual.error, strict=True)]
        return [
            f"run: {self.run}, step {self.step}; {self.rows}",
            f"\nconsistency residual E|E[D(x_s) | x_t] - D(x_t)|^2 per pixel, hops of log ratio {HOP:g} by "
            f"{self.sampler['name']!r}; 0 for an "
            "exact denoiser",
            Table(
                "",
                ("sigma", "residual", "standard error", "ratio"),
                [
                    (number(s), number(m), number(e), ratio)
                    for s, (m, e, ratio) in zip(residual.sigma, ratios, strict=True)
                ],
            ),
            f"n = {residual.n} rows; a ratio beyond 3 is more than chance. A negative value is chance: the "
            "estimate is unbiased.",
            "\nTweedie loss mean((a D + b x_t - x_n)^2) per pixel, without weights; its least value is not 0",
            self._losses(),
            f"\nseed sensitivity of x_0 restored from x_n: {spread.observations} observations, {spread.seeds} "
            "seeds each; std per pixel",
            f"across seeds {number(spread.within)}, across observations {number(spread.across)}; together "
            f"{number(spread.total)}, "
            f"and the clean data have sigma_data {number(self.sigma_data)}",
        ]

    def _losses(self) -> Table:
        curves_ = list(self.losses.values())
        rows = []
        for place, sigma in enumerate(curves_[0].sigma):
            cells = [f"{number(c.mean[place], 4)} +- {number(c.error[place], 2)}" for c in curves_]
            if len(curves_) == 2:
                first, second = curves_
                gap, error = (
                    second.mean[place] - first.mean[place],
                    (first.error[place] ** 2 + second.error[place] ** 2) ** 0.5,
                )
                cells.append(f"{gap:+.2g} ({gap / error:+.1f} standard errors)" if error > 0 else f"{gap:+.2g}")
            rows.append((number(sigma), *cells))
        return Table("", ("sigma", *self.losses, *(["gap"] if len(curves_) == 2 else [])), rows)

    def to_dict(self) -> dict[str, Any]:
        """The content of the JSON file."""
        return {
            "format": FORMAT,
            "run": self.run,
            "step": self.step,
            "rows": self.rows,
            "seed": self.seed,
            "sampler": self.sampler,
            "consistency_residual": dataclasses.asdict(self.residual),
            "tweedie_loss": {name: dataclasses.asdict(curve) for name, curve in self.losses.items()},
            "seed_sensitivity": {
                **dataclasses.asdict(self.spread),
                "total": self.spread.total,
                "sigma_data": self.sigma_data,
            },
        }

    def page(self) -> str:
        """One page of HTML with the curves and their numbers, that needs nothing else."""
        squares = [
            sigma**2 for sigma in self.residual.sigma
        ]  # every error vanishes with sigma: only in this unit do all levels show
        relative = Series(
            "divided by sigma^2; 0 is right",
            self.residual.sigma,
            [mean / square for mean, square in zip(self.residual.mean, squares, strict=True)],
            [error / square for error, square in zip(self.residual.error, squares, strict=True)],
        )
        losses = [
            Series(name, c.sigma, c.mean, c.error, place, place) for place, (name, c) in enumerate(self.losses.items())
        ]
        restored = [
            ("across seeds", self.spread.within),
            ("across observations", self.spread.across),
            ("together", self.spread.total),
            ("of the clean data (sigma_data)", self.sigma_data),
        ]
        return figures_page(
            f"{self.run}, step {self.step}: measured without clean data",
            [
                curves(
                    "Consistency residual over sigma^2, +- 2 standard errors",
                    [relative],
                    "sigma",
                    "residual",
                    log_x=True,
                ),
                curves("Tweedie loss, +- 2 standard errors", losses, "sigma", "loss", log_x=True, log_y=True),
                bars("Std of restored rows, per pixel", restored),
            ],
            said=[
                f"{self.rows[0].upper()}{self.rows[1:]}.",
                f"Consistency residual, by sampler {self.sampler['name']!r}: by how much the denoiser contradicts "
                "itself from one level to a "
                f"lower one, on {self.residual.n} rows; 0 for an exact denoiser, and beyond 3 standard errors more "
                "than chance.",
                "Tweedie loss: its least value is not 0, and is not known. It is for comparing two denoisers, or "
                "rows that the run has seen "
                "with others.",
                f"Restored rows: {self.spread.observations} observations, {self.spread.seeds} seeds each. The two "
                "kinds of spread together should "
                "be that of the clean data; no spread across seeds says that the samples have collapsed.",
            ],
            footer=f"Seed {self.seed}.",
        )


def measure_run(
    trained: Trained | str | Path,
    *,
    data: DataLike | None = None,
    sigma_n: Any = None,
    rows: int = 256,
    seed: int = 0,
    device: str | torch.device = "auto",
    registry: Registry | None = None,
) -> RunMeasurements:
    """Measure a trained denoiser by its own consistency, on up to `rows` noisy rows; nothing is written.

    trained: a run that is loaded, or its path, which is loaded onto `device`. data: rows that it has not seen, as
    `train` takes them, and sigma_n their level; without, the rows that it held out where these are 16 or more, and
    otherwise those that it trained on. The same seed gives the same numbers. Raises InputError where the rows are
    clean, do not fit, or are those that the run was trained on.
    """
    check_seed(seed)
    registry = registry or load()
    if rows < 2:
        raise InputError(f"--rows {rows}: should be 2 or more")
    if data is None and sigma_n is not None:
        raise InputError("--sigma-n declares the noise of --data: give that too")
    called = str(trained.called if isinstance(trained, Trained) else trained)
    if not isinstance(trained, Trained):
        trained = load_run(Path(trained), registry, device_of(device))
    config, place = trained.config, trained.device
    if why := why_no_samples(config.corruption, trained.signal, trained.maps):
        raise InputError(
            f"{called}: {why}; the consistency residual and the spread of restored rows rest on the same reverse "
            "process. Restore rows by `ambientkit sample RUN --from ROWS`, and evaluate those"
        )
    levels, sampler = config.levels.as_levels(), kernel_sampler(config)
    own, held_out = _own_rows(trained, rows, place, needed=data is None)
    corruption, of = config.corruption, f"{config.data.name} that the run held out"
    if data is not None:
        what = f"--data {data if isinstance(data, str | Path) else type(data).__name__}"
        part, corruption = with_noise(data, sigma_n, config.corruption, registry)
        if part == config.data or all(
            says_the_same(*pair, but=NOISE) for pair in ((part, config.data), (config.data, part))
        ):
            raise InputError(
                f"{what}: the run was trained on these rows; give others, or leave --data out for those that it held "
                "out itself"
            )
        fresh = derive_seed(config.seed, "verify.held-out")  # not the noise that the run's rows of these numbers have
        unseen = some_rows(observed(part.rows(), corruption, fresh), rows, place)
        held_out, of = noisy_rows(unseen, corruption, levels), f"{part.name} that the run has not seen"
        if tuple(held_out.x_n.shape[1:]) != trained.signal.shape:
            raise InputError(
                f"{what}: rows of shape {tuple(held_out.x_n.shape[1:])}, but the run has {trained.signal.shape}"
            )
    judged = own if held_out is None else held_out
    assert judged is not None
    residual = consistency_residual(trained.denoiser, judged, corruption, sampler, levels, seed=seed)
    losses = {} if own is None else {OWN: tweedie_loss(trained.denoiser, own, config.corruption, levels, seed=seed)}
    if held_out is not None:
        losses[HELD_OUT] = tweedie_loss(trained.denoiser, held_out, corruption, levels, seed=seed)
    few = take(judged, torch.arange(min(RESTORED, len(judged.x_n)), device=judged.x_n.device))
    spread = seed_sensitivity(trained.denoiser, few, corruption, sampler, levels, seed=seed)
    said = _said(config, own, of, held_out)
    return RunMeasurements(
        called, trained.step, said, seed, spec_of(sampler), residual, losses, spread, trained.signal.sigma_data
    )


def kernel_sampler(config: RunConfig) -> Sampler:
    """The run's own sampler if it draws from the reverse kernel, otherwise `ancestral`."""
    return config.sampler if "reverse-kernel" in config.sampler.claims else Ancestral()


def some_rows(observations: Observed, rows: int, device: str | torch.device) -> Batch:
    """Up to `rows` evenly spaced observations, of one shape, on the device."""
    alike = of_one_shape(observations)
    return alike.__getitems__(evenly(len(alike), rows)).to(device)


def _own_rows(trained: Trained, rows: int, device: torch.device, needed: bool) -> tuple[Batch | None, Batch | None]:
    """Noisy rows that the run trained on, and rows that it held out; None where they cannot be read, or are others by
    now, and are not needed, and where too few were held out."""
    corruption, levels = trained.config.corruption, trained.config.levels.as_levels()
    try:
        seen, unseen = trained.observed()
    except InputError as error:
        if needed:
            raise
        note(f"nothing is compared with the rows of the run: {error}")
        return None, None
    own = noisy_rows(some_rows(seen, rows, device), corruption, levels)
    if not needed or unseen is None or len(unseen) < FEWEST:
        return own, None
    return own, noisy_rows(some_rows(unseen, rows, device), corruption, levels)


def _said(config: RunConfig, own: Batch | None, of: str, held_out: Batch | None) -> str:
    if held_out is None:
        assert own is not None
        return (
            f"measured on {len(own.x_n)} noisy rows of {config.data.name}, all of which the run trained on: a network "
            "that has memorised its rows looks better than it is (give others with --data)"
        )
    beside = "" if own is None else f", beside {len(own.x_n)} that it trained on"
    return f"measured on {len(held_out.x_n)} rows of {of}{beside}"
