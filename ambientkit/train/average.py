"""The average of the weights, which is what samples are drawn with."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def ema_decay(updates: int, power: float, inv_gamma: float, max_decay: float) -> float:
    """min(max_decay, 1 - (1 + updates / inv_gamma)^-power), at least 0: the warm-up of k-diffusion's `EMAWarmup`."""
    return max(0.0, min(max_decay, 1 - (1 + updates / inv_gamma) ** -power))


class WarmedUpAverage(AveragedModel):
    """Exponential moving average of a network's weights with warm-up; buffers are copied. The first update is a copy."""

    def __init__(self, network: nn.Module, power: float, inv_gamma: float, max_decay: float) -> None:
        def update(average: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
            # One call for all tensors: for a small network, one a tensor takes as long as the arithmetic.
            get_ema_multi_avg_fn(ema_decay(int(updates), power, inv_gamma, max_decay))(average, current, updates)

        super().__init__(network, multi_avg_fn=update)
        self.module.eval().requires_grad_(False)
