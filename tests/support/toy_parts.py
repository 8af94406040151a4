"""Parts and checks of which everything is known and nothing takes time: a number with noise, and tests of its mean."""

from __future__ import annotations

import math
import os

import torch

from ambientkit.interfaces import Check, Measured, Mutant, Objective, Part
from ambientkit.maths.randomness import keyed_generator
from ambientkit.registry import Entry, Problem, Registry


class Toy(Objective):
    """A number whose mean should be 0."""

    name = "toy"
    claims = frozenset({"zero-mean", "exactly-zero"})
    bias: float = 0.0

    def loss(self, denoiser, batch, tools):
        return {}


class Silent(Toy):
    """A toy that claims nothing."""

    name = "silent"
    claims = frozenset()


class Needy(Toy):
    """A toy that cannot be made without a field."""

    name = "needy"
    must: int


class Raises(Toy):
    """A toy that cannot be measured."""

    name = "raises"
    exit: bool = False

    def loss(self, denoiser, batch, tools):
        if self.exit:
            raise SystemExit(3)
        raise ZeroDivisionError("first line\n   second line")


class Dies(Toy):
    """A toy that takes its process with it."""

    name = "dies"

    def loss(self, denoiser, batch, tools):
        os._exit(9)


class Global(Toy):
    """A toy that draws from torch's global generator, which it must not."""

    name = "global"

    def loss(self, denoiser, batch, tools):
        return {"drawn": torch.randn(1)}


class Mean(Check):
    """The mean of 400 numbers is that of a unit normal, plus the part's bias; a z test."""

    name = "mean"
    kind = "objective"
    claim = "zero-mean"
    null_law = "N(0, 1)"
    detects = "a mean of .3"
    meaning = "The numbers are off, and so will be whatever is made of them."

    def measure(self, part: Part, case) -> Measured:
        assert isinstance(part, Toy)
        drawn = sum(float(value) for value in part.loss(None, None, None).values())
        z = torch.randn(400, generator=keyed_generator(case.seed, f"toy.{part.name}"), dtype=torch.float64)
        statistic = float(z.mean() + part.bias) * 20 + drawn
        return Measured(
            statistic, math.erfc(abs(statistic) / math.sqrt(2)) if math.isfinite(statistic) else math.nan, 400
        )

    def control(self, part: Part) -> Part:
        return part.model_copy(update={"bias": 1.0})


class Exact(Check):
    """The bias is 0, to the last digit."""

    name = "exact"
    kind = "objective"
    claim = "exactly-zero"
    null_law = "exact: tolerance 0"
    detects = "anything"
    meaning = "The bias is not 0."
    quick = True

    def measure(self, part: Part, case) -> Measured:
        assert isinstance(part, Toy)
        return Measured(abs(part.bias), float(part.bias == 0), 1)

    def control(self, part: Part) -> Part:
        return part.model_copy(update={"bias": 1.0})


class Blind(Exact):
    """A check that finds every part right."""

    name = "blind"

    def measure(self, part: Part, case) -> Measured:
        return Measured(0.0, 1.0, 1)


class BrokenControl(Exact):
    """A check that cannot make its control."""

    name = "broken-control"

    def control(self, part: Part) -> Part:
        raise RuntimeError("there is no control")


class Biased(Mutant, Toy):
    """A toy that is off by 2."""

    name = "biased"
    mutant_of = "toy"
    wrong = "is off by 2"
    bias: float = 2.0


class Hidden(Mutant, Toy):
    """A toy that is wrong in what nobody looks at."""

    name = "hidden"
    mutant_of = "toy"
    wrong = "has another name"


class Alike(Hidden):
    """A toy that is as good as the right one."""

    name = "alike"
    equivalent = "the name does not matter"


class Slandered(Biased):
    """A toy that is off by 2 and said to be right."""

    name = "slandered"
    equivalent = "nobody minds"


def registry(*parts: type[Part], problems: tuple[Problem, ...] = ()) -> Registry:
    """A registry of these parts, as if the package "toys" had brought them."""
    return Registry([Entry("check" if issubclass(p, Check) else "objective", p, "toys", "1") for p in parts], problems)
