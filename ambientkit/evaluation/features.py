"""Distances between two sets of features: Frechet, kernel, precision and recall, sliced Wasserstein."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ambientkit.errors import InputError
from ambientkit.evaluation.score import Score, check_pair
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.maths.statistics import sliced_wasserstein


class _Identity(nn.Module):
    """Hands features to a metric that expects a network."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def fid(reference: Tensor, judged: Tensor, *, extractor: str = "features") -> Score:
    """Frechet distance |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2)) of the normal laws with the features' means m
    and covariances C.

    reference (n, F), judged (m, F); computed in float64. Units: features squared. It is biased upwards, roughly as 1 /
    min(n, m), and the more so the larger F: only values of the same n and extractor may be compared, and the floor is
    that of the reference against itself. With fewer rows than F + 1 a covariance is singular: the value is still
    finite, and its bias dominates. Never below 0 but by rounding. Raises InputError for fewer than 2 rows, and where
    torchmetrics is missing. Source: arXiv 1706.08500, eq. 6, by torchmetrics; its bias: arXiv 1911.07023.
    """
    check_pair(reference, judged, 2, "fid")
    metric = _torchmetrics().image.fid.FrechetInceptionDistance(_Identity(reference.shape[1])).set_dtype(torch.float64)
    metric.update(reference.double(), real=True)
    metric.update(judged.double(), real=False)
    return Score(
        "fid", float(metric.compute()), (len(reference), len(judged)), extractor, note=fid_note(reference, judged)
    )


def fid_note(reference: Tensor, judged: Tensor) -> str:
    """What the number of rows does to a Frechet distance."""
    least, dimensions = min(len(reference), len(judged)), reference.shape[1]
    if least <= dimensions:
        return (
            f"biased upwards: {least} rows cannot fill {dimensions} dimensions, so that the bias may be most "
            "of it; take more rows or kid"
        )
    return "biased upwards, as 1/n"


def kid(
    reference: Tensor,
    judged: Tensor,
    *,
    subsets: int = 50,
    subset_size: int = 1000,
    seed: int = 0,
    extractor: str = "features",
) -> Score:
    """Kernel distance, the unbiased estimate of MMD^2 with the kernel (x y / F + 1)^3, averaged over random subsets of
    both sets.

    reference (n, F), judged (m, F); float64; subset_size is at most min(n, m), and where that is all rows one subset is
    taken. Unbiased for any n, so that it is negative by chance for like laws: it is never cut at 0. `spread` is the std
    over the subsets, which overlap: no standard error. Keyed by `seed`. Raises InputError for fewer than 2 rows, and
    where torchmetrics is missing. Source: arXiv 1801.01401, section 4, by torchmetrics.
    """
    check_pair(reference, judged, 2, "kid")
    size = min(subset_size, len(reference), len(judged))
    if len(reference) == len(judged) == size:
        subsets = 1
    module = _torchmetrics().image.kid
    with warnings.catch_warnings():  # that features are kept in memory: they are there already
        warnings.simplefilter("ignore")
        metric = module.KernelInceptionDistance(
            _Identity(reference.shape[1]), subsets=subsets, subset_size=size
        ).set_dtype(torch.float64)
    metric.update(reference.double(), real=True)
    metric.update(judged.double(), real=False)
    with isolated_global_generator(seed, "evaluate.kid"):  # it draws its subsets from the global one
        mean, spread = metric.compute()
    note = "unbiased: values below 0 are chance"
    return Score(
        "kid", float(mean), (len(reference), len(judged)), extractor, float(spread) if subsets > 1 else None, note
    )


def precision_recall(
    reference: Tensor, judged: Tensor, *, neighbours: int = 3, extractor: str = "features"
) -> tuple[Score, Score]:
    """Precision, the share of judged rows within the reference's balls, and recall, the share of reference rows within
    those of the judged.

    A ball has its centre at a row and reaches to the k-th nearest row of its own set (k = `neighbours`). reference (n,
    F), judged (m, F); float64. Both grow with the number of rows of the set that makes the balls, so compare at equal
    n; for equal laws they are below 1. Raises InputError for fewer than k + 1 rows, and where torch-fidelity is
    missing. Source: arXiv 1904.06991, eq. 2, by torch-fidelity.
    """
    check_pair(reference, judged, neighbours + 1, "precision and recall")
    try:
        from torch_fidelity.metric_prc import prc_features_to_metric
    except ImportError as error:
        raise _missing(error) from None
    with torch.no_grad():
        found = prc_features_to_metric(
            judged.double(),
            reference.double(),
            prc_neighborhood=neighbours,
            prc_batch_size=2048,
            save_cpu_ram=max(len(reference), len(judged)) > 4096,  # all distances at once otherwise
            verbose=False,
        )
    n, note = (len(reference), len(judged)), f"k = {neighbours}; grows with n, and is below 1 for equal laws"
    return (
        Score("precision", found["precision"], n, extractor, note=note),
        Score("recall", found["recall"], n, extractor, note=note),
    )


def sliced(
    reference: Tensor, judged: Tensor, generator: Generator, *, projections: int = 256, extractor: str = "features"
) -> Score:
    """Sliced 2-Wasserstein distance, the root mean square over random directions of the distance of the projections on
    them.

    reference (n, F), judged (m, F); in units of the features. Biased upwards, as n^(-1/2) for like laws.
    Raises InputError for empty sets. Source: Bonneel et al. (2015), definition 3.
    """
    check_pair(reference, judged, 1, "sliced-w2")
    value = sliced_wasserstein(reference, judged, generator, projections)
    return Score("sliced-w2", value, (len(reference), len(judged)), extractor, note="biased upwards, as n^-1/2")


def _torchmetrics() -> Any:
    try:
        import torchmetrics.image.fid
        import torchmetrics.image.kid
    except ImportError as error:
        raise _missing(error) from None
    return torchmetrics


def _missing(error: ImportError) -> InputError:
    return InputError(f"{error.name} is not installed; it comes with: pip install 'ambientkit[evaluate]'")
