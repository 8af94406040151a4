"""Memory for time: networks that compute their inner values a second time in the backward pass instead of keeping
them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_blocks(network: nn.Module) -> None:
    """Checkpoint the activations of every block of a network, in place: an item of an outermost `ModuleList`, or else
    the network itself.

    Names of parameters stay as they are. The recomputed pass draws the same random numbers, so dropout has the same
    mask.
    """
    for block in list(blocks(network)) or [network]:
        block.forward = partial(_recomputed, block.forward)  # type: ignore[method-assign]


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The blocks of a network: the items of its outermost lists of modules."""
    for child in module.children():
        if isinstance(module, nn.ModuleList) and not isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield child
        else:
            yield from blocks(child)


def _recomputed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)
