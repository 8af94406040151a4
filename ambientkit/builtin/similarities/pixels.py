"""The similarity `pixels`: values as they are."""

from __future__ import annotations

from torch import Tensor

from ambientkit.memorisation_parts import Similarity


class PixelValues(Similarity):
    """Root mean square difference of the values; pictures may be mirrored, and moved by a few pixels."""

    name = "pixels"
    source = "the definition"
    claims = frozenset({"row-by-row"})
    moves = True

    def view(self, rows: Tensor) -> Tensor:
        """(N, *S), unchanged."""
        return rows
