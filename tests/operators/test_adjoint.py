"""The transpose of an operator, tested on rows as they are."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.errors import CheckFailed
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
