"""The gradient of the joint batch of all processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn

BUCKET = 25 * 2**20
"""Bytes sent at a time."""


def average_gradients(accelerator: Accelerator, parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes; one process keeps its own.

    A parameter that a process did not use counts as zero there; one that no process used keeps no gradient, as in a run
    of one process. Always in the same buckets, so a resumed run adds in the same order as an unbroken one.
    """
    if accelerator.num_processes == 1:
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    used = torch.tensor([float(parameter.grad is not None) for parameter in trained], device=accelerator.device)
    used = accelerator.reduce(used, reduction="sum")
    for bucket in buckets([parameter for parameter, count in zip(trained, used.tolist(), strict=True) if count]):
        flat = torch.cat([_gradient(parameter).flatten() for parameter in bucket])
        flat = accelerator.reduce(flat, reduction="mean")
        for parameter, mean in zip(bucket, flat.split([parameter.numel() for parameter in bucket]), strict=True):
            parameter.grad = mean.view_as(parameter).clone()


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Neighbours of one dtype, up to BUCKET bytes together."""
    bucket: list[nn.Parameter] = []
    size = 0
    for parameter in parameters:
        if bucket and (parameter.dtype != bucket[0].dtype or size + parameter.nbytes > BUCKET):
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += parameter.nbytes
    if bucket:
        yield bucket
