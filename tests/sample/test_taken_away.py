"""How much of the noise restored rows lose: the exact figure, what does not count, and when a user is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ambientkit.batch import Batch
from ambientkit.sample import load_run, restore_rows, restore_to_files
from ambientkit.sample.restore import Restored
from ambientkit.sample.taken_away import TakenAway
from tests.support.sampling import registry, write_run

PARTS = registry()


def restored(x_n: torch.Tensor, mean: torch.Tensor, sigma: float, **flags: torch.Tensor) -> tuple[Batch, Restored]:
    n = len(x_n)
    levels = torch.full((n,), sigma, dtype=x_n.dtype)
    none = torch.zeros(n, dtype=torch.bool)
    found = Restored(mean, x_n[:, None], None, levels, flags.get("topped_up", none), flags.get("as_it_is", none))
    return Batch(x_n, levels, torch.arange(n), {}), found


@given(st.floats(0.05, 3), st.floats(0.05, 3), st.integers(0, 2**31))
def test_for_the_exact_mean_of_gaussian_data_it_is_1_less_mmse_over_the_noise(tau, sigma, seed) -> None:
    # n values of x_n = N(0, tau^2 + sigma^2) standardised, so that their mean square is exact and so is the identity
    x = torch.randn(4, 50, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x_n = x / x.square().mean().sqrt() * (tau**2 + sigma**2) ** 0.5
    mmse = tau**2 * sigma**2 / (tau**2 + sigma**2)
    taken = TakenAway.of(*restored(x_n, x_n * tau**2 / (tau**2 + sigma**2), sigma))
    assert taken.rows == 4
    assert taken.energy / taken.rows == pytest.approx(1 - mmse / sigma**2, rel=1e-9)
    half = [TakenAway.of(*restored(part, part * tau**2 / (tau**2 + sigma**2), sigma)) for part in x_n.split(2)]
    assert half[0].with_(half[1]).energy == pytest.approx(taken.energy, rel=1e-9)


def test_rows_without_a_level_of_their_own_do_not_count() -> None:
    x_n = torch.ones(3, 1, 2, 2)
    flags = {"topped_up": torch.tensor([True, False, False]), "as_it_is": torch.tensor([False, True, False])}
    assert TakenAway.of(*restored(x_n, x_n * 0.5, 0.5, **flags)) == TakenAway(1.0, 1)
    assert TakenAway.of(*restored(x_n, x_n, 0.5, as_it_is=torch.ones(3, dtype=torch.bool))) == TakenAway()
    assert TakenAway().told() == ""


@pytest.mark.parametrize(("share", "told"), [(0.0, True), (0.45, True), (0.55, False), (1.0, False)])
def test_a_network_that_returns_its_input_is_told_and_one_that_restores_is_not(tmp_path, caplog, share, told) -> None:
    trained = load_run(write_run(tmp_path / "run"), PARTS)
    sigma_n = 0.2
    noisy = sigma_n * np.random.default_rng(0).standard_normal((12, *trained.signal.shape)).astype(np.float32)
    there = replace(trained, denoiser=lambda x, sigma: (1 - share) * x)
    options = {"sigma_n": sigma_n, "draws": 0, "registry": PARTS}
    restore_rows(there, noisy, **options)
    assert ("hardly anything was taken away" in caplog.text) is told
    caplog.clear()
    record = restore_to_files(there, noisy, tmp_path / "out", **options)
    assert ("hardly anything was taken away" in caplog.text) is told
    assert any("of the std of the noise" in one for one in record.notes) is told
