"""What the axes of an array mean, and rows with their channels first."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.readers.source import Source
from ambientkit.text import shown

Layout = Literal["NCHW", "NHWC", "NHW", "N..."]
AXES = {"NCHW": 4, "NHWC": 4, "NHW": 3}


def find_layout(data: Source, asked: str) -> Layout:
    """What the axes mean. Raises InputError where "auto" would have to guess, or the number of axes does not fit."""
    shape = data.shape
    if len(shape) < 2:
        raise InputError(f"{data}: rows need an array of at least 2 axes, (N, ...), but the shape is {shape}")
    if asked != "auto":
        if len(shape) != AXES.get(asked, len(shape)):
            raise InputError(f"{data}: layout {asked} needs {AXES[asked]} axes, but the shape is {shape}")
        return asked  # type: ignore[return-value]
    few = [1 <= length <= 4 for length in shape]  # so short an axis may be one of channels
    guess: Layout | None = None
    if len(shape) == 4 and few[1] != few[3]:
        guess = "NCHW" if few[1] else "NHWC"
    elif len(shape) == 3 and not (few[0] or few[2]):
        guess = "NHW"
    if guess is not None:
        if told := against_names(data, guess):
            raise InputError(f"{data}: {told}")
        return guess
    raise InputError(
        f"{data}: the shape {shape} does not say which axis is which. Give layout: NCHW (channels first), NHWC "
        "(channels last), "
        f"NHW (grey pictures), or N... (rows of any shape, taken as they are)"
    )


SPACE = {"x", "y", "h", "w", "height", "width", "lat", "lon", "latitude", "longitude", "northing", "easting"}
"""Names of axes along a picture, in lower case."""
CHANNELS = {"c", "channel", "channels", "band", "bands", "wavelength"}
"""Names of an axis of channels."""
SERIES = {"t", "n", "time", "sample", "samples", "frame", "frames", "batch", "image", "images"}
"""Names of an axis of rows."""
PLANES = {"z", "depth", "plane", "planes", "slice", "slices"}
"""Names of an axis of sections, which may be rows, or lie in a picture, but are no channels."""
TAKEN = {"N": ("rows", SPACE | CHANNELS), "C": ("channels", SPACE | SERIES | PLANES)} | dict.fromkeys(
    "HW", ("an axis of the picture", CHANNELS | SERIES)
)
"""Letter of a layout -> (what it takes an axis for, names that contradict this)."""


def against_names(data: Any, guess: str) -> str:
    """How the names of the axes (xarray, netCDF, Zarr 3) contradict a layout that fits their lengths; empty where they
    do not."""
    names: tuple[str, ...] = getattr(data, "axis_names", ())
    for letter, name in zip(guess, names):
        taken, other = TAKEN[letter]
        if name.lower() in other:
            return (
                f"its axes are named ({', '.join(map(shown, names))}), and by their lengths {data.shape} layout "
                f"{guess} would take {shown(name)} for {taken}. Store rows along the first axis, and channels along "
                f"the second or last; or give layout: {guess} if it is meant so"
            )
    return ""


def in_file(where: tuple[slice, ...], layout: Layout) -> tuple[slice, ...]:
    """The place in a row of the file of a part of a row, channels first."""
    return (*where[1:], where[0]) if layout == "NHWC" else where[1:] if layout == "NHW" else where


def to_row(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """One row in the layout of the file to (*S), channels first."""
    return np.moveaxis(values, -1, 0) if layout == "NHWC" else values[None] if layout == "NHW" else values
