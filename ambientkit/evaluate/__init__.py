"""Evaluation: distances between samples and data, with and without clean data, each reported with its extractor, its n and its bias."""

from ambientkit.evaluate.compare import evaluate
from ambientkit.evaluate.comparison import Comparison, Line
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
from ambientkit.evaluate.ranking import Ranked, Ranking, rank_checkpoints
from ambientkit.evaluate.restored import RestoredComparison, compare_restored
from ambientkit.evaluate.score import Score, extract, label

__all__ = [
    "Comparison",
    "LevelError",
    "Line",
    "Ranked",
    "Ranking",
    "RestoredComparison",
    "Score",
    "compare_restored",
    "denoiser_error",
    "evaluate",
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
    "rank_checkpoints",
    "residual_noise",
    "sliced",
    "ssim",
]
