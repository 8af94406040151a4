"""The verdict at the top of a report: how good the samples are, and what to do."""

from __future__ import annotations

import math

from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.evaluation import residual_noise
from ambientkit.evaluation.judge import pictures
from ambientkit.report.content import RunReport
from ambientkit.report.run import ReportedRun

MUCH, SOME = 0.5, 0.2
"""Noise left in samples, over that of the data, from which they are noisy, and somewhat noisy."""
FAR = 3.0
"""Distance of re-noised samples to the data over that of the data's own rows, from which they differ."""


def judge(run: ReportedRun, full: Tensor | None, report: RunReport) -> None:
    """Set the verdict of a report, and its grade: "fine", "doubt" or "violated"."""
    said, grade = [], "fine"
    if run.status.going.answer == "no":
        said.append(f"The run does not go well: {run.status.going.why}.")
        grade = "violated"
    elif run.status.going.answer == "not clear":
        said.append(f"Whether the run goes well is not clear: {run.status.going.why}.")
        grade = "doubt"
    if full is None:
        said.append("No finite samples could be drawn, so nothing is said of them.")
        report.verdict, report.grade = " ".join(said), "violated" if grade == "violated" else "doubt"
        return
    sigma_n = run.trained.sigma_n
    if sigma_n is not None and sigma_n[1] > 0 and pictures(full) and min(full.shape[-2:]) >= 8:
        left, floor = _left(full, report)
        if left is not None:
            share = left / sigma_n[1]
            times = f", {_times(left, floor)} restored rows hold" if floor else ""
            stopped = run.status.state == "finished" and run.status.step < run.status.end_step
            remedy = "draw them with --sigma-min auto, or get more rows" if stopped else "train longer"
            if share > MUCH:
                said.append(f"The samples still hold {share:.0%} of the noise of the data{times}: {remedy}.")
                grade = "violated"
            elif share > SOME:
                said.append(
                    f"The samples hold {share:.0%} of the noise of the data, or as much fine texture{times}; more "
                    f"steps may help."
                )
                grade = "doubt" if grade == "fine" else grade
            else:
                said.append(
                    f"The samples look clean: fine detail of {share:.0%} of the noise of the data is left, which may "
                    f"be texture."
                )
    if (distance := report.figures.get("distance")) is not None and distance[1] > 0:
        ratio = distance[0] / distance[1]
        if ratio > FAR:
            said.append(
                f"Made as noisy as the data, they differ from it: {ratio:.2g} times as far as its own rows from each "
                f"other."
            )
            grade = "doubt" if grade == "fine" else grade
        else:
            said.append(f"Made as noisy as the data, they are {ratio:.2g} times as far from it as its own rows are.")
    if report.restored is not None and report.restored.spread is not None:
        said.append(
            f"Restored rows: an error of about {report.restored.spread:.0%} of the noise is expected, by the spread "
            f"of draws."
        )
    if run.status.state != "finished":
        said.append("The run is not finished.")
        grade = "doubt" if grade == "fine" else grade
    report.verdict, report.grade = " ".join(said) or "Nothing can be said of these samples without clean data.", grade


def _left(full: Tensor, report: RunReport) -> tuple[float | None, float | None]:
    """Noise that the samples seem to hold, and restored rows: (level, level), data units."""
    try:
        left = float(residual_noise(full).value)
        floor = float(residual_noise(report.restored.mean).value) if report.restored is not None else None
    except InputError:
        return None, None
    return (left, floor) if math.isfinite(left) else (None, None)


def _times(left: float, floor: float) -> str:
    return f"{left / floor:.2g} times as much as"
