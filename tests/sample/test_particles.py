"""Missing values of restored rows are drawn from the exact posterior, where it is known in closed form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import ambientkit as ak
from ambientkit.batch import Batch
from ambientkit.builtin.checks.masked import SHAPE, law, masked_denoiser, posterior
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels
from ambientkit.sample.restore import restore

LEVELS = Levels(0.01, 20.0)
DRAWS = 150
Y = torch.tensor([[-0.1, 0.4], [0.9, 0.1], [-1.0, -0.4], [0.0, 0.0]], dtype=torch.float64)
"""What is measured of four rows: the first two of four values; both modes are possible."""


def denoiser(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
    if not bool(cond["mask"].all()):
        return masked_denoiser(law())(x, sigma, **cond)
    return law().posterior_mean(x.flatten(1), sigma).reshape(x.shape)  # the same, and cheaper


def rows(sigma_n: float) -> Batch:
    seen = torch.tensor([True, True, False, False]).reshape(1, *SHAPE).expand(len(Y), *SHAPE)
    values = torch.cat([Y, torch.full_like(Y, 1e3)], dim=1).reshape(-1, *SHAPE)  # what is missing is not read
    return Batch(values, torch.full((len(Y),), sigma_n, dtype=torch.float64), torch.arange(len(Y)), {"mask": seen})


def p_values(draws: Tensor, batch: Batch) -> list[float]:
    """Of Kolmogorov and Smirnov's test, for both missing values of each row, against their exact posterior."""
    level = batch.sigma_n.clamp(min=LEVELS.sigma_min)
    exact = posterior(law(), batch.x_n, level, batch.cond)
    found = []
    for row in range(len(draws)):
        weights, means = exact.responsibilities[row].numpy(), exact.means[row].numpy()
        stds = exact.covariances[row].diagonal(dim1=1, dim2=2).sqrt().numpy()
        for place in (2, 3):

            def cdf(v, place=place, weights=weights, means=means, stds=stds):  # type: ignore[no-untyped-def]
                of_modes = [stats.norm.cdf(v, m[place], s[place]) for m, s in zip(means, stds, strict=True)]
                return sum(w * c for w, c in zip(weights, of_modes, strict=True))

            found.append(float(stats.kstest(draws[row].reshape(len(draws[row]), 4)[:, place].numpy(), cdf).pvalue))
    return found


@pytest.mark.parametrize("sigma_n", [0.2, 0.0])
@pytest.mark.slow
def test_missing_values_are_draws_from_the_posterior_given_what_was_measured(sigma_n: float) -> None:
    """False alarm 8e-5 (eight tests at 1e-5); the bias of 64 particles and 48 steps is below what 150 draws show."""
    found = restore(
        denoiser, rows(sigma_n), Mask(), StochasticHeun(), LEVELS, draws=DRAWS, steps=48, particles=64, batch_size=20000
    )
    assert min(p_values(found.draws, rows(sigma_n))) > 1e-5
    assert float(found.draws.abs().max()) < 10
    measured = found.draws[..., 0, 0, :].std(1)  # of noise-free rows what was measured stands, to the lowest level
    assert float(measured.max()) < (5 * LEVELS.sigma_min if sigma_n == 0 else 0.3)


def test_a_mean_given_the_drawn_values_and_one_particle_are_rejected() -> None:
    batch = rows(0.2)
    for particles in (0, 1):
        found = restore(
            denoiser, batch, Mask(), StochasticHeun(), LEVELS, draws=DRAWS, steps=32, particles=particles,
            batch_size=20000,
        )  # fmt: skip
        assert min(p_values(found.draws, batch)) < 1e-8


def test_a_draw_depends_on_its_row_and_number_alone_and_other_rows_have_none() -> None:
    batch = rows(0.2)
    several = restore(denoiser, batch, Mask(), StochasticHeun(), LEVELS, draws=3, steps=4, particles=5)
    one = restore(denoiser, batch, Mask(), StochasticHeun(), LEVELS, draws=3, steps=4, particles=5, batch_size=1)
    assert torch.allclose(several.draws, one.draws, atol=1e-12)
    whole = Batch(batch.x_n, batch.sigma_n, batch.row, {})
    with pytest.raises(InputError, match="missing under a mask"):
        restore(denoiser, whole, Gaussian(), StochasticHeun(), LEVELS, draws=1, particles=5)


def held(particles: int) -> float:
    """Share of missing pixels of Gaussian fields within 1.895 std of eight draws around the mean: 90 % of an exact
    posterior, +- 2.2 % (190 of them)."""
    place = torch.arange(64, dtype=torch.float64)
    apart = torch.hypot(*(place[:, None] // d % 8 - place // d % 8 for d in (8, 1)))
    covariance = 0.25 * torch.exp(-((apart / 3) ** 1.5)) + 1e-6 * torch.eye(64)

    def exact(x: Tensor, sigma: Tensor, /, mask: Tensor) -> Tensor:
        seen = mask.flatten(1)
        inner = covariance * (seen[:, :, None] & seen[:, None, :]) + torch.diag_embed(
            torch.where(seen, sigma[:, None].double() ** 2, torch.ones_like(seen, dtype=torch.float64))
        )
        solved = torch.linalg.solve(inner, torch.where(seen, x.double().flatten(1), 0.0))
        return (solved @ covariance).reshape(x.shape).to(x.dtype)

    generator = torch.Generator().manual_seed(1)
    white = torch.randn(2, 60, 64, dtype=torch.float64, generator=generator)
    x_0 = (white[0] @ torch.linalg.cholesky(covariance).T).reshape(60, 1, 8, 8)
    seen = (torch.rand(60, 64, generator=generator) > 0.05).reshape(60, 1, 8, 8)
    x_n = torch.where(seen, x_0 + 0.1 * white[1].reshape(60, 1, 8, 8), 0.0)
    batch = Batch(x_n, torch.full((60,), 0.1, dtype=torch.float64), torch.arange(60), {"mask": seen})
    found = restore(
        exact, batch, Mask(), StochasticHeun(), LEVELS, draws=8, steps=16, particles=particles, batch_size=480
    )
    assert found.std is not None
    return float(((found.mean - x_0).abs() <= 1.895 * found.std)[~seen].double().mean())


def test_one_particle_makes_the_spread_of_single_missing_pixels_honest() -> None:
    assert 0.85 < held(1) < 0.98
    assert held(0) < 0.7


@pytest.mark.parametrize(("share", "particles"), [(0.05, 1), (0.5, 0)])
def test_where_few_values_are_missing_one_particle_is_the_default(tmp_path: Path, share: float, particles: int) -> None:
    values = np.random.default_rng(0).standard_normal((24, 1, 8, 8)).astype(np.float32)
    values[np.random.default_rng(1).random(values.shape) < share] = np.nan
    np.save(tmp_path / "rows.npy", values)
    data = {"name": "array", "path": str(tmp_path / "rows.npy"), "missing": "mask", "sigma_n": 0.3}
    more = {"corruption": {"name": "mask", "missing": share}, "value_range": [-1, 1]}
    model = {"name": "mlp", "width": 8, "depth": 1}
    run = ak.train(
        data | {"value_range": more.pop("value_range")}, **more, model=model, end_step=1, batch_size=4, device="cpu",
        skip_preflight=True, output_dir=tmp_path / "run",
    )  # fmt: skip
    run.restore(data["path"], draws=2, steps=2, out=tmp_path / "auto")
    assert json.loads((tmp_path / "auto" / "restored.json").read_text()).get("particles", 0) == particles
    run.restore(data["path"], draws=2, steps=2, out=tmp_path / "none", particles=0)
    assert json.loads((tmp_path / "none" / "restored.json").read_text()).get("particles", 0) == 0


def test_the_default_is_that_of_all_rows_so_that_the_first_are_restored_alike(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((24, 1, 8, 8)).astype(np.float32)
    hidden = np.random.default_rng(1).random(values.shape) < 0.6
    hidden[0] = False
    values[hidden] = np.nan
    np.save(tmp_path / "rows.npy", values)
    data = {"name": "array", "path": str(tmp_path / "rows.npy"), "missing": "mask", "sigma_n": 0.3}
    run = ak.train(
        data | {"value_range": [-1, 1]}, corruption={"name": "mask", "missing": 0.6}, end_step=1, batch_size=4,
        model={"name": "mlp", "width": 8, "depth": 1}, device="cpu", skip_preflight=True, output_dir=tmp_path / "run",
    )  # fmt: skip
    whole, first = (run.restore(data["path"], draws=2, steps=2, n=n) for n in (24, 1))
    assert torch.equal(whole.draws[:1], first.draws)
