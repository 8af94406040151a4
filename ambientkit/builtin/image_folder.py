"""The data set `image-folder`: one picture a file."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, Strict, field_validator, model_validator
from torch.utils.data import Dataset

from ambientkit.batch import Batch, Clean
from ambientkit.errors import InputError
from ambientkit.folders import find, levels_by_file, printable
from ambientkit.imagefile import SUFFIXES, UnusableImage, read_image
from ambientkit.interfaces import Data
from ambientkit.noise_estimate import estimate, estimate_rows
from ambientkit.rowchecks import RowScan, lines, listed, unknown_noise
from ambientkit.stored.part import ESTIMATES, evenly
from ambientkit.units import ValueRange

logger = logging.getLogger("ambientkit")


class ImageFolder(Data):
    """Pictures of one size in a folder and its sub-folders, in the order of their names: observations with their noise level, or clean.

    x_n = (v - m) / h maps the file's values v to [-1, 1] (m, h: middle and half width of the value range). PNG, JPEG, TIFF, WebP
    and BMP by content; grey of 1, 8 and 16 bits, 8-bit RGB, palette as RGB, float TIFF. Nothing is resized: that would change the
    noise. Rounding to whole numbers and lossy compression change it too: noisy data keep best as .npy (data set `array`).
    """

    name = "image-folder"
    source = "file formats: Pillow"

    path: Path
    """The folder. Names with a leading dot, and files without the suffix of an image, are left out and counted."""
    sigma_n: Annotated[float, Strict()] | Path | None = None
    """Known noise std, in [-1, 1] units: a number, or a .csv file with the header `file,sigma_n`, file relative to `path`; or "estimate"
    (one level for all) or "estimate-by-row"."""
    clean: bool = False
    """The pictures are clean: noise is simulated on them."""
    value_range: tuple[float, float] | None = None
    """The two file values that stand for -1 and 1; by default (0, 255), (0, 65535) for 16-bit grey, (-1, 1) for float TIFF."""
    on_bad_file: Literal["fail", "skip"] = "fail"
    """What to do with files that cannot be used: refuse to start, or leave them out and count them."""
    max_pixels: int = Field(2**26, ge=1)
    """Largest picture that is decoded, by its header."""
    follow_links: bool = False
    """Follow symbolic links, also to outside of the folder; otherwise they are left out and counted."""

    @field_validator("sigma_n")
    @classmethod
    def _no_negative_noise(cls, sigma_n: float | Path | None) -> float | Path | None:
        if isinstance(sigma_n, float) and sigma_n < 0:
            raise ValueError("should be 0 or more")
        return sigma_n

    @model_validator(mode="after")
    def _consistent(self) -> ImageFolder:
        if self.clean and self.sigma_n is not None:
            raise ValueError("clean rows have no sigma_n: leave one of the two out")
        if self.value_range is not None:
            ValueRange(*self.value_range)
        return self

    def rows(self) -> Dataset[Clean] | Dataset[Batch]:
        """Rows (1, H, W) or (3, H, W), float32; sigma_n (). Every file is decoded once before anything starts, one at a time.

        Raises InputError where the folder or its files are unusable, listing them by name and cause; where pictures differ in
        size or kind; where noise levels are missing; and for rows that are not finite, constant, clipped, or cannot have the
        declared noise.
        """
        where = str(self.path)
        if not self.clean and self.sigma_n is None:
            raise unknown_noise(where, "a number, or a .csv file with one level for each file")
        files, left_out = find(self.path, SUFFIXES, self.follow_links)
        if not files:
            raise InputError(
                f"{where}: no image found{left_out}. Files named {', '.join(SUFFIXES)} (any case) are read, in sub-folders too"
            )
        names = [printable(file.relative_to(self.path).as_posix()) for file in files]
        levels = dict.fromkeys(names, 0.0)
        estimated = str(self.sigma_n) in ESTIMATES
        if isinstance(self.sigma_n, Path) and not estimated:
            levels = levels_by_file(self.sigma_n, names)
        elif isinstance(self.sigma_n, float | int):
            levels = dict.fromkeys(names, self.sigma_n)
        good = self._scan(files, names, levels)
        logger.log(logging.WARNING if left_out else logging.INFO, "%s: images used: %d%s", where, len(good), left_out)
        if not self.clean and any(names[i].lower().endswith((".jpg", ".jpeg")) for i in good):
            logger.warning("%s: JPEG compression changes noise, which is no longer white and Gaussian of the declared level", where)
        pictures = _Pictures([str(files[i]) for i in good], self.value_range, self.max_pixels, None)
        if estimated:
            pictures.levels = self._estimated(pictures)
        elif not self.clean:
            pictures.levels = [levels[names[i]] for i in good]
        return pictures

    def _estimated(self, pictures: _Pictures) -> list[float]:
        """The level of each picture, from the pictures themselves, told with its uncertainty."""
        n = len(pictures)
        if str(self.sigma_n) == "estimate":
            seen = evenly(n, 256)
            guess = estimate(pictures[i].x_0.numpy() for i in seen)  # type: ignore[union-attr]
            logger.warning("%s: sigma_n = %s, estimated from %d of %d images", self.path, guess, len(seen), n)
            return [guess.sigma] * n
        found, error = estimate_rows((pictures[i].x_0.numpy() for i in range(n)), n)  # type: ignore[union-attr]
        logger.warning("%s: sigma_n is estimated by image, %.4g to %.4g, each +- about %.2g", self.path, found.min(), found.max(), error)
        return found.tolist()

    def _scan(self, files: Sequence[Path], names: Sequence[str], levels: dict[str, float]) -> list[int]:
        """Decodes every file once; the numbers of those that can be used."""
        good: list[int] = []
        bad: list[str] = []
        kinds: Counter[str] = Counter()
        example: dict[str, str] = {}
        scan: RowScan | None = None
        for i, (file, name) in enumerate(zip(files, names)):
            try:
                pixels = read_image(file, self.max_pixels)
            except UnusableImage as error:
                bad.append(f"{name}: {error}")
                continue
            good.append(i)
            kind = f"{' x '.join(map(str, _channels_first(pixels).shape))} {pixels.dtype}"
            kinds[kind] += 1
            example.setdefault(kind, name)
            if scan is None:
                values = _values(pixels.dtype, self.value_range)
                scan = RowScan(str(self.path), pixels.dtype, values, assumed=self.value_range is None, name=lambda row: names[good[row]])
            if len(kinds) == 1:
                scan.add(pixels[None], levels[name])
        if bad and (self.on_bad_file == "fail" or not good):
            raise InputError(
                f"{self.path}: {len(bad)} of {len(files)} images cannot be used:\n{lines(bad)}\n"
                f"Repair or remove them" + ("" if not good else ", or leave them out with on_bad_file: skip")
            )
        if bad:
            logger.warning(
                "%s: %d of %d images are left out, because they cannot be used: %s", self.path, len(bad), len(files), listed(bad)
            )
        if len(kinds) > 1:
            found = [f"{kind}: {count} (such as {example[kind]})" for kind, count in kinds.most_common()]
            raise InputError(
                f"{self.path}: all images must have one size, one number of channels and one number type, but there are\n{lines(found)}\n"
                f"Crop or sort them; resizing is not done for you, because it would change the noise"
            )
        if scan is not None:
            scan.finish()
        return good


class _Pictures(Dataset[Any]):
    """Reads a picture when it is asked for; holds names only. levels: None for clean rows."""

    def __init__(self, files: list[str], value_range: tuple[float, float] | None, max_pixels: int, levels: list[float] | None) -> None:
        self._files, self._value_range, self._max_pixels, self.levels = files, value_range, max_pixels, levels

    @property
    def mapping(self) -> ValueRange:
        """What file values mean in [-1, 1]."""
        return _values(read_image(Path(self._files[0]), self._max_pixels).dtype, self._value_range)

    def at_or_above(self, sigma: float) -> Iterator[int]:
        """The rows whose noise level is at least sigma."""
        return (i for i, level in enumerate(self.levels or []) if level >= sigma)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Clean | Batch:
        try:
            pixels = read_image(Path(self._files[index]), self._max_pixels)
        except UnusableImage as error:
            raise InputError(f"{self._files[index]}: was usable when the run started and is no longer: {error}") from None
        x = torch.from_numpy(np.ascontiguousarray(_channels_first(_values(pixels.dtype, self._value_range).to_unit(pixels))))
        if self.levels is None:
            return Clean(x, {})
        return Batch(x, torch.tensor(self.levels[index], dtype=torch.float32), torch.tensor(index), {})


def _channels_first(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def _values(dtype: np.dtype[Any], given: tuple[float, float] | None) -> ValueRange:
    return ValueRange.of(dtype) if given is None else ValueRange(*given)
