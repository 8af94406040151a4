"""The picture that `ambientkit train` draws on the way and at the end: noisy rows beside samples."""

from __future__ import annotations

from pathlib import Path

import torch

from ambientkit.batch import Batch
from ambientkit.checkpoint.folder import write_file
from ambientkit.data import of_one_shape
from ambientkit.interfaces import Sampler
from ambientkit.maths.randomness import keyed_generator
from ambientkit.registry import Registry
from ambientkit.sample import draw_all, step_grid
from ambientkit.sample.partial import under_masks
from ambientkit.sample.picture import grid, panels, png
from ambientkit.training import Training

DEMO_STEPS = 32


def draw_demo(training: Training, path: Path, registry: Registry, step: int | None = None) -> bool:
    """Write noisy rows beside samples of the averaged weights, always from the same seed; False for rows without a
    picture.

    Rows measured through an operator are shown carried back to pictures, A^T y, beside their restorations: samples are
    not defined for each operator. step: of the averaged weights, where it is not that of the training.
    """
    config, signal = training.config, training.signal
    points = len(signal.shape) == 1 and not training.about_data.get("latents")
    observations = of_one_shape(training.observations)
    shown = min(2000 if points else config.sample_n, len(observations))
    given = observations.__getitems__(list(range(shown)))
    after = f"step {training.step if step is None else step}"
    if "linear" in config.corruption.claims:
        return _restored(training, given, path, after)
    noisy = grid(given.x_n, decode=training.observations.decode)
    if noisy is None:
        return False
    sampler = registry.build(Sampler, "heun")
    levels = step_grid(DEMO_STEPS, config.levels.as_levels())
    device = training.accelerator.device
    own = {name: value for name, value in given.cond.items() if name not in config.corruption.carries}
    denoiser, masks = under_masks(
        training.teacher, config.corruption, signal, config.levels.as_levels(), range(shown), 1, seed=0
    )
    drawn = draw_all(
        denoiser,
        sampler,
        signal.shape,
        shown,
        sigmas=levels,
        seed=0,
        device=device,
        cond={**own, **masks},
        refuse=False,
    )
    samples = grid(drawn, decode=training.observations.decode)
    assert samples is not None  # the shape is that of the noisy rows
    page = panels(
        [
            ("given: noisy data", noisy),
            (f"learned: samples, {after}", samples),
        ]
    )
    path.parent.mkdir(exist_ok=True)
    write_file(path, png(page))
    return True


def _restored(training: Training, given: Batch, path: Path, after: str) -> bool:
    """Measured rows beside what one call of the denoiser makes of them."""
    corruption, device = training.config.corruption, training.accelerator.device
    level = corruption.floor(given).clamp(min=training.config.levels.sigma_min)
    view = corruption.show(given, level, keyed_generator(0, "demo.view"))
    seen = {name: value.to(device) for name, value in view.cond.items()}
    with torch.no_grad():
        answer = training.teacher(view.x.to(device), level.to(device), **seen).cpu()
    pictures = [grid(rows, decode=training.observations.decode) for rows in (view.x, answer)]
    if pictures[0] is None or pictures[1] is None:
        return False
    titles = ("given: measured, carried back", f"learned: restored, {after}")
    path.parent.mkdir(exist_ok=True)
    write_file(path, png(panels([(title, picture) for title, picture in zip(titles, pictures) if picture])))
    return True
