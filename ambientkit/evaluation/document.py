"""What the JSON documents of all evaluations share."""

from __future__ import annotations

import math

FORMAT = 1
"""Of the documents that `evaluate --json` writes."""
MEANS = {
    "clean": "samples against clean rows",
    "proximal": "samples made as noisy as the data, x + sigma_n z, against noisy rows: the honest number where no "
    "clean data exist",
}
"""The sides that are compared, by group."""


def finite(value: float) -> float | None:
    """JSON knows no infinity."""
    return value if math.isfinite(value) else None
