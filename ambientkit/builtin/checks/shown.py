"""Views of all that was measured: `Corruption.show`, where a corruption has one of its own. Probes for the checks that
measure `degrade`."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.checks.labelled import copied, require, same
from ambientkit.interfaces import Corruption


def shows_by_itself(part: Corruption) -> bool:
    """Whether `show` is not `degrade` under another name."""
    return type(part).show is not Corruption.show


def is_a_view(part: Corruption, view: View, batch: Batch, sigma: Tensor, whose: str) -> None:
    """Shape, dtype, levels and conditions of a view of the batch at levels sigma, and finite numbers. Raises Broken;
    whose: "a view", in words."""
    n = len(batch.x_n)
    right = isinstance(view, View) and (view.x.shape == batch.x_n.shape or "linear" in part.claims)
    require(right and len(view.x) == n, f"{whose} has another shape than the batch")
    require(view.x.dtype == batch.x_n.dtype, f"{whose} is {view.x.dtype} for rows in {batch.x_n.dtype}")
    require(
        view.sigma.shape == (n,) and torch.equal(view.sigma.to(sigma), sigma),
        f"{whose} is not at the levels (B,) that were asked for",
    )
    right = view.cond.keys() - part.carries == batch.cond.keys() - part.carries and all(
        view.cond[name].dtype == value.dtype and torch.equal(view.cond[name], value)
        for name, value in batch.cond.items()
        if name not in part.carries
    )
    require(right, f"{whose} does not carry the conditions of the batch")
    require(bool(view.x.isfinite().all()), f"{whose} is not finite")


def shows_as_a_view(part: Corruption, batch: Batch, sigma: Tensor, generator: Generator) -> None:
    """What `show` gives of a batch is a view of it, the batch stays as it is, and a level below a row's own noise is
    refused. Raises Broken."""
    if not shows_by_itself(part):
        return
    kept, asked = copied(batch), sigma.clone()
    is_a_view(part, part.show(batch, sigma, generator), kept, sigma, "what `show` gives")
    require(same(batch, kept) and torch.equal(sigma, asked), "show changes the batch or the levels")
    floor = part.floor(batch)
    if not bool((floor > 0).any()):
        return
    try:
        part.show(batch, torch.where(floor > 0, 0.9 * floor, sigma), generator)
    except ValueError:
        return
    require(False, "show takes a level below a row's own noise")
