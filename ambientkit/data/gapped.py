"""A file value that stands for nothing and that nobody declared: which data set declares it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.data.array import Array
from ambientkit.errors import InputError
from ambientkit.inspection.gaps import Gap, find_gap
from ambientkit.interfaces import Corruption, Data
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


def declaring(gap: Gap, part: Stored, corruption: Corruption | None = None) -> dict[str, Any]:
    """The fields of the data set that declares a gap in the rows of `part`, which were observed by that corruption.
    Raises InputError for measurements of an operator in other files than .npy: masks of them come from `masked` alone.
    """
    fields = part.model_dump(mode="json", include=part.model_fields_set - {"clean", "missing"})
    if str(part.sigma_n) in ESTIMATES:
        fields.pop("sigma_n", None)
    if isinstance(corruption, Linear):
        if not isinstance(part, Array) or part.path.suffix != ".npy":
            raise InputError(
                f"{getattr(part, 'path', part.name)}: {100 * gap.share:.3g} % of the measurements are missing "
                f"({gap.value}), and of measurements `masked` alone brings masks: save the rows as one .npy file"
            )
        kept = {name: value for name, value in fields.items() if name in ("path", "sigma_n", "value_range")}
        return {"name": "masked", **kept, "missing": gap.value, "measurements": True}
    return {"name": part.name, **fields, "missing": "mask" if gap.value == "nan" else gap.value}
