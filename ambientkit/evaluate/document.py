"""What `ambientkit evaluate` prints and writes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ambientkit.cli.tables import print_table
from ambientkit.evaluate import LevelError, Score
from ambientkit.evaluate.judge import Line, pictures
from ambientkit.registry import spec_of
from ambientkit.tables import number

if TYPE_CHECKING:
    from ambientkit.evaluate.compare import Setup

FORMAT = 1
MEANS = {
    "clean": "samples against clean rows",
    "proximal": "samples made as noisy as the data, x + sigma_n z, against noisy rows: the honest number where no clean data exist",
}
Restored = list[tuple[Score, Score]]


def print_report(setup: Setup, found: list[Line], errors: list[LevelError], restored: Restored) -> None:
    """Tables, and what it takes to read them."""
    print_head(setup)
    for group in setup.groups:
        print(f"\n{group.name}: {MEANS[group.name]} ({group.rows.what})")
        rows = [_cells(line) for line in found if line.group == group.name]
        print_table(("measure", "value", "spread", "n", "the reference itself", "its n"), rows)
    print_notes(setup, found)
    if errors:
        print(
            f"\ndenoiser, root mean square of D(x_0 + sigma z) - x_0 on {errors[0].n} clean rows of the reference; its least value is not 0"
        )
        print_table(("sigma", "rms", "standard error"), [(number(e.sigma), number(e.rms, 4), number(e.error, 2)) for e in errors])
    if restored:
        print(f"\nrestoration: D(x_n) of {restored[0][0].n[1]} clean rows that were given the noise of the run's data")
        print_table(("measure", "x_n", "D(x_n)"), [(a.name, number(a.value, 4), number(b.value, 4)) for a, b in restored])


def print_head(setup: Setup) -> None:
    """What is compared with what, and what of it may mislead."""
    request, reference = setup.request, setup.reference
    if setup.trained is not None:
        last = request.seed + request.repeats - 1
        seeds = f"seed {request.seed}" if request.repeats == 1 else f"seeds {request.seed} to {last}"
        print(
            f"run: {request.subject}, step {setup.trained.step}; {setup.n} samples of {seeds} each, {setup.sampler.name}, {request.steps} steps"
        )
    else:
        assert setup.drawn is not None
        print(f"samples: {setup.drawn.what}, {setup.n} of {setup.drawn.total}, chosen by seed {request.seed}")
    print(f"reference: {min(len(reference.x), setup.n)} of {reference.total} rows of {reference.what}")
    if setup.own is not None and setup.own.spec == reference.spec:
        print("note: the reference is what the run trained on: nothing is held out, and samples that repeat the data score well")
    if len(reference.x) < setup.n:
        print(f"note: the reference has only {len(reference.x)} rows for {setup.n} samples; compare only with values of the same numbers")
    if setup.drawn is not None and (copies := same_rows(setup.drawn.x, reference.x[: setup.n])):
        print(
            f"warning: {copies} of {setup.n} samples are, to the bit, rows of the reference: the two sets are not independent, and every distance "
            "is too small"
        )
    kinds = [rows.stored for rows in (setup.drawn, reference) if rows is not None and rows.stored]
    if len(kinds) == 2 and kinds[0].startswith("float") != kinds[1].startswith("float"):
        print(f"warning: one side is stored as {kinds[0]}, the other as {kinds[1]}: rounding and cutting off alone move these numbers")
    if not pictures(reference.x):
        print("rows of this shape are no pictures of 8 x 8 or more: no measures of noise, patches and spectra")


def same_rows(samples: Tensor, reference: Tensor) -> int:
    """Samples that equal a row of the reference to the last bit. (n, *S), (m, *S)."""
    known = {row.tobytes() for row in reference.float().cpu().numpy()}
    return sum(row.tobytes() in known for row in samples.float().cpu().numpy())


def print_notes(setup: Setup, found: list[Line]) -> None:
    """How the numbers were made, once for all tables."""
    request = setup.request
    if request.repeats > 1:
        over = (
            f"the sample seeds {request.seed} to {request.seed + request.repeats - 1}"
            if setup.trained
            else f"{request.repeats} random halves of the samples, so about sqrt(2) too large"
        )
        print(f"\nspread: std over {over}; the choice of reference rows (seed {request.seed}) is not in it")
    print("the reference itself: its rows against other rows of it, the floor of a distance at that n; for a measure of one set, its value")
    said: set[str] = set()
    for line in found:
        if line.score.note and line.score.title not in said:
            said.add(line.score.title)
            print(f"{line.score.title}: {line.score.note}")


def facts(setup: Setup) -> dict[str, Any]:
    """What fixes the numbers, for the report."""
    request, reference = setup.request, setup.reference
    return {
        "subject": str(request.subject),
        "step": setup.trained.step if setup.trained else None,
        "n": setup.n,
        "repeats": request.repeats,
        "repeats_are": "random halves of the samples" if setup.drawn is not None else "sample seeds",
        "seeds": [request.seed + repeat for repeat in range(request.repeats)] if setup.trained else [request.seed],
        "sampler": spec_of(setup.sampler) if setup.trained else None,
        "steps": request.steps if setup.trained else None,
        "samples": setup.drawn.spec if setup.drawn else None,
        "reference": reference.spec,
        "stored_as": {"samples": setup.drawn.stored if setup.drawn else "drawn", "reference": reference.stored or None},
        "reference_is": "clean" if reference.sigma_n is None else "noisy",
        "extractors": [spec_of(extractor) for extractor in setup.judge.extractors],
    }


def document(setup: Setup, found: list[Line], errors: list[LevelError], restored: Restored) -> dict[str, Any]:
    """The same as a JSON document."""
    return {
        "format": FORMAT,
        **facts(setup),
        "scores": [as_json(line) for line in found],
        "denoiser_error": [error._asdict() for error in errors],
        "restoration": [{"name": a.name, "n": a.n[1], "x_n": finite(a.value), "restored": finite(b.value)} for a, b in restored],
    }


def as_json(line: Line) -> dict[str, Any]:
    """One line."""
    score, floor = line.score, line.floor
    return {
        "group": line.group,
        "name": score.name,
        "extractor": score.extractor or None,
        "value": finite(line.value),
        "spread": line.spread,
        "values": [finite(value) for value in line.values],
        "n_reference": score.n[0] or None,
        "n": score.n[1],
        "floor": None if floor is None else finite(floor.value),
        "floor_n": None if floor is None else floor.n[1],
        "note": score.note,
    }


def finite(value: float) -> float | None:
    """JSON knows no infinity."""
    return value if math.isfinite(value) else None


def _cells(line: Line) -> tuple[str, ...]:
    score, floor = line.score, line.floor
    return (
        score.title,
        number(line.value, 4),
        "-" if line.spread is None else number(line.spread, 2),
        str(score.n[1]) if not score.n[0] or score.n[0] == score.n[1] else f"{score.n[1]} : {score.n[0]}",
        "-" if floor is None else number(floor.value, 4),
        "-" if floor is None else str(floor.n[1]),
    )
