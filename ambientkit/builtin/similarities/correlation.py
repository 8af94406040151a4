"""The similarity `correlation`: brightness and contrast do not count."""

from __future__ import annotations

from torch import Tensor

from ambientkit.memorisation_parts import Similarity

FLAT = 1e-3
"""Std below which a row counts as flat, and is not blown up."""


class Correlation(Similarity):
    """Values less the mean of their row, over its std: the squared distance is 2 (1 - Pearson's correlation)."""

    name = "correlation"
    source = "the definition of Pearson's correlation"
    claims = frozenset({"row-by-row", "brightness-free"})
    moves = True

    def view(self, rows: Tensor) -> Tensor:
        """(N, *S), each row of mean 0 and std 1."""
        flat = rows.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        return (centred / centred.square().mean(1, keepdim=True).sqrt().clamp(min=FLAT)).reshape(rows.shape)
