"""Measures of a denoiser against clean rows, and of samples against noisy ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from ambientkit.errors import InputError
from ambientkit.evaluation.score import Score
from ambientkit.interfaces import Denoiser
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.randomness import keyed_generator

CHUNK = 64
"""Rows at a time; fixed, so that the numbers depend on the generator alone."""
DATA_RANGE = 2.0
"""Of pictures in [-1, 1]."""
SSIM_WINDOW = 11
"""Pixels along a side of the window of SSIM."""


class LevelError(NamedTuple):
    """The error of a denoiser at one level."""

    sigma: float
    rms: float
    """sqrt(mean over rows and pixels of (D(x_0 + sigma z, sigma) - x_0)^2), data units."""
    error: float
    """Standard error of rms, over rows."""
    n: int


@torch.no_grad()
def denoiser_error(
    denoiser: Denoiser,
    clean: Tensor,
    levels: Sequence[float],
    generator: Generator,
    cond: Mapping[str, Tensor] | None = None,
) -> list[LevelError]:
    """Root mean square error of D against held-out clean rows, at each level: (E|D(x_0 + sigma z, sigma) - x_0|^2 /
    pixels)^(1/2).

    clean (n, *S) on the denoiser's device, data units; levels > 0; cond as the denoiser takes it. The least possible
    value is not 0 but the posterior's std. Raises InputError for no rows and for answers that are not finite. Source:
    arXiv 2206.00364, eq. 2.
    """
    if len(clean) == 0:
        raise InputError("denoiser error: there are no clean rows")
    found = []
    for sigma in levels:
        squares = []
        for first in range(0, len(clean), CHUNK):
            x_0 = clean[first : first + CHUNK]
            given = {name: value[first : first + CHUNK] for name, value in (cond or {}).items()}
            x_t = x_0 + sigma * standard_normal(x_0, generator)
            x_0_hat = denoiser(x_t, torch.full((len(x_0),), sigma, dtype=x_0.dtype, device=x_0.device), **given)
            squares.append((x_0_hat.double() - x_0.double()).square().flatten(1).mean(1).cpu())
        by_row = torch.cat(squares)
        if not by_row.isfinite().all():
            raise InputError(f"the denoiser's answers at sigma = {sigma:g} are not finite; the run has diverged")
        rms = math.sqrt(float(by_row.mean()))
        spread = float(by_row.std()) / math.sqrt(len(by_row)) if len(by_row) > 1 else 0.0
        found.append(LevelError(float(sigma), rms, spread / (2 * rms) if rms > 0 else 0.0, len(by_row)))
    return found


def psnr(restored: Tensor, clean: Tensor) -> Score:
    """Mean over rows of 10 log10(4 / mean squared error), in decibels, for values of [-1, 1]; `spread`: std over rows.

    restored, clean (n, *S), row by row. Nothing is cut to [-1, 1]. Raises InputError for different shapes. Source:
    scikit-image.
    """
    from skimage.metrics import peak_signal_noise_ratio

    pairs = _pairs(restored, clean, "psnr")
    with np.errstate(divide="ignore"):  # equal rows are at infinity
        values = [float(peak_signal_noise_ratio(true, seen, data_range=DATA_RANGE)) for seen, true in pairs]
    return Score(
        "psnr",
        float(np.mean(values)),
        (len(values), len(values)),
        spread=float(np.std(values)) if np.isfinite(values).all() else None,
    )


def ssim(restored: Tensor, clean: Tensor) -> Score:
    """Mean structural similarity over rows, with the paper's Gaussian window (std 1.5, 11 pixels) and data range 2;
    `spread`: std over rows.

    restored, clean (n, C, H, W), row by row. Raises InputError for different shapes, and below 11 x 11 pixels.
    Source: Wang et al. (2004), eq. 13, by scikit-image with the settings it names for that paper.
    """
    from skimage.metrics import structural_similarity

    if restored.ndim != 4 or min(restored.shape[2:]) < SSIM_WINDOW:
        raise InputError(
            f"ssim: needs pictures (C, H, W) of at least {SSIM_WINDOW} x {SSIM_WINDOW}, not rows of "
            f"{tuple(restored.shape[1:])}"
        )
    values = [
        float(
            structural_similarity(
                true,
                seen,
                data_range=DATA_RANGE,
                channel_axis=0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
        )
        for seen, true in _pairs(restored, clean, "ssim")
    ]
    return Score("ssim", float(np.mean(values)), (len(values), len(values)), spread=float(np.std(values)))


def proximal(samples: Tensor, sigma_n: Tensor | float, seed: int) -> Tensor:
    """Samples as noisy as the observations they are to be compared with: samples + sigma_n z, z of row i keyed by
    (seed, i).

    samples (n, *S); sigma_n a number, (n,), or per pixel, broadcastable to (n, *S). If the samples follow the law of
    x_0, the result follows that of x_n, so any distance to x_n measures them where no clean data exist. The noise hides
    what is finer than it: a small distance says less than one between clean rows. Raises ValueError where sigma_n does
    not fit. Source: arXiv 2404.10177, section 5, where noisy data are judged in the same way.
    """
    generators = [
        keyed_generator(seed, "evaluate.proximal", row=index, device=samples.device) for index in range(len(samples))
    ]
    return samples + per_row(sigma_n, samples) * standard_normal(samples, generators)


def _pairs(restored: Tensor, clean: Tensor, what: str) -> list[tuple[np.ndarray, np.ndarray]]:
    if restored.shape != clean.shape or len(clean) == 0:
        raise InputError(
            f"{what}: compares row by row, but the shapes are {tuple(restored.shape)} and {tuple(clean.shape)}"
        )
    return list(zip(restored.detach().double().cpu().numpy(), clean.detach().double().cpu().numpy(), strict=True))
