"""Stein's estimate of the error of restored means: unbiased, with a control; how it is pooled, and what a user is
told."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from ambientkit.batch import Batch, View, take
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.interfaces import Levels
from ambientkit.sample import load_run, restore_rows, restore_to_files
from ambientkit.sample.restore import restore
from ambientkit.sample.table import RowInfo, uncertainty_of
from ambientkit.sample.uncertainty import FEW, RowError, Uncertainty, stein
from tests.support.sampling import SHAPE, registry, write_run

PARTS = registry()
FALSE_ALARM = 1e-4


def view(x: torch.Tensor, sigma: float, mask: torch.Tensor | None = None) -> View:
    return View(x, torch.full((len(x),), sigma, dtype=x.dtype), {} if mask is None else {"mask": mask})


@given(st.floats(0.05, 2), st.floats(-1, 2), st.floats(-1, 1), st.integers(0, 2**31))
def test_of_a_linear_denoiser_the_probe_is_exact(sigma, share, shift, seed) -> None:
    # D = share x + shift: 2 sigma^2 z . share sigma z / sigma, whatever the length of the probe
    x = torch.randn(3, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))

    def denoiser(x, sigma):
        return share * x + shift

    mean = denoiser(x, None)
    found = stein(denoiser, view(x, sigma), mean, [5, 6, 7], seed)
    z = torch.stack([denoised_by(seed, row, x[0]) for row in (5, 6, 7)])
    expected = ((x - mean) ** 2 - sigma**2 + 2 * sigma**2 * share * z**2).flatten(1).mean(1)
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12)


def denoised_by(seed: int, row: int, like: torch.Tensor) -> torch.Tensor:
    from ambientkit.maths.noise import standard_normal
    from ambientkit.maths.randomness import keyed_generator

    return standard_normal(like[None], [keyed_generator(seed, "restore.probe", row=row)])[0]


@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_error_of_a_denoiser_that_is_wrong_and_of_no_other(masked) -> None:
    """Null: the mean of R - |D - x_0|^2 is 0, normal by 2,000 rows. Control: the error of another denoiser."""
    g = torch.Generator().manual_seed(3)
    n, sigma = 2000, 0.5
    x_0 = torch.sign(torch.randn(n, 1, 4, 4, generator=g, dtype=torch.float64))
    x = x_0 + sigma * torch.randn(x_0.shape, generator=g, dtype=torch.float64)
    mask = torch.rand(x.shape, generator=g) > 0.4 if masked else None
    seen = torch.ones_like(x) if mask is None else mask.to(x.dtype)

    def denoiser(x, sigma, **cond):
        return torch.tanh(3 * x)  # the exact one has tanh(x / sigma^2) = tanh(4 x)

    mean = denoiser(x * seen, None)
    found = stein(denoiser, view(x * seen, sigma, mask), mean, range(n), 1)

    def z(error: torch.Tensor) -> float:
        off = found - (error * seen).flatten(1).sum(1) / seen.flatten(1).sum(1)
        return abs(float(off.mean() / off.std() * math.sqrt(n)))

    limit = norm.isf(FALSE_ALARM / 2)
    assert z((mean - x_0) ** 2) < limit
    assert z((torch.tanh(x * seen) - x_0) ** 2) > limit


def rows(n: int, mse: float, variance: float, fresh: bool, noise: float = 0.0, seed: int = 0) -> list[RowError]:
    draws = mse + noise * np.random.default_rng(seed).standard_normal(n)
    return [RowError(float(one) * 0.25, variance * 0.25, 0.5, fresh) for one in draws]


def test_the_factor_is_the_ratio_of_error_and_spread_with_its_standard_error() -> None:
    found = Uncertainty.of(rows(400, 0.1296, 0.36, True, 0.1))
    assert found is not None
    assert found.spread == pytest.approx(0.6)
    assert found.factor == pytest.approx(0.6, abs=5 * found.factor_error)
    assert found.factor_error == pytest.approx(0.1 / math.sqrt(400) / 0.36 / (2 * 0.6), rel=0.15)
    assert (found.rows, found.fresh) == (400, 400)
    assert "multiply std by 0." in found.told()
    assert Uncertainty.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert Uncertainty.of(rows(FEW - 1, 0.09, 0.36, True)) is None
    assert Uncertainty.of(rows(40, 0.09, 0.0, True)) is None


def test_rows_trained_on_count_only_while_they_look_no_different() -> None:
    held_out = rows(40, 0.2, 0.2, True, 0.02)
    by_heart, alike = rows(360, 0.1, 0.2, False, 0.02, 1), rows(360, 0.2, 0.2, False, 0.02, 2)
    apart, together = Uncertainty.of(held_out + by_heart), Uncertainty.of(held_out + alike)
    assert apart is not None
    assert (apart.rows, apart.fresh) == (40, 40)
    assert apart.factor == pytest.approx(1, abs=0.05)
    assert together is not None
    assert (together.rows, together.fresh) == (400, 40)
    assert "may be taken as it is" in together.told()
    alone = Uncertainty.of(by_heart)
    assert alone is not None
    assert "cannot be judged: the run was trained on all of these rows" in alone.told()


@pytest.mark.parametrize("mse", [-0.01, 0.001])
def test_an_error_that_cannot_be_distinguished_from_0_gives_no_factor(mse) -> None:
    found = Uncertainty.of(rows(20, mse, 0.1, True, 0.05))
    assert found is not None
    assert not found.clear
    assert "too few, or the error too small" in found.told()
    assert Uncertainty.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_restored_files_say_it_and_say_it_again_and_rows_in_memory_alike(tmp_path) -> None:
    trained = load_run(write_run(tmp_path / "run"), PARTS)
    sigma_n = 0.2
    noisy = sigma_n * np.random.default_rng(0).standard_normal((12, *trained.signal.shape)).astype(np.float32)
    there = replace(trained, denoiser=lambda x, sigma: 0.9 * x)
    options = {"sigma_n": sigma_n, "draws": 3, "steps": 4, "registry": PARTS}
    first = restore_to_files(there, noisy, tmp_path / "out", **options)
    again = restore_to_files(there, noisy, tmp_path / "out", **options)
    memory = restore_rows(there, noisy, **options)
    assert first.uncertainty is not None
    assert again.there_before
    assert again.uncertainty == first.uncertainty
    assert memory.uncertainty is not None
    assert memory.uncertainty.factor == pytest.approx(first.uncertainty.factor, rel=1e-6)
    assert any(line.startswith("uncertainty: ") for line in first.blocks())
    assert any(line.startswith("uncertainty: ") for line in again.blocks())
    assert first.to_dict()["uncertainty"]["rows"] == 12
    # x_0 = 0: the mean is off by 0.9 of the noise
    assert first.uncertainty.error == pytest.approx(0.9, abs=0.1)


def test_rows_that_the_run_held_out_are_those_that_are_fresh(tmp_path) -> None:
    trained = load_run(write_run(tmp_path / "run"), PARTS)
    found = restore_rows(trained, trained.config.data, draws=2, steps=2, n=32, registry=PARTS)
    assert found.fresh is not None
    from ambientkit.data.held_out import split
    from ambientkit.sample.noisy import noisy_rows

    own = noisy_rows(trained.config.data, None, trained, PARTS)
    _, positions = split(own.observations, trained.config.hold_out, trained.config.seed)
    assert found.fresh.nonzero().flatten().tolist() == [place for place in positions if place < 32]
    others = 0.3 * np.random.default_rng(0).standard_normal((9, *trained.signal.shape)).astype(np.float32)
    assert restore_rows(trained, others, sigma_n=0.3, draws=2, steps=2, registry=PARTS).fresh is None


def test_copies_of_rows_trained_on_are_not_fresh(tmp_path, caplog) -> None:
    """Case: a folder of frames that was copied elsewhere, and restored there, counted as one that the run had not
    seen."""
    from ambientkit.data.identity import fingerprint
    from ambientkit.sample.noisy import noisy_rows

    rows = 0.5 * np.random.default_rng(1).standard_normal((40, *SHAPE)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    data = {"name": "array", "path": str(tmp_path / "rows.npy"), "layout": "NCHW", "sigma_n": 0.3}
    known = fingerprint(PARTS.build("data", data), PARTS.build("data", data).rows())
    trained = load_run(write_run(tmp_path / "run", data=data, hold_out=0.25, fingerprint=known), PARTS)
    own = noisy_rows(trained.config.data, None, trained, PARTS)
    assert own.fresh is not None
    assert len(own.fresh) == 10
    new = 0.5 * np.random.default_rng(2).standard_normal((5, *SHAPE)).astype(np.float32)
    found = noisy_rows(np.concatenate([new, rows]), 0.3, trained, PARTS)
    assert found.fresh == frozenset(range(5)) | {5 + place for place in own.fresh}
    assert noisy_rows(new, 0.3, trained, PARTS).fresh is None
    (tmp_path / "rows.npy").unlink()
    assert noisy_rows(rows, 0.3, trained, PARTS).fresh is None  # nobody can know


def test_rows_of_which_nothing_was_measured_do_not_count() -> None:
    """They counted as rows without error and without spread: the error was told sqrt(2) times too small."""
    seen = torch.zeros(24, 1, 4, 4, dtype=torch.bool)
    seen[:12] = True
    x_n = torch.randn(24, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    batch = Batch(x_n, torch.full((24,), 0.5), torch.arange(24), {"mask": seen})

    def half(x: torch.Tensor, sigma: torch.Tensor, /, mask: torch.Tensor) -> torch.Tensor:
        return x / 2

    both, those = (
        restore(half, take(batch, torch.arange(n)), Mask(), StochasticHeun(), Levels(), draws=4, steps=2).uncertainty
        for n in (24, 12)
    )
    assert both == those
    assert both is not None


def test_rows_without_an_estimate_do_not_count() -> None:
    infos = [RowInfo(i, 0.5, False, i > 9, None if i > 9 else 0.1, None if i > 9 else 0.1) for i in range(20)]
    found = uncertainty_of(infos)
    assert found is not None
    assert found.rows == 10
