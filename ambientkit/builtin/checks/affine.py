"""What the gradient of an unbiased objective is, draw by draw: affine in the data, and content with the noise that the
level says. Exact probes for `objective-contract`."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.builtin.checks.held import Held
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

STATED: tuple[tuple[float, ...], ...] = (
    (0.3, 0.2, 0.4, 0.1, 0.25, 0.5, 0.15, 0.6),
    (0.01, 0.02, 0.03, 0.05, 0.01, 0.02, 0.03, 0.05),
    (0.3,) * 8,
    (1.0, 2.0, 3.0, 5.0, 1.0, 2.0, 3.0, 5.0),
)
"""Noise that rows state, though they have none: of the usual size, of little, all alike, and of much."""
TOPS = (None, 0.3, 1.055 * 0.3, None)
"""The highest level of the run, where it is not that of the case: so that levels lie close to little noise; and all
next to the noise, where a = 1 - (sigma_n / sigma)^2 is below 0.1."""
ASIDE = 0.05
"""What the gradient may be at data and answers that are right, in values of rows of some hundreds."""
ROUNDING = 1e-9
"""The part of a gradient that does not depend on the answer, in float64."""
PATTERN = 0.3 + torch.rand(len(STATED[0]), *SHAPE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
"""Pictures that are added to the rows, nowhere 0."""


def gradient_is_affine_in_the_data(part: Objective, case: Case) -> None:
    """With D = m for any view, and data m + s P for several s, the gradient at D is that of s = 0 plus s times
    what it is at s = 1.

    Only a loss whose gradient is H(D) (D - data), a Bregman divergence such as the weighted square, is least at the
    conditional mean for data of every law. A robust loss, values that are cut off or left out, and weights that follow
    the residual are not. Source: Banerjee, Guo, Wang, IEEE Trans. Information Theory 51(7), 2005, theorem 4. H may
    depend on the view, which moves with the data: where the gradient is not affine, the views are held where they are.
    Raises Broken.
    """
    require(
        _is_affine(part, case, held=False) or _is_affine(part, case, held=True),
        "the gradient is not affine in the data, so that the loss is not least at their conditional mean: a loss "
        "that is no square, values that are cut off or left out, or a weight that follows the residual",
    )


def _is_affine(part: Objective, case: Case, *, held: bool) -> bool:
    """Whether it is, or the rows are refused; held: with views that stay."""
    at_0, at_1 = _gradients(part, case, 0.0, held), _gradients(part, case, 1.0, held)
    if at_0 is None or at_1 is None:
        return not held
    slope = at_1 - at_0
    scale = float(slope.abs().max())
    for size in SIZES:
        found = _gradients(part, case, size, held)
        if found is None:
            return not held
        off = float((found - at_0 - size * slope).abs().max())
        if not off <= (0.01 * abs(size) + 2e-4) * scale:
            return False
    return True


def noise_counts_as_its_level_says(part: Objective, case: Case) -> None:
    """A question above the noise, x_t = x_n + tau z, whose gradient at the answer is H (D - m + alpha (x_n - m) + beta
    (x_t - x_n)) has alpha sigma_n^2 + beta tau^2 = 0, at its own level.

    For data that are one point m the mean of that gradient given x_t is 0 at D = m only then: the coefficients alpha
    and beta, such as -1 and b / a of Tweedie's, are read off three losses of the same draws, on rows without noise that
    state one. It has no other part, such as a multiple of m. Nothing is asked of gradients of another kind, nor where
    the derivative of D by x has a gradient as well, as in Stein's risk, which makes up for the rest. Raises Broken.
    """
    if on_clean_rows(case):
        return
    for index in range(4 * len(STATED)):
        found = [_questions(part, case, index, *moved) for moved in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))]
        plain, data, answer = found
        if plain is None or data is None or answer is None:
            continue
        for one, shifted, curved in zip(plain, data, answer, strict=False):
            if one.sigma.shape == shifted.sigma.shape == curved.sigma.shape:
                _judge(one, shifted, curved)


def _judge(one: _Question, shifted: _Question, curved: _Question) -> None:
    tau = (one.sigma**2 - one.sigma_n**2).clamp(min=0).sqrt()
    h = (curved.gradient - one.gradient).flatten(1)
    top_up = (one.x - one.centre).flatten(1)
    pattern = PATTERN[one.row].flatten(1)
    alpha = (shifted.gradient - one.gradient).flatten(1) / (h * pattern)
    # The gradient as beta (x_t - x_n) and a number for all pixels, in which m counts, as rows are constant.
    g, e = ((each - each.mean(1, keepdim=True)) for each in (one.gradient.flatten(1) / h, top_up))
    beta = (g * e).sum(1) / e.square().sum(1)
    aside = (one.gradient.flatten(1) / h).mean(1) - beta * top_up.mean(1)
    # Only where alpha and beta are one number for all pixels of a row, and the level is neither next to the noise,
    # where tau has few digits in float32, nor so far above it that the noise of the row is lost.
    seen = (one.sigma_n > 0) & (one.sigma > 1.03 * one.sigma_n) & (one.sigma < 10 * one.sigma_n)
    seen &= ((one.sigma - shifted.sigma).abs() + (one.sigma - curved.sigma).abs() == 0) & (h.abs().amin(1) > ROUNDING)
    # Where the question is the row and noise, it moves with the row; one about a draw of a denoiser does not.
    seen &= ((shifted.x - one.x).flatten(1) - pattern).abs().amax(1) <= 1e-3
    seen &= ((alpha - alpha.mean(1, keepdim=True)).abs() <= 1e-5 * alpha.mean(1, keepdim=True).abs()).all(1)
    seen &= ((g - beta.unsqueeze(1) * e).abs() <= 1e-5 * g.abs().amax(1, keepdim=True)).all(1)
    off = (alpha.mean(1) * one.sigma_n**2 + beta * tau**2).abs() / one.sigma_n**2
    require(
        bool((off[seen] <= 3e-3).all() and (aside[seen].abs() <= ASIDE).all()),
        "the noise of the row and the noise that is added count otherwise than their levels say: at some levels the "
        "gradient is not 0 at the exact denoiser, be it so on average",
    )


class _Question(NamedTuple):
    """One call of the denoiser, float64, (n, ...): what it was asked, about which row, and the gradient at its
    answer."""

    x: Tensor
    sigma: Tensor
    sigma_n: Tensor
    row: Tensor
    centre: Tensor
    gradient: Tensor


def _questions(part: Objective, case: Case, index: int, data: float, answer: float) -> list[_Question] | None:
    """The questions of one loss on rows m + data P that state a noise and have none, where D = m + answer; None where
    the rows are refused."""
    stated, top = torch.tensor(STATED[index % len(STATED)]), TOPS[index % len(STATED)]
    batch = labelled(stated, keyed_generator(case.seed, "verify.noise-counts", step=index), SHAPE)
    number = torch.arange(1, len(stated) + 1)
    centre = per_row(SPACING * number.double(), batch.x_n.double()).expand_as(batch.x_n)
    batch = Batch(centre + data * PATTERN, stated.double(), batch.row, batch.cond)
    levels = case.tools.levels  # rows below the range may count as clean
    levels = levels._replace(sigma_min=min(levels.sigma_min, 0.5 * min(stated.tolist())))
    asked: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]] = []

    def fixed(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        row = asked_of(x, sigma, cond, shape=SHAPE).long() - 1
        zero, slope = torch.zeros_like(x, requires_grad=True), torch.zeros_like(x, requires_grad=True)
        if torch.is_grad_enabled():
            asked.append((x.detach().double(), sigma.detach().double(), row, zero, slope))
        return (centre[row.clamp(0, len(centre) - 1)] + answer).to(x.dtype) + zero + slope * (x - x.detach())

    tools = Tools(
        case.tools.corruption,
        OneStep(),
        fixed,
        Signal(SHAPE, SIGNAL.sigma_data, SIGNAL.conds),
        keyed_generator(case.seed, "verify.noise-counts.loss", step=index),
        levels if top is None else levels._replace(sigma_max=top),
        {},
    )
    try:
        values = [term.value.double().sum() for term in part.loss(fixed, batch, tools).values()]
    except InputError:
        return None
    values = [value for value in values if value.requires_grad]
    if not values or not asked:
        return []
    calls = list(asked)  # a denoiser under checkpointing is asked again in the backward pass
    leaves = [leaf for *_, zero, slope in calls for leaf in (zero, slope)]
    grads = torch.autograd.grad(torch.stack(values).sum(), leaves, allow_unused=True)
    return [
        _Question(x, sigma, batch.sigma_n[row], row, centre[row], grad.double())
        for (x, sigma, row, *_), grad, bent in zip(calls, grads[::2], grads[1::2], strict=True)
        if grad is not None and (bent is None or not bool(bent.any()))
    ]


def _gradients(part: Objective, case: Case, size: float, held: bool) -> Tensor | None:
    """(6, *SHAPE), the gradient at the answers for each row, summed over the questions of one loss; None where the
    rows are refused. held: views are those of size 0."""
    level = torch.zeros(6) if on_clean_rows(case) else torch.tensor([0.3, 0.0, 0.2, 0.0, 0.4, 0.1])
    batch = labelled(level, keyed_generator(case.seed, "verify.affine"), SHAPE)
    pattern = torch.rand(6, *SHAPE, generator=keyed_generator(case.seed, "verify.affine.pattern")).double() - 0.3
    still = batch.x_n.double()
    batch = Batch(still + size * pattern, batch.sigma_n.double(), batch.row, batch.cond)
    asked: list[tuple[Tensor, Tensor]] = []
    corruption = case.tools.corruption
    tools = Tools(
        Held(inner=corruption, x_n=still, first=int(batch.row[0])) if held else corruption,
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
        calls = list(asked)
        grads = torch.autograd.grad(torch.stack(values).sum(), [zero for _, zero in calls], allow_unused=True)
        for (number, _), grad in zip(calls, grads, strict=True):
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
