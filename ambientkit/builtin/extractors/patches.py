"""The extractor `patches`: every row as a set of small windows."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn.functional import unfold

from ambientkit.errors import InputError
from ambientkit.interfaces import Extractor


class Patches(Extractor):
    """The values of square windows on a grid, each a row of features: texture and noise, blind to how the windows are
    put together.

    P = (floor((H - size) / stride) + 1) (floor((W - size) / stride) + 1) windows per picture of C size^2 values each.
    Windows of one picture depend on each other, so a spread must be taken over pictures, not over windows.
    """

    name = "patches"
    source = "arXiv 1710.10196, section 5, at one scale"

    size: int = Field(4, ge=1)
    """Side of a window, pixels."""
    stride: int = Field(4, ge=1)
    """Distance of neighbouring windows, pixels; below `size` they overlap."""

    def features(self, pictures: Tensor) -> Tensor:
        """(N, C, H, W) to (N P, C size^2), the P windows of a picture one after another. Raises InputError for other
        shapes."""
        if pictures.ndim != 4 or min(pictures.shape[2:]) < self.size:
            raise InputError(
                f"extractor 'patches': reads pictures (C, H, W) of at least {self.size} x {self.size}, not rows of "
                f"shape {tuple(pictures.shape[1:])}"
            )
        return unfold(pictures, self.size, stride=self.stride).transpose(1, 2).flatten(0, 1)
