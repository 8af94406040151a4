"""What an objective wants at the very noise of a row, where nothing is added to it: Stein's identity, held against the
derivatives that reach the denoiser. An exact probe for `objective-contract`."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.builtin.checks.labelled import SHAPE, SIGNAL, SPACING, OneStep, asked_of, labelled, require
from ambientkit.builtin.checks.probe import on_clean_rows
from ambientkit.errors import InputError
from ambientkit.interfaces import Case, Objective, Signal, Tools
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator

STATED = (0.3, 0.2, 0.4, 0.1, 0.25, 0.5, 0.15, 0.6)
CALLS = 4
OFF = 0.35
"""Of the ratio of the two parts. With one normal probe for each row, of 24 values, its mean over 32 rows has a std of
0.05; with random signs, or the divergence itself, of 0."""


def is_content_at_its_own_noise(part: Objective, case: Case) -> None:
    """At D = m the mean derivative along D + theta (x - m) is 0 for rows that are asked about at their own noise.

    For x_n = m + sigma_n e that derivative is q(e) + c, q a square. |D - x|^2 + 2 sigma_n^2 div D has q = -2 sigma_n^2
    |e|^2 and c = 2 sigma_n^2 d, so that the mean is 0. Both are read off three losses of the same draws, on rows
    without noise that state one: x_n = m gives c, x_n = m +- P with signs P gives q. A divergence that is left out,
    counted by another factor, or whose derivative does not reach the denoiser in all its parts leaves c too small.
    Nothing is asked of rows to which noise is added. Raises Broken.
    """
    if on_clean_rows(case):
        return
    ratios = []
    for index in range(CALLS):
        found = [_derivative(part, case, index, size) for size in (0.0, 1.0, -1.0)]
        if any(one is None for one in found):
            return
        (here, own), (up, _), (down, _) = (one for one in found if one is not None)
        square = ((up + down) / 2 - here) * torch.tensor(STATED, dtype=torch.float64) ** 2
        held = own & (square.abs() > 1e-9)
        ratios.append(-here[held] / square[held])
    ratio = torch.cat(ratios)
    right = len(ratio) < len(STATED) or abs(float(ratio.mean()) - 1) <= OFF
    require(
        right,
        "at the noise of the rows themselves the gradient is not 0 at the exact denoiser: the divergence that has to "
        "make up for their noise is missing, or does not reach the denoiser in full",
    )


def _derivative(part: Objective, case: Case, index: int, size: float) -> tuple[Tensor, Tensor] | None:
    """Of each row the derivative by theta, and whether it was asked about at its own noise alone; None where the rows
    are refused, or nothing is learnt."""
    stated = torch.tensor(STATED)
    batch = labelled(stated, keyed_generator(case.seed, "verify.own-noise", step=index), SHAPE)
    number = torch.arange(1, len(stated) + 1)
    centre = per_row(SPACING * number.double(), batch.x_n.double()).expand_as(batch.x_n)
    signs = torch.randn(batch.x_n.shape, generator=keyed_generator(case.seed, "verify.own-noise.signs", step=index))
    batch = Batch(centre + size * signs.double().sign(), stated.double(), batch.row, batch.cond)
    theta = torch.zeros(len(stated), dtype=torch.float64, requires_grad=True)
    own, asked = torch.ones(len(stated), dtype=torch.bool), torch.zeros(len(stated), dtype=torch.bool)

    def fixed(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        row = (asked_of(x, sigma, cond, shape=SHAPE, filled=True).long() - 1).clamp(0, len(stated) - 1)
        if torch.is_grad_enabled():
            asked[row] = True
            own[row[~torch.isclose(sigma.detach().double(), batch.sigma_n[row], rtol=1e-6, atol=0)]] = False
        away = x - centre[row].to(x.dtype)
        return centre[row].to(x.dtype) + per_row(theta[row].to(x.dtype), x) * away

    tools = Tools(
        case.tools.corruption,
        OneStep(),
        fixed,
        Signal(SHAPE, SIGNAL.sigma_data, SIGNAL.conds),
        keyed_generator(case.seed, "verify.own-noise.loss", step=index),
        case.tools.levels,
        {},
    )
    try:
        values = [term.value.double().sum() for term in part.loss(fixed, batch, tools).values()]
    except InputError:
        return None
    values = [value for value in values if value.requires_grad]
    if not values or not bool((own & asked).any()):
        return None
    (grad,) = torch.autograd.grad(torch.stack(values).sum(), theta, allow_unused=True)
    return None if grad is None else (grad.double(), own & asked)
