"""Measures of the pictures themselves: residual noise, and how their pixels, patches and spectra differ."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import conv2d

from ambientkit.errors import InputError
from ambientkit.evaluation.score import Score
from ambientkit.maths.statistics import sliced_wasserstein

SMALLEST = 8
"""Fewest pixels along a side for an estimate of noise."""


def pixel_statistics_distance(reference: Tensor, judged: Tensor) -> Score:
    """sqrt(mean over pixels of (m_1 - m_2)^2 + (s_1 - s_2)^2), m and s the mean and std of a pixel over the rows of a
    set.

    (n, *S) and (m, *S), in data units. It is the 2-Wasserstein distance of the normal laws with these means and
    variances and independent pixels. Biased upwards, as n^(-1/2). Raises InputError for rows of different shapes and
    for fewer than 2. Source: Dowson and Landau (1982), eq. 4, for diagonal covariances.
    """
    _check(reference, judged, 2)
    a, b = reference.double().flatten(1), judged.double().flatten(1)
    squares = (a.mean(0) - b.mean(0)).square() + (a.std(0) - b.std(0)).square()
    return Score("pixel-statistics", float(squares.mean().sqrt()), (len(a), len(b)), note="biased upwards, as n^-1/2")


def patch_distance(
    reference: Tensor,
    judged: Tensor,
    generator: Generator,
    *,
    size: int = 4,
    patches: int = 10_000,
    projections: int = 128,
) -> Score:
    """Sliced 2-Wasserstein distance of random windows of size x size pixels, in data units.

    (n, C, H, W) and (m, C, H, W). `patches` windows of each, from rows and places that are drawn alike for both, so
    that a set is at distance 0 from itself. It sees texture and noise, and needs no network; it is blind to how windows
    are put together. Biased upwards. Raises InputError for rows that are no pictures of at least that size. Source:
    arXiv 1710.10196, section 5, at one scale.
    """
    _check(reference, judged, 1)
    if reference.ndim != 4 or min(reference.shape[2:]) < size:
        raise InputError(
            f"patch distance: needs pictures (C, H, W) of at least {size} x {size}, not rows of "
            f"{tuple(reference.shape[1:])}"
        )
    u = torch.rand((3, patches), generator=generator, dtype=torch.float64)
    value = sliced_wasserstein(_windows(reference, u, size), _windows(judged, u, size), generator, projections)
    return Score(
        "patch-w2", value, (len(reference), len(judged)), note=f"{patches} windows of {size} x {size}; biased upwards"
    )


def _windows(rows: Tensor, u: Tensor, size: int) -> Tensor:
    """The windows that u (3, M), uniform on [0, 1), chooses: row, top, left. Returns (M, C size^2)."""
    windows = rows.unfold(2, size, 1).unfold(3, size, 1)  # a view
    counts = torch.tensor([windows.shape[0], windows.shape[2], windows.shape[3]], dtype=torch.float64).unsqueeze(1)
    row, top, left = (u * counts).long()
    return windows[row, :, top, left].flatten(1).double().cpu()


def residual_noise(pictures: Tensor) -> Score:
    """The level of white noise that pictures seem to hold: mean over them of a wavelet estimate, sigma = median |d| /
    0.6745, data units.

    pictures (n, C, H, W); channels count as their root mean square. Texture at the finest scale is counted as noise, so
    compare with the value of clean pictures of the kind: the level of noise that is really there is sqrt(value^2 -
    clean^2). `spread`: std over pictures. Raises InputError for rows that are no pictures of at least 8 x 8. Source:
    Donoho and Johnstone (1994), by `skimage.restoration.estimate_sigma`.
    """
    from skimage.restoration import estimate_sigma

    _planes(pictures, "residual noise")
    levels = []
    for picture in pictures.detach().double().cpu().numpy():
        planes = [float(estimate_sigma(plane)) if np.ptp(plane) > 0 else 0.0 for plane in picture]
        levels.append(math.sqrt(sum(level**2 for level in planes) / len(planes)))
    note = "texture at the finest scale counts as noise: compare with clean rows"
    return Score("residual-noise", float(np.mean(levels)), (0, len(levels)), spread=float(np.std(levels)), note=note)


def high_frequency(pictures: Tensor) -> Score:
    """Root mean square of pictures under the filter [[1, -2, 1], [-2, 4, -2], [1, -2, 1]] / 6, data units.

    pictures (n, C, H, W). The filter is blind to planes and straight edges along the axes and leaves white noise of std
    sigma at std sigma, so that value^2 = clean^2 + sigma^2 exactly, in expectation. Raises InputError for rows that are
    no pictures of at least 8 x 8. Source: the mask of Immerkaer (1996), "Fast noise variance estimation", CVIU 64(2).
    """
    _planes(pictures, "high-frequency residue")
    line = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64)
    mask = (line[:, None] * line[None, :] / 6)[None, None]
    squares = [
        conv2d(chunk.detach().double().cpu().flatten(0, 1).unsqueeze(1), mask).square().sum(dtype=torch.float64)
        for chunk in pictures.split(256)
    ]
    values = pictures.shape[0] * pictures.shape[1] * (pictures.shape[2] - 2) * (pictures.shape[3] - 2)
    return Score(
        "high-frequency",
        float((torch.stack(squares).sum() / values).sqrt()),
        (0, len(pictures)),
        note="squares add up under noise",
    )


def power_spectrum(pictures: Tensor) -> Tensor:
    """Mean power |F(k)|^2 / (H W) at each whole radius of frequency, 1 .. min(H, W) // 2 in cycles per picture; (R,),
    float64.

    pictures (n, C, H, W); the mean of each picture is left out by leaving out radius 0. White noise of std sigma adds
    sigma^2 at every radius. Raises InputError for rows that are no pictures of at least 8 x 8.
    """
    _planes(pictures, "power spectrum")
    height, width = pictures.shape[2:]
    total = torch.zeros(height, width, dtype=torch.float64)
    for chunk in pictures.split(256):
        total += torch.fft.fft2(chunk.detach().double().cpu(), norm="ortho").abs().square().mean(1).sum(0)
    ky, kx = torch.fft.fftfreq(height, 1 / height), torch.fft.fftfreq(width, 1 / width)
    shortest = min(height, width)  # the same wavelength along both axes counts as the same radius
    radius = ((ky[:, None] * shortest / height) ** 2 + (kx[None, :] * shortest / width) ** 2).sqrt().round().long()
    flat, power = radius.flatten(), total.flatten() / len(pictures)
    count = torch.zeros(int(flat.max()) + 1, dtype=torch.float64).index_add_(0, flat, torch.ones_like(power))
    summed = torch.zeros_like(count).index_add_(0, flat, power)
    return (summed / count.clamp(min=1))[1 : shortest // 2 + 1]


def power_spectrum_distance(reference: Tensor, judged: Tensor, *, floor: float = 1e-12) -> Score:
    """Root mean square over radii of the difference of the radially averaged spectra, in decibels (10 log10 of
    `power_spectrum`).

    (n, C, H, W) and (m, C, H, W). `floor` is added to both powers, so that rows without any are no infinity. Noise left
    over shows at high radii, blur as its lack. Biased upwards, slightly. Raises InputError for rows of different
    shapes, and such that are no pictures. Source: van der Schaaf and van Hateren (1996), "Modelling the power spectra
    of natural images", Vision Research 36(17).
    """
    _check(reference, judged, 1)
    one, other = (10 * (power_spectrum(rows) + floor).log10() for rows in (reference, judged))
    return Score(
        "spectrum-db",
        float((one - other).square().mean().sqrt()),
        (len(reference), len(judged)),
        note="decibels over radii",
    )


def _check(reference: Tensor, judged: Tensor, least: int) -> None:
    if reference.shape[1:] != judged.shape[1:]:
        raise InputError(
            f"the reference has rows of shape {tuple(reference.shape[1:])}, but those judged have "
            f"{tuple(judged.shape[1:])}"
        )
    if min(len(reference), len(judged)) < least:
        raise InputError(f"at least {least} rows are needed on both sides, not {len(reference)} and {len(judged)}")


def _planes(pictures: Tensor, what: str) -> None:
    if pictures.ndim != 4 or min(pictures.shape[2:]) < SMALLEST or len(pictures) == 0:
        raise InputError(
            f"{what}: needs pictures (C, H, W) of at least {SMALLEST} x {SMALLEST}, not {len(pictures)} rows of "
            f"shape {tuple(pictures.shape[1:])}"
        )
