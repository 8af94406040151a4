"""The numbers of a report: metrics without clean data, stored evaluations, and what `verify --run` measures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from ambientkit.checkpoint.names import EVALUATE, VERIFIED, VERIFY
from ambientkit.errors import InputError
from ambientkit.evaluation import Score, patch_distance, pixel_statistics_distance, proximal, residual_noise
from ambientkit.evaluation.document import FORMAT as EVALUATE_FORMAT
from ambientkit.evaluation.judge import pictures
from ambientkit.evaluation.rows import run_rows
from ambientkit.maths.randomness import derive_seed, keyed_generator
from ambientkit.report.content import Residual, RunReport, Table
from ambientkit.report.run import ReportedRun
from ambientkit.run.preflight import HEADINGS, read_preflight
from ambientkit.sample import Trained
from ambientkit.tables import number
from ambientkit.verification.run import FORMAT as RUN_FORMAT
from ambientkit.verification.run import measure_run
from ambientkit.verification.trained import Curve, SeedSensitivity

Cells = tuple[str, ...]
ABSENT = "-"


def metrics(trained: Trained, full: Tensor, truncated: Tensor | None, seed: int, report: RunReport) -> None:
    """The measures that need neither clean data nor a network, of both kinds of samples, beside those of the noisy rows
    themselves."""
    rows = run_rows(trained, 2 * len(full), seed)
    n = min(len(full), len(rows.x) // 2)
    if n < 4:
        report.note("metrics", f"The data have {len(rows.x)} rows: too few for a distance that means anything.")
        return
    reference, other = rows.x[:n], rows.x[n : 2 * n]
    noisy = rows.sigma_n is not None

    def distances(x: Tensor) -> list[Score]:
        found = [pixel_statistics_distance(reference, x)]
        if pictures(reference):
            found.insert(0, patch_distance(reference, x, keyed_generator(seed, "report.patches")))
        return found

    def renoised(x: Tensor) -> Tensor:
        return proximal(x, rows.levels(len(x)), derive_seed(seed, "report.proximal")) if noisy else x

    kinds = [x[:n] if x is not None else None for x in (truncated, full)]
    columns: list[list[Score] | None] = [None if x is None else distances(renoised(x)) for x in kinds]
    columns.append(distances(other))
    if columns[1] and columns[-1]:
        report.figures["distance"] = columns[1][0].value, columns[-1][0].value
    lines = [_line(score.name, columns, place) for place, score in enumerate(columns[-1] or [])]
    if pictures(reference):
        alone: list[list[Score] | None] = [None if x is None else [residual_noise(x)] for x in (*kinds, other)]
        lines.append(_line("residual-noise", alone, 0))
        report.note(
            "metrics",
            "residual-noise is the level of white noise that wavelets find, in the last column that of the data's "
            "rows as they are. Texture counts as noise: "
            "compare with clean pictures of the kind, if you know any.",
        )
    report.note(
        "metrics",
        "patch-w2 and pixel-statistics are distances to the data's "
        f"{'noisy rows, of samples made as noisy as these (proximal)' if noisy else 'clean rows'}, "
        "biased upwards at this n: the last column has those of the data's rows from other rows, which is what a "
        "perfect model would have. The data "
        "are those that the run trained on, and samples that repeat them score well.",
    )
    report.metrics.append(
        Table(f"Without clean data, n = {n}", ("measure", "truncated", "full", "the data's rows"), lines)
    )


def _line(what: str, columns: list[list[Score] | None], place: int) -> Cells:
    return what, *(ABSENT if scores is None else number(scores[place].value, 4) for scores in columns)


def evaluations(path: Path, step: int, report: RunReport) -> None:
    """What `ambientkit evaluate --json` wrote into the run folder or its folder `evaluate`."""
    found = 0
    for file in sorted([*path.glob("*.json"), *(path / EVALUATE).glob("*.json")]):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if isinstance(content, dict) and {"subject", "reference", "scores"} <= content.keys():
                if content.get("format", EVALUATE_FORMAT) != EVALUATE_FORMAT:
                    report.note(
                        "metrics",
                        f"{file.name} has format {content.get('format')!r}, which this version does not know.",
                    )
                    continue
                report.metrics += _evaluation(file, content, step)
                found += 1
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            report.note("metrics", f"{file.name} cannot be read as an evaluation ({type(error).__name__}).")
    if not found:
        report.note(
            "metrics",
            f"For FID, KID and more: ambientkit evaluate {path} --json {path / 'evaluate.json'}, and write the "
            "report again.",
        )


def _evaluation(file: Path, content: dict[str, Any], step: int) -> list[Table]:
    """A table for each group: with clean rows, and of re-noised samples with noisy ones."""
    groups: dict[str, list[Cells]] = {}
    for score in content["scores"]:
        if "group" not in score:  # of restored rows
            name, floor = f"{score['name']} of {score['of']}", None
        else:
            name, floor = (
                f"{score['name']}[{score['extractor']}]" if score["extractor"] else score["name"],
                score["floor"],
            )
        line = (name, _cell(score["value"]), _cell(score["spread"], 2), str(score["n"]), _cell(floor))
        groups.setdefault(score.get("group", "restored rows"), []).append(line)
    of = content.get("step")
    at = (
        ""
        if of is None
        else f", step {of:,}" + ("" if of == step else f", which is not the step {step:,} of this page")
    )
    reference = content["reference"]
    against = reference.get("name") or reference.get("path") if isinstance(reference, dict) else reference
    if which := content.get("reference_rows"):
        against = f"{against}, rows that the run {which}"
    head = ("measure", "value", "spread", "n", "the reference itself")
    said = {"proximal": "proximal, samples made as noisy as the rows"}
    return [
        Table(f"{said.get(group, group)}: ambientkit evaluate, from {file.name}{at}; reference: {against}", head, lines)
        for group, lines in groups.items()
    ]


def _cell(value: float | None, digits: int = 4) -> str:
    return ABSENT if value is None else number(value, digits)


def preflight_result(path: Path, report: RunReport) -> None:
    """What `train` has kept of the checks of its parts before step 1."""
    try:
        found = read_preflight(path)
    except InputError as error:
        report.preflight = str(error)
        return
    report.preflight = found.said
    if found.rows:
        report.preflight_table = Table("Checks before step 1, on problems whose answer is known", HEADINGS, found.rows)


def denoiser_numbers(run: ReportedRun, report: RunReport, *, rows: int, seed: int, readable: bool) -> None:
    """Add the consistency residual, the Tweedie loss and the seed sensitivity.

    They are those that `verify --run` stored for this step, otherwise measured on `rows` rows, if those of the run are
    readable.
    """
    trained = run.trained
    stored = _stored(run.path / VERIFY / VERIFIED, trained.step, report)
    if stored is not None:
        residual, losses, spread, said = stored
    elif not readable:
        return
    else:
        try:
            found = measure_run(trained, rows=rows, seed=seed)
        except InputError as error:
            report.note("verify", f"Not measured: {error}")
            report.note("consistency", f"{report.name}: not measured: {error}")
            return
        residual, losses, spread = found.residual, dict(found.losses), found.spread
        said = (
            f"For this page {found.rows}. "
            f"For more rows, or others: ambientkit verify --run {run.path} --data OTHER, and write the report again."
        )
    report.residual = Residual(residual.sigma, residual.mean, residual.error, residual.n)
    report.note("verify", said)
    report.verify += list(_tables(residual, losses, spread, trained.signal.sigma_data))


def _stored(file: Path, step: int, report: RunReport) -> tuple[Curve, dict[str, Curve], SeedSensitivity, str] | None:
    """What `verify --run` wrote, where that is of this step."""
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != RUN_FORMAT:
            report.note(
                "verify", f"{file} has format {content['format']!r}, which this version does not know; measured afresh."
            )
            return None
        if content["step"] != step:
            report.note(
                "verify",
                f"The stored report of `verify --run` is of step {content['step']:,}, not of {step:,}, and is left "
                "out.",
            )
            return None
        losses = {str(name): _curve(curve) for name, curve in content["tweedie_loss"].items()}
        spread = content["seed_sensitivity"]
        found = SeedSensitivity(*(spread[name] for name in ("within", "across", "observations", "seeds")))
        return (
            _curve(content["consistency_residual"]),
            losses,
            found,
            f"From `ambientkit verify --run`: {content['rows']}.",
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        report.note("verify", f"{file} cannot be read ({type(error).__name__}); measured afresh.")
        return None


def _curve(plain: dict[str, Any]) -> Curve:
    sigma, mean, error = (tuple(map(float, plain[name])) for name in ("sigma", "mean", "error"))
    if not len(sigma) == len(mean) == len(error) > 0:
        raise ValueError("a curve's lists differ in length")
    return Curve(sigma, mean, error, int(plain["n"]))


def _tables(residual: Curve, losses: dict[str, Curve], spread: SeedSensitivity, sigma_data: float) -> Iterator[Table]:
    lines: list[Cells] = [
        (number(s), number(m), number(e), f"{m / e:+.1f}" if e > 0 else ABSENT)
        for s, m, e in zip(residual.sigma, residual.mean, residual.error, strict=True)
    ]
    yield Table(f"Consistency residual, n = {residual.n} rows", ("sigma", "residual", "standard error", "ratio"), lines)
    for name, curve in losses.items():
        lines = [
            (number(s), number(m, 4), number(e, 2))
            for s, m, e in zip(curve.sigma, curve.mean, curve.error, strict=True)
        ]
        yield Table(
            f"Tweedie loss, {name}, n = {curve.n}; its least value is not 0", ("sigma", "loss", "standard error"), lines
        )
    yield Table(
        f"Std of restored rows, {spread.observations} observations, {spread.seeds} seeds each",
        ("of what", "std"),
        [
            ("across seeds", number(spread.within)),
            ("across observations", number(spread.across)),
            ("together", number(spread.total)),
            ("clean data, sigma_data", number(sigma_data)),
        ],
    )
