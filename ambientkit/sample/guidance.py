"""Classifier-free guidance: the denoiser of a condition, pushed away from that of none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser


class Guided:
    """D(x, sigma) = D_null + w (D_cond - D_null), in every call: two calls of the denoiser, one with no condition and
    one with the row's own.

    w = 0 is the denoiser without condition, in one call; w > 1 exaggerates the condition, and what comes out is then a
    draw from no law of the data. null: name -> what stands for no condition (`data.conditions.null_values`). Source:
    arXiv 2207.12598, eq. 6, where w is 1 + its w.
    """

    def __init__(self, denoiser: Denoiser, guidance: float, null: Mapping[str, Tensor]) -> None:
        self._denoiser, self._guidance, self._null = denoiser, guidance, null

    def __call__(self, x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        """(B, *S), as the denoiser itself."""
        nothing = {
            name: torch.as_tensor(self._null[name]).to(value).expand_as(value) if name in self._null else value
            for name, value in cond.items()
        }
        without = self._denoiser(x, sigma, **nothing)
        return (
            without if self._guidance == 0 else without + self._guidance * (self._denoiser(x, sigma, **cond) - without)
        )


def guided(denoiser: Denoiser, guidance: float, conds: Iterable[str], null: Mapping[str, Tensor] | None) -> Denoiser:
    """A denoiser under guidance; itself where that is 1. conds: names of the conditions that rows carry.

    A condition that `null` does not name stays as it is. Raises InputError for a weight that is not finite, rows
    without conditions, and where `null` names none of them.
    """
    if guidance == 1:
        return denoiser
    if not math.isfinite(guidance):
        raise InputError(f"guidance {guidance}: should be a number; 1 is none")
    names = list(conds)
    if not names:
        raise InputError(
            f"guidance {guidance:g} needs conditions to be guided by, but these rows carry none; leave it at 1"
        )
    if not any(name in (null or {}) for name in names):
        raise InputError(
            f"guidance {guidance:g} needs to know what stands for no condition in {', '.join(names)}: give `null`, "
            "as null_values has it"
        )
    return Guided(denoiser, guidance, null or {})
