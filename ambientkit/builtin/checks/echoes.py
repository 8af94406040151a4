"""Whether noise on larger pictures, of three channels, repeats itself anywhere: a probe for `noise-law` and
`degrade-law`."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.builtin.checks.outcome import all_normal, square_score
from ambientkit.builtin.checks.travel import key
from ambientkit.interfaces import Case, Corruption, Measured
from ambientkit.maths.noise import per_row, standard_normal

SHAPE, ROWS = (3, 20, 18), 50
"""Larger than a tile of 16 or 8, of the number of channels that colours have, with sides that differ."""
COUNTS = (3, 5)
"""Channels: as many as colours have, which a camera weighs, and more, of which some program takes one for an
opacity."""
NOISE, RATIO = 0.3, 2.0
"""Level of the rows, and how many times it their views have."""


def observed_without_echoes(part: Corruption, case: Case) -> Measured:
    """What `observe` adds, over its level; places without noise are filled with other noise."""
    x_0 = _pictures(case)
    batch = part.observe(x_0.clone(), torch.arange(ROWS), key(case, "echoes.observe"))
    level = per_row(batch.sigma_n, x_0).expand_as(x_0)
    filler = standard_normal(x_0, key(case, "echoes.filler"))
    e = torch.where(level > 0, (batch.x_n.double() - x_0) / torch.where(level > 0, level, 1.0), filler)
    return without_echoes(e, "observe")


def degraded_without_echoes(part: Corruption, case: Case) -> Measured:
    """What `degrade` adds to rows of noise `NOISE`, over what it should."""
    x_n = _pictures(case)
    sigma_n = torch.full((ROWS,), NOISE, dtype=torch.float64)
    batch = Batch(x_n, sigma_n, torch.arange(ROWS), {})
    view = part.degrade(batch, RATIO * sigma_n, key(case, "echoes.degrade"))
    return without_echoes((view.x.double() - x_n) / (NOISE * (RATIO**2 - 1) ** 0.5), "degrade")


def whole_in_each_channel(part: Corruption, case: Case) -> Measured:
    """Mean squares of what `observe` and `degrade` add to pictures of `COUNTS` channels, channel by channel."""
    scores = []
    for channels in COUNTS:
        x_0 = torch.rand(20, channels, 6, 7, generator=key(case, "echoes.channels"), dtype=torch.float64) - 0.5
        batch = part.observe(x_0.clone(), torch.arange(20), key(case, "echoes.channels.observe"))
        level = per_row(batch.sigma_n, x_0).expand_as(x_0)
        filler = standard_normal(x_0, key(case, "echoes.channels.filler"))
        e = torch.where(level > 0, (batch.x_n.double() - x_0) / torch.where(level > 0, level, 1.0), filler)
        sigma_n = torch.full((20,), NOISE, dtype=torch.float64)
        view = part.degrade(
            Batch(x_0, sigma_n, torch.arange(20), {}), RATIO * sigma_n, key(case, "echoes.channels.degrade")
        )
        other = (view.x.double() - x_0) / (NOISE * (RATIO**2 - 1) ** 0.5)
        scores += [float(square_score(one[:, c])) for one in (e, other) for c in range(channels)]
    found = all_normal(scores, 20 * 6 * 7 * sum(COUNTS))
    why = "a channel of several is given other noise than the rest"
    return found._replace(why=why if found.p_value < 1e-6 else "")


def without_echoes(e: Tensor, whose: str) -> Measured:
    """The largest score of e (B, C, H, W) with itself, moved round by any number of channels, rows and columns.

    For white standard normal noise the mean product at each such distance is normal with mean 0 and variance 1 / n of n
    values, or 2 / n where twice the distance is none, as each product is met twice then. Bonferroni over distances.
    """
    n = e.numel()
    spectrum = torch.fft.fftn(e, dim=(1, 2, 3))
    found = torch.fft.ifftn(spectrum.abs().square().sum(0), dim=(0, 1, 2)).real / n**0.5
    halves = [torch.tensor([(2 * i) % size == 0 for i in range(size)]) for size in e.shape[1:]]
    twice = halves[0].reshape(-1, 1, 1) & halves[1].reshape(-1, 1) & halves[2]
    scores = (found / torch.where(twice, 2.0, 1.0).sqrt()).flatten()[1:]
    measured = all_normal(scores, n)
    why = f"what {whose} adds to larger pictures repeats itself, or channels share it"
    return measured._replace(why=why if measured.p_value < 1e-6 else "")


def _pictures(case: Case) -> Tensor:
    return torch.rand(ROWS, *SHAPE, generator=key(case, "echoes.pictures"), dtype=torch.float64) - 0.5
