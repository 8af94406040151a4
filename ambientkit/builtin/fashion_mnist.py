"""The data set `fashion-mnist`: pictures of clothes, as Debian packages them."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ambientkit.batch import Clean
from ambientkit.errors import InputError
from ambientkit.interfaces import Data
from ambientkit.units import ValueRange

FILES = {"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"}
SIDE = 28


class FashionMNIST(Data):
    """70,000 pictures of clothes, 1 x 28 x 28, 60,000 to train and 10,000 to test. Clean: noise is simulated.

    They are read from where the Debian package dataset-fashion-mnist installs them; nothing is downloaded.
    """

    name = "fashion-mnist"
    source = "arXiv 1708.07747; github.com/zalandoresearch/fashion-mnist (MIT)"

    split: Literal["train", "test"] = "train"
    """Which of the two files."""
    folder: Path | None = None
    """Where the files *-images-idx3-ubyte.gz are; by default datasets/fashion-mnist in a folder of XDG_DATA_DIRS."""

    def rows(self) -> Dataset[Clean]:
        """Rows of shape (1, 28, 28), float32; the file's 0..255 mapped to [-1, 1]. Raises InputError for a missing or damaged file."""
        return _Clothes(_read_images(self._find()))

    def _find(self) -> Path:
        data = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
        folders = [self.folder] if self.folder else [Path(base, "datasets", "fashion-mnist") for base in data.split(":") if base]
        for folder in folders:
            if (folder / FILES[self.split]).is_file():
                return folder / FILES[self.split]
        raise InputError(
            f"Fashion-MNIST: there is no {FILES[self.split]} in {' or '.join(map(str, folders))}.\n"
            f"On Debian and Ubuntu it comes with: apt-get install dataset-fashion-mnist\n"
            f"Elsewhere put the four files of github.com/zalandoresearch/fashion-mnist into a folder and give it as folder"
        )


class _Clothes(Dataset[Clean]):
    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._images = images
        self._values = ValueRange.of(images.dtype)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Clean:
        return Clean(torch.from_numpy(self._values.to_unit(self._images[index][None])), {})


def _read_images(path: Path) -> NDArray[np.uint8]:
    """An idx file of pictures: four big-endian int32 (magic 2051, number, rows, columns), then one byte a pixel."""
    try:
        with gzip.open(path) as file:
            magic, n, *sides = struct.unpack(">4i", file.read(16))
            if magic != 2051 or not 0 < n <= 100_000 or sides != [SIDE, SIDE]:
                raise InputError(f"{path}: is no idx file of {SIDE} x {SIDE} pictures (magic number {magic}, {n} of {sides})")
            pixels = file.read(n * SIDE * SIDE + 1)  # past the end, where gzip compares its checksum
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise InputError(f"{path}: is damaged ({error}). Install or copy it again") from None
    if len(pixels) != n * SIDE * SIDE:
        raise InputError(f"{path}: its pixels do not fill {n * SIDE * SIDE} bytes, as its header announces. Install or copy it again")
    return np.frombuffer(pixels, np.uint8).reshape(n, SIDE, SIDE)
