"""The energy of detail that noisy rows tell: exact over a design of noise, a known null law for rows of the right law,
and controls that are found."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard
from scipy.stats import kstest

from ambientkit.errors import InputError
from ambientkit.maths.bands import band_energy
from ambientkit.maths.blocks import BLOCK
from ambientkit.maths.randomness import keyed_generator


def pictures(n: int, seed: int, size: int = 12) -> torch.Tensor:
    """Smooth pictures with a texture whose strength rises with the brightness."""
    g = keyed_generator(seed, "pictures")
    bright = (
        torch.rand(n, 1, size // 4, size // 4, generator=g, dtype=torch.float64)
        .repeat_interleave(4, 2)
        .repeat_interleave(4, 3)
    )
    fine = torch.randn(n, 1, size, size, generator=g, dtype=torch.float64)
    return bright * 2 - 1 + 0.3 * bright * fine


def noisy(n: int, seed: int, sigma_n: float = 0.3) -> torch.Tensor:
    x = pictures(n, seed)
    return x + sigma_n * torch.randn(x.shape, generator=keyed_generator(seed, "noise"), dtype=torch.float64)


def means(x: torch.Tensor) -> torch.Tensor:
    """The mean of each block, in all of its pixels."""
    return x.unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5)).repeat_interleave(4, 2).repeat_interleave(4, 3)


@given(seed=st.integers(0, 10**6), sigma_n=st.floats(0.01, 2), channels=st.integers(1, 3))
def test_noisy_rows_tell_the_energy_of_clean_ones(seed, sigma_n, channels):
    """Exact: over the rows of a Hadamard matrix and their opposites as noise, whose mean is 0 and whose second moments
    are those of white noise of std 1, the mean of f(x_n)^2 - sigma_n^2 is f(x_0)^2; so the energies wanted are those
    found in the clean rows themselves."""
    signs = torch.tensor(hadamard(BLOCK * BLOCK), dtype=torch.float64).reshape(-1, 1, BLOCK, BLOCK)
    signs = torch.cat([signs, -signs])
    x_0 = torch.randn(3, channels, BLOCK, BLOCK, generator=keyed_generator(seed, "x"), dtype=torch.float64)
    x_n = (x_0.unsqueeze(1) + sigma_n * signs).flatten(0, 1)
    found = band_energy(x_n, sigma_n, x_0.repeat(len(signs), 1, 1, 1), seed, classes=1)
    assert np.allclose(
        [b.wanted for b in found.bands], [b.found for b in found.bands], rtol=1e-9, atol=1e-9 * (1 + sigma_n**2)
    )


@given(seed=st.integers(0, 10**6))
def test_the_transform_is_orthonormal(seed):
    """Exact: without noise the energies of all bands sum to the variance within blocks."""
    x = torch.randn(8, 1, 8, 12, generator=keyed_generator(seed, "x"), dtype=torch.float64)
    found = band_energy(x, 0.0, x, seed, classes=1)
    blocks = x.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4)
    within = (blocks - blocks.mean(4, keepdim=True)).square().sum(4).mean()
    count = [2, 3, 4, 3, 2, 1]
    assert np.isclose(sum(c * b.wanted for c, b in zip(count, found.bands, strict=True)), float(within))
    assert found.value < 1e-9
    assert all(b.wanted == b.found for b in found.bands)


@pytest.mark.slow
def test_scores_of_rows_of_the_right_law_are_standard_normal():
    """Null law: z of each band over 300 trials; Kolmogorov-Smirnov at level 1e-5 by band, 6e-5 in all. The control
    holds a tenth of the noise's energy."""
    seen, worse = [], []
    for seed in range(300):
        rows, clean = noisy(200, 3 * seed), pictures(150, 3 * seed + 1)
        seen.append([b.z for b in band_energy(rows, 0.3, clean, seed).bands])
        if seed < 60:
            left = clean + 0.3 * 0.1**0.5 * torch.randn(
                clean.shape, generator=keyed_generator(seed, "left"), dtype=torch.float64
            )
            worse.append([b.z for b in band_energy(rows, 0.3, left, seed).bands])
    assert min(kstest(column, "norm").pvalue for column in np.array(seen).T) > 1e-5
    assert max(kstest(column, "norm").pvalue for column in np.array(worse).T) < 1e-5


@pytest.mark.slow
def test_the_value_is_free_of_what_chance_adds():
    """value^2 is unbiased: of 300 trials of the right law about a half are cut at 0, and few are beyond 3 of its errors
    (at most 12; expected 4 or less for a skewed law); with a third of the noise left all are."""
    values = [band_energy(noisy(200, 3 * s), 0.3, pictures(150, 3 * s + 1), s) for s in range(300)]
    assert 0.3 < sum(one.value == 0 for one in values) / 300 < 0.75
    assert sum(one.value**2 > 3 * one.error for one in values) <= 12
    left = [pictures(150, 3 * s + 1) for s in range(30)]
    left = [
        x + 0.3 * 0.33**0.5 * torch.randn(x.shape, generator=keyed_generator(s, "left"), dtype=torch.float64)
        for s, x in enumerate(left)
    ]
    found = [band_energy(noisy(200, 3 * s), 0.3, x, s) for s, x in enumerate(left)]
    assert all(one.value**2 > 3 * one.error for one in found)


def test_detail_in_the_wrong_places_is_found_by_class_only():
    """Texture of the right energy in all, spread evenly over dark and bright blocks."""
    n = 400
    rows, clean = noisy(n, 0), pictures(n, 1)
    g = keyed_generator(2, "texture")
    even = (clean - means(clean)).square().mean().sqrt() * torch.randn(clean.shape, generator=g, dtype=torch.float64)
    wrong = means(clean) + even - means(even)
    together, by_class = band_energy(rows, 0.3, wrong, classes=1), band_energy(rows, 0.3, wrong)
    assert together.value**2 < 5 * together.error
    assert by_class.value**2 > 10 * by_class.error


@pytest.mark.parametrize("seed", range(3))
def test_classes_are_those_of_noisy_means(seed):
    """Where noise hides much of a block's mean, classes by the judged rows' own means would not be those of the noisy
    rows'. Three trials of 4.5 errors."""

    def faint(key):  # the same texture on means of little contrast
        x = pictures(1500, key)
        return x - 0.9 * means(x)

    rows = faint(3 * seed) + 0.3 * torch.randn(
        1500, 1, 12, 12, generator=keyed_generator(seed, "noise"), dtype=torch.float64
    )
    found = band_energy(rows, 0.3, faint(3 * seed + 1), seed)
    assert found.value**2 < 4.5 * found.error


def test_noise_and_blur_are_told_apart():
    rows, clean = noisy(300, 0), pictures(300, 1)
    for judged, sign in ((rows, 1), (0.5 * clean, -1)):
        found = band_energy(rows, 0.3, judged)
        assert all(np.sign(b.z) == sign and abs(b.z) > 5 for b in found.bands)
    whole = band_energy(rows, 0.3, rows)
    assert all(abs(b.found - b.wanted - 0.09) < 1e-3 for b in whole.bands)


def test_levels_by_row():
    """Rows of two levels tell the same as rows of one."""
    clean = pictures(400, 0)
    level = torch.tensor([0.1, 0.5], dtype=torch.float64).repeat(200)
    rows = clean + level.reshape(-1, 1, 1, 1) * torch.randn(
        clean.shape, generator=keyed_generator(0, "n"), dtype=torch.float64
    )
    found = band_energy(rows, level, pictures(400, 1))
    assert all(abs(b.z) < 4.5 for b in found.bands)
    assert any(abs(b.z) > 4.5 for b in band_energy(rows, 0.3, pictures(400, 1)).bands)  # the mean level is not enough


def test_it_prints_and_is_stored():
    found = band_energy(noisy(20, 0), 0.3, pictures(20, 1))
    assert "band-energy" in str(found)
    assert "<table>" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict()))["n"] == [20, 20]


@pytest.mark.parametrize(
    ("rows", "sigma_n", "judged", "says"),
    [
        (torch.zeros(10, 1, 8, 8), 0.1, torch.zeros(10, 1, 8, 9), "one shape"),
        (torch.zeros(10, 2), 0.1, torch.zeros(10, 2), "one shape"),
        (torch.zeros(10, 1, 8, 8), 0.1, torch.zeros(3, 1, 8, 8), "8 rows"),
        (torch.zeros(10, 1, 8, 8), torch.zeros(10, 1, 8, 8), torch.zeros(10, 1, 8, 8), "not independent"),
        (torch.zeros(10, 1, 8, 8), torch.zeros(9), torch.zeros(10, 1, 8, 8), "one per row"),
    ],
)
def test_what_cannot_be_compared_is_refused(rows, sigma_n, judged, says):
    with pytest.raises(InputError, match=says):
        band_energy(rows, sigma_n, judged)
