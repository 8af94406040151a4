"""What a report says of one run, before it is a page: plain values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ambientkit.maths.spectrum import Spectrum
from ambientkit.report.history import History
from ambientkit.tables import Table


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with its title, and what it shows in words."""

    title: str
    png: bytes
    alt: str
    size: tuple[int, int]
    """Width and height, pixels."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Residual:
    """The consistency residual by level: tuples of one length, with the standard error over n rows."""

    sigma: tuple[float, ...]
    mean: tuple[float, ...]
    error: tuple[float, ...]
    n: int


@dataclass(frozen=True, slots=True)
class Restorations:
    """Noisy rows, what was restored of them, and how sure that is: pictures with a scale in the units of the files."""

    pictures: list[Picture]
    values: tuple[float, float]
    """What black and white stand for in the first two pictures."""
    spread_values: tuple[float, float] | None
    """The same of the picture of uncertainty; None for rows of which nothing is drawn."""
    unit: str
    spread: float | None
    """Root mean square spread of the draws over the noise of the data."""
    mean: Tensor
    """Posterior means (n, C, H, W), data units."""


@dataclass(slots=True)
class RunReport:
    """One run. What could not be measured is absent, and a line of `notes` says why."""

    name: str
    """As the page calls it; differs from the other runs' names."""
    state: str
    """Such as "unfinished, step 120 of 300"."""
    finished: bool
    about: dict[str, str]
    config: str
    """YAML."""
    versions: dict[str, str]
    history: History
    commands: list[tuple[str, str]]
    """(what for, command)."""
    pictures: list[Picture] = field(default_factory=list)
    """Noisy rows, truncated samples and full samples."""
    demos: list[Picture] = field(default_factory=list)
    checkpoints: list[Picture] = field(default_factory=list)
    nearest: Picture | None = None
    nearest_table: Table | None = None
    metrics: list[Table] = field(default_factory=list)
    residual: Residual | None = None
    verify: list[Table] = field(default_factory=list)
    preflight: str = ""
    """What became of the checks of the run's parts before its first step."""
    preflight_table: Table | None = None
    verdict: str = ""
    grade: str = "fine"
    """How good the verdict is: "fine", "doubt" or "violated"."""
    restored: Restorations | None = None
    sigma_n: float | None = None
    """Largest noise level of the data, which charts by level mark."""
    figures: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Numbers by name, each with the one of the data's own rows."""
    values: list[tuple[str, Any]] = field(default_factory=list)
    """(title, values) for histograms: of noisy rows and of samples, data units."""
    spectra: list[tuple[str, Spectrum]] = field(default_factory=list)
    """(name, spectrum): of noisy rows, of clean ones as these imply, and of samples, data units squared."""
    notes: dict[str, list[str]] = field(default_factory=dict)
    """Section -> lines."""

    def note(self, section: str, text: str) -> None:
        """Add a line to a section."""
        self.notes.setdefault(section, []).append(text)
