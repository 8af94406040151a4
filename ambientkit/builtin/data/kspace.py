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
    left out, "mask" of zeros and ones, (W,), (H, W) or (slices, H, W), with axes of length 1 wherever the layout has
    them, or zeros in all coils; and for several coils "sensitivity_maps" of the shape of kspace, or of one slice of it,
    which go along as cond["coils"]. Channels are real and imaginary part of each coil in turn, so that values[0::2] +
    1j values[1::2] gives the file values back, over `scale`.
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
        mapped: dict[bool, Path] = {}
        for file in files:
            try:
                with h5py.File(file, "r") as opened:
                    if self.key not in opened:
                        raise InputError(
                            f"{file}: there is no array {self.key!r}; arrays: {', '.join(sorted(opened)) or 'none'}"
                        )
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
                    if 0 in array.shape:
                        raise InputError(f"{file}: {self.key} is empty: {array.shape}")
                    mapped.setdefault("sensitivity_maps" in opened, file)
                    if "mask" in opened:
                        _seen(np.asarray(opened["mask"]), 0, (len(array), *array.shape[-2:]), file)
                    if "sensitivity_maps" in opened:
                        _maps(opened["sensitivity_maps"], 0, array.shape, file)
                    places += [(file, index) for index in range(len(array))]
                    shapes.setdefault(array.shape[1:], file)
            except OSError as error:
                raise InputError(f"{file}: cannot be read as HDF5 ({' '.join(str(error).split())[:160]})") from None
        if len(shapes) > 1:
            said = ", ".join(f"{shape} in {file.name}" for shape, file in list(shapes.items())[:3])
            raise InputError(
                f"{self.path}: slices of several shapes: {said}. Put slices of one shape into a folder of their own"
            )
        if len(mapped) > 1:
            raise InputError(
                f"{self.path}: {mapped[True].name} has sensitivity_maps, and {mapped[False].name} has none: write them "
                "into all files or into none"
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
            array = opened[self._part.key]
            values = np.asarray(array[place]) if array.ndim == 4 else np.asarray(array[place])[None]
            mask = np.asarray(opened["mask"]) if "mask" in opened else None
            maps = _maps(opened["sensitivity_maps"], place, array.shape, file) if "sensitivity_maps" in opened else None
            slices = len(array)
        if not np.isfinite(values).all():
            raise InputError(f"{file}: slice {place} holds values that are not finite")
        found = (values != 0).any(0)
        seen = found if mask is None else _seen(mask, place, (slices, values.shape[-2], values.shape[-1]), file)
        if self._part.sigma_n > 0 and (empty := (seen.any(0) & ~(seen & found).any(0)).sum()):
            raise InputError(
                f"{file}: slice {place}: the mask calls {empty} of {seen.shape[1]} columns measured that hold exactly "
                "0, which noise does not: they are padding, or were left out. Set the mask to 0 there"
            )
        y = _pairs(values / self._part.scale)
        sampled = torch.from_numpy(np.array(seen)).unsqueeze(0)
        cond = {"sampled": sampled}
        if maps is not None:
            cond["coils"] = _pairs(maps)
        return Batch(torch.where(sampled, y, 0.0), torch.tensor(self._part.sigma_n), torch.tensor(index), cond)


def _seen(mask: NDArray[Any], place: int, shape: tuple[int, int, int], file: Path) -> NDArray[np.bool_]:
    """(H, W), what was measured of a slice. shape: (slices, H, W)."""
    slices, height, width = shape
    lines = mask
    if lines.ndim > 1 and lines.shape[-1] == 1 and lines.shape[-2] == width:  # the axis of real and imaginary parts
        lines = lines[..., 0]
    while lines.ndim > 3 and 1 in lines.shape[:-2]:  # the axis of the coils
        lines = lines.squeeze(lines.shape.index(1))
    lines = lines.reshape((1,) * (3 - lines.ndim) + lines.shape)
    if lines.ndim > 3 or any(n not in (1, whole) for n, whole in zip(lines.shape, shape, strict=True)):
        raise InputError(
            f"{file}: mask has shape {mask.shape}: should be ({width},), ({height}, {width}) or "
            f"({slices}, {height}, {width}), as {slices} slices of {height} x {width} have it"
        )
    other = lines[(lines != 0) & (lines != 1)] if lines.dtype.kind in "buif" else lines.ravel()
    if other.size:
        raise InputError(f"{file}: mask should hold 0 and 1, or false and true, and holds {other[0]} ({mask.dtype})")
    return np.broadcast_to(lines[place if len(lines) > 1 else 0] != 0, (height, width))


def _maps(array: Any, place: int, shape: tuple[int, ...], file: Path) -> NDArray[Any]:
    """(coils, H, W), the maps of a slice. array: "sensitivity_maps". shape: of all of "kspace"."""
    of_slice = shape[1:] if len(shape) == 4 else (1, *shape[1:])
    found = array.shape if len(shape) == 4 or array.ndim != 3 else (len(array), 1, *array.shape[1:])
    if found not in ((shape[0], *of_slice), (1, *of_slice), of_slice) or array.dtype.kind != "c":
        raise InputError(
            f"{file}: sensitivity_maps should be complex {(shape[0], *of_slice)}, or {of_slice} for all slices, and "
            f"are {array.dtype} {array.shape}"
        )
    maps = np.asarray(array[()] if found == of_slice else array[place if found[0] > 1 else 0]).reshape(of_slice)
    if not np.isfinite(maps).all():
        raise InputError(f"{file}: the sensitivity_maps of slice {place} hold values that are not finite")
    return maps


def _pairs(values: NDArray[Any]) -> Tensor:
    """(c, H, W) complex to (2 c, H, W) float32, real and imaginary parts in turn."""
    both = np.stack([values.real, values.imag], axis=1).reshape(-1, *values.shape[-2:])
    return torch.from_numpy(np.ascontiguousarray(both, dtype=np.float32))
