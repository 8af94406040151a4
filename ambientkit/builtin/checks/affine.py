"""The gradient of an unbiased objective is affine in the data. An exact probe for `objective-contract`."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.builtin.checks.labelled import SIGNAL, SPACING, OneStep, asked_of, labelled, require
from ambientkit.builtin.checks.probe import on_clean_rows
from ambientkit.errors import InputError
from ambientkit.interfaces import Case, Denoiser, Objective, Signal, Tools
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator

SHAPE = (2, 3, 4)
SIZES = (-1.0, 0.01, 0.1, 4.0, 30.0)
"""Of the data's errors, in units of the range of pictures: a threshold for small values shows at the smallest, one for
outliers at the largest, and a loss of one side at the negative one."""


def gradient_is_affine_in_the_data(part: Objective, case: Case) -> None:
    """With D = m for any view, and data m + s P for several s, the gradient at D is that of s = 0 plus s times
    what it is at s = 1.

    Only a loss whose gradient is H(D) (D - data), a Bregman divergence such as the weighted square, is least at the
    conditional mean for data of every law. A robust loss, values that are cut off or left out, and weights that follow
    the residual are not. Source: Banerjee, Guo, Wang, IEEE Trans. Information Theory 51(7), 2005, theorem 4. Raises
    Broken.
    """
    at_0, at_1 = _gradients(part, case, 0.0), _gradients(part, case, 1.0)
    if at_0 is None or at_1 is None:
        return
    slope = at_1 - at_0
    scale = float(slope.abs().max())
    for size in SIZES:
        found = _gradients(part, case, size)
        if found is None:
            return
        off = float((found - at_0 - size * slope).abs().max())
        require(
            off <= (0.01 * abs(size) + 2e-4) * scale,
            "the gradient is not affine in the data, so that the loss is not least at their conditional mean: a loss "
            "that is no square, values that are cut off or left out, or a weight that follows the residual",
        )


def _gradients(part: Objective, case: Case, size: float) -> Tensor | None:
    """(6, *SHAPE), the gradient at the answers for each row, summed over the questions of one loss; None where the
    rows are refused."""
    level = torch.zeros(6) if on_clean_rows(case) else torch.tensor([0.3, 0.0, 0.2, 0.0, 0.4, 0.1])
    batch = labelled(level, keyed_generator(case.seed, "verify.affine"), SHAPE)
    pattern = torch.rand(6, *SHAPE, generator=keyed_generator(case.seed, "verify.affine.pattern")).double() - 0.3
    batch = Batch(batch.x_n.double() + size * pattern, batch.sigma_n.double(), batch.row, batch.cond)
    asked: list[tuple[Tensor, Tensor]] = []
    tools = Tools(
        case.tools.corruption,
        OneStep(),
        _fixed([]),
        Signal(SHAPE, SIGNAL.sigma_data, SIGNAL.conds),
        keyed_generator(case.seed, "verify.affine.loss"),
        case.tools.levels,
        {},
    )
    try:
        values = [term.value.double().sum() for term in part.loss(_fixed(asked), batch, tools).values()]
    except InputError:
        return None
    values = [value for value in values if value.requires_grad]
    total = torch.zeros(6, *SHAPE, dtype=torch.float64)
    if values and asked:
        grads = torch.autograd.grad(torch.stack(values).sum(), [zero for _, zero in asked], allow_unused=True)
        for (number, _), grad in zip(asked, grads, strict=True):
            if grad is not None:
                total.index_add_(0, number.long() - 1, grad.double())
    return total


def _fixed(asked: list[tuple[Tensor, Tensor]]) -> Denoiser:
    """D = m: the picture of the row that is asked about, for any view; each question with gradient is kept."""

    def fixed(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        number = asked_of(x, sigma, cond, shape=SHAPE)
        answer = per_row((SPACING * number).to(x.dtype), x).expand_as(x)
        if torch.is_grad_enabled():
            zero = torch.zeros_like(x, requires_grad=True)
            asked.append((number, zero))
            answer = answer + zero
        return answer + 0 * x

    return fixed
