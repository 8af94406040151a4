"""Samples in one tensor: those of `draw`, on the CPU, and none that are not finite."""

from __future__ import annotations

import pytest
import torch

from ambientkit.builtin.samplers.heun import Heun
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels
from ambientkit.sample import draw, draw_all, step_grid, warn_of_far
from ambientkit.verification.case import default_mixture

GRID = step_grid(4, Levels(0.1, 10.0))


def diverged(x, sigma):
    return x * torch.nan


def test_they_are_those_of_the_batches_in_order(capsys):
    denoiser = default_mixture().denoiser()
    joined = draw_all(denoiser, Heun(), (2,), 5, sigmas=GRID, seed=3, batch_size=2)
    parts = list(draw(denoiser, Heun(), (2,), 5, sigmas=GRID, seed=3, batch_size=2))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert torch.equal(joined, torch.cat(parts))
    assert capsys.readouterr() == ("", "")
    assert draw_all(denoiser, Heun(), (2,), 0, sigmas=GRID, seed=3).shape == (0, 2)


def test_samples_that_are_not_finite_are_refused_by_name():
    with pytest.raises(InputError, match=r"runs/mine: the samples are not finite; .* sampler 'heun' with 4 steps"):
        draw_all(diverged, Heun(), (2,), 3, sigmas=GRID, seed=0, what="runs/mine: the samples")
    assert draw_all(diverged, Heun(), (2,), 3, sigmas=GRID, seed=0, refuse=False).isnan().all()


def test_the_bar_counts_samples(capsys):
    draw_all(default_mixture().denoiser(), Heun(), (2,), 6, sigmas=GRID, seed=7, batch_size=4, progress=True)
    assert "sampling, seed 7" in capsys.readouterr().err


def test_pictures_far_beyond_the_data_are_counted_and_right_ones_are_not(caplog):
    samples = torch.linspace(-49.0, 49.0, 40).view(10, 1, 2, 2)
    warn_of_far(samples, "runs/mine: the samples")
    assert caplog.text == ""
    samples[3, 0, 1, 0], samples[7, 0, 0, 0] = -60.0, 3e12
    warn_of_far(samples, "runs/mine: the samples")
    assert "runs/mine: the samples: 2 of 10 reach beyond 50, up to 3e+12" in caplog.text
    caplog.clear()
    warn_of_far(torch.full((10, 2), 80.0), "points")
    warn_of_far(torch.empty(0, 1, 2, 2), "none")
    assert caplog.text == ""
