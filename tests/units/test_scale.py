"""Are values in the units that are assumed for them? Each threshold from both sides."""

from __future__ import annotations

import pytest

from ambientkit.units.scale import judge_scale


@pytest.mark.parametrize(
    ("low", "high", "sigma", "stored", "kind"),
    [
        (0, 255, 0, "float32", "far"),
        (0, 65535, 0.2, "float64", "far"),
        (-10, 10, 0, "float32", None),
        (-1, 10.01, 0, "float32", "far"),
        (-1, 14, 0.5, "float32", None),  # 10 + 8 sigma
        (-1, 14.01, 0.5, "float32", "far"),
        (0, 1, 0, "float32", "unit-interval"),
        (-0.01, 1, 0, "float32", None),
        (-0.3, 1.3, 0.1, "float32", "unit-interval"),  # with its noise
        (-0.3, 1.3, 0.2, "float32", None),  # too much noise to tell
        (-0.61, 1, 0.1, "float32", None),
        (-1, -0.76, 0, "uint16", "small-part"),
        (-1, -0.74, 0, "uint16", None),
        (-1, -0.76, 0, "float32", None),
        (0, 0, 0, "uint8", None),
    ],
)
def test_each_scale_is_told_from_its_neighbour(
    low: float, high: float, sigma: float, stored: str, kind: str | None
) -> None:
    found = judge_scale(low, high, sigma, assumed=True, stored=stored)
    assert (found and found.kind) == kind
    assert found is None or found.refused == (kind == "far")
    assert judge_scale(low, high, sigma, assumed=False, stored=stored) is None  # a range that was given is not doubted
