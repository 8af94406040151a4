"""What every configuration is made of: frozen fields that refuse what is unknown or of another kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class Fields(BaseModel):
    """What a configuration is made of. Frozen; an unknown field is an error, and so is true or false where a number is
    meant."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_no_booleans(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic reads True as 1: `lr: true` would be a learning rate of 1.
        several = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(one, bool) for one in several) and info.field_name is not None:
            kinds = set(_kinds(cls.model_fields[info.field_name].annotation))
            if kinds & {int, float} and not kinds & {bool, Any}:
                raise ValueError("should be a number, not true or false")
        return value


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of."""
    yield annotation
    for below in get_args(annotation):
        yield from _kinds(below)


class WeightedObjective(Fields):
    """One entry of a recipe: an objective by name (with its fields), its weight, and when it comes in.

    The weight is 0 before `start`, rises linearly to `weight` within `ramp`, and is 0 again from `stop` on. An integer
    counts steps, a number with a decimal point is a fraction of the run (1 is one step, 1.0 the whole run). It is
    evaluated in every `every`-th step only: a large share of the batch now and then costs fewer calls of the network
    than a small share always.
    """

    objective: str | dict[str, Any]
    weight: float = Field(1.0, ge=0)
    start: int | float = Field(0, ge=0)
    ramp: int | float = Field(0, ge=0)
    every: int = Field(1, ge=1)
    stop: int | float | None = Field(None, ge=0)
