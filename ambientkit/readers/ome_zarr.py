"""Arrays of OME-Zarr by the names of their axes: channels stay channels, times and planes become rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

OLD = "tczyx"
"""The axes of versions 0.1 and 0.2, which do not name them."""


class Pyramid(NamedTuple):
    """What the metadata of a group say of one image: levels of resolution, and axes."""

    levels: tuple[str, ...]
    """Paths of the arrays in the group, the finest first."""
    axes: str
    """A letter each, lower case, such as "tczyx"."""


def pyramid_of(attributes: Mapping[str, Any]) -> Pyramid | None:
    """The image in a group with these attributes, by `multiscales` (OME-Zarr 0.1 to 0.5); None where there is none.

    Raises ValueError for metadata that cannot be read. Source: ngff.openmicroscopy.org, "multiscales" metadata.
    """
    inside = attributes.get("ome")
    scales = (inside if isinstance(inside, Mapping) else attributes).get("multiscales")
    if not scales:
        return None
    try:
        first = scales[0]
        axes = first.get("axes") or list(OLD)
        names = "".join(str(axis["name"] if isinstance(axis, Mapping) else axis).lower()[:1] for axis in axes)
        return Pyramid(tuple(str(one["path"]).strip("/") for one in first["datasets"]), names)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"its multiscales metadata cannot be read ({type(error).__name__}: {error})") from None


class Axes:
    """How an array (axes by name, y and x among them) becomes rows (C, [Z,] Y, X).

    volumes: planes z are the depth of a row; otherwise rows of their own. Raises ValueError for axes that do not fit
    the shape, are named twice, or lack y or x.
    """

    def __init__(self, names: str, shape: tuple[int, ...], volumes: bool) -> None:
        if len(names) != len(shape) or len(set(names)) != len(names) or not {"y", "x"} <= set(names):
            raise ValueError(f"its axes {names!r} do not fit an array of shape {shape}")
        self.names, self.shape = names, shape
        inside = [name for name in ("c", "z", "y", "x") if name in names and (name != "z" or volumes)]
        self._inside = [names.index(name) for name in inside]
        self._outside = [i for i in range(len(names)) if i not in self._inside]
        self._no_channel = "c" not in names

    @property
    def rows(self) -> int:
        """How many there are."""
        return math.prod(self.shape[i] for i in self._outside)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """(C, [Z,] Y, X)."""
        return ((1,) if self._no_channel else ()) + tuple(self.shape[i] for i in self._inside)

    def where(self, row: int) -> tuple[Any, ...]:
        """The place of a row in the array."""
        found: list[Any] = [slice(None)] * len(self.shape)
        numbers = np.unravel_index(row, [self.shape[i] for i in self._outside]) if self._outside else ()
        for axis, number in zip(self._outside, numbers):
            found[axis] = int(number)
        return tuple(found)

    def to_row(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values at such a place, as a row."""
        left = sorted(self._inside)  # the axes that are left, in the order of the array
        moved = np.transpose(values, [left.index(axis) for axis in self._inside])
        return moved[None] if self._no_channel else moved

    def from_row(self, row: NDArray[Any]) -> NDArray[Any]:
        """The way back."""
        values = row[0] if self._no_channel else row
        return np.transpose(values, [self._inside.index(axis) for axis in sorted(self._inside)])

    def told(self) -> str:
        """What becomes of the axes, in words."""
        sizes = ", ".join(f"{name} {size}" for name, size in zip(self.names, self.shape))
        rows = ", ".join(self.names[i] for i in self._outside) or "none"
        depth = ", z as depth" if "z" in self.names and self.names.index("z") in self._inside else ""
        return f"axes {sizes}: {'c as channels, ' if not self._no_channel else ''}{rows} as rows{depth}"
