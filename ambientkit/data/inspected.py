"""What a data set holds, how noisy it is, and whether the noise is what the mathematics takes it for: the call behind
`ambientkit inspect`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ambientkit.config.datapath import DataLike, data_argument, with_bad_files
from ambientkit.config.inline import part_spec
from ambientkit.data.gapped import declaring, gap_in
from ambientkit.data.measured_units import moved_finding, refuse_whole, shows_pictures
from ambientkit.data.run_proposal import RunProposal
from ambientkit.errors import InputError
from ambientkit.inspection import Finding, NoiseVerdict
from ambientkit.inspection.document import ROWS, document, inspect_rows, level_of, measured, verdict
from ambientkit.inspection.judged import LOWEST, Array
from ambientkit.inspection.page import Proposed, page
from ambientkit.inspection.partial import IN_AREAS
from ambientkit.interfaces import Corruption, Data
from ambientkit.maths.levels import GREATEST, LEAST
from ambientkit.readers import Stored, open_rows
from ambientkit.readers.levels import ESTIMATES
from ambientkit.registry import Registry, given_spec, load
from ambientkit.rows import as_rows
from ambientkit.tables import Record, Table
from ambientkit.text import listed, share

ARRAYS = ("array", "array-folder", "hdf5", "zarr", "in-memory")
"""Data sets whose rows may be anything."""
MEASURED_ROWS = (
    "Rows that an operator measured, such as sinograms or k-space, are no pictures and look so: give --corruption "
    "'linear{operator: ...}'."
)


@dataclass(frozen=True, slots=True)
class Inspection(Record):
    """Facts about a data set, and what each test of the noise model says of its rows."""

    facts: dict[str, Any]
    findings: Sequence[Finding]
    rows: Array = field(repr=False, compare=False)
    """The rows looked at, (n, *S), data units."""
    mapping: Any = field(default=None, repr=False, compare=False)
    """From file values to data units; None where the rows are in data units."""
    proposal: RunProposal | None = None
    """A whole run for these rows, where one was asked for."""
    written: Path | None = None
    """The file that the proposal was written to."""

    @property
    def violated(self) -> bool:
        """Whether the noise is not what training takes it for."""
        return self.verdict is NoiseVerdict.VIOLATED

    @property
    def verdict(self) -> NoiseVerdict:
        """The worst of all findings, untried tests aside; "not tested" where every test is."""
        return verdict(list(self.findings))

    def blocks(self) -> list[str | Table]:
        """The facts, the table of the tests, the remedies, and the verdict."""
        tests = [(finding.name, str(finding.verdict), finding.reason) for finding in self.findings]
        remedies = [f"\n{finding.name}: {finding.remedy}" for finding in self.findings if finding.remedy]
        return [
            *_told(self.facts),
            Table("", ("test", "verdict", "why"), tests),
            *remedies,
            *(["", *self.proposal.blocks()] if self.proposal is not None else []),
            f"\nverdict: {self.verdict}",
            *self._next(),
        ]

    def _next(self) -> list[str]:
        """What to do now."""
        if self.written is not None:
            return [f"written: {self.written}; train with: ambientkit train -c {self.written}"]
        return [] if self.proposal is None else ["nothing is written: see what is missing"]

    def to_dict(self) -> dict[str, Any]:
        """The content of the JSON file."""
        found = document(self.facts, list(self.findings))
        return found if self.proposal is None else {**found, "proposal": self.proposal.to_dict()}

    def page(self) -> str:
        """One page of HTML with pictures and histograms, that needs nothing else."""
        if self.proposal is None:
            return page(self.facts, self.findings, self.rows, self.mapping)
        run = Proposed(self.proposal.lines(), self.proposal.missing, str(self.written or ""))
        return page(self.facts, self.findings, self.rows, self.mapping, self.proposal.photon, run)


def inspect(
    data: DataLike,
    *,
    sigma_n: Any = None,
    rows: int = ROWS,
    on_bad_file: str | None = None,
    registry: Registry | None = None,
    lowest: float | None = None,
    corruption: Any = None,
) -> Inspection:
    """Look at a data set without judging whether `train` would take it.

    data: a name, a path, a part, an array, a tensor or a torch `Dataset`. sigma_n: the noise std that the rows are said
    to have, units of [-1, 1]: a number, a file of levels per row, one level per row of an array, or "estimate"; None
    for
    the level stored with the data, and an estimate where there is none. rows: looked at, evenly spaced. lowest: the
    lowest level that will be trained, by default that of `train`. corruption: how the rows were observed, as `train`
    takes it; measurements of an operator get the tests that hold for them. Raises InputError for what cannot be read.
    """
    registry = registry or load()
    if rows < 1:
        raise InputError(f"--rows {rows}: should be 1 or more")
    levels = None if sigma_n is None or (isinstance(sigma_n, str) and sigma_n == "estimate") else _levels(sigma_n)
    through = None if corruption is None else registry.build(Corruption, part_spec(corruption))
    if (gapped := _gapped(data, registry, rows, on_bad_file, through)) is not None:
        return gapped
    refuse_whole(registry.build(Data, data_argument(data, registry, "DATA")), through)
    dataset, part = _open(data, levels, registry, on_bad_file)
    if isinstance(part, Stored) and part.masked and not hasattr(dataset[0], "sigma_n"):
        raise InputError(
            f"missing: {part.missing}: the noise level cannot be estimated between gaps. Give --sigma-n, the "
            "std in units of [-1, 1]; where some rows are whole, the data without `missing`, and --on-bad-file skip, "
            "estimate it on them"
        )
    name = str(data) if isinstance(data, str | Path) else part.name
    clean_by_nature = not {"path", "clean"} & type(part).model_fields.keys() and not hasattr(dataset[0], "sigma_n")
    given = None if isinstance(levels, str) else levels
    if clean_by_nature and sigma_n is None:
        facts, _, x = inspect_rows(dataset, name, most=rows)
        findings = [Finding("noise", NoiseVerdict.FINE, "this data set is clean: noise will be simulated on it.")]
    else:
        pictures = shows_pictures(through)
        facts, findings, x = inspect_rows(dataset, name, given, rows, lowest or LOWEST, pictures)
        findings = [*moved_finding(through, as_rows(dataset).mapping), *findings]
        if through is None and part.name in ARRAYS:
            findings = _or_measured(findings)
        if getattr(part, "sigma_n", None) in ESTIMATES:
            measured(facts)
    return Inspection(facts, findings, x, as_rows(dataset).mapping)


def _or_measured(findings: list[Finding]) -> list[Finding]:
    """The findings; the first violation that measurements of an operator would show too says what to do about those."""
    for place, one in enumerate(findings):
        if one.verdict is NoiseVerdict.VIOLATED and one.name in IN_AREAS:
            told = replace(one, remedy=f"{one.remedy} {MEASURED_ROWS}".strip())
            return [*findings[:place], told, *findings[place + 1 :]]
    return findings


def _gapped(
    data: DataLike, registry: Registry, rows: int, on_bad_file: str | None, through: Corruption | None
) -> Inspection | None:
    """The inspection of rows in files in which values are missing that nobody declared; None for any other data."""
    part = registry.build(Data, data_argument(data, registry, "DATA"))
    if on_bad_file == "skip" or (gap := gap_in(part, rows)) is None:
        return None
    assert isinstance(part, Stored)
    fields = declaring(gap, part, through)
    known = {} if "counts" in fields else {"sigma_n": fields.get("sigma_n", 0.0)}
    try:
        masked = open_rows(registry.build(Data, {**fields, **known}), judge=False)
    except InputError:  # the file values are in no units that are assumed
        if part.value_range is not None or fields["name"] != part.name:
            raise
        fields["value_range"] = "data"
        masked = open_rows(registry.build(Data, {**fields, **known}), judge=False)
    facts, _, x = inspect_rows(masked, str(data) if isinstance(data, str | Path) else part.name, most=rows)
    facts["sigma_n_declared"] = None
    observed = None if through is None else given_spec(through)
    return Inspection(facts, [gap.finding(fields, observed)], x, as_rows(masked).mapping)


def _open(data: DataLike, levels: Any, registry: Registry, on_bad_file: str | None) -> tuple[Any, Data]:
    """The rows, without judging their noise. levels: a number or a file is declared with them; an array is for rows
    read as if they were clean."""
    found = data_argument(data, registry, "DATA")
    if on_bad_file is not None and isinstance(found, dict):
        found = with_bad_files(found, on_bad_file, registry)
    elif on_bad_file is not None:
        found = data_argument(found, registry, "DATA", on_bad_file=on_bad_file)
    known = (type(found) if isinstance(found, Data) else registry.find("data", str(found["name"])).part).model_fields
    if isinstance(levels, str):
        if "sigma_n" not in known:
            name = found.name if isinstance(found, Data) else found["name"]
            raise InputError(f"--sigma-n {levels}: the data set {name!r} is clean; give a number")
        found = data_argument(found, registry, "DATA", sigma_n=levels)
    elif isinstance(levels, float) and "sigma_n" in known:  # declared: one that is stored with the rows must agree
        found = data_argument(found if isinstance(found, dict) else data, registry, "DATA", sigma_n=levels)
    elif levels is not None and "clean" in known:
        found = _as_clean(data, found, registry)
    part = registry.build(Data, found)
    return open_rows(part, judge=False), part


def _as_clean(data: DataLike, found: dict[str, Any] | Data, registry: Registry) -> dict[str, Any] | Data:
    """The same data, read as if they were clean."""
    if isinstance(found, dict):
        return {**{key: value for key, value in found.items() if key != "sigma_n"}, "clean": True}
    if isinstance(data, Data | Dataset):
        return (
            found.model_copy(update={"sigma_n": None, "clean": True}) if "clean" in type(found).model_fields else found
        )
    return data_argument(data, registry, "DATA", clean=True)


def _levels(sigma_n: Any) -> Any:
    """The level as a number or an array, or the name of a file. Raises InputError where it is none of them."""
    if not isinstance(sigma_n, str | Path | int | float):
        return np.asarray(sigma_n, np.float64)
    try:
        level = float(sigma_n)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        if Path(sigma_n).exists():  # type: ignore[arg-type]
            return str(sigma_n)
        raise InputError(
            f"--sigma-n {sigma_n}: should be a number, 'estimate', or an existing file of levels per row"
        ) from None
    if not LEAST <= level <= GREATEST:
        raise InputError(
            f"--sigma-n {sigma_n}: should be from {LEAST:g}, below which float32 holds no noise, to {GREATEST:g}, in "
            "units of [-1, 1]"
        )
    return level


def _told(facts: dict[str, Any]) -> list[str]:
    shape = " x ".join(map(str, facts["shape"]))
    low, high = facts["range"]
    told = [
        f"{facts['data']}: {facts['rows']:,} rows of {shape}"
        + (f", {facts['file_type']} in the file" if facts["file_type"] else ""),
        f"looked at {facts['rows_looked_at']:,}: values {low:.4g} to {high:.4g}, mean {facts['mean']:.4g}, std "
        f"{facts['std']:.4g}",
    ]
    if facts["left_out"]:
        told.append(f"left out, because they cannot be used: {len(facts['left_out'])}: {listed(facts['left_out'])}")
    if facts["mapping"]:
        told.append(f"values of the file: {facts['mapping']}")
    told.append(
        f"{share(facts['share_at_the_ends'])} of the values at an end of the range; "
        f"{len(facts['constant_rows'])} rows constant, {facts['repeated_rows']} repeated"
    )
    if facts["missing"]:
        told.append(
            f"missing: {100 * facts['missing']:.3g} % of the values, which are left out of all that is said here"
        )
    if (known := level_of(facts)) is not None:
        word, (low, middle, high) = known
        told.append(f"{word} noise: {middle:.4g}" + (f" ({low:.4g} to {high:.4g})" if low < high else ""))
    if facts["sigma_n_estimated"]:
        least, q1, middle, q3, most = facts["sigma_n_estimated"]
        told.append(
            f"estimated noise per row: median {middle:.4g}, quartiles {q1:.4g} and {q3:.4g}, {least:.4g} to {most:.4g}"
        )
    return told
