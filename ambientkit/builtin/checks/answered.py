"""A network whose answers a check chooses: what the denoiser makes of them, and what the network was asked."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ambientkit.builtin.checks.denoiser_contract import fresh
from ambientkit.interfaces import Case, Denoiser, Model, Signal
from ambientkit.maths.randomness import isolated_global_generator


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of a network: its input, the level that it was given, (B,) or None where that cannot be seen, and the
    rows that it was asked about, (B,). Rows by which a batch is filled up come last, and are left out."""

    y: Tensor
    time: Tensor | None
    row: Tensor


class Answering:
    """A denoiser of a fresh network, whose output is replaced: `answer`, of the shape of the rows, in the shape and
    form of its own output."""

    def __init__(self, part: Model, case: Case, sigma_data: float, shape: tuple[int, ...] | None = None) -> None:
        """shape: of the rows; left out, the first that the model takes. Raises InputError for one that it does not."""
        if shape is None:
            found, self.network = fresh(part, case)
            shape = found.shape
        else:
            with isolated_global_generator(case.seed, "verify.model"):
                self.network = part.network(Signal(shape, sigma_data))
        self.signal = Signal(shape, sigma_data)
        self.network.eval()
        self.denoiser: Denoiser = part.denoiser(self.network, self.signal)
        self.output: object = None
        """What the network gave at its first call. Only its form counts, so that it need not run again."""

    def __call__(self, x: Tensor, sigma: Tensor, answer: Tensor) -> tuple[Tensor, Asked | None]:
        """D(x, sigma) where the network answers `answer`, of the shape of x; and what it was asked, None where it was
        not called as a module, or more than once about a row. Of a network that is asked in chunks they are joined."""
        calls: list[Asked] = []

        def replace(module: nn.Module, args: tuple, kwargs: dict, output):
            tensors = [value for value in [*args, *kwargs.values()] if isinstance(value, Tensor)]
            filled = len(tensors[0])
            left = len(sigma) - sum(len(one.y) for one in calls)
            rows = min(filled, left) if left > 0 else filled
            times = [value[:rows] for value in tensors[1:] if value.shape == (filled,)]
            times = [value for value in times if bool((value != value[0]).any())] or times  # a label says no level
            y = tensors[0][:rows]
            row = _which(y.detach(), x, len(sigma) - left)
            calls.append(Asked(y.detach(), times[0].detach().double() if times else None, row))
            self.output = output
            said = answer[row]
            return put(output, torch.cat([said, said[-1:].expand(filled - rows, *said.shape[1:])]))

        hook = self.network.register_forward_hook(replace, with_kwargs=True)
        if self.output is not None:
            self.network.forward = lambda *args, **kwargs: self.output
        try:
            with torch.no_grad():
                found = self.denoiser(x, sigma)
        finally:
            hook.remove()
            vars(self.network).pop("forward", None)
        return found, _joined(calls) if sum(len(one.y) for one in calls) == len(sigma) else None


LIKE = 0.99
"""Cosine of an input and the row that it is a multiple of, at least: half precision rounds it."""


def _which(y: Tensor, x: Tensor, first: int) -> Tensor:
    """The rows of x (B, *S) that inputs y are multiples of: chunks may come in any order. Where they are none, those
    that follow `first`."""
    following = (first + torch.arange(len(y))).clamp(max=len(x) - 1)
    if y[0].numel() != x[0].numel():
        return following
    one, other = (torch.nn.functional.normalize(rows.double().flatten(1), dim=1) for rows in (y, x))
    cosine, row = (one @ other.T).max(1)
    return row if bool((cosine > LIKE).all()) and len(row.unique()) == len(row) else following


def _joined(calls: list[Asked]) -> Asked:
    """What several calls were asked, in the order of the rows; levels only where all were."""
    row = torch.cat([one.row for one in calls])
    order = row.argsort() if len(row.unique()) == len(row) else torch.arange(len(row))
    times = [one.time for one in calls if one.time is not None]
    return Asked(
        torch.cat([one.y for one in calls])[order],
        torch.cat(times)[order] if len(times) == len(calls) else None,
        row[order],
    )


def put(output, answer: Tensor):
    """The answer (B, *S) in the form of an output, which may be one for another number of rows."""
    if isinstance(output, Tensor):
        return answer.reshape(-1, *output.shape[1:]).to(output.dtype)
    if isinstance(output, tuple):
        return (put(output[0], answer), *output[1:])
    if isinstance(output, list):
        return [put(output[0], answer), *output[1:]]
    name = next(name for name, value in output.items() if isinstance(value, Tensor))
    changed = copy.copy(output)
    changed[name] = put(output[name], answer)
    return changed
