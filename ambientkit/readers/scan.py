"""Checks of the rows of a data set, all before the first training step: can the data be what they are declared to
be?"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.readers.missing import in_unit, told
from ambientkit.text import listed, percent
from ambientkit.units.clipping import CLIPPED, KEEP, KEPT, range_ends
from ambientkit.units.counts import CountRange
from ambientkit.units.ranges import ValueRange
from ambientkit.units.scale import judge_scale

logger = logging.getLogger("ambientkit")

FEWEST = 16
"""Values a row must have for "it is constant" to be no accident."""
MASKED = ". Or train on what was measured: missing: mask in the data set, and --corruption mask"


class UnknownNoise(InputError):
    """Data that are declared neither clean nor noisy."""


def unknown_noise(where: str, ways: str) -> InputError:
    """The error for data that are declared neither clean nor noisy. ways: how a level can be given."""
    return UnknownNoise(
        f"{where}: nothing says how noisy the rows are.\n"
        f"Noisy rows of known level: give sigma_n, the noise std in [-1, 1] units ({ways}).\n"
        f"Clean rows, on which noise is to be simulated: set clean to true"
    )


def check_scale(where: str, low: float, high: float, sigma_n: float, *, assumed: bool, stored: str) -> None:
    """Raises InputError where values low..high, in units of [-1, 1], cannot be in the units that were assumed; logs a
    doubt.

    sigma_n, assumed, stored: as of `units.scale.judge_scale`.
    """
    found = judge_scale(low, high, sigma_n, assumed=assumed, stored=stored)
    if found is None:
        return
    if found.refused:
        raise InputError(f"{where}: {found}")
    logger.warning("%s: %s %s", where, found.reason, found.remedy)


class RowScan:
    """Sees every row once, chunk by chunk, and keeps a few sums, so that its memory does not grow with the data.

    where: the file or folder, for messages. values: the mapping of file values to [-1, 1]; assumed: it was not given by
    the user but follows from the number type. missing: what stands for a missing value, by name. masked: rows may lack
    some of their values, not all. keep_clipped: a few values that were cut at an end are let pass. name: what row i is
    called.
    """

    def __init__(
        self,
        where: str,
        dtype: np.dtype[Any],
        values: ValueRange | CountRange,
        *,
        assumed: bool,
        missing: Mapping[str, float] | None = None,
        masked: bool = False,
        keep_clipped: bool = False,
        name: Callable[[int], str] = "row {}".format,
    ) -> None:
        self._where, self._dtype, self._values, self._assumed, self._name = where, dtype, values, assumed, name
        self._missing, self._masked, self._keep_clipped = dict(missing or {}), masked, keep_clipped
        self._at_end = dict.fromkeys(range_ends(dtype, values), 0)
        self._extremes = (math.inf, -math.inf)
        self._seen = 0
        self._not_finite = _Culprits()
        self._too_large = False
        self._bad_level = _Culprits()
        self._constant = _Culprits()
        self._low, self._high, self._sigma_max = math.inf, -math.inf, 0.0
        self._noisiest = 0
        self._noisy = _Moments()

    def add(self, rows: NDArray[Any], sigma_n: NDArray[Any] | float, first: int | None = None) -> None:
        """The next rows (n, *S), in file units, and their noise level in [-1, 1] units, broadcastable to (n, *S).

        first: number of the first of them, where not every row is looked at.
        """
        first = self._seen if first is None else first
        x = in_unit(rows, self._values, list(self._missing.values())).reshape(len(rows), -1)
        level = np.broadcast_to(np.asarray(sigma_n, np.float64), rows.shape).reshape(len(rows), -1)
        raw = rows.reshape(len(rows), -1)
        finite = np.isfinite(x)
        self._too_large = self._too_large or bool(np.isinf(x[np.isfinite(raw)]).any())
        for i in np.flatnonzero(~(finite | np.isnan(x) if self._masked else finite).all(1) | ~finite.any(1)):
            count = int(x.shape[1] - finite[i].sum())
            self._not_finite.note(f"{self._name(first + i)} ({count} value{'s' * (count > 1)})")
        usable = (np.isfinite(level) & (level >= 0)) | (~finite & self._masked)
        for i in np.flatnonzero(~usable.all(1)):
            self._bad_level.note(f"{self._name(first + i)} ({level[i][~usable[i]][0]:g})")
        noisy = finite & usable & (level > 0)
        span = np.where(finite, x, -np.inf).max(1) - np.where(finite, x, np.inf).min(1)
        constant = (span == 0) & (noisy.sum(1) >= FEWEST)
        for i in np.flatnonzero(constant):
            self._constant.note(self._name(first + i))
        self._seen += len(rows)
        if finite.any():
            self._low, self._high = min(self._low, float(x[finite].min())), max(self._high, float(x[finite].max()))
        if noisy.any():
            largest = np.where(noisy, level, 0).max(1)
            if largest.max() > self._sigma_max:
                self._sigma_max, self._noisiest = float(largest.max()), first + int(largest.argmax())
            self._noisy.add(x[noisy], level[noisy])
            picked = raw[noisy]
            self._extremes = (min(self._extremes[0], float(picked.min())), max(self._extremes[1], float(picked.max())))
            for end in self._at_end:
                self._at_end[end] += int((picked == end).sum())

    def finish(self, judge: bool = True) -> None:
        """Raises InputError for the first thing that is wrong; logs a doubt that is no error. judge: hold the rows
        against their noise."""
        self._check_finite()
        self._check_levels()
        self.check_scale()
        if judge:
            self._check_constant()
            self._check_unit()
            self._check_clipping()

    def check_scale(self) -> None:
        """Raises InputError where the values cannot be in the units that are assumed; logs a doubt."""
        check_scale(self._where, self._low, self._high, self._sigma_max, assumed=self._assumed, stored=self._dtype.name)

    def _check_finite(self) -> None:
        if self._not_finite.total:
            beyond = (
                " Some are finite in the file but too large for float32 in [-1, 1]: give value_range."
                if self._too_large
                else ""
            )
            if self._missing:
                beyond += f" In these files missing values are marked by {told(self._missing)}, and read as NaN."
            raise InputError(
                f"{self._where}: {self._not_finite.total} of {self._seen} rows hold NaN or infinite values: "
                f"{self._not_finite}.{beyond}\n"
                f"Nothing is filled in: repair these rows where they were made, or crop them"
                + (
                    ", remove them, or leave them out with on_bad_file: skip"
                    if self._not_finite.total < self._seen
                    else ""
                )
                + ("" if beyond.startswith(" Some") or self._masked else MASKED)
            )

    def _check_levels(self) -> None:
        if self._bad_level.total:
            raise InputError(
                f"{self._where}: sigma_n must be finite and not negative, but is not in {self._bad_level.total} of "
                f"{self._seen} rows: "
                f"{self._bad_level}"
                + (
                    ".\nNaN: an error that is missing, or 0 in FITS files, is that of a pixel which was not measured: "
                    "mark these (flags: DQ, or NaN in the rows), and take them with missing: mask"
                    if "(nan)" in str(self._bad_level)
                    else ""
                )
            )

    def _check_constant(self) -> None:
        if self._constant.total:
            raise InputError(
                f"{self._where}: {self._constant.total} of {self._seen} rows are constant: {self._constant}.\n"
                f"A constant row cannot contain the declared noise: remove it, or give it sigma_n = 0 if it is clean"
            )

    def _check_unit(self) -> None:
        n, std, level = self._noisy.n, self._noisy.std, self._noisy.level
        if not n:
            return
        at = (
            f" (root mean square; at most {self._sigma_max:.4g}, in {self._name(self._noisiest)})"
            if self._sigma_max > 1.001 * level
            else ""
        )
        # var(x_n) = var(x_0) + sigma_n^2; the estimate from n values is off by sqrt(2 / n) of it, six of which never
        # happen.
        if level**2 > std**2 * (1 + max(0.02, 6 * math.sqrt(2 / n))):
            raise InputError(
                f"{self._where}: sigma_n = {level:.4g}{at} is more than the std of the data themselves, {std:.4g} "
                "in [-1, 1] units: "
                f"data with independent noise added vary more than the noise.\n{self._scales()}"
            )
        reach = self._noisy.high - self._noisy.low
        if self._sigma_max < reach / 1000:
            raise InputError(
                f"{self._where}: sigma_n = {self._sigma_max:.4g} is below 1/1000 of the range of the data, "
                f"{reach:.4g} in [-1, 1] units.\n"
                f"{self._scales()}\nIf the rows are practically clean, set clean to true"
            )

    def _scales(self) -> str:
        sigma, values = self._sigma_max, self._values
        if (values.low, values.high) == (-1, 1):
            return (
                "Is it a mistake of units? The values of the file are taken as they are: if -1 and 1 are not the "
                "ends of the clean data, "
                "give value_range, and sigma_n in [-1, 1] units"
            )
        return (
            "Is it a mistake of units? sigma_n is given in [-1, 1] units, to which the file's "
            f"{values.low:g}..{values.high:g} are mapped: "
            f"there {sigma:.4g} is {values.sigma_from_unit(sigma):.4g} in the file's units, and {sigma:.4g} in the "
            "file's units is "
            f"{values.sigma_to_unit(sigma):.4g} there"
        )

    def _check_clipping(self) -> None:
        n = self._noisy.n
        # An end inside the data's own range is an ordinary value; only where the data stop there were they cut.
        cut = {end: count for end, count in self._at_end.items() if end in self._extremes}
        count = sum(cut.values())
        if count <= max(3, CLIPPED * n):
            return
        ends = " or ".join(f"{end:g}" for end in sorted(cut) if cut[end])
        told = (
            f"{self._where}: {percent(count / n)} % of the noisy values are exactly {ends}, the end of their range: "
            "the noise was clipped, or these are counts."
        )
        few = count <= max(3, KEPT * n)
        if few and self._keep_clipped:
            logger.warning("%s They are taken as they are (clipped: keep)", told)
            return
        ways = "save noisy data in floating point (.npy), before any clipping or rounding"
        if self._keep_clipped:
            ways += f". `clipped: keep` takes up to {100 * KEPT:g} %"
        elif few:
            ways += f". Or go on knowingly: {KEEP}"
        raise InputError(
            f"{told}\nClipped noise has neither mean 0 nor the declared std, and nothing can undo it: {ways}"
        )


class _Culprits:
    """Names of bad rows: all are counted, the first few are kept."""

    def __init__(self) -> None:
        self.total = 0
        self._first: list[str] = []

    def note(self, item: str) -> None:
        self.total += 1
        if len(self._first) < 8:
            self._first.append(item)

    def __str__(self) -> str:
        return listed(self._first, self.total)


class _Moments:
    """Sums over the noisy values x and their levels."""

    def __init__(self) -> None:
        self.n, self.low, self.high = 0, math.inf, -math.inf
        self._sum = self._squares = self._levels = 0.0

    def add(self, x: NDArray[np.float32], level: NDArray[np.float64]) -> None:
        self.n += x.size
        self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))
        self._sum += float(x.sum(dtype=np.float64))
        self._squares += float(np.square(x, dtype=np.float64).sum())
        self._levels += float(np.square(level).sum())

    @property
    def std(self) -> float:
        return math.sqrt(max(self._squares / self.n - (self._sum / self.n) ** 2, 0.0)) if self.n else 0.0

    @property
    def level(self) -> float:
        """Root mean square of sigma_n."""
        return math.sqrt(self._levels / self.n) if self.n else 0.0
