"""Are values in the units that they are taken for? One judgement, which every way into the library asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FAR = 10.0
"""Values of which nobody said what they mean may leave [-1, 1] by this factor (and 8 sigma_n) before a forgotten range
is suspected."""
PART = 1 / 8
"""Share of the range of a whole-number type that pictures use at least, if the range of the type is meant."""
FAINT = 0.1
"""Largest sigma_n with which values of 0..1 can still be distinguished from values of -1..1."""

OUT, BEYOND = 1.5, 6.0
"""How far values of [-1, 1] in floating point lie from 0, where nothing is known of their noise; and how far beyond 1,
in stds of it."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What speaks against the assumed range of values.

    "far": they lie far beyond [-1, 1]; "unit-interval": they lie in [0, 1]; "small-part": they use a small part of
    their type's range.
    """

    kind: Literal["far", "unit-interval", "small-part"]
    reason: str
    remedy: str

    @property
    def refused(self) -> bool:
        """Whether the values cannot be meant so; otherwise it is a doubt."""
        return self.kind == "far"

    def __str__(self) -> str:
        return f"{self.reason}\n{self.remedy}"


def within_unit(low: float, high: float, sigma_n: float) -> bool:
    """Whether values low..high in floating point can be those of [-1, 1] and their noise, of std sigma_n (0 where it is
    not known), as they are."""
    reach = max(OUT, 1 + BEYOND * sigma_n)
    return -reach <= low <= high <= reach


def judge_scale(low: float, high: float, sigma_n: float, *, assumed: bool, stored: str) -> Scale | None:
    """Least and largest value, in units of [-1, 1], held against the range that was assumed; None where nothing speaks
    against it.

    sigma_n: the largest noise level, in the same units; 0 for clean rows and where it is not known. assumed: the range
    follows from the number type `stored` (such as "uint16"; "" where it is not known) and was not given: a range that
    the user gave is never doubted.
    """
    if not assumed or not low <= high:
        return None
    whole = stored.startswith(("u", "i"))
    reach = max(abs(low), abs(high))
    if reach > FAR + 8 * sigma_n:
        return Scale(
            "far",
            f"the values{f' ({stored})' if stored else ''} go from {low:g} to {high:g}, far beyond [-1, 1], the "
            "units in which they are taken.",
            "Give value_range, the two file values that stand for -1 and 1 (say [0, 255]); sigma_n is then still "
            "given in [-1, 1] units.\n"
            "If the values are meant as they are, say so: value_range: [-1, 1]",
        )
    around = 6 * sigma_n if sigma_n <= FAINT else 0.0
    if not whole and -around <= low < high <= 1 + around:
        return Scale(
            "unit-interval",
            f"all values lie in [{low:.3g}, {high:.3g}] and are taken as they are, in [-1, 1] units.",
            "If 0 is black and 1 is white, set value_range: [0, 1]; a sigma_n measured on that scale doubles with it.",
        )
    if whole and 0 < high - low < 2 * PART:
        return Scale(
            "small-part",
            f"the values use {100 * (high - low) / 2:.2g} % of the range of their type ({stored}), which is taken "
            "for [-1, 1]: their contrast, "
            f"and their noise with it, is that small for the network.",
            "Give value_range, the two file values that stand for -1 and 1, or have it measured once: value_range: "
            "data",
        )
    return None
