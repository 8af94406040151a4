"""The settings that the checks of other fields draw."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field, model_validator

from ambientkit.builtin.checks.other_fields import variants
from ambientkit.interfaces import Part

SEEDS = range(100)


class OneField(Part):
    """A part with one number."""

    name = "one-field"
    share: float = Field(0.5, ge=0, le=1)


class ThreeFields(Part):
    """A part with three numbers and a switch."""

    name = "three-fields"
    a: float = 0.5
    b: float = 2.0
    c: int = Field(8, ge=1)
    d: bool = False


class OneAtATime(ThreeFields):
    """A part that refuses two numbers that moved together."""

    name = "one-at-a-time"

    @model_validator(mode="after")
    def one_moved(self) -> Any:
        if (self.a != 0.5) + (self.b != 2.0) + (self.c != 8) > 1:
            raise ValueError("one of a, b and c may differ")
        return self


@pytest.mark.parametrize("part", [OneField(), ThreeFields(), OneAtATime()], ids=lambda part: part.name)
def test_each_setting_differs_from_the_part_as_it_comes(part: Part) -> None:
    found = [variants(part, seed) for seed in SEEDS]
    assert all(found)
    assert part not in [variant for one in found for variant in one]


def test_each_number_moves_in_one_of_the_settings() -> None:
    for seed in SEEDS:
        found = variants(ThreeFields(), seed)
        assert len(found) == 2
        for name in ("a", "b"):
            assert any(getattr(one, name) != getattr(ThreeFields(), name) for one in found), (seed, name)


class WithoutBounds(Part):
    """A part whose author named no bounds."""

    name = "without-bounds"
    share: float = 0.7
    count: int = 1


def test_without_bounds_a_share_stays_a_share_and_a_count_a_count() -> None:
    found = [one for seed in SEEDS for one in variants(WithoutBounds(), seed)]
    assert all(0 < one.share < 1 and one.count >= 1 for one in found)
    assert max(one.share for one in found) > 0.8
