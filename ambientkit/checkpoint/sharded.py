"""Tensors of which each process holds a shard (torch's DTensor), and the whole ones that files hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor


def is_sharded(value: Any) -> bool:
    """Whether this is a DTensor. Asked by its method: importing its class takes a second, and most runs have none."""
    return hasattr(value, "full_tensor")


def whole(value: Tensor) -> Tensor:
    """The whole of a sharded tensor, (*S), gathered; any other as it is. All processes must call it."""
    return cast(Tensor, cast(Any, value).full_tensor()) if is_sharded(value) else value


def whole_on_main(tensors: Mapping[str, Tensor], main: bool) -> dict[str, Tensor]:
    """Tensors by name in the order given, each whole; one that was sharded lies on the CPU. All processes must call it.

    Only the main process keeps what was gathered, one tensor at a time: the others get an empty dict where any was
    sharded.
    """
    found = {}
    for name, value in tensors.items():
        gathered = whole(value.detach())
        if not is_sharded(value):
            found[name] = gathered
        elif main:
            found[name] = gathered.cpu()
    return found if main or not any(map(is_sharded, tensors.values())) else {}


def shard(value: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor, where `like`, of the same shape, is sharded; else the tensor itself."""
    if not is_sharded(like) or is_sharded(value):
        return value
    from torch.distributed.tensor import distribute_tensor

    its = cast(Any, like)
    return distribute_tensor(value.to(like.device, like.dtype), its.device_mesh, its.placements, src_data_rank=None)


def local(value: Tensor) -> Tensor:
    """What of a tensor lies in this process, as a view: changing it in place changes the tensor. Under `no_grad`."""
    return cast(Tensor, cast(Any, value).to_local()) if is_sharded(value) else value
