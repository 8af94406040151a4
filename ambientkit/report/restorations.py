"""Rows of the data restored for a report: the noisy rows, the posterior mean, and how sure it is, in the units of the
files."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ambientkit.data import Observed
from ambientkit.errors import InputError
from ambientkit.interfaces import Sampler
from ambientkit.maths.randomness import keyed_generator
from ambientkit.registry import Registry
from ambientkit.report.content import Picture, Restorations, RunReport
from ambientkit.report.run import ReportedRun
from ambientkit.sample.own_units import OwnUnits
from ambientkit.sample.picture import grid, png
from ambientkit.sample.restore import restore
from ambientkit.sample.suited import by_operator

ROWS, DRAWS, STEPS = 6, 4, 12
"""Rows restored, draws of each, and steps of a draw at most."""


def add_restorations(
    run: ReportedRun, rows: Observed | None, registry: Registry, report: RunReport, *, steps: int, seed: int
) -> None:
    """Add noisy rows, their posterior means and the spread of draws; a note where there is nothing to restore. Rows
    measured through an operator are shown carried back, A^T y, with their means alone."""
    trained = run.trained
    conditions = set(trained.signal.conds) - trained.config.corruption.carries
    if rows is None or trained.latents or len(trained.signal.shape) != 3 or conditions:
        return
    corruption, noise = trained.config.corruption, 0.0 if trained.sigma_n is None else trained.sigma_n[1]
    if noise == 0 and not corruption.carries:
        report.note("restored", "The data are clean: there is nothing to restore.")
        return
    measured = by_operator(corruption)
    places = np.unique(np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).round().astype(int)).tolist()
    batch = rows.__getitems__(places).to(torch.device(run.device))
    try:
        found = restore(
            trained.denoiser,
            batch,
            corruption,
            registry.build(Sampler, "stochastic-heun"),
            trained.config.levels.as_levels(),
            draws=0 if measured else DRAWS,
            steps=min(steps, STEPS),
            seed=seed,
        )
    except InputError as error:
        report.note("restored", f"Not restored: {error}")
        return
    if not bool(found.mean.isfinite().all() and found.draws.isfinite().all()):
        report.note("restored", "Restored rows are not finite: the run has diverged.")
        return
    units = OwnUnits.of(rows.rows)
    given = batch.x_n
    if measured:
        level = corruption.floor(batch).clamp(min=trained.config.levels.sigma_min)
        given = corruption.show(batch, level, keyed_generator(seed, "report.view")).x
    noisy, mean = units.values(given.cpu()), units.values(found.mean.cpu())
    low, high = (float(v) for v in np.quantile(noisy, [0.005, 0.995]))
    kinds = [
        ("Given", noisy, low, high, "rows as they were measured, carried back" if measured else "noisy rows"),
        ("Restored", mean, low, high, "posterior mean"),
    ]
    most = spread = None
    if measured:
        report.note("restored", "Rows measured through an operator have a mean alone: how sure it is, is not known.")
    else:
        n, k = found.draws.shape[:2]
        std = units.values(found.draws.cpu().flatten(0, 1)).reshape(n, k, *mean.shape[1:]).std(1, ddof=1)
        most = float(np.quantile(std, 0.999)) or 1.0
        kinds.append(("Uncertainty", std, 0.0, most, f"std of {DRAWS} draws"))
        spread = float(torch.sqrt(found.draws.var(1).mean())) / noise if noise else None
    pictures = [_picture(title, values, report.name, bounds, note) for title, values, *bounds, note in kinds]
    unit = "file units" if units.mapping is not None else "units of [-1, 1]"
    report.restored = Restorations(
        [one for one in pictures if one is not None],
        (low, high),
        None if most is None else (0.0, most),
        unit,
        spread,
        found.mean.cpu(),
    )


def _picture(title: str, values: NDArray[np.floating], name: str, bounds: list[float], note: str) -> Picture | None:
    low, high = bounds
    unit = torch.from_numpy(np.asarray((values - low) / max(high - low, 1e-30) * 2 - 1, np.float32))
    image = grid(unit, columns=3, scale=max(1, round(96 / max(values.shape[-2:]))), paper=False)
    if image is None:
        return None
    alt = (
        f"{title} of {name}: {len(values)} images, {note}; values {values.min():.4g} to {values.max():.4g}, black "
        f"{low:.4g}, white {high:.4g}"
    )
    return Picture(title, png(image), alt, image.size, note)
