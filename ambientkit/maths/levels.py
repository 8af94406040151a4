"""Random noise levels with a floor, and decreasing grids of levels.

Levels are drawn from the density *restricted* to (floor, ceiling), by inverting its distribution function: a draw is
never clamped onto the floor, where the Tweedie gradient is zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST, GREATEST = 1e-6, 1e6
"""The levels that differ from 0, and from infinity, beside values of about 1 in float32: what is computed at
others is rounding."""


def truncated_lognormal(
    u: Tensor, floor: Tensor | float, ceiling: Tensor | float, p_mean: float, p_std: float
) -> Tensor:
    """Levels sigma in [floor, ceiling] with log sigma normal(p_mean, p_std) restricted to that range.

    u: (N,) uniform on [0, 1). floor, ceiling: number or (N,), 0 <= floor < ceiling. Where the range lies so far in a
    tail that the normal has no mass left in double precision, levels are log-uniform in it. Returns (N,), dtype of u.
    Source: the density is that of EDM, arXiv 2206.00364, table 1.
    """
    v = u.double()
    low, high = (
        torch.as_tensor(edge, dtype=torch.float64, device=u.device).expand(u.shape) for edge in (floor, ceiling)
    )
    # By symmetry the upper tail is computed as a lower one: ndtr keeps its precision only there.
    f_low, f_high = (torch.special.ndtr(-(edge.log() - p_mean) / p_std) for edge in (low, high))
    mass = f_low - f_high
    sigma = torch.exp(p_mean - p_std * torch.special.ndtri(f_low - v * mass))
    tail = log_uniform(v, low.clamp(min=torch.finfo(torch.float64).tiny), high)
    sigma = torch.where((mass > 0) & sigma.isfinite(), sigma, tail)
    return torch.minimum(torch.maximum(sigma, low), high).to(u.dtype)  # rounding only: both edges are already respected


def log_uniform(u: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Levels with log sigma uniform on [log low, log high]: low^(1-u) high^u. u: (N,) uniform on [0, 1); 0 < low <=
    high."""
    low, high = (torch.as_tensor(edge, dtype=u.dtype, device=u.device) for edge in (low, high))
    return torch.minimum(
        torch.maximum(low * (high / low) ** u, low), high
    )  # the power may round to just beyond an edge


def edm_grid(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """`steps` levels from sigma_max down to sigma_min, evenly spaced in sigma^(1/rho); float64, shape (steps,).

    One level gives (sigma_max,). Source: arXiv 2206.00364, eq. 5.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    grid = (sigma_max ** (1 / rho) + ramp * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))) ** rho
    grid[0] = sigma_max
    return grid


def geometric_grid(start: Tensor, end: Tensor, levels: int) -> Tensor:
    """`levels` levels from start down to end with equal ratios, row by row. start, end: (B,), > 0. Returns (levels,
    B)."""
    ramp = torch.linspace(0, 1, levels, dtype=start.dtype, device=start.device).unsqueeze(1)
    grid = start * (end / start) ** ramp
    grid[0], grid[-1] = start, end
    return grid


def power_grid(start: Tensor, end: Tensor, levels: int, rho: float) -> Tensor:
    """`levels` levels from start down to end, evenly spaced in sigma^(1/rho), row by row. start, end: (B,), > 0.
    Returns (levels, B)."""
    ramp = torch.linspace(0, 1, levels, dtype=start.dtype, device=start.device).unsqueeze(1)
    grid = (start ** (1 / rho) + ramp * (end ** (1 / rho) - start ** (1 / rho))) ** rho
    grid[0], grid[-1] = start, end
    return grid
