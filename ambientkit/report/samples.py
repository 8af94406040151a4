"""Samples of a run for its report, always from the same seed, and rows as pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ambientkit.data import Observed
from ambientkit.interfaces import Denoiser, Levels, Sampler
from ambientkit.report.content import Picture, RunReport
from ambientkit.report.run import ReportedRun
from ambientkit.sample import draw_all, step_grid
from ambientkit.sample.partial import under_masks
from ambientkit.sample.picture import grid, png
from ambientkit.sample.suited import restores_alone, why_no_samples

SAMPLES, POINTS = 64, 2000
"""Samples where no number is given: of pictures and other rows, and of points of the plane, which are drawn as a
map."""
SHOWN = 64
"""Rows of a picture at most, unless they are points of the plane."""


@dataclass(frozen=True, slots=True)
class SampleDrawer:
    """Draws samples of a run, always from the same seed."""

    run: ReportedRun
    sampler: Sampler
    rows: Observed | None
    """The noisy rows that it was trained on, which give the conditions; None where they cannot be read."""
    n: int | None
    steps: int
    seed: int
    batch_size: int
    progress: bool

    @property
    def number(self) -> int:
        """Samples of each kind."""
        return self.n or (
            POINTS if len(self.run.trained.signal.shape) == 1 and not self.run.trained.latents else SAMPLES
        )

    @property
    def decode(self) -> Callable[[Tensor], Tensor | None] | None:
        """How rows become pictures, where they are latents; no picture where their data set cannot be opened."""
        if not self.run.trained.latents:
            return None
        return (lambda rows: None) if self.rows is None else self.rows.decode

    def draw(self, denoiser: Denoiser, n: int, lowest: float | None = None) -> Tensor | None:
        """n samples (n, *S), by steps down to `lowest` (the run's sigma_min) and a last denoising; values may be not
        finite.

        Of a run on rows seen in part they are drawn under masks of their own, as `sample` does. None where the
        conditions that the network needs are not known, and where the run draws no samples. Fewer than n where the data
        have fewer conditions.
        """
        trained = self.run.trained
        if restores_alone(trained):
            return None
        corruption, cond = trained.config.corruption, {}
        if names := set(trained.signal.conds) - corruption.carries:
            if self.rows is None:
                return None
            n = min(n, len(self.rows))
            cond = {name: value for name, value in self.rows.__getitems__(list(range(n))).cond.items() if name in names}
        levels = trained.config.levels.as_levels()
        denoiser, masks = under_masks(denoiser, corruption, trained.signal, levels, range(n), 1, self.seed)
        return draw_all(
            denoiser,
            self.sampler,
            trained.signal.shape,
            n,
            sigmas=step_grid(self.steps, levels if lowest is None else Levels(lowest, levels.sigma_max)),
            seed=self.seed,
            batch_size=self.batch_size,
            device=self.run.device,
            cond={**cond, **masks},
            progress=self.progress,
            refuse=False,
        )


def draw_samples(drawer: SampleDrawer, report: RunReport) -> tuple[Tensor | None, Tensor | None]:
    """Add pictures of what was given and of both kinds of samples; (full, truncated), None where one cannot be
    drawn."""
    run, trained = drawer.run, drawer.run.trained
    points = len(trained.signal.shape) == 1 and not trained.latents
    full = drawer.draw(trained.denoiser, drawer.number)
    truncated = None
    if full is None:
        why = why_no_samples(trained.config.corruption, trained.signal, trained.maps)
        report.note(
            "samples",
            f"{why[0].upper()}{why[1:]}: rows are restored alone."
            if why
            else "The model takes conditions from the data's rows, which cannot be read: nothing can be drawn.",
        )
    elif trained.sigma_n is None or trained.sigma_n[1] == 0:
        known = (
            "the data are clean"
            if trained.sigma_n
            else "an early version wrote this run, without the noise level of its data"
        )
        report.note("samples", f"No truncated samples: {known}.")
    else:
        truncated = drawer.draw(trained.denoiser, drawer.number, trained.sigma_n[1])
    kinds = [
        ("Truncated samples", truncated, f"stopped at sigma_n = {trained.sigma_n[1]:.4g}" if trained.sigma_n else "")
    ]
    kinds.append(("Full samples", full, f"{drawer.steps} steps of {drawer.sampler.name}, seed {drawer.seed}"))
    if drawer.rows is not None:
        given = drawer.rows.__getitems__(list(range(min(len(drawer.rows), drawer.number)))).x_n
        shown = len(given) if points else min(len(given), SHOWN)
        kinds.insert(0, ("Noisy rows", given, f"the first {shown} that the run was given"))
    for title, values, note in kinds:
        if values is None:
            continue
        if not bool(values.isfinite().all()):
            report.note(
                "samples", f"{title} are not finite: the run has diverged, or {drawer.steps} steps are too few."
            )
        elif (
            picture := picture_of(title, values if points else values[:SHOWN], run.name, note, decode=drawer.decode)
        ) is not None:
            report.pictures.append(picture)
    if not report.pictures:
        report.note("samples", "Rows of this shape have no picture: they are neither images nor points of a plane.")
    finite = [None if x is None or not bool(x.isfinite().all()) else x for x in (full, truncated)]
    return finite[0], finite[1]


def picture_of(
    title: str,
    values: Tensor,
    name: str,
    note: str = "",
    columns: int | None = None,
    labels: Sequence[str] | None = None,
    decode: Callable[[Tensor], Tensor | None] | None = None,
) -> Picture | None:
    """Rows (n, *S) as one picture with its text; None for rows without a picture. name: of the run; labels: n, one
    below each row."""
    image = grid(values, columns, labels=labels, decode=decode, paper=False)
    if image is None:
        return None
    what = "points of the plane as a map of their density" if values.ndim == 2 and decode is None else "images"
    alt = (
        f"{title} of {name}: {len(values)} {what}; values {float(values.min()):.3g} to {float(values.max()):.3g}, "
        f"mean {float(values.mean()):.3g}, std {float(values.std()):.3g}"
    )
    return Picture(title, png(image), alt, image.size, note)
