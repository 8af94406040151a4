"""The reports on runs, side by side on one page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ambientkit.report.content import RunReport
from ambientkit.report.history import PARTS
from ambientkit.webpage import Series, colour_bar, curves, histogram, picture_uri, render

if TYPE_CHECKING:
    from markupsafe import Markup

FLOOR = ", floor"
DOTTED = 2
"""The dashes of floors."""
SECTIONS = {
    "restored": "Restored rows",
    "samples": "Noisy rows and samples",
    "summary": "Runs",
    "progress": "Samples over training",
    "loss": "Loss over training",
    "consistency": "Consistency by level",
    "nearest": "Nearest training rows",
    "metrics": "Metrics",
    "verify": "Verification",
    "configuration": "Configuration",
    "reproduce": "Reproduce",
}
"""Anchor -> heading, in the order of the page."""


def page(runs: Sequence[RunReport], *, command: str, written: str, refresh: float | None = None) -> str:
    """The whole page, which refers to nothing outside of it. command: that makes it again; written: when; refresh: the
    seconds after which a browser reloads it."""
    terms = list(dict.fromkeys(name for run in runs for name in run.history.terms))
    in_levels = list(dict.fromkeys(name for run in runs for name in run.history.levels))
    measures = list(dict.fromkeys(name for run in runs for name in run.history.evaluations if not name.endswith(FLOOR)))
    names = [run.name for run in runs]
    return render(
        Path(__file__).with_name("page.html"),
        title=f"Report: {', '.join(names)}",
        runs=runs,
        sections=SECTIONS,
        common=lambda section: _common(runs, section),
        about=list(dict.fromkeys(key for run in runs for key in run.about)),
        versions=list(dict.fromkeys(key for run in runs for key in run.versions)),
        loss=[_loss(runs, name) for name in terms],
        levels=[_levels(runs, name) for name in in_levels],
        residual=_residual(runs),
        evaluations=[_evaluations(runs, name) for name in measures],
        scale=colour_bar,
        histograms=[[histogram(values, title) for title, values in run.values] for run in runs],
        spectra=[_spectra(run) for run in runs],
        uri=picture_uri,
        command=command,
        written=written,
        refresh=refresh,
    )


def _common(runs: Sequence[RunReport], section: str) -> list[str]:
    """The notes that all of several runs have."""
    first, *others = runs
    return [
        text
        for text in first.notes.get(section, [])
        if others and all(text in run.notes.get(section, []) for run in others)
    ]


def _loss(runs: Sequence[RunReport], name: str) -> Markup:
    found = [(place, run) for place, run in enumerate(runs) if name in run.history.terms]
    series = [Series(run.name, *run.history.terms[name], style=place, dash=place) for place, run in found]
    return curves(f"Loss term {name} over steps", series, "optimiser step", "mean of the term", log_y=True)


def _levels(runs: Sequence[RunReport], name: str) -> Markup:
    """The marks show the run, the dashes the part of the run."""
    series = [
        Series(
            f"{run.name}, {part}" if len(runs) > 1 else part,
            *run.history.levels[name][part],
            style=_style(place, number, runs),
            dash=dash,
        )
        for place, run in enumerate(runs)
        for number, (part, dash) in enumerate(zip(PARTS, (2, 1, 0), strict=True))
        if part in run.history.levels.get(name, {}) and (len(runs) < 3 or part != PARTS[1])
    ]
    return curves(
        f"Loss term {name} by noise level",
        series,
        "noise level sigma",
        "mean of the term",
        log_x=True,
        log_y=True,
        marks=_marks(runs),
    )


def _marks(runs: Sequence[RunReport]) -> list[tuple[float, str]]:
    """The noise levels of the data, to be marked on charts by level."""
    levels = list(dict.fromkeys(run.sigma_n for run in runs if run.sigma_n is not None))
    return [(level, "sigma_n") for level in levels[:3]]


def _evaluations(runs: Sequence[RunReport], name: str) -> Markup:
    """The floors are dotted."""
    series = [
        Series(run.name + end, *run.history.evaluations[name + end], style=place, dash=dash)
        for place, run in enumerate(runs)
        for end, dash in (("", place if place != DOTTED else 0), (FLOOR, DOTTED))
        if name + end in run.history.evaluations
    ]
    what = "Tweedie loss, geometric mean over levels" if name == "tweedie" else f"{name} to rows of the data"
    return curves(f"{what}, over steps", series, "optimiser step", name, log_y=True)


def _spectra(run: RunReport) -> Markup | None:
    """Samples of the right law have the power of clean rows at each frequency: noise that is left lifts the right end,
    detail that is lost lowers it."""
    if not run.spectra:
        return None
    series = [
        Series(name, found.frequency, [p if p > 0 else math.nan for p in found.power], found.error, place, place)
        for place, (name, found) in enumerate(run.spectra)
    ]
    return curves(
        "Power by spatial frequency, +- 2 standard errors",
        series,
        "spatial frequency, cycles per pixel",
        "power, units of [-1, 1] squared",
        log_y=True,
        marks=(),
    )


def _style(place: int, part: int, runs: Sequence[RunReport]) -> int:
    return place if len(runs) > 1 else (2 - part)


def _residual(runs: Sequence[RunReport]) -> Markup | None:
    """Divided by sigma^2: every error vanishes with sigma, and only in this unit do all levels show."""
    series = []
    for place, run in enumerate(runs):
        if found := run.residual:
            squares = [sigma**2 for sigma in found.sigma]
            means = [m / q for m, q in zip(found.mean, squares, strict=True)]
            errors = [e / q for e, q in zip(found.error, squares, strict=True)]
            series.append(Series(f"{run.name} (n = {found.n})", found.sigma, means, errors, style=place, dash=place))
    if not series:
        return None
    return curves(
        "Consistency residual over sigma^2, +- 2 standard errors",
        series,
        "noise level sigma",
        "residual / sigma^2",
        log_x=True,
        marks=_marks(runs),
    )
