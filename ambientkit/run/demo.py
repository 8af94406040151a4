"""The picture that `ambientkit train` draws on the way and at the end: noisy rows beside samples."""

from __future__ import annotations

from pathlib import Path

from ambientkit.checkpoint.folder import write_file
from ambientkit.data import of_one_shape
from ambientkit.interfaces import Sampler
from ambientkit.registry import Registry
from ambientkit.sample import draw_all, step_grid
from ambientkit.sample.picture import grid, panels, png
from ambientkit.training import Training

DEMO_STEPS = 32


def draw_demo(training: Training, path: Path, registry: Registry, step: int | None = None) -> bool:
    """Write noisy rows beside samples of the averaged weights, always from the same seed; False for rows without a
    picture.

    step: of the averaged weights, where it is not that of the training.
    """
    config, signal = training.config, training.signal
    points = len(signal.shape) == 1 and not training.about_data.get("latents")
    observations = of_one_shape(training.observations)
    shown = min(2000 if points else config.sample_n, len(observations))
    given = observations.__getitems__(list(range(shown)))
    noisy = grid(given.x_n, decode=training.observations.decode)
    if noisy is None:
        return False
    sampler = registry.build(Sampler, "heun")
    levels = step_grid(DEMO_STEPS, config.levels.as_levels())
    device = training.accelerator.device
    drawn = draw_all(
        training.teacher,
        sampler,
        signal.shape,
        shown,
        sigmas=levels,
        seed=0,
        device=device,
        cond=given.cond,
        refuse=False,
    )
    samples = grid(drawn, decode=training.observations.decode)
    assert samples is not None  # the shape is that of the noisy rows
    page = panels(
        [
            ("given: noisy data", noisy),
            (f"learned: samples, step {training.step if step is None else step}", samples),
        ]
    )
    path.parent.mkdir(exist_ok=True)
    write_file(path, png(page))
    return True
