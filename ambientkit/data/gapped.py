"""A file value that stands for nothing and that nobody declared: which data set declares it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ambientkit.inspection.gaps import Gap, find_gap
from ambientkit.interfaces import Data
from ambientkit.readers import ESTIMATES, Stored
from ambientkit.readers.missing import missing_of, told
from ambientkit.readers.own_values import OwnValues, own_values


def gap_in(part: Data, rows: int, values: OwnValues | None = None) -> Gap | None:
    """What marks missing values in the rows of files, of which the data set does not say so; None where nothing does,
    for any other data, and where rows with gaps are left out on request.

    rows: looked at. values: of them, where they have been read.
    """
    if not isinstance(part, Stored) or part.on_bad_file == "skip" or part.masked or not hasattr(part, "path"):
        return None
    values = values or own_values(part, rows)
    found = find_gap(values.rows)
    return found and replace(found, marks=told(missing_of(values.found.source)))


def declaring(gap: Gap, part: Stored) -> dict[str, Any]:
    """The fields of the data set that declares a gap in the rows of `part`."""
    fields = part.model_dump(mode="json", include=part.model_fields_set - {"clean", "missing"})
    if str(part.sigma_n) in ESTIMATES:
        fields.pop("sigma_n", None)
    return {"name": part.name, **fields, "missing": "mask" if gap.value == "nan" else gap.value}
