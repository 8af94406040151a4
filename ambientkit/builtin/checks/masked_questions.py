"""What an objective asks about rows with missing values: the mask as the view has it, and nothing that it hides. An
exact probe for `stationarity-under-masks`."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.builtin.checks.labelled import require
from ambientkit.builtin.checks.probe import GROUP, observations, terms
from ambientkit.interfaces import Case, Objective

ROWS = 64


def asks_with_the_view(part: Objective, case: Case, index: int) -> None:
    """The conditions that say how a row is seen have the dtype that observations have, and the points that are asked
    about do not depend on values of x_n which their masks hide, and hold those that they show. Some question hides a
    value that was measured, or nothing would teach what lies under a mask. Raises Broken.

    Points are differentiated by x_n, which shows what they hold without changing a draw.
    """
    batch = observations(case, ROWS, index)
    x_n = batch.x_n.detach().clone().requires_grad_()
    cond = {**batch.cond, GROUP: torch.arange(ROWS)}
    hidden_used: list[bool] = []
    hides_more: list[bool] = []

    def watched(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        for name in case.tools.corruption.carries & cond.keys():
            right = cond[name].dtype == batch.cond[name].dtype
            require(right, f"the denoiser gets {name!r} in another dtype than the view has it")
        if "mask" in cond:
            lost = bool((x.detach() == 0)[cond["mask"].expand_as(x)].any())
            require(not lost, "a mask shows values which are 0: they were taken away")
        if "mask" in cond and x.requires_grad:
            with torch.enable_grad():  # a question may be asked without
                hidden_values = (x * ~cond["mask"].expand_as(x)).sum()
            (grad,) = torch.autograd.grad(hidden_values, x_n, retain_graph=True, allow_unused=True)
            hidden_used.append(grad is not None and bool(grad.any()))
        row = cond.get(GROUP)
        if "mask" in cond and row is not None and torch.is_grad_enabled():
            hides_more.append(bool((batch.cond["mask"][row] & ~cond["mask"]).any()))
        return case.oracle(x, sigma, **cond)

    terms(part, watched, batch._replace(x_n=x_n, cond=cond), case, index)
    teaches = not hides_more or any(hides_more)
    require(teaches, "no value that was measured is ever hidden: nothing teaches what lies under a mask")
    require(not any(hidden_used), "the denoiser is shown values that the mask of its view hides")
