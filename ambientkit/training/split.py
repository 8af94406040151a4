"""The optimiser's state split over the processes, for a run that accelerate is configured for FSDP 1 or ZeRO with.

Weights, gradients and the average stay whole in every process, so that none waits for the calls of another
(`training.sharded` shards them, too).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ambientkit.errors import InputError
from ambientkit.training.gradients import buckets


class SplitOptimizer:
    """AdamW or SGD, of which each process keeps and computes its share, 1/N of every weight.

    Both work value by value, so the weights after a step are those of an optimiser that is whole, to the bit. A share
    is a view of the weight: the step changes it in place, and the others' shares are copied in after it. parameters:
    whole weights. Raises InputError where one is not in one piece of memory.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._whole = list(parameters)
        if not all(whole.is_contiguous() for whole in self._whole):
            raise InputError(
                "a weight of this model is not in one piece of memory, so that FSDP and ZeRO cannot split it; use "
                "plain data parallelism"
            )
        self.shares = [
            nn.Parameter(self._cut(whole.detach()), requires_grad=whole.requires_grad) for whole in self._whole
        ]

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Let an optimiser of `shares` take its gradients from the whole weights, and give the weights back to all
        processes."""
        optimizer.register_step_pre_hook(self._before)
        optimizer.register_step_post_hook(self._after)

    def _cut(self, whole: Tensor) -> Tensor:
        """This process's share of a weight, or of what is kept for it: a view."""
        size = self._size(whole.numel())
        first = self._accelerator.process_index * size
        return whole.view(-1)[min(first, whole.numel()) : first + size]

    def _size(self, values: int) -> int:
        return -(-values // self._accelerator.num_processes)

    def _before(self, *_: Any) -> None:
        for whole, share in zip(self._whole, self.shares, strict=True):
            share.data = self._cut(
                whole.detach()
            )  # anew: a weight that was moved to other memory would never change again
            share.grad = None if whole.grad is None else self._cut(whole.grad.contiguous())

    def _after(self, *_: Any) -> None:
        for share in self.shares:
            share.grad = None  # a view, which would keep the whole gradient in memory
        with torch.no_grad():
            for bucket in buckets([whole for whole in self._whole if whole.grad is not None]):
                for whole, found in zip(
                    bucket, self._joined([self._cut(whole.detach()) for whole in bucket], bucket), strict=True
                ):
                    whole.copy_(found.view_as(whole))

    def _joined(self, own: list[Tensor], like: list[nn.Parameter]) -> list[Tensor]:
        """The whole of each of some shares, flat. All processes must call it."""
        sizes = [self._size(whole.numel()) for whole in like]
        row = torch.cat(
            [nn.functional.pad(share, (0, size - len(share))) for share, size in zip(own, sizes, strict=True)]
        )
        rows = self._accelerator.gather(row.unsqueeze(0))
        return [part.reshape(-1)[: whole.numel()] for part, whole in zip(rows.split(sizes, dim=1), like, strict=True)]

    def whole_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """The `state_dict` of a whole optimiser, from that of this process's share. All processes must call it at the
        same step."""
        joined: dict[int, dict[str, Any]] = {}
        for index, entries in sorted(state["state"].items()):
            like = self._whole[index]
            joined[index] = {
                name: self._joined([value], [like])[0].view_as(like)
                if isinstance(value, Tensor) and value.ndim
                else value
                for name, value in sorted(entries.items())  # a state that was read has another order in every process
            }
        return {**state, "state": joined}

    def own_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """The other way round."""
        own = {
            index: {
                name: self._cut(value).clone()
                if isinstance(value, Tensor) and value.shape == self._whole[index].shape and name != "step"
                else value
                for name, value in entries.items()
            }
            for index, entries in state["state"].items()
        }
        return {**state, "state": own}
