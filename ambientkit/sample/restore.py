"""Restoration: clean rows that may lie under the noise of a given row. Draws from p(x_0 | x_n), their spread, and the
posterior
mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption, Denoiser, Levels, Sampler
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator
from ambientkit.sample.batches import Batches
from ambientkit.sample.draw import carry
from ambientkit.sample.guidance import guided
from ambientkit.sample.particles import particle_filter
from ambientkit.sample.schedule import levels as scheduled
from ambientkit.sample.suited import draws_of
from ambientkit.sample.uncertainty import RowError, Uncertainty, over_seen, stein
from ambientkit.seeds import check_seed

ROUNDING = 1e-6
"""Levels this near to one another, as a share, are one: 0.3 of a flag and 0.3 of a float32 file."""


class Restored(NamedTuple):
    """B restored rows, data units. K draws each."""

    mean: Tensor
    """(B, *S), the posterior mean D(x_n, sigma_n): one call of the denoiser, the estimate of least squared error, and
    smoother than any x_0."""
    draws: Tensor
    """(B, K, *S), draws from p(x_0 | x_n). Their mean differs from `mean` by chance, std / sqrt(K), and by the error of
    the steps."""
    std: Tensor | None
    """(B, *S), std over the draws (divided by K - 1): how uncertain each value is. None for fewer than two draws. The
    error of the steps makes it too small: by 1.4 % rms with `stochastic-heun` and 32 steps, 5 % with `ancestral` and 64
    (as many calls), on a mixture."""
    sigma: Tensor
    """(B,), the level restored from: that of the row, the largest of a row with noise per pixel, 0 for a row returned
    as it is."""
    topped_up: Tensor
    """(B,) bool: rows with noise per pixel, to which noise was added up to `sigma` first."""
    as_it_is: Tensor
    """(B,) bool: rows whose noise is 0, or below the levels that the denoiser was trained for; mean and draws are the
    row itself."""
    mse: Tensor | None = None
    """(B,) float64, the mean squared error of `mean` over measured values by Stein's estimate (`uncertainty.stein`);
    NaN for rows as they are, and those of which nothing was measured. None for fewer than two draws."""
    variance: Tensor | None = None
    """(B,) float64, the mean of std^2 over the same values: what the draws say of that error."""

    fresh: Tensor | None = None
    """(B,) bool: rows that the denoiser was not trained on; None where that is not known."""

    @property
    def uncertainty(self) -> Uncertainty | None:
        """Whether std is the error of `mean`, by all rows; None for too few of them."""
        if self.mse is None or self.variance is None:
            return None
        fresh = [True] * len(self.mean) if self.fresh is None else self.fresh.tolist()
        return Uncertainty.of(map(RowError, self.mse.tolist(), self.variance.tolist(), self.sigma.tolist(), fresh))

    def __repr__(self) -> str:
        return (
            f"Restored({len(self.mean)} rows of shape {tuple(self.mean.shape[1:])}, {self.draws.shape[1]} draws each)"
        )


@torch.no_grad()
def restore(
    denoiser: Denoiser,
    batch: Batch,
    corruption: Corruption,
    sampler: Sampler,
    levels: Levels,
    *,
    draws: int = 8,
    steps: int = 32,
    schedule: str = "cosine",
    sigma_min: float | None = None,
    seed: int = 0,
    batch_size: int | Batches = 64,
    guidance: float = 1.0,
    null: Mapping[str, Tensor] | None = None,
    particles: int = 0,
) -> Restored:
    """Restore rows: carry each from (x_n, its sigma_n) down the reverse process of the denoiser, `draws` times.

    x_t = x_n at sigma_t = sigma_n is the very start of the reverse process that unconditional sampling comes by from
    above, so what it ends in is a draw from p(x_0 | x_n). The grid is `steps` levels from sigma_n down to sigma_min (by
    default levels.sigma_min), then one call of the denoiser there. With sigma_min >= sigma_n nothing is drawn: all
    draws are the posterior mean (the truncated baseline).

    Rows with missing values: the mean is E[x_0 | x_n] of all values, and rows without noise are restored from
    levels.sigma_min. Of the draws the measured values are draws; a missing one is its mean given the drawn ones, so
    that its spread is too small. With `particles` > 0 missing values are drawn too: `particle_filter` draws the whole
    row at the level of what was measured, from p(x_n whole | what was measured), with `steps` levels from
    levels.sigma_max, and the sampler goes on from there. That asks the denoiser for whole points, and costs `particles`
    times the calls. It is exact for a denoiser that is exact for whole points, many particles and short steps. Rows
    measured through an operator have a mean alone.

    Noise per pixel is topped up to its largest level first, once per row: the draws are then those of p(x_0 | the
    topped-up row), which holds less information than x_n. batch: (B, *S) on the denoiser's device. Draw k of a row is
    keyed by (seed, batch.row, k) in any batch. batch_size: draws at a time; a batch that does not fit into memory is
    halved. guidance, null: as `draw` takes them, in every call; with another weight than 1 neither the mean nor the
    draws are those of p(x_0 | x_n). Raises InputError for a sampler that does not draw from the reverse kernel: a
    deterministic one carries the law of all rows, but not the posterior of one. Sources: arXiv 2302.09057, eq. 8
    (consistency: the mean of the draws is D(x_n, sigma_n)); arXiv 2404.10177, section 3.
    """
    check_seed(seed)
    need_kernel(sampler, draws)
    if particles and corruption.carries != {"mask"}:
        raise InputError("particles: draw values that are missing under a mask; leave them at 0 for other rows")
    draws_of(draws, corruption)
    denoiser = guided(denoiser, guidance, [name for name in batch.cond if name not in corruption.carries], null)
    rows = batch.row.tolist()
    floor = corruption.floor(batch)
    if corruption.carries:  # missing values have to be restored, where there is no noise too
        floor = floor.clamp(min=levels.sigma_min)
    view = _seen(batch, floor, corruption, seed)
    floor = floor.to(view.x.device)
    known = (floor > 0) & (floor >= levels.sigma_min)
    low = levels.sigma_min if sigma_min is None else sigma_min
    chosen = known.nonzero().squeeze(1)
    mean = view.x.clone() if corruption.carries else batch.x_n.clone()
    drawn = mean.unsqueeze(1).repeat(1, draws, *[1] * (mean.ndim - 1))
    batches = batch_size if isinstance(batch_size, Batches) else Batches(batch_size)

    def denoised(part: range) -> Tensor:
        at = chosen[part.start : part.stop]
        return denoiser(view.x[at], view.sigma[at], **{name: value[at] for name, value in view.cond.items()})

    for at, result in _placed(chosen, batches, denoised):
        mean[at] = result.to(mean.dtype)

    ended = floor <= low * (1 + ROUNDING)
    still = known & ended & (particles == 0)
    drawn[still] = mean[still].unsqueeze(1)
    moving = (known & ~still).nonzero().squeeze(1)
    pairs = torch.stack(
        [moving.repeat_interleave(draws), torch.arange(draws, device=moving.device).repeat(len(moving))], dim=1
    )

    def carried(part: range) -> Tensor:
        at, number = pairs[part.start : part.stop].T
        generators = [
            keyed_generator(seed, "restore", step=k, row=rows[i])
            for i, k in zip(at.tolist(), number.tolist(), strict=True)
        ]
        x, cond = view.x[at], {name: value[at] for name, value in view.cond.items()}
        if particles:
            x, cond = _whole(denoiser, x, view.sigma[at], cond, levels.sigma_max, steps, generators, particles)
        result = torch.empty_like(x)
        for chosen, there in ((ended[at], True), (~ended[at], False)):
            places = chosen.nonzero().squeeze(1)
            if not len(places):
                continue
            own = {name: value[places] for name, value in cond.items()}
            level = view.sigma[at][places]
            if there:
                result[places] = denoiser(x[places], level, **own).to(x.dtype)
                continue
            grid = scheduled(schedule, steps, level.cpu(), low).to(view.x)
            grid[0] = level  # not by way of float64: the start is the level of the row to the last bit
            result[places] = carry(denoiser, sampler, x[places], grid, [generators[i] for i in places.tolist()], own)
        return result

    together = batches if "row-generators" in sampler.claims else Batches(1)
    if particles:
        together = Batches(max(1, together.size // particles))
    for pair, result in _placed(pairs, together, carried):
        drawn[pair[:, 0], pair[:, 1]] = result.to(drawn.dtype)

    spread = drawn.double().std(dim=1).to(drawn.dtype) if draws > 1 else None
    mse, variance = (torch.full((len(mean),), math.nan, dtype=torch.float64) for _ in range(2))

    def probed(part: range) -> Tensor:
        at = chosen[part.start : part.stop]
        seen = View(view.x[at], view.sigma[at], {name: value[at] for name, value in view.cond.items()})
        return stein(denoiser, seen, mean[at], [rows[i] for i in at.tolist()], seed)

    if spread is not None:
        mask = view.cond["mask"].expand_as(spread) if "mask" in corruption.carries else torch.ones_like(spread)
        for at, result in _placed(chosen, batches, probed):
            mse[at.cpu()] = result.cpu()
        variance[chosen.cpu()] = over_seen(spread.square(), mask)[chosen].cpu()
    level = per_row(batch.sigma_n, batch.x_n).expand(batch.x_n.shape).flatten(1)
    mixed = known & (level.amin(1) < level.amax(1))
    level_of = torch.where(known, floor, torch.zeros_like(floor))
    judged = (mse, variance) if spread is not None else (None, None)
    return Restored(mean, drawn, spread, level_of, mixed, ~known, *judged)


def _whole(
    denoiser: Denoiser,
    x: Tensor,
    sigma: Tensor,
    cond: Mapping[str, Tensor],
    sigma_max: float,
    steps: int,
    generators: list[torch.Generator],
    particles: int,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Whole rows at their levels sigma (B,), drawn given what the mask shows of them, and conditions that say so."""
    seen, whole = cond["mask"].bool(), {**cond, "mask": torch.ones_like(cond["mask"], dtype=torch.bool)}
    many = {name: value.repeat_interleave(particles, 0) for name, value in whole.items()}
    grid = scheduled("karras", steps, sigma_max, sigma.cpu())[:-1]
    drawn = particle_filter(
        lambda points, level: denoiser(points, level, **many), x, seen.expand_as(x), grid, generators, particles
    )
    return drawn, whole


def need_kernel(sampler: Sampler, draws: int) -> None:
    """Raise InputError where draws are wanted of a sampler that does not draw from the reverse kernel."""
    if draws > 0 and "reverse-kernel" not in sampler.claims:
        raise InputError(
            f"sampler {sampler.name!r} does not draw from the reverse kernel: from one noisy row it gives one "
            "result again and again, or results "
            "of another law than p(x_0 | x_n). Take 'stochastic-heun' or another that claims reverse-kernel, or 0 "
            "draws for the posterior mean alone"
        )


def _seen(batch: Batch, floor: Tensor, corruption: Corruption, seed: int) -> View:
    """The rows at one level each: as they are, or topped up where their noise is per pixel; all that was measured."""
    generators = [keyed_generator(seed, "restore.top-up", row=row) for row in batch.row.tolist()]
    if "row-generators" in corruption.claims:
        return corruption.show(batch, floor, generators)
    whole = per_row(batch.sigma_n, batch.x_n).expand(batch.x_n.shape)
    views = [
        corruption.show(
            Batch(
                batch.x_n[i : i + 1],
                whole[i : i + 1],
                batch.row[i : i + 1],
                {k: v[i : i + 1] for k, v in batch.cond.items()},
            ),
            floor[i : i + 1],
            generator,
        )
        for i, generator in enumerate(generators)
    ]
    cond = {name: torch.cat([view.cond[name] for view in views]) for name in views[0].cond} if views else batch.cond
    return View(torch.cat([view.x for view in views]), floor, cond)


def _placed(places: Tensor, batches: Batches, work):  # type: ignore[no-untyped-def]
    """(places done, result) of each batch."""
    done = 0
    for result in batches.over(len(places), work):
        yield places[done : done + len(result)], result
        done += len(result)
