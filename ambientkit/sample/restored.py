"""Clean rows that may lie under the noise of given rows: draws, their spread and the posterior mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ambientkit.batch import Batch, take
from ambientkit.config.datapath import DataLike
from ambientkit.errors import InputError
from ambientkit.maths.tiles import Tiling
from ambientkit.messages import note, warn
from ambientkit.registry import Registry, load
from ambientkit.rows import evenly
from ambientkit.sample.batches import Batches
from ambientkit.sample.conditions import (
    ClassLike,
    Conds,
    CondsLike,
    PromptLike,
    Prompts,
    class_text,
    cond_texts,
    conditions,
    prompts_of,
)
from ambientkit.sample.draw import check_finite
from ambientkit.sample.files import check_counts
from ambientkit.sample.load import Trained
from ambientkit.sample.missing import COMPARED, Filling, choose_filling, filled_rows
from ambientkit.sample.noisy import Noisy, noisy_rows
from ambientkit.sample.restore import ROUNDING, Restored, restore
from ambientkit.sample.settings import Course, LevelLike, SamplerLike, course_of
from ambientkit.sample.silent import few_missing, silent_pixels, without_silent
from ambientkit.sample.stop_level import AUTO, JUDGED, StopLevel, choose, reference_rows
from ambientkit.sample.store import pieces_of
from ambientkit.sample.suited import by_operator, draws_of
from ambientkit.sample.taken_away import TakenAway
from ambientkit.sample.tiled import TiledDenoiser, overlaps, pictures_at_a_time
from ambientkit.seeds import check_seed

STEPS, STEPS_OF_PARTICLES = 16, 32
"""Steps of a draw, which begins at the row's own noise; and where particles begin at sigma_max."""


@dataclass(frozen=True, slots=True)
class Restoring:
    """Restores pieces of noisy rows with a run."""

    trained: Trained
    noisy: Noisy
    course: Course
    conds: Conds
    n: int
    draws: int
    seed: int
    device: torch.device
    batches: Batches
    prompts: Prompts
    overlap: tuple[int, ...] = ()
    """Pixels that neighbouring tiles share along each axis; empty where rows are of the shape trained on."""
    particles: int = 0
    """Of each draw of missing values; 0: they are means given the drawn ones."""
    filling: Filling | None = None
    """Which estimate stands for missing values of the means; None: the network's own, without a choice."""
    silent: Sequence[tuple[int, int]] = ()
    """(line, column) of pixels that hold nothing in any row."""

    @property
    def size(self) -> int:
        """Rows of a piece, so that it is a batch of draws."""
        return pieces_of(self.n, max(1, self.batches.size // max(1, self.draws)))

    def settled(self, stored: Mapping[str, Any] | None = None) -> Restoring:
        """The same with the level chosen to stop at, where nobody gave it. stored: a choice made before, as a manifest
        holds it."""
        if not self.course.is_open:
            return self
        if self.noisy.corruption.carries:
            raise InputError(
                "--sigma-min auto: rows seen in part say nothing of the energy of detail; give a level, or leave it out"
            )
        if self.draws == 0:
            raise InputError("--sigma-min auto: nothing is drawn with --draws 0, so there is no level to choose")
        stop = self.stop_level() if stored is None else StopLevel.from_dict(stored)
        return replace(self, course=self.course.stopped(self.trained, stop))

    def stop_level(self) -> StopLevel:
        """The level at which the energy of detail of restored rows, one draw of each, fits the noisy rows best.

        Raises InputError where the rows have no energies of detail.
        """
        sigma_min = self.trained.config.levels.sigma_min
        whole, places = reference_rows(self.noisy.observations, sigma_min)
        every = range(0, len(places), math.ceil(len(places) / JUDGED))
        batch = self.carried(take(whole, torch.tensor(every)), [places[index] for index in every])

        def judged(level: float) -> Tensor:
            found = restore(
                self.trained.denoiser,
                batch,
                self.noisy.corruption,
                self.course.sampler,
                self.trained.config.levels.as_levels(),
                draws=1,
                steps=self.course.steps,
                schedule=self.course.schedule,
                sigma_min=level,
                seed=self.seed,
                batch_size=self.batches,
                guidance=self.course.guidance,
                null=self.course.null(self.trained, batch.cond),
            )
            check_finite(found.draws, self.course.sampler, self.course.steps, f"{self.trained.called}: the samples")
            return found.draws[:, 0].cpu()

        return choose(whole, sigma_min, judged, self.seed)

    def piece(self, rows: range) -> tuple[Batch, Restored]:
        """The rows of these numbers, as they are and restored, on the device. Raises InputError where either is not
        finite."""
        batch = self.batch(rows)
        found = restore(
            self.trained.denoiser,
            batch,
            self.noisy.corruption,
            self.course.sampler,
            self.trained.config.levels.as_levels(),
            draws=self.draws,
            steps=self.course.steps,
            schedule=self.course.schedule,
            sigma_min=self.course.sigma_min,
            seed=self.seed,
            batch_size=self.batches,
            guidance=self.course.guidance,
            null=self.course.null(self.trained, batch.cond),
            particles=self.particles,
        )
        for values in (found.mean, found.draws):
            check_finite(values, self.course.sampler, self.course.steps, f"{self.trained.called}: the samples")
        if self.filling is not None and self.filling.neighbours:
            found = found._replace(mean=filled_rows(found.mean, batch.cond["mask"].bool()))
        if self.silent:
            found = without_silent(found, self.silent)
        known = self.noisy.fresh
        fresh = None if known is None else torch.tensor([place in known for place in rows], device=found.mean.device)
        return batch, found._replace(fresh=fresh)

    def chosen_filling(self) -> Filling | None:
        """The estimate of missing values that suits these rows, by some of all of them, whichever are restored."""
        places = evenly(self.noisy.seen.rows, COMPARED)
        batch = self.carried(self.noisy.rows(places), places)
        sigma_min = self.trained.config.levels.sigma_min
        return choose_filling(self.trained.denoiser, batch, self.noisy.corruption, sigma_min, self.seed, self.batches)

    def batch(self, rows: range) -> Batch:
        """The rows on the device, with the conditions that the model takes."""
        return self.carried(self.noisy.rows(rows), rows)

    def carried(self, batch: Batch, places: Sequence[int]) -> Batch:
        """The rows of these places on the device, with the conditions that the model takes."""
        kept = self.trained.signal.conds.keys() | self.noisy.corruption.carries
        cond = {key: value for key, value in batch.cond.items() if key in kept} | self.conds(places)
        return Batch(batch.x_n, batch.sigma_n, batch.row, cond).to(self.device)


def restoring(
    trained: Trained,
    noisy: DataLike,
    registry: Registry,
    *,
    sigma_n: Any,
    n: int | None,
    draws: int | None,
    classes: str | None,
    conds: tuple[str, ...],
    prompt: PromptLike,
    negative_prompt: str | None,
    guidance: float,
    seed: int,
    device: torch.device,
    batch_size: int,
    tile_overlap: int | None = None,
    stored: Mapping[str, Any] | None = None,
    particles: int | None = None,
    steps: int | None = None,
    **way: Any,
) -> Restoring:
    """The work, after every check. particles: by default 1 where few values are missing, else 0. steps: by default
    `STEPS`, with particles that were asked for `STEPS_OF_PARTICLES`. way: the other settings of `course_of`. stored:
    the level to stop at, chosen before. Raises InputError where the rows or the settings do not suit the run."""
    check_seed(seed)
    steps = steps_of(steps, particles or 0)
    draws = draws_of(draws, trained.config.corruption)
    course = course_of(trained, registry, guidance=guidance, restoring=True, draws=draws, steps=steps, **way)
    prompts = prompts_of(trained, prompt, negative_prompt, guidance)
    course = replace(course, against=prompts.against)
    rows = noisy_rows(noisy, sigma_n, trained, registry)
    if n is not None and n > rows.seen.rows:
        raise InputError(f"--n {n}: {rows.what.removeprefix('--from ')} has {rows.seen.rows:,} rows")
    at = conditions(trained, classes, conds, tuple(rows.seen.signal.conds), prompts)
    n = n or rows.seen.rows
    few = few_missing(rows)
    if particles is None:
        particles = int(few and draws > 0)
    work = Restoring(
        trained, rows, course, at, n, draws, seed, device, Batches(batch_size), prompts, particles=particles
    )
    if particles < 0 or (particles and rows.corruption.carries != {"mask"}):
        raise InputError(
            f"--particles {particles}: draws values that are missing under a mask; the corruption of these rows is "
            f"{rows.corruption.name!r}"
        )
    if "mask" in rows.corruption.carries and "mask" not in rows.rows([0]).cond:
        note(f"{rows.what}: the rows bring no mask, and all their values count as measured")
    elif draws and particles == 0 and "mask" in rows.corruption.carries:
        note(
            "a missing value is its mean given the drawn ones, so that its spread is far too small: --particles draws "
            "it too"
        )
    elif particles == 1:
        note(
            "one particle draws missing values with the right spread, around a centre that leans to what is likely "
            "without the row (by up to 0.7 stds in docs/masks.md): take the mean as the estimate; --particles 16 "
            "draws around the right centre, at 16 times the calls"
        )
    if silent := silent_pixels(rows):
        note(
            f"{len(silent)} pixels hold nothing in any row (dead), so that no network can learn what is there: "
            "restored rows have the mean of their neighbours there, and its spread says nothing of how far it is wrong"
        )
    work = in_tiles(replace(work, silent=silent), tile_overlap)
    if few and len(rows.seen.signal.shape) == 3:
        work = replace(work, filling=work.chosen_filling())
        if work.filling is not None:
            note(work.filling.told())
    if course.guidance != 1:
        course.null(trained, work.batch(range(1)).cond)  # a refusal comes now
    if course.is_open:
        return work.settled(stored)
    if draws and not rows.corruption.carries and course.sigma_min * (1 + ROUNDING) >= rows.seen.sigma_n[0]:
        note(
            f"rows whose noise is at or below --sigma-min {course.sigma_min_text} are not drawn for: their draws "
            "are the posterior mean, their "
            "spread is 0"
        )
    return work


def steps_of(steps: int | None, particles: int) -> int:
    """Steps of a draw, as they were asked for or by default."""
    return (STEPS_OF_PARTICLES if particles else STEPS) if steps is None else steps


def in_tiles(work: Restoring, overlap: int | None) -> Restoring:
    """The same work, in tiles where the rows are larger than those trained on; a note says so. Raises InputError where
    they cannot be cut, or an overlap is given for nothing."""
    shape, trained = work.noisy.seen.signal.shape, work.trained
    if shape == trained.signal.shape:
        if overlap is not None:
            raise InputError(f"--tile-overlap {overlap}: these rows have the shape trained on, {shape}: no tiles")
        return work
    if by_operator(work.noisy.corruption):
        raise InputError(
            f"{work.noisy.what}: rows of shape {shape} measured through an operator cannot be cut into tiles"
        )
    shared = overlaps(shape, trained.signal.shape, overlap)
    batches = Batches(work.batches.size)
    tiled = TiledDenoiser(trained.denoiser, trained.signal.shape[1:], shared, batches)
    calls = len(Tiling(shape[1:], trained.signal.shape[1:], shared))
    note(
        f"{work.noisy.what}: rows of shape {shape} are restored in {calls:,} tiles of the shape trained on, "
        f"{trained.signal.shape}, which overlap by {' and '.join(map(str, dict.fromkeys(shared)))} pixels and are "
        "blended"
    )
    carried = Batches(pictures_at_a_time(work.batches.size, shape, trained.signal.shape))
    return replace(work, trained=replace(trained, denoiser=tiled), batches=carried, overlap=shared)


def restore_rows(
    trained: Trained,
    noisy: DataLike,
    *,
    sigma_n: Any = None,
    n: int | None = None,
    draws: int | None = None,
    particles: int | None = None,
    steps: int | None = None,
    sampler: SamplerLike = "stochastic-heun",
    schedule: str = "cosine",
    sigma_min: LevelLike = None,
    seed: int = 0,
    classes: ClassLike = None,
    conds: CondsLike = None,
    prompt: PromptLike = None,
    negative_prompt: str | None = None,
    guidance: float = 1.0,
    batch_size: int = 64,
    tile_overlap: int | None = None,
    progress: bool = False,
    registry: Registry | None = None,
) -> Restored:
    """Restore noisy rows: posterior mean, `draws` draws from p(x_0 | x_n) of each, and their spread; data units, on the
    CPU.

    noisy: a name, a path, a part, an array, a tensor or a torch `Dataset`; sigma_n: their noise std in units of [-1,
    1], where they do not say it themselves. n: the first rows alone. particles: points by which missing values are
    drawn; by default 1 where a tenth of the values or less are missing, else 0, their mean given the drawn ones. steps:
    16 by default, 32 with particles that are given. Rows larger than those trained on are restored in tiles that share
    tile_overlap pixels (half a tile by default) and are blended. Draw k of row i is a function of (seed, i, k), and the
    same to the bit as `restore_to_files` writes. Raises InputError where rows or settings do not suit the run.
    """
    registry = registry or load()
    check_counts(n=n, batch_size=batch_size)
    work = restoring(
        trained,
        noisy,
        registry,
        sigma_n=sigma_n,
        n=n,
        draws=draws,
        particles=particles,
        sampler=sampler,
        schedule=schedule,
        steps=steps,
        sigma_min=sigma_min,
        guidance=guidance,
        classes=class_text(classes),
        conds=cond_texts(conds),
        prompt=prompt,
        negative_prompt=negative_prompt,
        seed=seed,
        device=trained.device,
        batch_size=batch_size,
        tile_overlap=tile_overlap,
    )
    parts: list[Restored] = []
    taken = TakenAway()
    size = work.size
    with tqdm(total=work.n, unit="row", desc="restoring", leave=False, disable=not progress) as bar:
        for first in range(0, work.n, size):
            rows = range(first, min(first + size, work.n))
            batch, found = work.piece(rows)
            taken = taken if work.noisy.corruption.carries else taken.with_(TakenAway.of(batch, found))
            parts.append(_on_cpu(found))
            bar.update(len(rows))
    if untouched := taken.told():
        warn(untouched)
    joined = [
        None if any(value is None for value in values) else torch.cat(values) for values in zip(*parts, strict=True)
    ]
    return Restored(*joined)  # type: ignore[arg-type]


def restored_stop_level(
    trained: Trained,
    noisy: DataLike,
    *,
    sigma_n: Any = None,
    steps: int | None = None,
    sampler: SamplerLike = "stochastic-heun",
    schedule: str = "cosine",
    seed: int = 0,
    classes: ClassLike = None,
    conds: CondsLike = None,
    prompt: PromptLike = None,
    negative_prompt: str | None = None,
    guidance: float = 1.0,
    batch_size: int = 64,
    registry: Registry | None = None,
) -> StopLevel:
    """The level at which `restore_rows(sigma_min="auto")` stops, with what speaks for it: energies of detail at all
    levels that were tried. The other arguments are as there."""
    registry = registry or load()
    work = restoring(
        trained,
        noisy,
        registry,
        sigma_n=sigma_n,
        n=None,
        draws=1,
        sampler=sampler,
        schedule=schedule,
        steps=steps,
        sigma_min=AUTO,
        guidance=guidance,
        classes=class_text(classes),
        conds=cond_texts(conds),
        prompt=prompt,
        negative_prompt=negative_prompt,
        seed=seed,
        device=trained.device,
        batch_size=batch_size,
    )
    assert work.course.stop is not None
    return work.course.stop


def _on_cpu(found: Restored) -> Restored:
    return Restored(*(value.cpu() if isinstance(value, Tensor) else value for value in found))  # type: ignore[arg-type]
