"""Step schedules by name: where the levels of a sampler lie between the first and the last one."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ambientkit.errors import InputError, nearest

RHO = 7.0


def _karras(ramp: Tensor, high: Tensor, low: Tensor) -> Tensor:
    return (high ** (1 / RHO) + ramp * (low ** (1 / RHO) - high ** (1 / RHO))) ** RHO


def _geometric(ramp: Tensor, high: Tensor, low: Tensor) -> Tensor:
    return high * (low / high) ** ramp


def _cosine(ramp: Tensor, high: Tensor, low: Tensor) -> Tensor:
    start, end = torch.atan(high), torch.atan(low)
    return torch.tan(start + ramp * (end - start))


SCHEDULES: dict[str, tuple[Callable[[Tensor, Tensor, Tensor], Tensor], str]] = {
    "karras": (_karras, "even in sigma^(1/7): most steps at low levels (arXiv 2206.00364, eq. 5)"),
    "geometric": (_geometric, "equal ratios: as many steps in each octave"),
    "cosine": (
        _cosine,
        "even in the angle atan(sigma): most steps about sigma = 1 (arXiv 2102.09672, eq. 17, without its offset)",
    ),
}
"""name -> (level at ramp 0..1, what it is)."""


def levels(name: str, steps: int, high: Tensor | float, low: Tensor | float) -> Tensor:
    """`steps` levels from high down to low, row by row, and then exactly 0: (steps + 1, B), float64. high, low: number
    or (B,), high > low > 0.

    So the last step is one call of the denoiser at `low`. A single step has the level `high` alone. Ends are exact.
    Raises InputError for an unknown name, ValueError for steps < 1 and for levels out of order.
    """
    if name not in SCHEDULES:
        raise InputError(
            f"there is no schedule {name!r}{nearest(name, SCHEDULES) or '.'} Known: {', '.join(SCHEDULES)}"
        )
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    first, last = torch.broadcast_tensors(
        *(torch.as_tensor(edge, dtype=torch.float64).reshape(-1) for edge in (high, low))
    )
    if not bool(((first > last) & (last > 0) & (first < math.inf)).all()):
        raise ValueError("a schedule leads from a higher level to a lower one above 0")
    grid = SCHEDULES[name][0](torch.linspace(0, 1, steps, dtype=torch.float64).unsqueeze(1), first, last)
    grid[-1] = last
    grid[0] = first
    return torch.cat([grid, torch.zeros_like(grid[:1])])
