"""What an objective must refuse: noisy rows, where it needs clean ones. A probe for `objective-contract`."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.builtin.checks.labelled import SIGNAL, SPACING, OneStep, labelled, number_of, require
from ambientkit.builtin.checks.travel import key
from ambientkit.errors import InputError
from ambientkit.interfaces import Case, Objective, Tools


def refuses_noisy_rows(part: Objective, case: Case) -> None:
    """An objective that needs clean data says so of a batch in which one row has noise, and of one in which all have,
    however little. Raises Broken."""
    if "needs-clean-data" not in part.claims:
        return

    def exact(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        return (
            (SPACING * number_of(x)).to(x.dtype).reshape(-1, *[1] * (x.ndim - 1)).expand_as(x).clone().requires_grad_()
        )

    for index, level in enumerate(([0.0, 0.3, 0.0, 0.0], [0.0, 0.0, 0.0, 0.02], [0.005] * 4, [0.1] * 4, [1.5] * 4)):
        batch = labelled(torch.tensor(level), key(case, "refused.rows", index))
        tools = Tools(case.tools.corruption, OneStep(), exact, SIGNAL, key(case, "refused"), case.tools.levels)
        try:
            part.loss(exact, batch, tools)
        except InputError:
            continue
        require(False, f"it needs clean data, and takes rows of noise {max(level)} for clean ones")
