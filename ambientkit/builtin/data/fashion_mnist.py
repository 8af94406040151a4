"""The data set `fashion-mnist`: pictures of clothes, as Debian packages them."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ambientkit.batch import Clean
from ambientkit.errors import InputError
from ambientkit.interfaces import Data
from ambientkit.units.ranges import ValueRange

FILES = {"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"}
LABELS = {"train": "train-labels-idx1-ubyte.gz", "test": "t10k-labels-idx1-ubyte.gz"}
SIDE = 28


class FashionMNIST(Data):
    """70,000 pictures of clothes, 1 x 28 x 28, 60,000 to train and 10,000 to test. Clean: noise is simulated.

    They are read from where the Debian package dataset-fashion-mnist installs them; nothing is downloaded.
    """

    name = "fashion-mnist"
    source = "arXiv 1708.07747; github.com/zalandoresearch/fashion-mnist (MIT)"

    split: Literal["train", "test"] = "train"
    """Which of the two files."""
    labelled: bool = False
    """Whether each row carries its kind of clothes, 0 to 9, as the condition `class_cond`."""
    folder: Path | None = None
    """Where the files *-idx?-ubyte.gz are; by default datasets/fashion-mnist in a folder of XDG_DATA_DIRS."""

    def rows(self) -> Dataset[Clean]:
        """Rows of shape (1, 28, 28), float32; the file's 0..255 mapped to [-1, 1]. Raises InputError for a missing or
        damaged file."""
        images = _read(self._find(FILES[self.split]), (SIDE, SIDE))
        labels = self.labels() if self.labelled else None
        if labels is not None and len(labels) != len(images):
            raise InputError(f"Fashion-MNIST: {self.split} has {len(images)} pictures, but {len(labels)} labels")
        return _Clothes(images, labels)

    def labels(self) -> Tensor:
        """The kind of each row, (N,) int64, 0 to 9. Raises InputError for a missing or damaged
        file."""
        return torch.from_numpy(_read(self._find(LABELS[self.split]), ()).astype(np.int64))

    def _find(self, name: str) -> Path:
        data = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
        folders = (
            [self.folder]
            if self.folder
            else [Path(base, "datasets", "fashion-mnist") for base in data.split(":") if base]
        )
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
        raise InputError(
            f"Fashion-MNIST: there is no {name} in {' or '.join(map(str, folders))}.\n"
            f"On Debian and Ubuntu it comes with: apt-get install dataset-fashion-mnist\n"
            "Elsewhere put the four files of github.com/zalandoresearch/fashion-mnist into a folder and give it "
            "as folder"
        )


class _Clothes(Dataset[Clean]):
    def __init__(self, images: NDArray[np.uint8], labels: Tensor | None) -> None:
        self._images, self._labels = images, labels
        self._values = ValueRange.of(images.dtype)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Clean:
        cond = {} if self._labels is None else {"class_cond": self._labels[index]}
        return Clean(torch.from_numpy(self._values.to_unit(self._images[index][None])), cond)


def _read(path: Path, sides: tuple[int, ...]) -> NDArray[np.uint8]:
    """An idx file of bytes (N, *sides): big-endian int32 (magic 2048 + number of axes, N, sides), then one byte per
    value."""
    what = f"{SIDE} x {SIDE} pictures" if sides else "labels"
    try:
        with gzip.open(path) as file:
            magic, n, *found = struct.unpack(f">{2 + len(sides)}i", file.read(8 + 4 * len(sides)))
            if magic != 2049 + len(sides) or not 0 < n <= 100_000 or tuple(found) != sides:
                raise InputError(f"{path}: is no idx file of {what} (magic number {magic}, {n} of {found})")
            values = file.read(n * math.prod(sides) + 1)  # past the end, where gzip compares its checksum
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise InputError(f"{path}: is damaged ({error}). Install or copy it again") from None
    if len(values) != n * math.prod(sides):
        raise InputError(
            f"{path}: its {'pixels' if sides else 'labels'} do not fill {n * math.prod(sides)} bytes, as its "
            "header announces. Install or copy it again"
        )
    return np.frombuffer(values, np.uint8).reshape(n, *sides)
