"""The data set `photo-patches`: pieces of real photographs that ship inside scikit-image and scikit-learn."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch.utils.data import Dataset

from ambientkit.batch import Clean
from ambientkit.interfaces import Data

IN_SCIKIT_IMAGE = (
    "astronaut",
    "chelsea",
    "coffee",
    "rocket",
    "hubble_deep_field",
    "retina",
    "immunohistochemistry",
    "stereo_motorcycle",
)
IN_SCIKIT_LEARN = ("china.jpg", "flower.jpg")
HELD_OUT = 0.15
"""Share of each photograph's width, on the right, from which the test patches are cut."""


class PhotoPatches(Data):
    """Square colour patches of ten photographs, 3 x size x size: objects, a cat, a street, the sky, a retina, tissue.
    Clean: noise is simulated.

    Patches lie on a grid of `stride` pixels and overlap where stride < size. Those of `split: test` come from the right
    15 % of each photograph, which no training patch touches.
    """

    name = "photo-patches"
    source = "scikit-image's and scikit-learn's sample pictures, mostly public domain or CC0"

    size: int = Field(32, ge=2, le=128)
    """Side of a patch in pixels."""
    stride: int = Field(16, ge=1)
    """Distance of neighbouring patches in pixels."""
    split: Literal["train", "test"] = "train"
    """The left 85 % or the right 15 % of each photograph."""

    def rows(self) -> Dataset[Clean]:
        """Rows of shape (3, size, size), float32; the files' 0..255 mapped to [-1, 1]."""
        return _Patches(_photographs(), self.size, self.stride, self.split)


def _photographs() -> list[NDArray[np.uint8]]:
    import skimage.data
    from sklearn.datasets import load_sample_image

    found = [getattr(skimage.data, name)() for name in IN_SCIKIT_IMAGE]
    found = [picture[0] if isinstance(picture, tuple) else picture for picture in found]  # a stereo pair: the left one
    return [*found, *(load_sample_image(name) for name in IN_SCIKIT_LEARN)]


class _Patches(Dataset[Clean]):
    def __init__(self, photographs: list[NDArray[np.uint8]], size: int, stride: int, split: str) -> None:
        self._photographs, self._size = photographs, size
        self._corners: list[tuple[int, int, int]] = []
        for index, picture in enumerate(photographs):
            height, width = picture.shape[:2]
            edge = int(width * (1 - HELD_OUT))
            left, right = (0, edge) if split == "train" else (edge, width)
            rows, columns = range(0, height - size + 1, stride), range(left, right - size + 1, stride)
            self._corners += [(index, row, column) for row in rows for column in columns]

    def __len__(self) -> int:
        return len(self._corners)

    def __getitem__(self, index: int) -> Clean:
        picture, row, column = self._corners[index]
        patch = self._photographs[picture][row : row + self._size, column : column + self._size]
        return Clean(torch.from_numpy(patch.astype(np.float32) / 127.5 - 1).permute(2, 0, 1).contiguous(), {})
