"""Samples of the clean distribution, drawn from noise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ambientkit.errors import InputError
from ambientkit.registry import Registry, load
from ambientkit.sample.batches import Batches
from ambientkit.sample.conditions import ClassLike, Conds, CondsLike, class_text, cond_texts, conditions
from ambientkit.sample.draw import draw_all
from ambientkit.sample.load import Trained
from ambientkit.sample.settings import Course, LevelLike, SamplerLike, course_of, known_word
from ambientkit.sample.store import pieces_of


@dataclass(frozen=True, slots=True)
class Drawing:
    """Draws pieces of the samples of a run."""

    trained: Trained
    course: Course
    conds: Conds
    seed: int
    device: torch.device
    batches: Batches
    sigmas: Tensor = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigmas", self.course.grid())

    def piece(self, rows: range) -> Tensor:
        """The samples of these numbers, (len(rows), *S), data units, on the CPU. Raises InputError where they are not
        finite."""
        cond = self.conds(rows)
        return draw_all(
            self.trained.denoiser,
            self.course.sampler,
            self.trained.signal.shape,
            len(rows),
            sigmas=self.sigmas,
            seed=self.seed,
            batch_size=self.batches,
            device=self.device,
            first=rows.start,
            cond=cond,
            guidance=self.course.guidance,
            null=self.course.null(self.trained, cond),
            what=f"{self.trained.called}: the samples",
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
    guidance: float = 1.0,
    batch_size: int = 64,
    units: Literal["unit", "data"] = "unit",
    progress: bool = False,
    registry: Registry | None = None,
) -> Tensor:
    """Samples of the clean distribution, on the CPU; those that `draw_to_files` writes, to the bit.

    Sample i is a function of (seed, i). units: "unit" gives (n, *S) in [-1, 1], not clipped; "data" the values and axes
    of the files that the run was trained on. sigma_min: the level to stop at, "sigma-n" for that of the data. classes,
    conds: of a conditional model; several classes are taken in turn. guidance: the weight of the conditions, 1 for none
    (`ambientkit.sample.guidance`). Raises InputError for settings that do not suit the run, and for samples that are
    not finite.
    """
    registry = registry or load()
    known_word("units", units, ["unit", "data"])
    if n < 1 or batch_size < 1:
        raise InputError(f"n {n}, batch_size {batch_size}: both should be 1 or more")
    course = course_of(
        trained, registry, sampler=sampler, schedule=schedule, steps=steps, sigma_min=sigma_min, guidance=guidance
    )
    at = conditions(trained, class_text(classes), cond_texts(conds))
    drawing = Drawing(trained, course, at, seed, trained.device, Batches(batch_size))
    size, parts = pieces_of(n, batch_size), []
    with tqdm(total=n, unit="sample", desc="sampling", leave=False, disable=not progress) as bar:
        for first in range(0, n, size):
            parts.append(drawing.piece(range(first, min(first + size, n))))
            bar.update(len(parts[-1]))
    samples = torch.cat(parts)
    return samples if units == "unit" else torch.from_numpy(trained.units.laid_out(trained.units.values(samples)))
