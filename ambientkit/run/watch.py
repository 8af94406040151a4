"""Evaluations during training: the averaged weights on always the same rows, levels and noise, one line each in
evaluations.jsonl."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from typing import Any

import torch
from torch import Tensor

from ambientkit.batch import take
from ambientkit.config import RunConfig
from ambientkit.data import Observed, observed, of_one_shape, survey
from ambientkit.errors import InputError
from ambientkit.evaluation import Score, patch_distance, pixel_statistics_distance, proximal, sliced
from ambientkit.evaluation.document import finite
from ambientkit.evaluation.judge import pictures
from ambientkit.interfaces import Sampler
from ambientkit.maths.randomness import derive_seed, keyed_generator
from ambientkit.readers.scan import UnknownNoise
from ambientkit.registry import Registry
from ambientkit.rows import evenly
from ambientkit.sample import draw_all, step_grid
from ambientkit.training import Training
from ambientkit.verification.trained import tweedie_loss

STEPS = 18
"""Steps of the sampler."""
FEWEST = 8
"""Rows on each side of a distance."""
SEED = 0
"""Of levels, noise, samples and choices: the same in every run, so that runs can be compared."""


class Evaluation:
    """Measures a run on fixed rows, from fixed seeds. Everything random has generators of its own, so that training
    does not notice.

    Two measures, neither of which needs clean data: the Tweedie loss by level (`tweedie_mean`: the geometric mean, in
    which no level outweighs the others), and the distance of samples, made as noisy as the rows (proximal), to these
    rows. `floor` is the distance of further rows to them, which a perfect model would have.
    """

    def __init__(self, training: Training, registry: Registry) -> None:
        """Raises InputError where `evaluate_data` cannot be read, is what the run trains on, or does not fit it."""
        config = training.config
        self._training, self.held_out = training, config.evaluate_data is not None
        rows = _held_out(training) if self.held_out else training.observations
        rows = of_one_shape(rows)
        n = min(config.evaluate_n, len(rows) // 2)
        if n < FEWEST:
            raise InputError(f"{_key(config)}: {len(rows)} rows; an evaluation needs {2 * FEWEST} or more")
        chosen = evenly(len(rows), 2 * n)
        every = rows.__getitems__(chosen)
        even = torch.arange(0, 2 * n, 2)
        self._batch, others = take(every, even), take(every, even + 1)
        sampler = registry.build(Sampler, "heun")
        self._sampler = sampler
        self._floor = [score.value for score in self._distances(others.x_n)]

    def line(self) -> dict[str, Any]:
        """The measurement; where the answers of the denoiser are not finite, `error` says so instead."""
        training, began = self._training, time.monotonic()
        config = training.config
        about = {
            "step": training.step,
            "data": (config.evaluate_data or config.data).name,
            "held_out": self.held_out,
            "n": len(self._batch.x_n),
        }
        try:
            measured = self._measured()
        except (InputError, torch.OutOfMemoryError) as error:
            measured = {"error": " ".join(str(error).split())[:300]}
        return {**about, **measured, "seconds": round(time.monotonic() - began, 3), "time": time.time()}

    def _measured(self) -> dict[str, Any]:
        config = self._training.config
        levels, batch = config.levels.as_levels(), self._batch
        there = batch.to(self._training.accelerator.device)
        curve = tweedie_loss(self._training.teacher, there, config.corruption, levels, seed=SEED)
        noisy = proximal(self._samples(), batch.sigma_n, derive_seed(SEED, "evaluation.proximal"))
        scores = zip(self._distances(noisy), self._floor, strict=True)
        return {
            "tweedie": dataclasses.asdict(curve),
            "tweedie_mean": math.exp(
                sum(math.log(max(mean, sys.float_info.min)) for mean in curve.mean) / len(curve.mean)
            ),
            "scores": [
                {
                    "name": score.name,
                    "extractor": score.extractor or None,
                    "value": finite(score.value),
                    "floor": finite(floor),
                }
                for score, floor in scores
            ],
        }

    def _samples(self) -> Tensor:
        training, batch = self._training, self._batch
        return draw_all(
            training.teacher,
            self._sampler,
            training.signal.shape,
            len(batch.x_n),
            sigmas=step_grid(STEPS, training.config.levels.as_levels()),
            seed=SEED,
            device=training.accelerator.device,
            cond=batch.cond,
        )

    def _distances(self, x: Tensor) -> list[Score]:
        """Of rows (n, *S) to those of the evaluation, by measures that take less than a second, see noise and need no
        further package."""
        reference = self._batch.x_n
        if pictures(reference):
            found = patch_distance(reference, x, keyed_generator(SEED, "evaluation.patches"))
        else:
            found = sliced(
                reference.double().flatten(1),
                x.double().flatten(1),
                keyed_generator(SEED, "evaluation.sliced"),
                extractor="pixels",
            )
        return [found, pixel_statistics_distance(reference, x)]


def _held_out(training: Training) -> Observed:
    config = training.config
    assert config.evaluate_data is not None
    if config.evaluate_data == config.data:
        raise InputError(f"{_key(config)}: these are the rows that the run trains on; give others, or leave it out")
    try:
        rows = observed(
            config.evaluate_data.rows(), config.corruption, derive_seed(config.seed, "evaluation.rows"), config.augment
        )
    except UnknownNoise:
        raise InputError(
            f"{_key(config)}: nothing says how noisy these rows are; give --set evaluate_data.sigma_n=LEVEL"
        ) from None
    levels = config.levels.as_levels()
    seen = survey(of_one_shape(rows), config.corruption, levels, training.signal.sigma_data, restored=True)
    if seen.signal.shape != training.signal.shape or seen.signal.conds != training.signal.conds:
        found, own = (
            f"shape {s.shape}" + (f" and conditions {dict(s.conds)}" if s.conds else "")
            for s in (seen.signal, training.signal)
        )
        raise InputError(f"{_key(config)}: its rows have {found}, those trained on {own}")
    return rows


def _key(config: RunConfig) -> str:
    return f"evaluate_data {config.evaluate_data.name!r}" if config.evaluate_data is not None else "evaluate_every"
