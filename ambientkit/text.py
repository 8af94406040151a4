"""How lists, durations and names are written in messages."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import timedelta

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""A decimal number. `float` takes more: 0_0.6, digits of other scripts, nan and inf."""


def number(text: object) -> float:
    """A number that a user wrote, or one of a table. Raises ValueError for what is none, or not finite: an underscore
    is a slip, and a truth value is no number."""
    plain = isinstance(text, int | float) and not isinstance(text, bool)
    if not (plain or (isinstance(text, str) and NUMBER.fullmatch(text.strip()))):
        raise ValueError(f"{text!r} is no number")
    if not math.isfinite(value := float(text)):  # type: ignore[arg-type]
        raise ValueError(f"{text!r} is not finite")
    return value


def lines(items: Sequence[str], limit: int = 8) -> str:
    """The first few items, each on an indented line of its own, and how many more there are."""
    more = [f"  and {len(items) - limit} more"] if len(items) > limit else []
    return "\n".join([f"  {shown(item)}" for item in items[:limit]] + more)


def listed(items: Sequence[str], total: int | None = None, limit: int = 8) -> str:
    """The first few items in one line, and how many more there are. total: their number, where `items` is only the
    beginning."""
    more = (len(items) if total is None else total) - min(len(items), limit)
    return ", ".join(map(shown, items[:limit])) + (f" and {more} more" if more > 0 else "")


def shown(item: str) -> str:
    """An item that can be printed: file names may hold anything, and what would break or colour the line is escaped."""
    return (
        item
        if item.isprintable()
        else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in item)
    )


def percent(share: float) -> str:
    """A share of 1 in % with two digits, and "100", never "1e+02"."""
    return f"{100 * share:.{2 if 100 * share < 99.5 else 3}g}"


def share(value: float) -> str:
    """A share of 1 with its sign, and no digits where it is too small for them to say anything."""
    return "less than 0.01 %" if 0 < value < 1e-4 else f"{percent(value)} %"


def clock(seconds: float) -> str:
    """A duration as H:MM:SS, with days where there are any."""
    return str(timedelta(seconds=round(seconds)))
