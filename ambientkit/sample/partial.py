"""Samples of whole rows from a denoiser that was trained on rows seen in part: it is asked under masks of the kind that
training has shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ambientkit.interfaces import Corruption, Denoiser, Levels, Signal
from ambientkit.maths.randomness import keyed_generator


class UnderMasks:
    """D(x, sigma) = mean over masks of D(A~ x, sigma, A~): what a denoiser of rows seen in part says of a whole point.

    The masks of a sample are kept for its whole chain and come as conditions "NAME.0", "NAME.1", ...; with one it is
    the fixed mask of arXiv 2305.19256. Values that no mask of a sample shows are estimates given the others, and
    smoother than drawn ones: several masks show more. For an operator the point is measured first, which needs A^T A =
    I.
    """

    def __init__(self, denoiser: Denoiser, corruption: Corruption, masks: int) -> None:
        self._denoiser, self._masks = denoiser, masks
        self._name = "mask" if "masked" in corruption.claims else "sampled"
        self._operator = getattr(corruption, "operator", None)

    def __call__(self, x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        """(B, *S), as the denoiser itself."""
        own = [cond.pop(f"{self._name}.{k}") for k in range(self._masks)]
        answers = [self._asked(x, sigma, mask, cond) for mask in own]
        return answers[0] if len(answers) == 1 else torch.stack(answers).mean(0)

    def _asked(self, x: Tensor, sigma: Tensor, mask: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        if self._operator is None:
            return self._denoiser(torch.where(mask, x, torch.zeros_like(x)), sigma, **cond, **{self._name: mask})
        y = torch.where(mask, self._operator.forward(x, {}), 0.0).to(x.dtype)
        return self._denoiser(self._operator.adjoint(y, {}).to(x.dtype), sigma, **cond, sampled=mask, measured=y)


def under_masks(
    denoiser: Denoiser,
    corruption: Corruption,
    signal: Signal,
    levels: Levels,
    rows: Sequence[int],
    masks: int,
    seed: int,
) -> tuple[Denoiser, dict[str, Tensor]]:
    """A denoiser of whole points, and the conditions that hold the masks of these samples, keyed by (seed, sample,
    number).

    The denoiser itself, and no conditions, where the corruption hides nothing. Under an operator white noise of
    measurements has to be white noise of rows: see `suited.why_no_samples`.
    """
    if not corruption.carries:
        return denoiser, {}
    name = "mask" if "masked" in corruption.claims else "sampled"
    found = {}
    blank, number = torch.zeros(len(rows), *signal.shape), torch.tensor(list(rows))
    for k in range(masks):
        generators = [keyed_generator(seed, "sample.mask", step=k, row=row) for row in rows]
        one = corruption.observe(blank, number, generators)
        view = corruption.degrade(one, corruption.floor(one).clamp(min=levels.sigma_min), generators)
        found[f"{name}.{k}"] = view.cond[name]
    return UnderMasks(denoiser, corruption, masks), found
