"""Counts: the generalised Anscombe transform and its exact unbiased inverse, against Poisson sums and simulated
cameras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ambientkit.errors import InputError
from ambientkit.inspection import NoiseVerdict, model_findings
from ambientkit.units.counts import CountRange, anscombe, exact_unbiased_inverse
from tests.support.formats import array, open_rows
from tests.support.noisy_sets import photos


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0, 3.0, 10.0, 50.0, 1000.0])
def test_the_inverse_of_the_mean_of_transformed_counts_is_the_rate(rate: float) -> None:
    k = np.arange(int(rate + 20 * np.sqrt(rate) + 30))
    mean = float((anscombe(k, 1, 0, 0) * stats.poisson.pmf(k, rate)).sum())
    # Closed form against the exact inverse: the authors report errors below 0.001 for most rates and 0.03 at worst.
    assert float(exact_unbiased_inverse(mean, 1, 0, 0)) == pytest.approx(rate, abs=0.03, rel=2e-3)
    algebraic = (mean / 2) ** 2 - 3 / 8
    assert abs(float(exact_unbiased_inverse(mean, 1, 0, 0)) - rate) < max(abs(algebraic - rate), 2e-2)


@pytest.mark.parametrize("rate", [5.0, 20.0, 200.0])
def test_transformed_counts_have_unit_variance(rate: float) -> None:
    k = np.arange(int(rate + 20 * np.sqrt(rate) + 30))
    p = stats.poisson.pmf(k, rate)
    d = anscombe(k, 1, 0, 0)
    assert np.sqrt((d**2 * p).sum() - (d * p).sum() ** 2) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(("gain", "offset", "read_std"), [(1.0, 0.0, 0.0), (2.5, 100.0, 4.0), (0.5, -3.0, 1.0)])
def test_a_camera_is_made_gaussian_and_brought_back_without_bias(gain: float, offset: float, read_std: float) -> None:
    rng = np.random.default_rng(0)
    for rate in (8.0, 40.0):
        v = gain * rng.poisson(rate, 200_000) + rng.normal(offset, read_std, 200_000)
        d = anscombe(v, gain, offset, read_std)
        assert d.std() == pytest.approx(1, abs=0.03)
        found = float(exact_unbiased_inverse(d.mean(), gain, offset, read_std))
        assert found - offset == pytest.approx(gain * rate, rel=5e-3)


def test_the_inverse_never_falls_and_never_gives_less_than_no_count() -> None:
    d = np.linspace(-2, 30, 4000)
    rates = exact_unbiased_inverse(d, 1, 0, 0)
    assert (np.diff(rates) >= 0).all()
    assert rates.min() == 0


def counts_of(clean: np.ndarray, peak: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson((clean + 1) / 2 * (peak - 10) + 10)


def test_rows_of_counts_carry_one_level_that_holds_at_every_brightness(tmp_path: Path) -> None:
    counts = counts_of(photos(), 200.0).astype(np.uint16)
    spec = {**array(tmp_path / "d", counts), "counts": {"gain": 1.0}, "value_range": [0, 300]}
    data = open_rows(spec)
    sigma = float(data[0].sigma_n)
    assert sigma == pytest.approx(1 / data.mapping._half)
    x = np.stack([data[i].x_n.numpy() for i in range(len(data))]).astype(float)
    found = {f.name: f.verdict for f in model_findings(x, np.full((len(x), 1, 1, 1), sigma))}
    assert found["level"] is NoiseVerdict.FINE
    assert found["signal-dependence"] is NoiseVerdict.FINE
    raw = counts / 150 - 1
    untransformed = {f.name: f.verdict for f in model_findings(raw, None)}
    assert untransformed["signal-dependence"] is NoiseVerdict.VIOLATED


def few_counts(read: float, photons: float) -> tuple[np.ndarray, CountRange]:
    """Flat pictures (n, 1, 32, 32) of so few counts that their transform is bent, in data units, and the mapping."""
    mapping = CountRange(290, 400, gain=0.8, offset=300.0, read_std=read)
    rng = np.random.default_rng(0)
    scene = np.broadcast_to(np.linspace(0.8, 1.2, 64)[:, None, None, None] * photons, (64, 1, 32, 32))
    return mapping.to_unit(300 + 0.8 * rng.poisson(scene) + read * rng.standard_normal(scene.shape)).astype(
        float
    ), mapping


def judged(x: np.ndarray, sigma_n: float, mapping: CountRange | None) -> NoiseVerdict:
    level = np.full((len(x), 1, 1, 1), sigma_n)
    return {f.name: f.verdict for f in model_findings(x, level, mapping=mapping)}["symmetry"]


def test_noise_of_few_counts_is_judged_by_what_the_transform_leaves_of_it() -> None:
    x, mapping = few_counts(2.5, 1.5)
    assert judged(x, mapping.sigma_n, mapping) is NoiseVerdict.FINE
    assert judged(x, mapping.sigma_n, None) is NoiseVerdict.VIOLATED  # skewness -0.43, which a Gaussian has not
    clipped = np.maximum(x, np.quantile(x, 0.3))
    assert judged(clipped, mapping.sigma_n, mapping) is NoiseVerdict.VIOLATED


def test_noise_of_hardly_any_counts_is_doubted() -> None:
    x, mapping = few_counts(1.5, 1.0)
    assert judged(x, mapping.sigma_n, mapping) is NoiseVerdict.DOUBT


def test_clean_values_come_back_as_expected_counts() -> None:
    mapping = CountRange(0, 300, gain=2.0, offset=10.0, read_std=3.0)
    rng = np.random.default_rng(0)
    v = 2 * rng.poisson(60, 100_000) + rng.normal(10, 3, 100_000)
    clean = mapping.to_unit(v).astype(float).mean()
    assert float(mapping.from_unit(clean)) == pytest.approx(130, rel=3e-3)
    assert mapping.to_unit([0.0])[0] == pytest.approx(-1)
    assert mapping.to_unit([300.0])[0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"counts": {}}, "need value_range"),
        ({"counts": {"gain": 0}, "value_range": [0, 300]}, "gain"),
        ({"counts": {}, "value_range": [0, 300], "sigma_n": 0.1}, "follows from the transform"),
        ({"counts": {}, "value_range": [300, 0]}, "low < high"),
    ],
)
def test_counts_that_make_no_sense_are_refused(tmp_path: Path, fields: dict, why: str) -> None:
    spec = array(tmp_path / "d", counts_of(photos(), 100.0).astype(np.uint16))
    with pytest.raises(InputError, match=why):
        open_rows(spec, **fields)


def test_too_few_counts_for_the_transform_are_refused(tmp_path: Path) -> None:
    dark = np.random.default_rng(0).poisson(1.5, (20, 1, 12, 10)).astype(np.uint16)
    with pytest.raises(InputError, match="too few for the transform"):
        open_rows(array(tmp_path / "d", dark), counts={}, value_range=[0, 20])
    bright = np.random.default_rng(0).poisson(20, (20, 1, 12, 10)).astype(np.uint16)
    assert len(open_rows(array(tmp_path / "e", bright), counts={}, value_range=[0, 60])) == 20
