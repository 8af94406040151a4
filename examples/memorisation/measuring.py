"""What the experiment measures of one set of weights: quality, and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from arms import Size
from torch import Tensor

from ambientkit.errors import AmbientError
from ambientkit.evaluation import extract, fid, kid
from ambientkit.interfaces import Extractor
from ambientkit.memorisation import attack, memorization
from ambientkit.registry import load

RECOGNISED = 0.9
"""Share of clean rows, not used to fit the classifier, that count as recognised: what sets the margin."""
NOISE_SHARE, HIDDEN = 0.9, 0.75
"""Of the variance of an attacked row that is noise, and of its pixels that are hidden."""
CLOTHES = (1, 28, 28)
"""Shape of the rows that an extractor of their own domain reads: by it shapes count, and not each pixel."""
FAR = 3.0
"""Beyond which a sample has run away."""
DEVICE = "auto" if torch.cuda.is_available() else "cpu"


class Classifier:
    """A support vector machine on one half of the held-out rows; a picture is recognised if its margin is that of 90 %
    of the other half."""

    def __init__(self, rows: Tensor, labels: Tensor) -> None:
        from sklearn.svm import SVC

        x, half = rows.flatten(1).numpy()[:4000], min(len(rows), 4000) // 2
        self._fitted = SVC(gamma="scale", C=10.0, decision_function_shape="ovr").fit(x[:half], labels[:half].numpy())
        self._least = float(self._margin(rows[half : 2 * half]).quantile(1 - RECOGNISED))

    def _margin(self, rows: Tensor) -> Tensor:
        first_two = torch.from_numpy(self._fitted.decision_function(rows.flatten(1).numpy())).topk(2, dim=1).values
        return first_two[:, 0] - first_two[:, 1]

    def recognises(self, rows: Tensor) -> float:
        """The share of rows (n, *S) that are recognised."""
        return float((self._margin(rows) >= self._least).double().mean())


def noise_level(x: Tensor) -> float:
    """The std of noise that is `NOISE_SHARE` of the variance of a noisy row: sigma^2 / (sigma^2 + sigma_data^2)."""
    return round(float(x.std()) * (NOISE_SHARE / (1 - NOISE_SHARE)) ** 0.5, 3)


def has_diverged(error: AmbientError) -> bool:
    """Whether an error says that a run gives no numbers any more, in training or afterwards."""
    return "not finite" in str(error)


def measure(path: Path, x: Tensor, held: Tensor, classifier: Classifier, size: Size, seed: int) -> dict[str, Any]:
    """Quality and memory of one set of weights: training rows x, held-out rows, all of them clean.

    Quality is that of the pictures that are shown: values are clipped to [-1, 1], in which the rows lie, so that a
    sample that ran away counts as one bad picture. The measures of memory see the samples as they are.
    """
    found = memorization(
        path,
        train=x,
        heldout=held,
        n=size.samples,
        steps=size.steps,
        shift=0,
        flip=False,
        resamples=0,
        seed=seed,
        device=DEVICE,
    )
    shown = found.samples.clamp(-1, 1)
    samples, reference = shown.flatten(1).double(), held.flatten(1).double()
    made: dict[str, Any] = {one.name: one.value for one in found.measures} | {
        "listed": float(found.listed.double().mean()),
        "fid": float(fid(reference, samples)),
        "kid": float(kid(reference, samples, subsets=10, subset_size=min(1000, len(samples)))),
        "recognised": classifier.recognises(shown),
        "out of range": float((found.samples.abs().flatten(1).amax(1) > FAR).double().mean()),
    }
    if tuple(x.shape[1:]) == CLOTHES:
        lenet = load().build(Extractor, "lenet")
        made["fid[lenet]"] = float(fid(extract(lenet, held), extract(lenet, shown)))
    for kind, level in (("noise", noise_level(x)), ("mask", HIDDEN)):
        got = attack(
            path,
            train=x,
            heldout=held,
            kind=kind,  # type: ignore[arg-type]
            level=level,
            n=min(size.attacked, len(x)),
            null=2 * size.attacked,
            draws=size.draws,
            steps=size.steps,
            particles=size.particles,
            seed=seed,
            device=DEVICE,
        )
        made |= {
            f"{kind} level": level,
            f"{kind} auc": got.auc,
            f"{kind} share": got.share,
            f"{kind} listed": float(got.listed.double().mean()),
        }
    return made
