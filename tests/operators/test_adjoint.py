"""The transpose of an operator, tested on rows as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Generator

from ambientkit.batch import take
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.data.observations import Observations
from ambientkit.data.survey import survey
from ambientkit.errors import CheckFailed, InputError
from ambientkit.interfaces import Levels
from ambientkit.operators import TOLERANCE, adjointness, operator_of
from ambientkit.operators.fourier import Fourier
from ambientkit.run.preflight import _takes_any, _transposed


class Unscaled(Fourier):
    """An inverse transform without its scale: no transpose."""

    name = "unscaled"

    def adjoint(self, y, given):
        return 16 * super().adjoint(y, given)


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ({"name": "fourier"}, (2, 8, 6)),
        ({"name": "fourier", "coils": 3}, (2, 8, 6)),
        ({"name": "fourier", "real": True}, (1, 8, 6)),
        ({"name": "downsample", "factor": 2}, (1, 8, 6)),
        ({"name": "blur"}, (3, 8, 6)),
    ],
)
def test_the_transpose_of_each_operator_is_right_and_a_wrong_one_is_found(spec, shape) -> None:
    operator = operator_of(spec)
    x = torch.zeros(3, *shape)
    y = operator.forward(x, {})
    assert adjointness(operator, x, y, {}) < TOLERANCE / 100
    assert adjointness(Unscaled(), torch.zeros(3, 2, 8, 6), torch.zeros(3, 2, 8, 6), {}) > TOLERANCE


def test_a_run_tests_the_transpose_of_an_operator_that_checks_have_no_rows_for_on_its_own_rows() -> None:
    assert _takes_any(Mask())
    assert _takes_any(Linear())
    scan = Linear(operator="fourier", kind="columns", missing=0.3, sigma_n=0.1)
    assert not _takes_any(scan)
    rows = scan.observe(torch.zeros(2, 2, 8, 6), torch.arange(2), Generator().manual_seed(0))
    assert "its transpose is right on rows of (2, 8, 6)" in _transposed(scan, rows)
    with pytest.raises(CheckFailed, match="not its transpose"):
        _transposed(scan.model_copy(update={"operator": Unscaled()}), rows)


class Numpy:
    """An object of a user: two functions of one row."""

    def __init__(self, forward, adjoint=None) -> None:
        self.forward, self.adjoint = forward, adjoint or (lambda y: y)


def counted():
    """Another answer in each call."""
    calls = iter(range(1000))
    return Numpy(lambda x: x * (1 + next(calls)))


GOOD = Numpy(lambda x: np.cumsum(x, -1), lambda y: np.cumsum(y[..., ::-1], -1)[..., ::-1])
IN_PLACE = Numpy(lambda x: x.__imul__(0.5), lambda y: y.__imul__(0.5))
LARGE = Numpy(lambda x: 100 * x, lambda y: 100 * y)
WRONG = {
    "absolute": (Numpy(np.abs), r"not linear: A \(u"),
    "offset": (Numpy(lambda x: x + 1), "A 0 is not 0"),
    "clipped": (Numpy(lambda x: x.clip(-1, 1)), "not linear"),
    "random": (counted(), "two calls"),
    "rolled": (Numpy(lambda x: np.roll(x, 1, -1), lambda y: np.roll(y, 1, -1)), "not its transpose"),
    "nothing": (Numpy(lambda x: 0 * x, lambda y: 0 * y), "measures nothing"),
    "halved": (Numpy(lambda x: x[..., ::2]), r"its adjoint makes rows \(1, 4, 3\)"),
}
RAISING = {
    "raised": (
        Numpy(lambda x: x @ np.ones(7)),
        r"raising_raised.forward raised ValueError on a row",
    ),
    "complex": (Numpy(lambda x: 1j * x), "complex64"),
    "nan": (Numpy(lambda x: x * np.nan), "not finite"),
    "ragged": (Numpy(lambda x: x.ravel()[: 5 + int(x.sum() > 0)]), r"of shape \(5,\) and of \(6,\)"),
}
for name_, (object_, _) in [*WRONG.items(), *((f"raising_{k}", v) for k, v in RAISING.items())]:
    globals()[name_] = object_


def scanner(name: str) -> Linear:
    return Linear(operator={"name": "python", "object": f"{__name__}:{name}"}, sigma_n=0.1)


def looked_at(corruption: Linear):
    x_0 = torch.randn(40, 1, 4, 6, generator=Generator().manual_seed(0)) / 2
    rows = corruption.observe(x_0, torch.arange(40), Generator().manual_seed(1))
    held = [take(rows, torch.tensor(i)) for i in range(40)]
    return survey(Observations(held, corruption, 0), corruption, Levels(), None), rows


@pytest.mark.parametrize("name", ["GOOD", "IN_PLACE", "LARGE"])
def test_a_right_operator_passes_at_any_scale_and_in_place(name: str) -> None:
    found, rows = looked_at(scanner(name))
    assert scanner(name).flaw(rows) == ""
    assert found.unseen == ""
    assert found.signal.sigma_data == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_linear_map_with_its_transpose_is_refused_before_step_1_with_the_reason(name: str) -> None:
    with pytest.raises(InputError, match=WRONG[name][1]):
        looked_at(scanner(name))


@pytest.mark.parametrize("name", RAISING)
def test_what_an_operator_raises_or_answers_wrongly_names_it(name: str) -> None:
    with pytest.raises(InputError, match=RAISING[name][1]):
        looked_at(scanner(f"raising_{name}"))


def test_a_class_in_place_of_an_object_is_refused() -> None:
    with pytest.raises(ValueError, match=r"operator python: tests.*:Numpy is a class: name an object"):
        operator_of({"name": "python", "object": f"{__name__}:Numpy"})


@pytest.mark.parametrize(("real", "channels"), [(False, 1), (False, 3), (False, 4), (True, 2)])
def test_fourier_takes_no_rows_of_which_it_would_drop_channels(real: bool, channels: int) -> None:
    with pytest.raises(InputError, match="operator fourier: rows of shape"):
        operator_of({"name": "fourier", "real": real}).forward(torch.zeros(2, channels, 4, 4), {})


def test_a_run_is_told_of_an_operator_far_from_norm_1(caplog) -> None:
    _transposed(scanner("GOOD"), looked_at(scanner("GOOD"))[1])
    assert "white noise" not in caplog.text
    _transposed(scanner("LARGE"), looked_at(scanner("LARGE"))[1])
    assert "makes white noise 100 times as large" in caplog.text


class Stacked:
    """What a physics of deepinv may be, without the library: several measurements, or work in place."""

    noise_model = type("PoissonNoise", (), {})()

    def A(self, x):
        return [x, x]

    def A_adjoint(self, y):
        return y


class InPlace(Stacked):
    def A(self, x):
        return x.mul_(2)

    def A_adjoint(self, y):
        return 2 * y


STACKED, PHYSICS_IN_PLACE = Stacked(), InPlace()


def test_a_physics_that_gives_several_tensors_is_refused_and_one_that_changes_rows_is_found() -> None:
    several = Linear(operator={"name": "deepinv", "physics": f"{__name__}:STACKED"})
    with pytest.raises(InputError, match=r"STACKED.A answers with list: .* Wrap"):
        looked_at(several)
    assert "PoissonNoise, is not used" in several.operator.unused()
    rows = scanner("GOOD").observe(torch.zeros(2, 1, 4, 6), torch.arange(2), Generator().manual_seed(1))
    in_place = Linear(operator={"name": "deepinv", "physics": f"{__name__}:PHYSICS_IN_PLACE"})
    assert "changes the rows that it is given" in in_place.flaw(rows)
