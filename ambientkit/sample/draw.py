"""Drawing samples: every one has its own generator, so it does not depend on the batch it is drawn in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Levels, Sampler
from ambientkit.maths.noise import standard_normal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.messages import warn
from ambientkit.sample.batches import Batches
from ambientkit.sample.guidance import guided
from ambientkit.sample.schedule import levels as scheduled

RUNAWAY = 50.0
"""Values beyond which few samples decide what is measured of all."""


def step_grid(steps: int, levels: Levels, schedule: str = "karras") -> Tensor:
    """steps + 1 decreasing levels: `steps` of them from sigma_max to sigma_min by the schedule, then exactly 0.
    Float64.

    Raises ValueError for steps < 1. Source of the default: arXiv 2206.00364, eq. 5.
    """
    return scheduled(schedule, steps, levels.sigma_max, levels.sigma_min).squeeze(1)


def draw(
    denoiser: Denoiser,
    sampler: Sampler,
    shape: tuple[int, ...],
    n: int,
    *,
    sigmas: Tensor,
    seed: int,
    batch_size: int | Batches = 64,
    device: str | torch.device = "cpu",
    first: int = 0,
    cond: Mapping[str, Tensor] | None = None,
    guidance: float = 1.0,
    null: Mapping[str, Tensor] | None = None,
) -> Iterator[Tensor]:
    """Samples first..first + n - 1 in batches of (b, *shape), in order. sigmas: (T,), decreasing; sample i starts at
    sigmas[0] z and is keyed by (seed, i).

    cond: name -> (n, ...), one value per sample. guidance: the weight w of `guidance.Guided`, and null what stands for
    no condition there; 1 is none, and asks the denoiser as often as ever. A batch that does not fit into memory is
    halved. A sampler that does not claim "row-generators" is run one sample at a time, so that its samples keep to that
    rule too.
    """
    separate = "row-generators" in sampler.claims
    cond = {name: value.to(device) for name, value in (cond or {}).items()}
    asked = guided(denoiser, guidance, cond, null)

    def work(part: range) -> Tensor:
        generators = [keyed_generator(seed, "sample", row=first + index) for index in part]
        with torch.no_grad():
            x = standard_normal(torch.empty(len(part), *shape, device=device), generators) * float(sigmas[0])
            grid = sigmas.to(x).unsqueeze(1).expand(-1, len(part))
            chosen = {name: value[part.start : part.stop] for name, value in cond.items()}
            return carry(asked, sampler, x, grid, generators, chosen)

    batches = batch_size if isinstance(batch_size, Batches) else Batches(batch_size)
    yield from (batches if separate else Batches(1)).over(n, work)


def draw_all(
    denoiser: Denoiser,
    sampler: Sampler,
    shape: tuple[int, ...],
    n: int,
    *,
    sigmas: Tensor,
    seed: int,
    batch_size: int | Batches = 64,
    device: str | torch.device = "cpu",
    first: int = 0,
    cond: Mapping[str, Tensor] | None = None,
    guidance: float = 1.0,
    null: Mapping[str, Tensor] | None = None,
    progress: bool = False,
    refuse: bool = True,
    what: str = "the samples",
) -> Tensor:
    """The samples of `draw`, (n, *shape), on the CPU. progress: show a bar.

    Raises InputError that names `what` where a value is not finite, unless `refuse` is False.
    """
    batches = draw(
        denoiser,
        sampler,
        shape,
        n,
        sigmas=sigmas,
        seed=seed,
        batch_size=batch_size,
        device=device,
        first=first,
        cond=cond,
        guidance=guidance,
        null=null,
    )
    parts = []
    with tqdm(total=n, unit="sample", desc=f"sampling, seed {seed}", leave=False, disable=not progress) as bar:
        for batch in batches:
            parts.append(batch.cpu())
            bar.update(len(batch))
    samples = torch.cat(parts) if parts else torch.empty(0, *shape)
    if refuse:
        check_finite(samples, sampler, len(sigmas) - 1, what)
    return samples


def warn_of_far(samples: Tensor, what: str) -> None:
    """Warn, naming `what`, of pictures (n, C, H, W) with values far beyond [-1, 1]: few of them decide means, distances
    and covariances. Points of the plane may lie anywhere."""
    reach = samples.abs().flatten(1).amax(1) if samples.numel() and samples.ndim > 2 else samples.new_zeros(0)
    if (count := int((reach > RUNAWAY).sum())) > 0:
        warn(
            f"{what}: {count:,} of {len(samples):,} reach beyond {RUNAWAY:g}, up to {float(reach.max()):.3g}, where "
            "data lie in [-1, 1]: what is measured of all is decided by these few. Train longer, or take more --steps"
        )


def check_finite(samples: Tensor, sampler: Sampler, steps: int, what: str) -> None:
    """Raise InputError that names `what` where a value is not finite."""
    if not bool(samples.isfinite().all()):
        raise InputError(
            f"{what} are not finite; the run has diverged, or sampler {sampler.name!r} with {steps} steps does not "
            "suit it"
        )


def carry(
    denoiser: Denoiser,
    sampler: Sampler,
    x: Tensor,
    sigmas: Tensor,
    generators: Sequence[torch.Generator],
    cond: Mapping[str, Tensor],
) -> Tensor:
    """`sampler.sample` with one generator per row, which a sampler that does not take them gets row by row. sigmas: (T,
    B)."""
    if "row-generators" in sampler.claims:
        return sampler.sample(denoiser, x, sigmas, generators, cond)
    rows = [
        sampler.sample(
            denoiser,
            x[i : i + 1],
            sigmas[:, i : i + 1],
            generator,
            {name: value[i : i + 1] for name, value in cond.items()},
        )
        for i, generator in enumerate(generators)
    ]
    return torch.cat(rows)
