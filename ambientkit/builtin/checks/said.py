"""What a corruption says of its rows besides its views: how much of x_0 they show, what their errors count, how wide
the clean data are, and what nobody has seen. Probes for `corruption-contract`."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.checks.labelled import SHAPE, require
from ambientkit.builtin.checks.travel import key
from ambientkit.interfaces import Case, Corruption
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.noise import per_row

WIDTH, MEAN = 0.3, 1.5
"""Std and mean of the clean values whose width is asked for: a tenth of them taken for 0 would more than double it."""
UNLIKE = (0.05, 0.6)
"""Noise of every other row: the square of its mean is 0.6 of the mean of its squares."""


def slope_is_that_of_expect(part: Corruption, view: View, batch: Batch, moved: Tensor) -> None:
    """`slope` is the derivative of `expect`, (B, *S), and `weight` undoes it up to the cap. Of corruptions whose x_n
    are values of x_0. Raises Broken."""
    if not part.claims & {"gaussian-noise", "masked"}:
        return
    a = part.slope(view, batch).detach()
    near = torch.allclose(a.expand_as(moved).double(), moved.double(), rtol=1e-4, atol=1e-5)
    require(near, "slope is not the derivative of expect: errors count too much or too little")
    if "gaussian-noise" not in part.claims:  # hidden values count otherwise: `masked-weight`
        return
    for least in (25.0, 3.0):
        cap = torch.linspace(25.0, least, len(view.sigma)).to(view.sigma)
        weight = part.weight(view, batch, cap, torch.full_like(cap, 0.5)).detach()
        wanted = capped_inverse_square(moved.double(), per_row(cap.double(), moved))
        near = torch.allclose(weight.expand_as(moved).double(), wanted, rtol=1e-3, atol=0)
        require(near, "weight is not min(1/a^2, cap): errors of x_0 count otherwise than at other levels")


def width_is_that_of_clean_rows(part: Corruption, case: Case) -> None:
    """`clean_std` is the std of the clean values, whose noise and missing values do not count: within a tenth of the
    variance and six standard errors of what the noise leaves of it. Raises Broken."""
    if not part.claims & {"gaussian-noise", "masked"}:
        return
    rows = 64
    x_0 = MEAN + WIDTH * torch.randn(rows, *SHAPE, generator=key(case, "said.clean"))
    batch = part.observe(x_0, torch.arange(rows), key(case, "said.observe"))
    seen = batch.cond["mask"].bool().expand_as(x_0) if "mask" in batch.cond else torch.ones_like(x_0, dtype=torch.bool)
    if not bool(seen.any()):
        return
    noise = float(per_row(batch.sigma_n.double(), x_0).square().expand_as(x_0)[seen].mean())
    error = 6 * (1 + noise / WIDTH**2) * (2 / int(seen.sum())) ** 0.5
    off = abs(part.clean_std(batch) ** 2 / WIDTH**2 - 1)
    require(off < 0.1 + error, "clean_std is not the std of the clean values: noise or missing values count")
    if "gaussian-noise" in part.claims:
        level = torch.where(torch.arange(rows) % 2 == 0, *UNLIKE)
        x_n = x_0 + per_row(level, x_0) * torch.randn(x_0.shape, generator=key(case, "said.unlike"))
        error = 6 * (1 + float(level.square().mean()) / WIDTH**2) * (2 / x_0.numel()) ** 0.5
        off = abs(part.clean_std(Batch(x_n, level, torch.arange(rows), {})) ** 2 / WIDTH**2 - 1)
        require(off < 0.1 + error, "clean_std is not the std of the clean values where rows are of unlike noise")


def names_what_nobody_sees(part: Corruption, case: Case) -> None:
    """`unseen` names a value that no row of a batch has, and nothing where all are measured; `show` shows all that was
    measured. Raises Broken."""
    if "masked" not in part.claims:
        return
    x_0 = torch.rand(6, *SHAPE, generator=key(case, "said.unseen.x_0"))
    batch = part.observe(x_0, torch.arange(6), key(case, "said.unseen"))
    sigma = part.floor(batch).clamp(min=0.1) * 1.5
    shown = part.show(batch, sigma, key(case, "said.show")).cond["mask"].expand_as(x_0)
    whole = torch.equal(shown.bool(), batch.cond["mask"].bool().expand_as(x_0))
    require(whole, "show does not show all that was measured of a row")
    if getattr(part, "allow_unseen", False):
        return
    mask = torch.ones_like(batch.cond["mask"])
    require(not part.unseen(_under(batch, x_0, mask)), "values are said to be unseen that every row has")
    mask[..., 0, 0] = False
    require(bool(part.unseen(_under(batch, x_0, mask))), "a value that no row has is not said to be unseen")
    mask[1:] = True
    require(not part.unseen(_under(batch, x_0, mask)), "a value that most rows have is said to be unseen")


def says_nothing_of_whole_rows(part: Corruption, case: Case) -> None:
    """`unseen` is empty for a corruption of noise alone, and for a single row of which all is measured. Raises
    Broken."""
    if not part.claims & {"gaussian-noise", "masked"}:
        return
    for rows in (1, 5):
        x_0 = torch.rand(rows, *SHAPE, generator=key(case, "said.whole"))
        batch = part.observe(x_0, torch.arange(rows), key(case, "said.whole.observe"))
        if "mask" in batch.cond:
            batch = _under(batch, x_0, torch.ones_like(batch.cond["mask"]))
        require(not part.unseen(batch), "values are said to be unseen of rows that have all")


def _under(batch: Batch, x_0: Tensor, mask: Tensor) -> Batch:
    return batch._replace(x_n=torch.where(mask.expand_as(x_0), x_0, 0.0), cond={**batch.cond, "mask": mask})
