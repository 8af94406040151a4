"""Augmentation that keeps the law of the noise: flips, quarter turns and crops by whole pixels.

These move pixels and change none, so white noise of level sigma stays just that, and a map of levels moves along.
Everything that computes new pixels from several old ones (scaling, turning by other angles, shifting by parts of a
pixel, blurring) correlates the noise and lowers it; everything that changes values (brightness, contrast, gamma)
changes its level. They are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from ambientkit.batch import Batch
from ambientkit.data.observations import Observations
from ambientkit.data.order import Visit
from ambientkit.errors import InputError, nearest
from ambientkit.interfaces import Corruption
from ambientkit.maths.randomness import keyed_generator
from ambientkit.rows import Rows

KNOWN = ("flip-horizontal", "flip-vertical", "quarter-turns", "crop=HxW")
REFUSED = {
    "rotate|rotation|affine|perspective|shear|turn": "interpolating between pixels correlates their noise and "
    "lowers it: quarter-turns do not",
    "scale|resize|zoom|resample|random-resized|upsample|downsample": "resampling correlates the noise of "
    "neighbours: crop=HxW does not",
    "translate|shift|elastic|warp|deform|distort": "shifts by parts of a pixel interpolate, which lowers the "
    "noise: crop=HxW shifts by whole ones",
    "blur|sharpen|smooth|filter|denoise": "filtering correlates the noise",
    "bright|contrast|gamma|color|colour|jitter|hue|saturation|normali|equal|solar|poster|invert|grey|gray": (
        "changing values changes the level of the noise, and not by the same factor everywhere"
    ),
    "noise|dropout|erase|cutout|mask|mixup|cutmix": "it changes the law of the observations, for which a "
    "corruption must answer",
    "pad": "padded pixels hold no noise",
    "jpeg|compress|quanti": "lossy compression and rounding change the noise",
}
"""Refused maps (a pattern of the name), and the reason."""


class Augmented(Dataset[Batch]):
    """Observations in another pose at each visit: the pose is keyed by (seed, epoch, row), so runs resume and workers
    agree to the bit.

    names: of `KNOWN`, applied in that order; crop=32x32 takes a window of 32 rows and columns. Rows are pictures (C, H,
    W). Raises InputError for anything else, with the reason, and for a crop larger than the rows.
    """

    def __init__(self, observations: Any, names: Sequence[str], seed: int) -> None:
        self._observations, self._seed = observations, seed
        self._names = frozenset(check(name) for name in names)
        crops = [name for name in self._names if name.startswith("crop=")]
        if len(crops) > 1:
            raise InputError(f"augment: one crop at a time, not {' and '.join(sorted(crops))}")
        self._crop = _size(crops[0]) if crops else None
        shape = tuple(observations[0].x_n.shape)
        self._size = shape[1:]
        if len(shape) != 3:
            raise InputError(f"augment: rows of shape {shape} are no pictures (C, H, W)")
        if self._crop and (self._crop[0] > shape[1] or self._crop[1] > shape[2]):
            raise InputError(
                f"augment: {crops[0]} is larger than the rows, {shape[1]}x{shape[2]}; enlarging them would change "
                "the noise"
            )
        self._carries = observations.carries
        if self._carries - {"mask"}:
            raise InputError(
                f"augment: rows measured through an operator ({', '.join(sorted(self._carries))}) cannot be turned "
                "or cut; leave it out"
            )
        height, width = self._crop or shape[1:]
        if "quarter-turns" in self._names and height != width:
            raise InputError(
                f"augment: quarter-turns need square rows, but they are {height}x{width}: add a square crop, or "
                "leave them out"
            )

    @property
    def simulated(self) -> bool:
        """Whether the noise is simulated."""
        return bool(self._observations.simulated)

    @property
    def carries(self) -> frozenset[str]:
        """As of the observations."""
        return self._carries

    @property
    def blocks(self) -> list[int] | None:
        """Rows of each shard, where the data lie in shards."""
        return self._observations.blocks

    @property
    def buckets(self) -> list[int] | None:
        """As of the observations."""
        return self._observations.buckets

    @property
    def left_out(self) -> list[str]:
        """As in the observations."""
        return self._observations.left_out

    @property
    def rows(self) -> Rows:
        """As of the observations."""
        return self._observations.rows

    def number(self, index: int) -> int:
        """As in the observations."""
        return int(self._observations.number(index))

    def at_or_above(self, sigma: float) -> Iterator[int]:
        """As of the observations."""
        yield from self._observations.at_or_above(sigma)

    def decode(self, rows: Tensor) -> Tensor | None:
        """As of the observations."""
        return self._observations.decode(rows)

    def __len__(self) -> int:
        return len(self._observations)

    def __getitem__(self, index: int) -> Batch:
        """Observation `index` in the pose of its visit, without a batch axis."""
        one = self.__getitems__([index])
        return Batch(one.x_n[0], one.sigma_n[0], one.row[0], {name: value[0] for name, value in one.cond.items()})

    def __getitems__(self, indices: list[int]) -> Batch:
        """The observations `indices` as one batch, each in the pose of its visit; their masks and maps of sigma_n
        alike. Of a large picture one whole one at a time is held, or none where its rows can be read in part."""
        drawn = [self._drawn(index) for index in indices]
        if self._crop:
            batch = default_collate(
                [self._observations.window(index, self._window(one)) for index, one in zip(indices, drawn)]
            )
        else:
            batch = self._observations.__getitems__(indices)
        by_pixel = batch.sigma_n.ndim == batch.x_n.ndim
        moved, levels, masks = [], [], []
        for i, one in enumerate(drawn):
            x = batch.x_n[i]
            maps = [batch.sigma_n[i]] if by_pixel else []
            maps += [batch.cond["mask"][i]] if "mask" in self._carries else []
            maps = [value.expand(value.shape[0], *x.shape[1:]) for value in maps]  # an axis of length 1 counts for all
            x, *maps = self._turned([x, *maps], one)
            moved.append(x)
            levels += maps[:1] if by_pixel else []
            masks += maps[-1:] if "mask" in self._carries else []
        sigma_n = torch.stack(levels) if by_pixel else batch.sigma_n
        cond = {**self._mirrored(batch, drawn), **({"mask": torch.stack(masks)} if masks else {})}
        return batch._replace(x_n=torch.stack(moved), sigma_n=sigma_n, cond=cond)

    def _mirrored(self, batch: Batch, drawn: Sequence[tuple[int, int, int, int]]) -> dict[str, Tensor]:
        """The conditions of a batch after the flips of its rows; masks are moved with their pictures."""
        cond = {name: value for name, value in batch.cond.items() if name not in self._carries}
        if not cond or not self._names & {"flip-horizontal", "flip-vertical"}:
            return cond
        rows = [
            self.rows.mirrored({name: value[i] for name, value in cond.items()}, *self._flips(one))
            for i, one in enumerate(drawn)
        ]
        return {name: torch.stack([row[name] for row in rows]) for name in cond}

    def _flips(self, drawn: tuple[int, int, int, int]) -> tuple[bool, bool]:
        """(left to right, upside down)."""
        _, _, flips, _ = drawn
        return "flip-horizontal" in self._names and bool(flips & 1), "flip-vertical" in self._names and bool(flips & 2)

    def _drawn(self, index: int) -> tuple[int, int, int, int]:
        """Four numbers for a visit of a row: top and left of the window, flips, turns."""
        epoch = index.epoch if isinstance(index, Visit) else 0
        generator = keyed_generator(self._seed, "augment", step=epoch, row=int(index))
        top, left, flips, turns = (int(n) for n in torch.randint(2**31, (4,), generator=generator))
        return top, left, flips, turns

    def _window(self, drawn: tuple[int, int, int, int]) -> tuple[slice, ...]:
        """The place of the crop in a row."""
        assert self._crop is not None
        starts = [n % (long - short + 1) for n, long, short in zip(drawn[:2], self._size, self._crop)]
        return slice(None), *(slice(start, start + short) for start, short in zip(starts, self._crop))

    def _turned(self, both: list[Tensor], drawn: tuple[int, int, int, int]) -> list[Tensor]:
        """A picture and maps of it, all turned alike."""
        _, _, _, turns = drawn
        horizontal, vertical = self._flips(drawn)
        if horizontal:
            both = [t.flip(2) for t in both]
        if vertical:
            both = [t.flip(1) for t in both]
        if "quarter-turns" in self._names:
            both = [torch.rot90(t, turns % 4, (1, 2)) for t in both]
        return [t.contiguous() for t in both]


def _refuse_turns(rows: Rows, names: Sequence[str]) -> None:
    """Raise InputError where poses would change the shapes that buckets stand for, or what conditions state."""
    bad = ", ".join(name for name in names if not name.startswith("flip-"))
    if bad and rows.buckets is not None:
        raise InputError(f"augment: {bad} change the shapes of rows in buckets; flips do not")
    if bad and rows.placed:
        raise InputError(
            f"augment: {bad} change the size or the place of rows, which one of their conditions states as they are; "
            "flips do not"
        )


def observed(rows: Any, corruption: Corruption, seed: int, names: Sequence[str] = ()) -> Observations | Augmented:
    """The rows of a run as it sees them: corrupted once, and in the poses of `names`. Raises InputError as
    `Augmented`."""
    observations = Observations(rows, corruption, seed)
    _refuse_turns(observations.rows, names)
    return Augmented(observations, names, seed) if names else observations


def check(name: str) -> str:
    """The name of an augmentation that keeps the law of the noise. Raises InputError for any other, with the reason."""
    if name in KNOWN[:3] or re.fullmatch(r"crop=[1-9]\d*x[1-9]\d*", name):
        return name
    for pattern, why in REFUSED.items():
        if re.search(pattern, name.lower()):
            raise InputError(
                f"augment: {name!r} is refused on noisy data: {why}. What keeps the noise: {', '.join(KNOWN)}"
            )
    raise InputError(f"augment: {name!r} is unknown{nearest(name, KNOWN)}. What keeps the noise: {', '.join(KNOWN)}")


def _size(crop: str) -> tuple[int, int]:
    height, width = crop.removeprefix("crop=").split("x")
    return int(height), int(width)
