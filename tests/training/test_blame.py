"""Mistakes of parts that others have written: found, named, and told apart from a run that diverges and from errors of
this package."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ambientkit.batch import Clean, Term
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.config import Source, resolve
from ambientkit.errors import InputError, RunError
from ambientkit.interfaces import Corruption, Data, Model, Objective
from ambientkit.registry import load
from ambientkit.training import build, steps
from tests.support.engine import SMALL, ByRow, bits, make, same


class Returns(Objective):
    """Right but for what `how` names, from step `since` on."""

    name = "returns"
    how: str
    since: int = 1

    def loss(self, denoiser, batch, tools):
        _calls.append(1)
        value, sigma = ByRow().loss(denoiser, batch, tools)["a"]
        if len(_calls) < self.since:
            return {"a": Term(value, sigma)}
        return {
            "nothing wrong": lambda: {"a": Term(value, sigma)},
            "no rows": lambda: {"a": Term(value[:0], sigma[:0])},
            "tensor": lambda: value.mean(),
            "list": lambda: [Term(value, sigma)],
            "no term": lambda: {"a": (value, sigma)},
            "number": lambda: {"a": Term(1.0, sigma)},
            "mean": lambda: {"a": Term(value.mean(), sigma)},
            "by pixel": lambda: {"a": Term(value[:, None].expand(-1, 2), sigma)},
            "too many": lambda: {"a": Term(value.repeat(2), sigma.repeat(2))},
            "levels": lambda: {"a": Term(value, sigma[1:])},
            "half": lambda: {"a": Term(value.half(), sigma)},
            "whole levels": lambda: {"a": Term(value, sigma.long())},
            "detached": lambda: {"a": Term(value.detach(), sigma)},
            "nan": lambda: {"a": Term(value / 0 - value / 0, sigma)},
            "level 0": lambda: {"a": Term(value, sigma * 0)},
            "raises": lambda: {"a": value[999]},
            "input error": lambda: _refuse(),
        }[self.how]()


def _refuse():
    raise InputError("rows of this kind are refused")


_calls: list[int] = []


@pytest.fixture(autouse=True)
def _from_step_1():
    _calls.clear()


WRONG = {
    "tensor": "should be a dict of Terms by name, but is a tensor of shape \\(\\)",
    "list": "should be a dict of Terms by name, but is of type list",
    "no term": "should hold Terms, but 'a' is of type tuple",
    "number": "gives 'a' whose value is of type float, and no tensor",
    "mean": "gives 'a' whose value has shape \\(\\): should be one number per row used, at most 16",
    "by pixel": "gives 'a' whose value has shape \\(16, 2\\)",
    "too many": "gives 'a' whose value has shape \\(32,\\): should be one number per row used, at most 16",
    "levels": "gives 'a' with 16 values, but 15 levels",
    "half": "gives 'a' whose value is torch.float16: should be float32, also under mixed precision",
    "whole levels": "gives 'a' whose sigma is torch.int64",
}
ONCE = {
    "detached": "has no gradient: 'a' does not depend on the denoiser, or was detached",
    "nan": "gives 'a' with values that are not finite, although all answers of the denoiser are",
    "level 0": "gives 'a' at levels that are not positive and finite",
}


@pytest.mark.parametrize("how", [*WRONG, *ONCE])
def test_a_wrong_answer_is_reported_by_part_and_package_in_the_first_step(how):
    with pytest.raises(
        RunError,
        match=r"objective 'returns' \(class Returns of the package tests\): its loss " + {**WRONG, **ONCE}[how],
    ):
        list(steps(make(Returns(how=how))))


@pytest.mark.parametrize("how", WRONG)
def test_types_and_shapes_are_looked_at_in_every_step(how):
    run = make(Returns(how=how, since=5))
    with pytest.raises(RunError, match=WRONG[how]):
        list(steps(run))
    assert run.step == 4


def test_an_objective_that_is_right_or_has_no_rows_passes_and_a_loss_that_is_not_finite_later_is_skipped_as_ever():
    run = make(Returns(how="nothing wrong"))
    list(steps(run))
    assert run.skipped == 0
    _calls.clear()
    run = make(Returns(how="nan", since=5))
    list(steps(run))
    assert run.skipped == 8
    _calls.clear()
    run = make(Returns(how="no rows"))
    list(steps(run))
    assert run.step == 12


def test_looking_changes_no_bit():
    plain, looked = make(), make()
    plain.checked.update({"objective.0.tweedie", "objective.1.consistency"})
    list(steps(plain)), list(steps(looked))
    assert same(bits(plain), bits(looked))


# ---- what is raised


class Unlucky(Corruption):
    """Gaussian noise that fails where it is made noisier, inside of an objective of this package."""

    name = "unlucky"

    def observe(self, x_0, row, generator):
        return Gaussian().observe(x_0, row, generator)

    def degrade(self, batch, sigma, generator):
        return torch.ones(2) @ torch.ones(3)

    def expect(self, x_0_hat, view, batch):
        return Gaussian().expect(x_0_hat, view, batch)

    def floor(self, batch):
        return Gaussian().floor(batch)


class Fragile(Model):
    """A network that fails when it is built, or when it is asked."""

    name = "fragile"
    when: str = "network"

    def network(self, signal):
        if self.when == "network":
            raise KeyError("width")
        return _Network()

    def denoiser(self, network, signal):
        return lambda x, sigma, /, **cond: network(x)


class _Network(nn.Linear):
    def __init__(self):
        super().__init__(5, 5)  # of rows of 2 numbers


class Lost(Data):
    """Rows of which the 30th cannot be read."""

    name = "lost"

    def rows(self):
        return _Rows()


class _Rows:
    def __len__(self):
        return 40

    def __getitem__(self, index):
        if index == 29 and _calls:
            raise FileNotFoundError("scan_29")
        return Clean(torch.full((2,), float(index % 5 - 2)), {})


def config(**parts):
    return resolve(Source({**SMALL, "objective": "tweedie"}), load()).model_copy(update=parts)


def test_what_a_part_raises_is_reported_by_its_name_and_keeps_its_traceback():
    with pytest.raises(
        RunError,
        match=r"step 1: objective 'returns' \(class Returns of the package tests\) raised IndexError: index 999",
    ) as found:
        list(steps(make(Returns(how="raises"))))
    assert isinstance(found.value.__cause__, IndexError)
    assert "AMBIENTKIT_DEBUG=1 shows the traceback" in str(found.value)
    with pytest.raises(
        RunError, match=r"step 1: corruption 'unlucky' \(class Unlucky of the package tests\) raised RuntimeError"
    ):
        list(steps(build(config(corruption=Unlucky()))))
    with pytest.raises(RunError, match=r"before step 1: model 'fragile' .* raised KeyError: 'width'"):
        build(config(model=Fragile()))
    with pytest.raises(RunError, match=r"step 1: model 'fragile' .* raised RuntimeError: mat1 and mat2"):
        list(steps(build(config(model=Fragile(when="asked")))))
    _calls.clear()
    run = build(config(data=Lost()))
    _calls.append(1)
    with pytest.raises(RunError, match=r"step \d: data set 'lost' .* raised FileNotFoundError: scan_29"):
        list(steps(run))


def test_errors_for_the_user_and_errors_of_this_package_go_on_as_they_are(monkeypatch):
    with pytest.raises(InputError, match="rows of this kind are refused"):
        list(steps(make(Returns(how="input error"))))
    monkeypatch.setattr("ambientkit.builtin.objectives.tweedie.edm_weight", lambda *_: {}["gone"])
    with pytest.raises(KeyError, match="gone"):
        list(steps(build(config())))


# ---- ends


def test_a_run_of_skipped_steps_alone_does_not_finish():
    run = make(Returns(how="nothing wrong"), end_step=4)
    with torch.no_grad():
        run.bare_network.decode.bias.fill_(math.nan)
    with pytest.raises(RunError, match="all 4 steps were skipped"):
        list(steps(run))
    assert (run.step, run.skipped) == (4, 4)
    with pytest.raises(RunError, match="all 4 steps were skipped"):  # nor where it is asked again
        list(steps(run))


def test_an_end_before_the_step_that_was_reached_is_refused_by_name():
    run = make(end_step=6)
    list(steps(run))
    with pytest.raises(InputError, match=r"end_step 3: there has taken 6 steps already.*Give --end-step 6 or more"):
        make(end_step=3).restore(run.state(), "there")
    make(end_step=6).restore(run.state(), "there")
