"""What an evaluation found: every measure with its spread over repeats, beside what the reference itself scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ambientkit.evaluation.denoising import LevelError
from ambientkit.evaluation.document import FORMAT, MEANS, finite
from ambientkit.evaluation.score import Score
from ambientkit.tables import Record, Table, number


@dataclass(frozen=True, slots=True)
class Line:
    """One measure over the repeats, beside what the reference scores."""

    group: str
    """The group: "clean" or "proximal"."""
    score: Score
    """Of the first repeat; its value is that of all rows where the repeats are halves."""
    values: tuple[float, ...]
    """Of each repeat."""
    reference: Score | None
    """The same measure of reference rows against other reference rows; of a measure of one set, that of the
    reference."""
    halves: bool = False
    """Whether the repeats are random halves of the rows, rather than fresh samples."""

    @property
    def name(self) -> str:
        """The name of the measure, such as "fid"."""
        return self.score.name

    @property
    def extractor(self) -> str:
        """The features it was measured in; empty for a measure of pixels."""
        return self.score.extractor

    @property
    def n(self) -> tuple[int, int]:
        """Rows of the reference, rows judged; of a measure of one set alone, (0, rows)."""
        return self.score.n

    @property
    def value(self) -> float:
        """The mean over fresh samples; of halves, the value of all rows."""
        return self.score.value if self.halves else sum(self.values) / len(self.values)

    @property
    def spread(self) -> float | None:
        """Std over the repeats; None for one repeat. That of halves needs no factor: two of them share half their rows
        in the mean, which makes up for their having half as many."""
        if len(self.values) < 2:
            return None
        mean = sum(self.values) / len(self.values)
        return math.sqrt(sum((value - mean) ** 2 for value in self.values) / (len(self.values) - 1))

    @property
    def floor(self) -> float | None:
        """The value of `reference`: a distance near it cannot be distinguished from perfect. None where the reference
        has too
        few rows."""
        return None if self.reference is None else self.reference.value

    def __float__(self) -> float:
        return self.value

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it; infinity becomes None."""
        return {
            "group": self.group,
            "name": self.name,
            "extractor": self.extractor or None,
            "value": finite(self.value),
            "spread": self.spread,
            "values": [finite(value) for value in self.values],
            "n_reference": self.n[0] or None,
            "n": self.n[1],
            "floor": None if self.floor is None else finite(self.floor),
            "floor_n": None if self.reference is None else self.reference.n[1],
            "note": self.score.note,
        }

    def cells(self) -> tuple[str, ...]:
        """As a row of a table."""
        return (
            self.score.title,
            number(self.value, 4),
            "-" if self.spread is None else number(self.spread, 2),
            str(self.n[1]) if not self.n[0] or self.n[0] == self.n[1] else f"{self.n[1]} : {self.n[0]}",
            "-" if self.floor is None else number(self.floor, 4),
            "-" if self.reference is None else str(self.reference.n[1]),
        )


def lines(
    group: str, repeats: Sequence[Sequence[Score]], floor: Sequence[Score], whole: Sequence[Score] | None = None
) -> list[Line]:
    """One line per measure. repeats: the scores of each repeat, all in one order; whole: those of all rows, where the
    repeats are halves."""
    floors = {score.title: score for score in floor}
    first = whole if whole is not None else repeats[0]
    return [
        Line(group, score, tuple(scores[place].value for scores in repeats), floors.get(score.title), whole is not None)
        for place, score in enumerate(first)
    ]


@dataclass(frozen=True, slots=True)
class Comparison(Record):
    """How far samples are from a reference: iterate it for its lines, print it for its tables."""

    facts: Mapping[str, Any]
    """What fixes the numbers: subject, n, seeds, sampler, reference, extractors; as JSON holds it."""
    head: tuple[str, ...]
    """The two sides of the comparison, and warnings on it, in sentences."""
    groups: Mapping[str, str]
    """"clean" and "proximal", those that were compared, each with its reference in words."""
    lines: tuple[Line, ...]
    """Every measure of every group."""
    denoiser_error: tuple[LevelError, ...] = ()
    """The error of a run's denoiser at each level, where the reference is clean."""
    restoration: tuple[tuple[Score, Score], ...] = ()
    """(of x_n, of D(x_n)): PSNR and SSIM of clean rows that were given the noise of the run's data, where that is
    known."""

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def blocks(self) -> list[str | Table]:
        """The head, a table for each group, how to read them, and what a denoiser was found to do."""
        found: list[str | Table] = [*self.head]
        for group, what in self.groups.items():
            rows = [line.cells() for line in self.lines if line.group == group]
            heading = ("measure", "value", "spread", "n", "the reference itself", "its n")
            found += ["", Table(f"{group}: {MEANS[group]} ({what})", heading, rows)]
        found += self._notes()
        if self.denoiser_error:
            n = self.denoiser_error[0].n
            caption = (
                f"denoiser, root mean square of D(x_0 + sigma z) - x_0 on {n} clean rows of the reference; "
                "its least value is not 0"
            )
            cells = [(number(e.sigma), number(e.rms, 4), number(e.error, 2)) for e in self.denoiser_error]
            found += ["", Table(caption, ("sigma", "rms", "standard error"), cells)]
        if self.restoration:
            n = self.restoration[0][0].n[1]
            caption = f"restoration: D(x_n) of {n} clean rows that were given the noise of the run's data"
            pairs = [(a.name, number(a.value, 4), number(b.value, 4)) for a, b in self.restoration]
            found += ["", Table(caption, ("measure", "x_n", "D(x_n)"), pairs)]
        return found

    def to_dict(self) -> dict[str, Any]:
        """The document that `evaluate --json` writes."""
        restoration = [
            {"name": a.name, "n": a.n[1], "x_n": finite(a.value), "restored": finite(b.value)}
            for a, b in self.restoration
        ]
        return {
            "format": FORMAT,
            **self.facts,
            "scores": [line.to_dict() for line in self.lines],
            "denoiser_error": [error._asdict() for error in self.denoiser_error],
            "restoration": restoration,
        }

    def _notes(self) -> list[str]:
        """How the numbers were made, once for all tables."""
        found, facts = [], self.facts
        if facts["repeats"] > 1:
            over = (
                f"the sample seeds {facts['seeds'][0]} to {facts['seeds'][-1]}"
                if facts["samples"] is None
                else f"{facts['repeats']} random halves of the samples, about that of all of them under other seeds"
            )
            found += [
                "",
                f"spread: std over {over}; the choice of reference rows (seed {facts['seeds'][0]}) is not in it",
            ]
        found.append(
            "the reference itself: its rows against other rows of it, the floor of a distance at that n; for a "
            "measure of one set, its value"
        )
        notes: dict[str, str] = {}
        for line in self.lines:
            if line.score.note:
                notes.setdefault(line.score.title, line.score.note)
        return [*found, *(f"{title}: {note}" for title, note in notes.items())]
