"""The abstract data set `Stored`: what all formats share once their files are open."""

from __future__ import annotations

import abc
import logging
import math
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, Strict, field_validator, model_validator
from torch.utils.data import Dataset

from ambientkit.batch import Batch, Clean
from ambientkit.errors import InputError
from ambientkit.interfaces import Data
from ambientkit.messages import warn
from ambientkit.readers.dead import Dead, Place
from ambientkit.readers.declared import declared, estimated
from ambientkit.readers.layout import Layout
from ambientkit.readers.levels import ESTIMATES, Noise
from ambientkit.readers.lossy import told
from ambientkit.readers.marked import Marked, marked_in
from ambientkit.readers.measured import measured_range
from ambientkit.readers.over import bare
from ambientkit.readers.rows import CleanRows, Mapping, NoisyRows
from ambientkit.readers.source import Source
from ambientkit.readers.usable import Reading, enough_counts, read_all, usable
from ambientkit.units.counts import CountRange
from ambientkit.units.ranges import ValueRange

logger = logging.getLogger("ambientkit")


class Found(NamedTuple):
    """What a format has found: its rows, how their axes are meant, and noise levels in the files."""

    source: Source
    layout: Layout
    levels: Source | float | None = None
    """The level that was stored with the rows, whether or not the user gives another."""
    named: Source | None = None
    """The array of the file that the field sigma_n names."""


class Counts(BaseModel):
    """Counts v = gain p + n, p ~ Poisson, n ~ N(offset, read_std^2), to be made Gaussian by the generalised Anscombe
    transform."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    gain: float = Field(1.0, gt=0)
    """File units a count."""
    offset: float = 0.0
    """File value of no count."""
    read_std: float = Field(0.0, ge=0)
    """Std of the Gaussian part, file units."""


class Stored(Data):
    """Rows kept in files: observations with their noise level, or clean rows."""

    sigma_n: Annotated[float, Strict()] | str | Path | None = None
    """Known noise std: a number, a .npy array, a .csv or .parquet table with a column sigma_n, the name of an array in
    the same file, or "estimate" (one for all) or "estimate-by-row". An array holds one level per row (N,), or one per
    value, in the layout of the file."""
    sigma_units: Literal["unit", "file"] = "unit"
    """Whether sigma_n is given in units of [-1, 1], or in those of the file, from which value_range converts it."""
    clean: bool = False
    """The rows are clean: noise is simulated on them."""
    value_range: tuple[float, float] | Literal["data"] | None = None
    """The two file values that stand for -1 and 1; by default (0, 255) for uint8, (0, 65535) for uint16, or what the
    header of a TIFF file says of its bits (12 of 16: (0, 4095)), (-1, 1) for floating point. "data": measured once, as
    the values below which 0.1 % and 99.9 % of the rows' values lie; a run's configuration holds the two numbers."""
    counts: Counts | None = None
    """The values are counts {gain, offset, read_std}: the Anscombe transform makes their noise Gaussian, of a level
    that follows from it."""
    check: Literal["all", "sample"] = "all"
    """Read every row once before anything starts, or (for sets too large for that) 4,096 rows, evenly spaced."""
    on_bad_file: Literal["fail", "skip"] = "fail"
    """What to do with files and rows that cannot be used (damaged, or with values that are not finite): list them and
    refuse to start, or leave them out, list and count them. The other rows keep their numbers and levels."""

    clipped: Literal["refuse", "keep"] = "refuse"
    """What becomes of noisy rows of which more than 0.1 % of the values stand at an end of their range, where the noise
    was cut: refused, or (up to 1 %) taken as they are, with a warning."""
    missing: Literal["refuse", "mask"] | Annotated[float, Strict(), Field(allow_inf_nan=False)] = "refuse"
    """What becomes of rows with missing pixels (NaN, and what the files mark): refused, or taken with a mask of what
    was measured, for --corruption mask. A number is a file value that stands for nothing, such as -999: rows are taken
    with a mask."""
    dead: tuple[Place, ...] = ()
    """(line, column), from 0, of pixels of the camera that hold nothing in any row, such as hot ones: missing. ["*",
    17] is a whole column, [17, "*"] a whole line."""

    @field_validator("sigma_n")
    @classmethod
    def _no_negative_noise(cls, sigma_n: float | str | Path | None) -> float | str | None:
        if isinstance(sigma_n, float) and sigma_n < 0:
            raise ValueError("should be 0 or more")
        return str(sigma_n) if isinstance(sigma_n, Path) else sigma_n

    @field_validator("missing", mode="before")
    @classmethod
    def _nan_is_missing(cls, missing: object) -> object:
        """NaN is read as missing in any case."""
        return "mask" if missing == "nan" or (isinstance(missing, float) and math.isnan(missing)) else missing

    @model_validator(mode="after")
    def _consistent(self) -> Stored:
        if self.clipped == "keep" and self.clean:
            raise ValueError("clipped: keep is for noisy rows, not for clean ones, which may be clipped")
        if self.masked and self.clean:
            raise ValueError(f"missing: {self.missing} is for noisy rows, not for clean ones")
        if self.dead and not self.masked:
            raise ValueError("dead pixels are missing: give missing: mask too, and --corruption mask")
        if self.masked and str(self.sigma_n) in ESTIMATES:
            raise ValueError(
                f"missing: {self.missing}: the noise level cannot be estimated between gaps, so sigma_n "
                f"{self.sigma_n!r} cannot be. Give it as a number; where some rows are whole, `ambientkit inspect DATA "
                "--on-bad-file skip` estimates it on them"
            )
        if self.clean and self.sigma_n is not None:
            raise ValueError("clean rows have no sigma_n: leave one of the two out")
        if self.on_bad_file == "skip" and self.check == "sample":
            raise ValueError(
                "on_bad_file: skip needs check: all, because a bad row among those that are not looked at would "
                "not be found"
            )
        if isinstance(self.value_range, tuple):
            ValueRange(*self.value_range)
        if self.counts is not None:
            if not isinstance(self.value_range, tuple):
                raise ValueError("counts need value_range, the two counts (in file values) that stand for -1 and 1")
            if self.sigma_n is not None or self.clean:
                raise ValueError("the noise level of counts follows from the transform: leave sigma_n and clean out")
            CountRange(*self.value_range, **self.counts.model_dump())
        return self

    @property
    def masked(self) -> bool:
        """Whether rows come with a mask of what was measured."""
        return self.missing != "refuse"

    @abc.abstractmethod
    def find(self) -> Found:
        """Open the files as far as their headers. Raises InputError where they are missing or unusable."""

    def found(self) -> Found:
        """What `find` finds, without the dead pixels, and with the value that stands for nothing."""
        found = self.find()
        if isinstance(self.missing, float | int):
            found = found._replace(source=Marked(found.source, self.missing))
        return found._replace(source=Dead(found.source, self.dead, found.layout)) if self.dead else found

    def rows(self, *, judge: bool = True) -> Dataset[Clean] | Dataset[Batch]:
        """Rows (*S), float32, channels first; sigma_n () or (*S). All rows are checked once, in memory that does not
        grow with them.

        judge: hold the rows against their declared noise. Without it only what cannot be read, or not in these units,
        is refused, and rows of which nobody says how noisy they are come as clean ones: for callers who judge the noise
        themselves. Raises InputError where files are missing, cut, or hold anything but numbers; where shape or noise
        level are unclear; for rows that are not finite; and (judge) constant, clipped, or without the declared noise.
        """
        found = self.found()
        found.source.check()
        if not self.clean:
            for line in told(found.source, getattr(bare(found.source), "lossy", ())):
                warn(line)
        mapping = self._mapping(found.source)
        reading = Reading(
            mapping,
            self.value_range is None,
            self.check,
            self.on_bad_file,
            masked=self.masked,
            keep_clipped=self.clipped == "keep",
        )
        if isinstance(mapping, CountRange):
            enough_counts(found.source, mapping)
        if str(self.sigma_n) in ESTIMATES:  # from the rows that can be used
            source, _, left_out = usable(found.source, reading, lambda: None, judge=False)
            noise: Noise | None = estimated(self, found._replace(source=source), mapping)
            read_all(source, reading, noise, judge=judge)
        else:
            source, noise, left_out = usable(
                found.source, reading, lambda: declared(self, found, mapping, needed=judge), judge=judge
            )
        if (marked := marked_in(found.source)) is not None and not marked.found:
            warn(f"{source}: missing: {marked.value:g}: no row holds this value, and all count as measured")
        layout = found.layout
        logger.info(
            "%s: %d rows %s of %s, layout %s, %s",
            source,
            source.shape[0],
            source.shape[1:],
            source.dtype,
            layout,
            mapping,
        )
        if noise is None:
            return CleanRows(source, mapping, layout, left_out, reading.assumed)
        return NoisyRows(source, mapping, layout, noise, left_out, reading.assumed, reading.masked)

    def settled(self) -> Stored:
        """The same data set with what is measured on the rows written as numbers: itself, unless value_range is
        "data"."""
        if self.value_range != "data":
            return self
        found = self.found()
        found.source.check()
        return self.model_copy(update={"value_range": measured_range(found.source)})

    def _mapping(self, source: Source) -> Mapping:
        if self.counts is not None:
            assert isinstance(self.value_range, tuple)  # the validator saw to it
            return CountRange(*self.value_range, **self.counts.model_dump())
        if self.value_range == "data":
            return ValueRange(*measured_range(source))
        if self.value_range is not None:
            return ValueRange(*self.value_range)
        bits = getattr(bare(source), "bits", None)
        if source.dtype.kind == "u" and bits is not None and bits < 8 * source.dtype.itemsize:
            logger.info("%s: the files use %d of their bits: value_range: [0, %d]", source, bits, 2**bits - 1)
            return ValueRange(0, 2**bits - 1)
        try:
            return ValueRange.of(source.dtype)
        except ValueError as error:
            raise InputError(f"{source}: {error}, or have it measured once: value_range: data") from None


def open_rows(data: Data, *, judge: bool = True) -> Dataset[Clean] | Dataset[Batch]:
    """The rows of any data set; judge: as of `Stored.rows`, which alone judges the noise of rows when it opens them."""
    return data.rows(judge=judge) if isinstance(data, Stored) else data.rows()
