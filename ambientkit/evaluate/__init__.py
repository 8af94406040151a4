"""Evaluation: distances between samples and data, with and without clean data, each told with its extractor, its n and its bias."""

from ambientkit.evaluate.denoising import LevelError, denoiser_error, proximal, psnr, ssim
from ambientkit.evaluate.features import fid, kid, precision_recall, sliced
from ambientkit.evaluate.pictures import (
    high_frequency,
    patch_distance,
    pixel_statistics_distance,
    power_spectrum,
    power_spectrum_distance,
    residual_noise,
)
from ambientkit.evaluate.score import Score, extract, label

__all__ = [
    "LevelError",
    "Score",
    "denoiser_error",
    "extract",
    "fid",
    "high_frequency",
    "kid",
    "label",
    "patch_distance",
    "pixel_statistics_distance",
    "power_spectrum",
    "power_spectrum_distance",
    "precision_recall",
    "proximal",
    "psnr",
    "residual_noise",
    "sliced",
    "ssim",
]
