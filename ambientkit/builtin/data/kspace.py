"""The data set `kspace`: k-space of MRI in HDF5 files, in fastMRI's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.errors import InputError
from ambientkit.interfaces import Data
from ambientkit.readers import needs
from ambientkit.rows import Rows


class KSpace(Data):
    """Slices of k-space as rows, for the corruption `linear` with the operator `fourier`: complex values as two
    channels per coil.

    Each file holds "kspace", complex (slices, H, W) or (slices, coils, H, W), its centre in the middle; if lines were
    left out, "mask" (W,) or (slices, H, W), or zeros in all coils; and for several coils "sensitivity_maps" of the
    shape of kspace, which go along as cond["coils"]. Channels are real and imaginary part of each coil in turn, so that
    values[0::2] + 1j values[1::2] gives the file values back, over `scale`.
    """

    name = "kspace"
    source = "file layout: fastMRI, arXiv 1811.08839"

    path: Path
    """One file, or a folder whose .h5 files are read in order of their names."""
    sigma_n: float = Field(ge=0)
    """Noise std of the real and of the imaginary part, after scaling; 0 for none."""
    scale: float = Field(1.0, gt=0)
    """File values are divided by it; pictures should then have values of about 1."""
    key: str = "kspace"
    """The array of a file."""

    def rows(self) -> Rows:
        """Observations with cond["sampled"], and cond["coils"] where there are maps. Raises InputError for files that
        cannot be read, or slices of several shapes."""
        h5py = needs("h5py", "science", "HDF5")
        files = sorted(self.path.glob("*.h5")) if self.path.is_dir() else [self.path]
        if not files:
            raise InputError(f"{self.path}: there is no .h5 file in this folder")
        places: list[tuple[Path, int]] = []
        shapes: dict[tuple[int, ...], Path] = {}
        for file in files:
            try:
                with h5py.File(file, "r") as opened:
                    if self.key not in opened:
                        raise InputError(f"{file}: there is no array {self.key!r}; arrays: {', '.join(sorted(opened))}")
                    array = opened[self.key]
                    if array.ndim not in (3, 4) or array.dtype.kind != "c":
                        raise InputError(
                            f"{file}: {self.key} should be complex (slices, H, W) or (slices, coils, H, W), and is "
                            f"{array.dtype} {array.shape}"
                        )
                    if array.ndim == 4 and array.shape[1] > 1 and "sensitivity_maps" not in opened:
                        raise InputError(
                            f"{file}: {array.shape[1]} coils, and no sensitivity_maps beside {self.key}: write "
                            "them into the file"
                        )
                    places += [(file, index) for index in range(len(array))]
                    shapes.setdefault(array.shape[1:], file)
            except OSError as error:
                raise InputError(f"{file}: cannot be read as HDF5 ({' '.join(str(error).split())[:160]})") from None
        if len(shapes) > 1:
            said = ", ".join(f"{shape} in {file.name}" for shape, file in list(shapes.items())[:3])
            raise InputError(
                f"{self.path}: slices of several shapes: {said}. Put slices of one shape into a folder of their own"
            )
        return _Slices(h5py, places, self)


class _Slices(Rows):
    def __init__(self, h5py: Any, places: list[tuple[Path, int]], part: KSpace) -> None:
        self._h5py, self._places, self._part = h5py, places, part

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Batch:
        file, place = self._places[index]
        with self._h5py.File(file, "r") as opened:
            values = (
                np.atleast_3d(opened[self._part.key][place])
                if opened[self._part.key].ndim == 4
                else opened[self._part.key][place][None]
            )
            mask = None if "mask" not in opened else np.asarray(opened["mask"])
            maps = np.asarray(opened["sensitivity_maps"][place]) if "sensitivity_maps" in opened else None
        if not np.isfinite(values).all():
            raise InputError(f"{file}: slice {place} holds values that are not finite")
        height, width = values.shape[-2:]
        if mask is None:
            seen = (values != 0).any(0)
        else:
            seen = np.broadcast_to(mask[place] if mask.ndim == 3 else mask.reshape(1, -1), (height, width)) > 0
        y = _pairs(values / self._part.scale)
        sampled = torch.from_numpy(np.ascontiguousarray(seen)).unsqueeze(0)
        cond = {"sampled": sampled}
        if maps is not None:
            cond["coils"] = _pairs(maps if maps.ndim == 3 else maps[None])
        return Batch(torch.where(sampled, y, 0.0), torch.tensor(self._part.sigma_n), torch.tensor(index), cond)


def _pairs(values: NDArray[Any]) -> Tensor:
    """(c, H, W) complex to (2 c, H, W) float32, real and imaginary parts in turn."""
    both = np.stack([values.real, values.imag], axis=1).reshape(-1, *values.shape[-2:])
    return torch.from_numpy(np.ascontiguousarray(both, dtype=np.float32))
