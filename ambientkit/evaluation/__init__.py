"""Evaluation: distances between samples and data, with and without clean data, each reported with its extractor, its n
and its bias."""

from ambientkit.evaluation.compare import evaluate
from ambientkit.evaluation.comparison import Comparison, Line
from ambientkit.evaluation.denoising import LevelError, denoiser_error, proximal, psnr, ssim
from ambientkit.evaluation.features import fid, kid, precision_recall, sliced
from ambientkit.evaluation.pictures import (
    high_frequency,
    patch_distance,
    pixel_statistics_distance,
    power_spectrum,
    power_spectrum_distance,
    residual_noise,
)
from ambientkit.evaluation.ranking import Ranked, Ranking, rank_checkpoints
from ambientkit.evaluation.restored import RestoredComparison, compare_restored
from ambientkit.evaluation.score import Score, extract, label

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
