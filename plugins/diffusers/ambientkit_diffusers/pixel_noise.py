"""What noise of pixels becomes in latents: its level, and how far it is from white Gaussian noise.

Each of M pictures y is encoded R times with fresh noise, z_k = E(y + s n_k), n_k ~ N(0, I) in pixels, with one and the
same draw of the VAE; the residuals r_k = z_k - mean_k z are what the noise is in latents, whatever the content. White
Gaussian noise of level sigma, which Tweedie's formula needs, has

    one level         sigma^2 = sum r^2 / (M (R-1) C h w), in every tile of 4 x 4 cells and every picture
    no correlation    between neighbours, sum r_i r_j / sum r^2, nor between channels
    kurtosis 3        mean r^4 / (mean r^2)^2, in each picture and channel
    no bias           E z_k = E(y): a level is added, and the picture stays

y itself carries the noise already, so that what is measured is the response of the encoder at noisy pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ambientkit.inspection import Finding, NoiseVerdict
from ambientkit.maths.noise import standard_normal

PICTURES, REPEATS = 8, 8
"""Pictures that are encoded again, at most, and how often each."""
TILE = 4
"""Cells along a side of a tile whose level is compared with that of others."""
DOUBT, VIOLATED = 0.03, 0.1
"""Correlations, and biases in units of the level, from which white noise is in doubt, and ruled out."""
SPREAD = (1.1, 1.5)
"""Ratios of the levels of two tiles, or channels, from which one level is in doubt, and ruled out."""
KURTOSIS = (0.2, 1.0)
"""The same of the kurtosis beyond 3."""
SURE = 5.0
"""Standard errors that a figure must be from that of white noise, besides."""


class Response(NamedTuple):
    """Noise of pixels in latents, measured."""

    level: float
    """Std over all, units of latents."""
    channels: tuple[float, ...]
    """Std of each channel."""
    tiles: tuple[float, float]
    """Tenth and ninetieth percentile of the levels of tiles, in units of the level; each channel counts alike."""
    across: float
    """Correlation of horizontal neighbours."""
    down: float
    """Correlation of vertical neighbours."""
    between: float
    """The correlation of two channels that is farthest from 0."""
    kurtosis: float
    """Beyond 3."""
    bias: float
    """Root of the mean square of E z - E(y), units of the level."""
    values: int
    """Residuals in all, and independent up to R / (R - 1)."""

    def packed(self) -> Tensor:
        """As one tensor, for the store."""
        plain = (self.level, *self.tiles, self.across, self.down, self.between, self.kurtosis, self.bias, self.values)
        return torch.tensor([*plain, *self.channels], dtype=torch.float64)

    @classmethod
    def unpacked(cls, tensor: Tensor) -> Response:
        """The way back."""
        level, low, high, across, down, between, kurtosis, bias, values, *channels = tensor.tolist()
        return cls(level, tuple(channels), (low, high), across, down, between, kurtosis, bias, int(values))


def respond(
    encode: Callable[[Tensor, int], Tensor], pictures: Sequence[Tensor], noise: float, generator: Generator
) -> Response:
    """Encode each picture (3, H, W) `REPEATS` times with fresh noise of std `noise`, units of [-1, 1].

    encode: (picture (3, H, W), its number) to a latent (C, h, w), always with the same draw of the VAE. Pictures may
    differ in size.
    """
    squares, fourths, tiles = [], [], []
    sums = torch.zeros(3, dtype=torch.float64)  # of r r', across, down, and how often
    pairs = torch.zeros(2, dtype=torch.float64)
    cross: Tensor | None = None
    offset, cells, values = 0.0, 0, 0
    for number, y in enumerate(pictures):
        z = torch.stack([encode(y + noise * standard_normal(y, generator), number) for _ in range(REPEATS)]).double()
        r = (z - z.mean(0)) * (REPEATS / (REPEATS - 1)) ** 0.5
        squares.append(r.square().mean((0, 2, 3)))
        fourths.append(r.pow(4).mean((0, 2, 3)) / squares[-1].square())
        h, w = (size // TILE * TILE for size in r.shape[2:])
        tiled = r[..., :h, :w].reshape(REPEATS, len(r[0]), h // TILE, TILE, w // TILE, TILE)
        tiles.append(tiled.square().mean((0, 3, 5)).flatten(1))
        sums += torch.stack(
            [(r[..., :-1] * r[..., 1:]).sum(), (r[..., :-1, :] * r[..., 1:, :]).sum(), r.square().sum()]
        )
        pairs += torch.tensor([r[..., 1:].numel(), r[..., 1:, :].numel()])
        flat = r.transpose(0, 1).flatten(1)
        cross = flat @ flat.T if cross is None else cross + flat @ flat.T
        offset += float((z.mean(0) - encode(y, number)).square().sum() - r.square().sum() / REPEATS**2)
        cells += z[0].numel()
        values += r.numel()
    assert cross is not None
    by_channel = torch.stack(squares).mean(0)
    variance = float(sums[2]) / values
    shares = torch.cat([(one / by_channel[:, None]).mean(0) for one in tiles]).sqrt()
    scale = cross.diagonal().sqrt()
    between = (cross / (scale[:, None] * scale) - torch.eye(len(scale), dtype=torch.float64)).flatten()
    low, high = (float(shares.quantile(q)) for q in (0.1, 0.9)) if len(shares) else (1.0, 1.0)
    return Response(
        level=variance**0.5,
        channels=tuple(by_channel.sqrt().tolist()),
        tiles=(low, high),
        across=float(sums[0] / pairs[0]) / variance,
        down=float(sums[1] / pairs[1]) / variance,
        between=float(between[between.abs().argmax()]),
        kurtosis=float(torch.stack(fourths).mean()) - 3,
        bias=max(0.0, offset / cells / variance) ** 0.5,
        values=values,
    )


def findings(found: Response, noise: float) -> list[Finding]:
    """What each figure says of the noise, in the names that `inspect` and `--allow` use."""
    error = SURE * found.values**-0.5
    remedy = "Train on pixels, with a network for pictures; or go on knowingly with --allow."
    neighbours = max((found.across, found.down), key=abs)
    dof = TILE**2 * len(found.channels) * (REPEATS - 1)  # of a tile
    chance = 1 + 2 * 1.2816 * (2 * dof) ** -0.5  # the ratio of the percentiles for one level
    ratio = found.tiles[1] / max(found.tiles[0], 1e-12)
    uneven = max(found.channels) / max(min(found.channels), 1e-12)
    shown = " ".join(f"{one:.3g}" for one in found.channels)
    begin = f"noise of pixels of std {noise:g} has std {found.level:.3g} in latents"

    def verdict(value: float, limits: tuple[float, float], least: float) -> NoiseVerdict:
        if value < max(limits[0], least):
            return NoiseVerdict.FINE
        return NoiseVerdict.VIOLATED if value >= max(limits[1], least) else NoiseVerdict.DOUBT

    def finding(name: str, judged: NoiseVerdict, reason: str, value: float) -> Finding:
        return Finding(name, judged, reason, "" if judged is NoiseVerdict.FINE else remedy, value)

    both = (DOUBT, VIOLATED)
    return [
        finding(
            "level",
            verdict(found.bias, both, (SURE * (2 * REPEATS / found.values) ** 0.5 / REPEATS) ** 0.5),
            f"{begin}; it moves the mean of a latent by {found.bias:.2g} of that (0 for noise that is added).",
            found.bias,
        ),
        finding(
            "correlation",
            verdict(abs(neighbours), both, error),
            f"the noise of neighbouring cells is correlated by {found.across:.2g} across and {found.down:.2g} down "
            "(white: 0).",
            neighbours,
        ),
        finding(
            "channels",
            max(
                verdict(abs(found.between), both, error * len(found.channels) ** 0.5),
                verdict(uneven, SPREAD, 1 + 2 * error * (len(found.channels) / 2) ** 0.5),
                key=list(NoiseVerdict).index,
            ),
            f"channels have levels {shown}, and are correlated by up to {found.between:.2g} (white: equal levels, 0).",
            found.between,
        ),
        finding(
            "signal-dependence",
            verdict(ratio, SPREAD, chance * 1.05),
            f"a tenth of the tiles of {TILE} x {TILE} cells has a level below {found.tiles[0]:.3g} of the mean, a "
            f"tenth above {found.tiles[1]:.3g} (white: {2 - (1 + chance) / 2:.3g} and {(1 + chance) / 2:.3g}): it "
            "depends on the content.",
            ratio,
        ),
        finding(
            "tails",
            verdict(abs(found.kurtosis), KURTOSIS, 5 * error),
            f"kurtosis {3 + found.kurtosis:.3g} (Gaussian: 3).",
            found.kurtosis,
        ),
    ]
