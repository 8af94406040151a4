"""The checks of parts with other fields than their defaults: two settings drawn at random within the bounds of each
field."""

from __future__ import annotations

import abc
import contextlib
import math
import random
from collections.abc import Callable
from typing import Any, ClassVar, Literal, get_args, get_origin

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo

from ambientkit.builtin.checks.corruption_contract import CorruptionContract
from ambientkit.builtin.checks.degrade_law import DegradeLaw
from ambientkit.builtin.checks.further_mask import FurtherMask
from ambientkit.builtin.checks.grid import Grid
from ambientkit.builtin.checks.mask_law import MaskLaw
from ambientkit.builtin.checks.masked_expect import MaskedExpect
from ambientkit.builtin.checks.measured import OperatorViews
from ambientkit.builtin.checks.model_contract import ModelContract
from ambientkit.builtin.checks.model_scaling import ModelScaling
from ambientkit.builtin.checks.noise_law import NoiseLaw
from ambientkit.builtin.checks.objective_contract import ObjectiveContract
from ambientkit.builtin.checks.outcome import all_of
from ambientkit.builtin.checks.picture_views import PictureViews
from ambientkit.builtin.checks.point_kernel import PointKernel
from ambientkit.builtin.checks.sampler_contract import SamplerContract
from ambientkit.builtin.checks.stationarity import Stationarity
from ambientkit.interfaces import CONTRACT, Case, Check, Measured, Part

TRIES = 20
"""Draws for one setting: fields may exclude each other."""


class OtherFields(Check):
    """A part keeps the contract, and what it still claims, with other fields: for some settings drawn within the bounds
    of each field.

    Numbers move by a factor of up to 2, those that are 0 to up to 0.5; without bounds, the odds of those between 0 and
    1 do, and whole numbers above 0 stay there. Switches and choices are drawn, and each choice of a corruption or an
    objective is made once; what has no default, or holds another part, stays. A part without such fields is measured as
    it is.
    """

    source = "the checks that are repeated: see each"
    claim = CONTRACT
    null_law = "that of the checks that are repeated (Bonferroni)"
    detects = "what those checks find, where it happens with other fields only"
    meaning = "The part is right as it comes, but not with other values of its fields."

    choices: ClassVar[bool] = False
    """Whether each value of a field that is a choice is measured besides, with the other fields as they are."""

    settings: int = Field(2, ge=1)
    """Settings that are drawn."""

    @abc.abstractmethod
    def repeated(self) -> tuple[Check, ...]:
        """The checks; the first is that of the contract."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The most suspicious of the measurements, with the fields it was made with."""
        found = []
        drawn = variants(part, case.seed, self.settings) or [part]
        for variant in [*drawn, *(each_choice(part) if self.choices else [])]:
            for check in self.repeated():
                if check.claim == CONTRACT or check.claim in variant.claims:
                    measured = check.measure(variant, case)
                    fields = variant.model_dump(mode="json", exclude_defaults=True) if variant is not part else {}
                    found.append(measured._replace(why=f"{check.name} with {fields}: {measured.why}".rstrip(": ")))
        return all_of(found)

    def control(self, part: Part) -> Part:
        """That of the contract's check."""
        return self.repeated()[0].control(part)


class ObjectiveFields(OtherFields):
    """An objective keeps its contract, and is unbiased on views that follow their law, with other fields."""

    name = "objective-fields"
    kind = "objective"
    choices = True

    def repeated(self) -> tuple[Check, ...]:
        """Contract, views and a shorter test of the mean gradient."""
        return ObjectiveContract(), PictureViews(batches=60), Stationarity(batches=75, batch_size=256)


class SamplerFields(OtherFields):
    """A sampler keeps its contract, its grid and its kernel with other fields."""

    name = "sampler-fields"
    kind = "sampler"

    def repeated(self) -> tuple[Check, ...]:
        """Contract, grid and the kernel of known points."""
        return SamplerContract(), Grid(), PointKernel(rows=1500)


class CorruptionFields(OtherFields):
    """A corruption keeps its contract and its laws with other fields."""

    name = "corruption-fields"
    kind = "corruption"
    choices = True

    def repeated(self) -> tuple[Check, ...]:
        """Contract and the laws of noise and of masks."""
        masks = (MaskLaw(rows=150), FurtherMask(), MaskedExpect(), OperatorViews(rows=150))
        return CorruptionContract(), NoiseLaw(rows=150), DegradeLaw(rows=100), *masks


class ModelFields(OtherFields):
    """A model keeps its contract, and some network of moderate size makes it exact, with other fields."""

    name = "model-fields"
    kind = "model"

    settings: int = Field(1, ge=1)
    """Settings that are drawn: one, as networks may be large."""

    def repeated(self) -> tuple[Check, ...]:
        """Contract and scaling."""
        return ModelContract(), ModelScaling()


def variants(part: Part, seed: int, count: int = 2) -> list[Part]:
    """`count` parts with fields drawn at random round those of `part`, as far as its bounds and validators allow; none
    where nothing can be drawn. Each differs from `part`, and the last takes all fields that none before it took."""
    draw = random.Random(f"{seed} {type(part).__name__}")
    fields = {
        name: change
        for name, info in type(part).model_fields.items()
        if (change := _change(info, getattr(part, name))) is not None
    }
    found: list[Part] = []
    left = set(fields)
    for number in range(TRIES if fields else 0):
        # Where validators refuse all of them together, in the first half of the tries, they are drawn as any.
        due = left if len(found) == count - 1 and number < TRIES // 2 else set[str]()
        chosen = {name: change(draw) for name, change in fields.items() if draw.random() < 0.7 or name in due}
        if all(value == getattr(part, name) for name, value in chosen.items()):
            continue
        try:
            found.append(type(part)(**{**{name: getattr(part, name) for name in part.model_fields_set}, **chosen}))
        except ValidationError:
            continue
        left -= {name for name, value in chosen.items() if value != getattr(part, name)}
        if len(found) == count:
            break
    return found


def each_choice(part: Part) -> list[Part]:
    """The part with each other value of each field that is a choice, as far as its validators allow."""
    found: list[Part] = []
    for name, info in type(part).model_fields.items():
        if get_origin(info.annotation) is Literal:
            for value in get_args(info.annotation):
                kept = {other: getattr(part, other) for other in part.model_fields_set}
                with contextlib.suppress(ValidationError):
                    found += [type(part)(**{**kept, name: value})] if value != getattr(part, name) else []
    return found


def _change(info: FieldInfo, value: Any) -> Callable[[random.Random], Any] | None:
    """How a field is drawn, or None where it stays."""
    if isinstance(value, bool):
        return lambda draw: draw.random() < 0.5
    if get_origin(info.annotation) is Literal:
        return lambda draw: draw.choice(get_args(info.annotation))
    if not isinstance(value, int | float):
        return None
    low, high, strict = _bounds(info)
    unbounded = (low, high) == (-math.inf, math.inf)
    if unbounded and isinstance(value, int) and value > 0:
        low = 1.0

    def number(draw: random.Random) -> float | int:
        factor = 2 ** draw.uniform(-1, 1) if value else 0.0
        if unbounded and 0 < value < 1:  # a share, of which the odds move
            return value * factor / (1 - value + value * factor)
        wanted = value * factor if value else draw.uniform(0, 0.5)
        margin = 1e-3 * (high - low) if strict and math.isfinite(high - low) else 1e-3 * abs(value) if strict else 0.0
        wanted = min(max(wanted, low + margin), high - margin)
        return round(wanted) if isinstance(value, int) else wanted

    return number


def _bounds(info: FieldInfo) -> tuple[float, float, bool]:
    low, high, strict = -math.inf, math.inf, False
    for item in info.metadata:
        low = max(
            low, *(float(v) for v in (getattr(item, "ge", None), getattr(item, "gt", None)) if v is not None), -math.inf
        )
        high = min(
            high, *(float(v) for v in (getattr(item, "le", None), getattr(item, "lt", None)) if v is not None), math.inf
        )
        strict = strict or getattr(item, "gt", None) is not None or getattr(item, "lt", None) is not None
    return low, high, strict
