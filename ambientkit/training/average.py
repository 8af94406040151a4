"""The average of the weights, which is what samples are drawn with."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from itertools import compress

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ambientkit.checkpoint.base import NONE, Base
from ambientkit.checkpoint.sharded import local


def ema_decay(updates: int, power: float, inv_gamma: float, max_decay: float) -> float:
    """min(max_decay, 1 - (1 + updates / inv_gamma)^-power), at least 0: the warm-up of k-diffusion's `EMAWarmup`."""
    return max(0.0, min(max_decay, 1 - (1 + updates / inv_gamma) ** -power))


class WarmedUpAverage(nn.Module):
    """Exponential moving average of a network's weights with warm-up; buffers are copied. The first update is a copy.

    base: the frozen parameters of the network; it is not copied, but the same tensors here as there.

    Same names and values as torch's `AveragedModel`, which looks for the weights in all modules four times per step,
    for longer than the arithmetic of a small network takes. Here they are found once, when it is built.
    """

    n_averaged: Tensor

    def __init__(self, network: nn.Module, power: float, inv_gamma: float, max_decay: float, base: Base = NONE) -> None:
        super().__init__()
        shared = {id(value): value for name, value in network.state_dict(keep_vars=True).items() if name in base.names}
        self.module = deepcopy(network, dict(shared)).eval().requires_grad_(False)
        self.register_buffer("n_averaged", torch.tensor(0))
        self._power, self._inv_gamma, self._max_decay = power, inv_gamma, max_decay
        self._frozen = base.names
        self.follow(network)

    def follow(self, network: nn.Module) -> None:
        """Find the weights to average, in a network of the same names; anew after both were sharded."""
        pairs = self._pairs(self.module.named_parameters(), network.named_parameters())
        averaged = [own.is_floating_point() or own.is_complex() for own, _ in pairs]
        self._own, self._networks = ([pair[side] for pair in compress(pairs, averaged)] for side in (0, 1))
        self._copied = [pair for pair, one in zip(pairs, averaged, strict=True) if not one]
        self._copied += self._pairs(self.module.named_buffers(), network.named_buffers())

    def _pairs(
        self, own: Iterable[tuple[str, Tensor]], networks: Iterable[tuple[str, Tensor]]
    ) -> list[tuple[Tensor, Tensor]]:
        """Those with those of the network, without the frozen base."""
        return [(mine, its) for (name, mine), (_, its) in zip(own, networks, strict=True) if name not in self._frozen]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the network's weights as they are now."""
        decay = ema_decay(int(self.n_averaged), self._power, self._inv_gamma, self._max_decay)
        own, networks = ([local(value) for value in side] for side in (self._own, self._networks))
        get_ema_multi_avg_fn(decay)(own, networks, self.n_averaged)
        for mine, its in self._copied:
            local(mine).copy_(local(its))
        self.n_averaged += 1
