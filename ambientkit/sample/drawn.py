"""Samples of the clean distribution, drawn from noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ambientkit.data import observed, of_one_shape
from ambientkit.errors import InputError
from ambientkit.registry import Registry, load
from ambientkit.sample.batches import Batches
from ambientkit.sample.conditions import (
    ClassLike,
    Conds,
    CondsLike,
    PromptLike,
    class_text,
    cond_texts,
    conditions,
    prompts_of,
)
from ambientkit.sample.draw import draw_all, warn_of_far
from ambientkit.sample.load import Trained
from ambientkit.sample.partial import under_masks
from ambientkit.sample.settings import Course, LevelLike, SamplerLike, course_of, known_word
from ambientkit.sample.stop_level import AUTO, JUDGED, StopLevel, choose, reference_rows
from ambientkit.sample.store import pieces_of
from ambientkit.sample.suited import refuse_no_samples
from ambientkit.seeds import check_seed


@dataclass(frozen=True, slots=True)
class Drawing:
    """Draws pieces of the samples of a run."""

    trained: Trained
    course: Course
    conds: Conds
    seed: int
    device: torch.device
    batches: Batches
    masks: int = 1
    """Masks that a denoiser of rows seen in part is asked under for each sample."""
    sigmas: Tensor = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigmas", self.course.grid())

    def settled(self, stored: Mapping[str, Any] | None = None) -> Drawing:
        """The same with the level chosen to stop at, where nobody gave it. stored: a choice made before, as a manifest
        holds it."""
        if not self.course.is_open:
            return self
        if self.trained.config.corruption.carries:
            raise InputError(
                "sigma_min auto: rows seen in part say nothing of the energy of detail; give a level, or leave it out"
            )
        stop = self.stop_level() if stored is None else StopLevel.from_dict(stored)
        return replace(self, course=self.course.stopped(self.trained, stop))

    def stop_level(self) -> StopLevel:
        """The level at which the energy of detail of samples fits the noisy rows of the run best.

        The samples are the first ones of this seed, under the conditions of the noisy rows. Raises InputError where the
        rows cannot be read, or have no energies of detail.
        """
        batch, _ = reference_rows(
            of_one_shape(
                observed(
                    self.trained.rows(),
                    self.trained.config.corruption,
                    self.trained.config.seed,
                    self.trained.config.augment,
                )
            ),
            self.trained.config.levels.sigma_min,
        )
        n = min(len(batch.x_n), JUDGED)
        cond = {name: batch.cond[name][:n] for name in self.trained.signal.conds}

        def judged(level: float) -> Tensor:
            return draw_all(
                self.trained.denoiser,
                self.course.sampler,
                self.trained.signal.shape,
                n,
                sigmas=self.course.at(level).grid(),
                seed=self.seed,
                batch_size=self.batches,
                device=self.device,
                cond=cond,
                guidance=self.course.guidance,
                null=self.course.null(self.trained, cond),
                what=f"{self.trained.called}: the samples",
            )

        return choose(batch, self.trained.config.levels.sigma_min, judged, self.seed)

    def piece(self, rows: range) -> Tensor:
        """The samples of these numbers, (len(rows), *S), data units, on the CPU; of a run on rows seen in part, under
        masks of their own. Raises InputError where they are not finite."""
        cond, config = self.conds(rows), self.trained.config
        denoiser, masks = under_masks(
            self.trained.denoiser,
            config.corruption,
            self.trained.signal,
            config.levels.as_levels(),
            rows,
            self.masks,
            self.seed,
        )
        return draw_all(
            denoiser,
            self.course.sampler,
            self.trained.signal.shape,
            len(rows),
            sigmas=self.sigmas,
            seed=self.seed,
            batch_size=self.batches,
            device=self.device,
            first=rows.start,
            cond={**cond, **masks},
            guidance=self.course.guidance,
            null=self.course.null(self.trained, cond),
            what=f"{self.trained.called}: the samples",
        )


def sampled_stop_level(
    trained: Trained,
    *,
    seed: int = 0,
    steps: int = 32,
    sampler: SamplerLike = "heun",
    schedule: str = "karras",
    guidance: float = 1.0,
    batch_size: int = 64,
    registry: Registry | None = None,
) -> StopLevel:
    """The level at which `sample_rows(sigma_min="auto")` stops, with what speaks for it: energies of detail at all
    levels that were tried. The other arguments are as there."""
    check_seed(seed)
    course = course_of(
        trained,
        registry or load(),
        sampler=sampler,
        schedule=schedule,
        steps=steps,
        sigma_min=AUTO,
        guidance=guidance,
    )
    drawing = Drawing(trained, course, lambda rows: {}, seed, trained.device, Batches(batch_size)).settled()
    assert drawing.course.stop is not None
    return drawing.course.stop


def check_masks(trained: Trained, masks: int) -> None:
    """Raise InputError for masks of a run on whole rows, and for a run that draws no samples."""
    refuse_no_samples(trained)
    if masks > 1 and not trained.config.corruption.carries:
        raise InputError(
            f"--masks {masks}: the run was trained on whole rows (corruption {trained.config.corruption.name!r}), and "
            "is asked under no mask; leave it out"
        )


def sample_rows(
    trained: Trained,
    n: int = 64,
    *,
    seed: int = 0,
    steps: int = 32,
    sampler: SamplerLike = "heun",
    schedule: str = "karras",
    sigma_min: LevelLike = None,
    classes: ClassLike = None,
    conds: CondsLike = None,
    prompt: PromptLike = None,
    negative_prompt: str | None = None,
    guidance: float = 1.0,
    masks: int = 1,
    batch_size: int = 64,
    units: Literal["unit", "data"] = "unit",
    progress: bool = False,
    registry: Registry | None = None,
) -> Tensor:
    """Samples of the clean distribution, on the CPU; those that `draw_to_files` writes, to the bit.

    Sample i is a function of (seed, i). units: "unit" gives (n, *S) in [-1, 1], not clipped; "data" the values and axes
    of the files that the run was trained on. sigma_min: the level to stop at, "sigma-n" for that of the data, "auto"
    for the one that `stop_level` chooses. classes, conds: of a conditional model; several classes are taken in turn.
    prompt, negative_prompt: texts, of a model that takes them; several prompts are taken in turn. guidance: the weight
    of the conditions, 1 for none (`ambientkit.sample.guidance`). masks: of a run on rows seen in part, how many masks
    each call averages over (`ambientkit.sample.partial`). Raises InputError for settings that do not suit the run, and
    for samples that are not finite.
    """
    check_seed(seed)
    registry = registry or load()
    check_masks(trained, masks)
    known_word("units", units, ["unit", "data"])
    for name, value in (("n", n), ("batch_size", batch_size), ("masks", masks)):
        if value < 1:
            raise InputError(f"{name} {value}: should be 1 or more")
    course = course_of(
        trained, registry, sampler=sampler, schedule=schedule, steps=steps, sigma_min=sigma_min, guidance=guidance
    )
    prompts = prompts_of(trained, prompt, negative_prompt, guidance)
    course = replace(course, against=prompts.against)
    at = conditions(trained, class_text(classes), cond_texts(conds), prompts=prompts)
    drawing = Drawing(trained, course, at, seed, trained.device, Batches(batch_size), masks).settled()
    size, parts = pieces_of(n, batch_size), []
    with tqdm(total=n, unit="sample", desc="sampling", leave=False, disable=not progress) as bar:
        for first in range(0, n, size):
            parts.append(drawing.piece(range(first, min(first + size, n))))
            bar.update(len(parts[-1]))
    samples = torch.cat(parts)
    if not trained.latents:
        warn_of_far(samples, f"{trained.called}: the samples")
    return samples if units == "unit" else torch.from_numpy(trained.units.laid_out(trained.units.values(samples)))
