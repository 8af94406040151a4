"""The data set `digits`: real scans that ship inside scikit-learn."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from ambientkit.batch import Clean
from ambientkit.interfaces import Data

TRAIN = 1500


class Digits(Data):
    """1,797 scans of handwritten digits, 1 x 8 x 8, that ship inside scikit-learn. Clean: noise is simulated."""

    name = "digits"
    source = "Alpaydin and Kaynak (1998), UCI; scikit-learn's load_digits"

    split: Literal["all", "train", "test"] = "all"
    """All scans, the first 1,500, or the other 297."""

    def rows(self) -> Dataset[Clean]:
        """Rows of shape (1, 8, 8), float32; the file's 0..16 mapped to [-1, 1]."""
        from sklearn.datasets import load_digits

        images = load_digits().images.astype(np.float32) / 8 - 1
        return _Scans({"all": images, "train": images[:TRAIN], "test": images[TRAIN:]}[self.split])


class _Scans(Dataset[Clean]):
    def __init__(self, images: np.ndarray) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Clean:
        return Clean(torch.from_numpy(self._images[index]).unsqueeze(0), {})
