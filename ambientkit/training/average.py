"""The average of the weights, which is what samples are drawn with."""

from __future__ import annotations

from copy import deepcopy
from itertools import compress

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ambientkit.checkpoint.base import NONE, Base


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
        pairs = [
            pair
            for pair in zip(self.module.parameters(), network.parameters(), strict=True)
            if id(pair[1]) not in shared
        ]
        averaged = [own.is_floating_point() or own.is_complex() for own, _ in pairs]
        self._own, self._networks = ([pair[side] for pair in compress(pairs, averaged)] for side in (0, 1))
        self._copied: list[tuple[Tensor, Tensor]] = [pair for pair, one in zip(pairs, averaged, strict=True) if not one]
        self._copied += [
            pair for pair in zip(self.module.buffers(), network.buffers(), strict=True) if id(pair[1]) not in shared
        ]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the network's weights as they are now."""
        decay = ema_decay(int(self.n_averaged), self._power, self._inv_gamma, self._max_decay)
        get_ema_multi_avg_fn(decay)(self._own, self._networks, self.n_averaged)
        for own, its in self._copied:
            own.copy_(its)
        self.n_averaged += 1
