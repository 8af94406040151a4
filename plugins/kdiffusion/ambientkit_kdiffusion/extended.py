"""Pictures of sizes that no patch divides: a network sees them on a larger canvas."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import pad


def extend(network: nn.Module, inside: tuple[int, int], canvas: tuple[int, int]) -> nn.Module:
    """The same network for pictures (B, C, *inside), which it sees as (B, C, *canvas): below them and to their right
    are zeros, which in a mask say that nothing was measured. Its answer there is cut off.

    Its weights keep their names.
    """
    bottom, right = canvas[0] - inside[0], canvas[1] - inside[1]

    def before(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (pad(given[0], (0, right, 0, bottom)), *given[1:])

    def after(_: nn.Module, given: tuple[Any, ...], answer: Tensor) -> Tensor:
        return answer[..., : inside[0], : inside[1]]

    network.register_forward_pre_hook(before)
    network.register_forward_hook(after)
    return network
