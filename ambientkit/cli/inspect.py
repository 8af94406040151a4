"""`ambientkit inspect`: what is there, how noisy it is, and whether the noise fits the model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ambientkit.checkpoint.folder import write_file
from ambientkit.cli.tables import print_table
from ambientkit.config.datapath import data_spec, with_bad_files
from ambientkit.errors import InputError
from ambientkit.inspection import Finding, Verdict
from ambientkit.inspection.page import page
from ambientkit.inspection.report import document, inspect_rows, verdict
from ambientkit.interfaces import Data
from ambientkit.readers.scan import UnknownNoise, facts_only
from ambientkit.registry import Registry, load
from ambientkit.text import listed


def run(data: str, sigma_n: str | None, json_file: Path | None, html_file: Path | None, rows: int, on_bad_file: str | None = None) -> None:
    """The whole command; ends with exit status 0 or 1, or raises InputError (2)."""
    for flag, path in (("--json", json_file), ("--html", html_file)):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise InputError(f"{flag} {path}: should be a file in a folder that exists")
    registry = load()
    level = None if sigma_n in (None, "estimate") else _number(str(sigma_n))
    dataset, part = open_rows(data, sigma_n if level is None and sigma_n != "estimate" else None, level is not None, registry, on_bad_file)
    named = "path" not in type(part).model_fields and level is None and sigma_n is None
    if named and not hasattr(dataset[0], "sigma_n"):
        facts, findings, x = inspect_rows(dataset, data, most=rows)
        findings = [Finding("noise", Verdict.FINE, "this data set is clean: noise will be simulated on it.")]
    else:
        facts, findings, x = inspect_rows(dataset, data, level, most=rows)
    _print(facts)
    print_table(("test", "verdict", "why"), [(f.name, str(f.verdict), f.reason) for f in findings])
    for finding in findings:
        if finding.remedy:
            print(f"\n{finding.name}: {finding.remedy}")
    worst = verdict(findings)
    print(f"\nverdict: {worst}")
    if json_file is not None:
        write_file(json_file, (json.dumps(document(facts, findings), indent=1, allow_nan=False) + "\n").encode())
    if html_file is not None:
        write_file(html_file, page(facts, findings, x).encode())
    sys.exit(1 if worst is Verdict.VIOLATED else 0)


def open_rows(text: str, levels: str | None, number: bool, registry: Registry, on_bad_file: str | None = None) -> tuple[Any, Data]:
    """The rows of what `data_spec` reads, without judging their noise; levels: a file of them; number: one is given for all."""
    spec = data_spec(text, registry, "DATA")
    fields = with_bad_files(dict(spec) if isinstance(spec, dict) else {"name": spec}, on_bad_file, registry)
    known = registry.find("data", fields["name"]).part.model_fields
    if levels is not None:
        if "sigma_n" not in known:
            raise InputError(f"--sigma-n {levels}: the data set {fields['name']!r} is clean; give a number")
        fields["sigma_n"] = levels
    if number and "clean" in known:
        fields.pop("sigma_n", None)
        fields["clean"] = True
    with facts_only():
        try:
            part = registry.build(Data, fields)
            return part.rows(), part
        except UnknownNoise:
            part = registry.build(Data, {**fields, "clean": True})
            return part.rows(), part


def _number(text: str) -> float | None:
    """The level as a number, or None for a file. Raises InputError where it is neither."""
    try:
        level = float(text)
    except ValueError:
        if Path(text).exists():
            return None
        raise InputError(f"--sigma-n {text}: should be a number, 'estimate', or an existing file with one level per row") from None
    if not (np.isfinite(level) and level > 0):
        raise InputError(f"--sigma-n {text}: should be above 0 and finite")
    return level


def _print(facts: dict[str, Any]) -> None:
    shape = " x ".join(map(str, facts["shape"]))
    low, high = facts["range"]
    print(f"{facts['data']}: {facts['rows']:,} rows of {shape}" + (f", {facts['file_type']} in the file" if facts["file_type"] else ""))
    print(f"looked at {facts['rows_looked_at']:,}: values {low:.4g} to {high:.4g}, mean {facts['mean']:.4g}, std {facts['std']:.4g}")
    if facts["left_out"]:
        print(f"left out, because they cannot be used: {len(facts['left_out'])}: {listed(facts['left_out'])}")
    if facts["mapping"]:
        print(f"mapped to [-1, 1] by {facts['mapping']}")
    print(
        f"{100 * facts['share_at_the_ends']:.2g} % of the values at an end of the range; "
        f"{len(facts['constant_rows'])} rows constant, {facts['repeated_rows']} repeated"
    )
    if facts["sigma_n_declared"]:
        low, middle, high = facts["sigma_n_declared"]
        print(f"declared noise: {middle:.4g}" + (f" ({low:.4g} to {high:.4g})" if low < high else ""))
    if facts["sigma_n_estimated"]:
        least, q1, middle, q3, most = facts["sigma_n_estimated"]
        print(f"estimated noise by row: median {middle:.4g}, quartiles {q1:.4g} and {q3:.4g}, {least:.4g} to {most:.4g}")
