"""The photon-transfer fit: gain and level of cameras that are simulated, whether its intervals cover, and when it says
that there is nothing, or no line."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.stats import binom

from ambientkit.inspection.photon import dark_frames, photon_transfer, repeated
from ambientkit.inspection.smooth import CENTRE, FILTER, count_step
from ambientkit.inspection.transfer import PhotonTransfer

SETS, LEVEL = 40, 0.9
FALSE_ALARM = 1e-4
"""Probability with which a count of covering intervals is called too low though each covers with LEVEL."""


def scenes(rng: np.random.Generator, n: int = 12, size: int = 48) -> np.ndarray:
    """Counts expected in dark pictures with bright spots and soft edges, (n, 1, size, size)."""
    found = []
    y, x = np.mgrid[:size, :size]
    for _ in range(n):
        p = 8 + 50 * gaussian_filter((gaussian_filter(rng.standard_normal((size, size)), 5) > 0.05).astype(float), 1.2)
        for _ in range(2):
            cy, cx, width = *rng.uniform(6, size - 6, 2), rng.uniform(3, 7)
            p = p + rng.uniform(30, 150) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / width**2 / 2)
        found.append(p)
    return np.stack(found)[:, None]


def camera(rng: np.random.Generator, p: np.ndarray, gain: float, offset: float, read: float) -> np.ndarray:
    return gain * rng.poisson(p) + offset + read * rng.standard_normal(p.shape)


def fits(gain: float, offset: float, read: float, sets: int = SETS) -> list[PhotonTransfer]:
    found = []
    for number in range(sets):
        rng = np.random.default_rng([11, number])
        fit = photon_transfer(camera(rng, scenes(rng), gain, offset, read))
        assert fit is not None
        found.append(fit)
    return found


def test_intervals_of_gain_and_level_cover_and_narrower_ones_are_seen_not_to() -> None:
    gain, offset, read = 2.1, 100.0, 4.0
    zero = offset - read**2 / gain
    found = fits(gain, offset, read)
    z = 1.645
    least = binom.ppf(FALSE_ALARM, SETS, LEVEL)
    covered = sum(abs(fit.gain - gain) < z * fit.gain_error for fit in found)
    assert covered >= least
    assert sum(abs(fit.zero - zero) < z * fit.zero_error for fit in found) >= least
    assert sum(abs(fit.gain - gain) < z * fit.gain_error / 3 for fit in found) < least  # the control
    assert sum(abs(fit.gain - 1.2 * gain) < z * fit.gain_error for fit in found) < least  # and that of a wrong gain
    assert all(fit.significant and fit.straight for fit in found)


def test_noise_that_does_not_depend_on_brightness_is_not_taken_for_counts() -> None:
    called = 0
    for number in range(SETS):
        rng = np.random.default_rng([12, number])
        p = scenes(rng)
        fit = photon_transfer(p + 6 * rng.standard_normal(p.shape))
        assert fit is not None
        called += fit.significant
        assert math.sqrt(fit.variance(fit.at)) == pytest.approx(6, rel=0.05)
    assert called <= binom.ppf(1 - FALSE_ALARM, SETS, 1e-3)  # four standard errors and 15 % of the std


def galaxies(rng: np.random.Generator, n: int = 600, size: int = 31) -> np.ndarray:
    """Stamps whose bright cores bend within three pixels: texture that grows with brightness, (n, 1, size, size)."""
    y, x = np.mgrid[:size, :size]
    found = []
    for _ in range(n):
        (cy, cx), q, t, r = rng.normal(15, 1, 2), rng.uniform(0.3, 1), rng.uniform(0, np.pi), rng.uniform(2, 5)
        u, v = (x - cx) * np.cos(t) + (y - cy) * np.sin(t), ((y - cy) * np.cos(t) - (x - cx) * np.sin(t)) / q
        p = rng.uniform(0.5, 2) * np.exp(-np.sqrt(u**2 + v**2 + 1) / r)
        found.append(0.3 + p * (1 + 0.4 * np.cos(2 * np.arctan2(v, u) + np.hypot(u, v) / 2)))
    return np.stack(found)[:, None]


def test_texture_that_grows_with_brightness_is_not_taken_for_counts() -> None:
    """Case: stamps of galaxies with even noise were proposed as counts (8 sets, 5 times). The smoothest areas show less
    of it, and what is left if their difference is taken off once more is no growth of 15 %."""
    for number in range(4):
        rng = np.random.default_rng([14, number])
        p = galaxies(rng)
        even = photon_transfer(p + 0.12 * rng.standard_normal(p.shape))
        counted = photon_transfer(camera(rng, 40 * p, 1 / 40, 0.0, 0.06))
        assert even is not None
        assert not even.significant
        assert counted is not None
        assert counted.significant
        assert counted.straight


def test_noise_proportional_to_brightness_is_no_line() -> None:
    rng = np.random.default_rng(13)
    p = scenes(rng, 40)
    fit = photon_transfer(p * (1 + 0.2 * rng.standard_normal(p.shape)))
    assert fit is not None
    assert fit.significant
    assert not fit.straight


@settings(max_examples=10, deadline=None)
@given(st.floats(0.1, 50), st.floats(-1000, 1000))
def test_other_units_change_the_line_as_they_change_the_values(scale: float, shift: float) -> None:
    rng = np.random.default_rng(14)
    y = camera(rng, scenes(rng, 6), 2.0, 100.0, 5.0)
    one, other = photon_transfer(y), photon_transfer(scale * y + shift)
    assert one is not None
    assert other is not None
    assert other.gain == pytest.approx(scale * one.gain, rel=1e-6)
    assert other.zero == pytest.approx(scale * one.zero + shift, rel=1e-6, abs=1e-6 * scale)
    assert other.gain_error == pytest.approx(scale * one.gain_error, rel=1e-5)


@given(st.lists(st.floats(-10, 10), min_size=6, max_size=6))
def test_parabolas_vanish_under_the_filter_and_keep_their_middle(c: list[float]) -> None:
    y, x = np.mgrid[-1:2, -1:2].astype(float)
    plane = c[0] + c[1] * x + c[2] * y + c[3] * x * y + c[4] * x**2 + c[5] * y**2
    assert float((FILTER * plane).sum()) == pytest.approx(0, abs=1e-12)
    assert float((CENTRE * plane).sum()) == pytest.approx(c[0], abs=1e-12)
    assert float((FILTER**2).sum()) == pytest.approx(1, abs=1e-15)


def test_repeated_frames_and_dark_frames_give_every_number_of_the_camera() -> None:
    rng = np.random.default_rng(15)
    gain, offset, read = 0.46, 98.0, 1.6
    dark = dark_frames(camera(rng, np.zeros((20, 1, 64, 64)), gain, offset, read))
    assert dark.offset == pytest.approx(offset, abs=4 * dark.offset_error)
    assert dark.read_std == pytest.approx(read, abs=4 * dark.read_error)
    p = np.broadcast_to(scenes(rng, 1, 64), (20, 1, 64, 64))
    lamp = rng.uniform(0.9, 1.1, (20, 1, 1, 1))  # that drifts
    for given_dark in (None, dark):
        fit = repeated(camera(rng, p * lamp, gain, offset, read), given_dark)
        assert fit is not None
        assert fit.significant
        if given_dark is not None:  # without, the drift is taken out of the offset too, and counts as noise
            assert fit.gain == pytest.approx(gain, abs=4 * fit.gain_error)
            assert (fit.offset, fit.read_std) == (dark.offset, dark.read_std)
    with pytest.raises(ValueError, match="2 frames"):
        repeated(np.zeros((1, 1, 64, 64)))


def test_a_fixed_pattern_of_the_pixels_is_no_read_noise() -> None:
    rng = np.random.default_rng(16)
    pattern = 10 * rng.standard_normal((1, 1, 64, 64))
    dark = dark_frames(100 + pattern + 2 * rng.standard_normal((10, 1, 64, 64)))
    assert dark.read_std == pytest.approx(2, abs=4 * dark.read_error)


def test_texture_everywhere_and_tiny_sets_have_no_answer() -> None:
    rng = np.random.default_rng(17)
    assert photon_transfer(rng.standard_normal((1, 1, 8, 8))) is None
    y, x = np.mgrid[:64, :64]
    ruled = 100 * ((x // 2 + y // 2) % 2)[None, None] + rng.standard_normal((4, 1, 64, 64))
    fit = photon_transfer(ruled)
    assert fit is None or fit.variance(fit.at) > 100  # texture that is called noise would be small


def test_saturated_pixels_do_not_pull_the_line_down() -> None:
    rng = np.random.default_rng(18)
    p = scenes(rng, 30)
    y = camera(rng, p, 2.0, 100.0, 4.0)
    fit, cut = photon_transfer(y), photon_transfer(y.clip(None, 260))
    assert fit is not None
    assert cut is not None
    assert cut.gain == pytest.approx(fit.gain, abs=4 * math.hypot(fit.gain_error, cut.gain_error))


def test_noise_that_is_rounded_away_has_no_line() -> None:
    """Case: weights of 1 / 0, and Python's warnings of them among the findings."""
    rng = np.random.default_rng(3)
    rounded = 0.15 * rng.standard_normal((24, 1, 64, 64))
    rounded[..., :20] *= 10  # beside areas in which no noise is left
    rounded = np.round(rounded + (np.arange(64) < 40) * 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert photon_transfer(rounded) is None
        assert repeated(np.round(0.15 * rng.standard_normal((8, 1, 64, 64)))) is None


def few(rng: np.random.Generator, low: float, high: float, n: int = 60, size: int = 48) -> np.ndarray:
    """Smooth pictures of `low` to `high` counts expected, (n, 1, size, size)."""
    z = gaussian_filter(rng.standard_normal((n, 1, size, size)), (0, 0, 6, 6))
    return low * (high / low) ** (1 / (1 + np.exp(-1.5 * z / z.std())))


@pytest.mark.parametrize("step", [1.0, 0.37])
def test_zeros_of_a_counter_are_no_clipped_black(step: float) -> None:
    """Case: electrons of a movie, 1.5 to 12 a pixel, got gain 1.115 +- 0.009, as smooth blocks with a 0 were left
    out."""
    for number in range(4):
        rng = np.random.default_rng([15, number])
        p = few(rng, 1.5, 12)
        fit = photon_transfer(step * rng.poisson(p))
        assert fit is not None
        assert fit.counter == pytest.approx(step)
        assert abs(fit.gain / step - 1) < 4 * fit.gain_error / step
        assert abs(fit.zero) < 0.15 * step
        frames = repeated(step * rng.poisson(np.repeat(p[:1, :], 20, 0)))
        assert frames is not None
        assert frames.counter == pytest.approx(step)
        assert frames.gain == pytest.approx(step, rel=0.05)
        without = photon_transfer(step * rng.poisson(p), counted=False)
        assert without is not None
        assert without.gain > 1.05 * step  # what was said before
        assert without.counter is None


def test_a_camera_that_clips_black_is_no_counter() -> None:
    rng = np.random.default_rng(16)
    p = few(rng, 0.5, 40)
    clipped = np.rint(np.maximum(camera(rng, p, 2.1, 0.0, 3.0), 0))
    assert (clipped == 0).mean() > 0.01
    fit = photon_transfer(clipped)
    assert fit is not None
    assert fit.counter is None


def test_the_step_of_counts_is_of_whole_numbers_with_zeros() -> None:
    rng = np.random.default_rng(17)
    counts = rng.poisson(2.0, 5000).astype(float)
    assert count_step(counts) == 1
    assert count_step(0.25 * counts) == 0.25
    assert count_step(np.where(counts == 3, np.nan, counts)) == 1
    assert count_step(counts + 1) is None  # nothing is 0
    assert count_step(np.maximum(rng.standard_normal(5000), 0)) is None
    assert count_step(np.zeros(5000)) is None
