"""Step schedules: as long as asked, strictly falling, ending in exactly 0, and those of their closed forms."""

from __future__ import annotations

import pytest
import torch

from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels
from ambientkit.maths.levels import edm_grid, geometric_grid
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.sample import SCHEDULES, draw, step_grid
from ambientkit.sample.schedule import levels


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("n", range(1, 11))
def test_a_schedule_of_n_steps_has_n_levels_and_an_exact_0(name, n):
    """Cases D-01 and D-03."""
    grid = levels(name, n, torch.tensor([80.0, 0.3]), 0.002)
    assert grid.shape == (n + 1, 2)
    assert (grid[1:] < grid[:-1]).all()
    assert grid[0].tolist() == pytest.approx([80.0, 0.3], rel=1e-7)
    assert (grid[-1] == 0).all()
    if n > 1:
        assert grid[-2].tolist() == [0.002, 0.002]


def test_the_schedules_are_those_of_their_formulas():
    high, low = torch.tensor([80.0], dtype=torch.float64), torch.tensor([0.002], dtype=torch.float64)
    torch.testing.assert_close(levels("karras", 9, 80.0, 0.002)[:-1, 0], edm_grid(9, 0.002, 80.0))
    torch.testing.assert_close(levels("geometric", 9, 80.0, 0.002)[:-1], geometric_grid(high, low, 9))
    angles = levels("cosine", 9, 80.0, 0.002)[:-1, 0].atan()
    torch.testing.assert_close(angles, torch.linspace(float(angles[0]), float(angles[-1]), 9, dtype=torch.float64))


def test_a_schedule_that_cannot_be_is_refused():
    with pytest.raises(InputError, match="did you mean 'karras'"):
        levels("karas", 5, 1.0, 0.1)
    for steps, high, low in ((0, 1.0, 0.1), (5, 0.1, 1.0), (5, 1.0, 0.0), (5, 1.0, 1.0)):
        with pytest.raises(ValueError, match=r"steps|schedule"):
            levels("karras", steps, high, low)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("sampler", "steps"), [(Heun(), 20), (Ancestral(), 100)])
def test_sampling_gaussian_data_gives_their_mean_and_variance(name, sampler, steps):
    """Case D-01. 2,000 samples: the mean is known to .5 / sqrt(2000) = .011, the std to .008."""
    law = GaussianMixture([1.0], [[0.3]], [[[0.25]]])
    grid = step_grid(steps, Levels(0.002, 20.0), name).double()
    samples = torch.cat(list(draw(law.denoiser(), sampler, (1,), 2000, sigmas=grid, seed=0, batch_size=2000)))
    assert float(samples.mean()) == pytest.approx(0.3, abs=0.045)
    assert float(samples.std()) == pytest.approx(0.5, abs=0.05)
    wrong = torch.cat(
        list(draw(law.denoiser(), sampler, (1,), 2000, sigmas=torch.tensor([0.2, 0.1, 0.0]), seed=0, batch_size=2000))
    )
    assert abs(float(wrong.std()) - 0.5) > 0.05
