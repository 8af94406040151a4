"""What every configuration is made of: frozen fields that refuse what is unknown or of another kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Fields(BaseModel):
    """What a configuration is made of. Frozen; an unknown field is an error, and so is true or false where a number is meant."""

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
