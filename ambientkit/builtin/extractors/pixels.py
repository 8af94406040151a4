"""The extractor `pixels`: the values themselves."""

from __future__ import annotations

from torch import Tensor

from ambientkit.interfaces import Extractor


class Pixels(Extractor):
    """The values of each row, flattened: no network, and the one that sees noise pixel by pixel.

    A covariance of C H W dimensions needs many more rows than that: a Frechet distance of fewer is dominated by its
    bias.
    """

    name = "pixels"
    source = "the identity"

    def features(self, pictures: Tensor) -> Tensor:
        """(N, *S) to (N, prod S), in the precision given."""
        return pictures.flatten(1)
