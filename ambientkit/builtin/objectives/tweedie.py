"""The objective `tweedie`: learn E[x_0 | x_t] above the noise of the data, from noisy data alone."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.batch import Batch, Term, View, take
from ambientkit.errors import InputError
from ambientkit.interfaces import ClaimsWhen, Denoiser, Objective, Tools
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, uniform
from ambientkit.maths.weights import edm_weight, hidden_factor, min_snr_weight

CAP_OF_X_0_SCALE = 25.0
"""With this cap or a higher one the factor is 1/a^2 wherever a >= 0.2, which the claim "x_0-scale" says."""
CAP_OF_PAIRS = 1e4
"""Bound of the factor for pairs. Their mean gradient is bounded without one, so this only keeps a >= 0.01, where
float32 still has five digits of rho / a."""


class Tweedie(Objective):
    """Ambient Tweedie: learns E[x_0 | x_t] above sigma_n by predicting x_n from a noisier x_t.

    E[x_n | x_t] = a E[x_0 | x_t] + b x_t;
    loss = lambda(sigma) min(1/a^2, cap) mean(rho^2 - (b (x_t - x_n))^2 - (a sigma_n)^2), rho = a D(x_t, sigma) + b x_t
    - x_n, sigma > sigma_n of the row, lambda the EDM weight (or min-SNR). The terms subtracted from rho^2 do not depend
    on D; without them, and where the cap does not hold, the mean would exceed the lambda E|D - x_0|^2 of training on
    clean data by lambda sigma_n^2 / a, which is noise. A single value may be negative.
    A share `near` of the levels lies in [sigma_n, 1.5 sigma_n], in pairs of one row at one level with +z and -z: their
    mean gradient stays bounded as sigma -> sigma_n, where it is that of Stein's unbiased risk estimate; so the cap
    holds for single draws alone, and the levels next to sigma_n count in full. sigma_n = 0 is ordinary denoising.
    Where the corruption hides values, its own weight takes the place of min(1/a^2, cap): hidden values that were
    measured are compared with x_n itself, at lambda(sigma)^(1 - p) lambda(infinity)^p over the chance that they were
    measured, p = hidden_power, and those that were not count nothing.
    """

    name = "tweedie"
    source = "arXiv 2404.10177, eq. 3.4; weight arXiv 2506.10038; levels arXiv 2206.00364, table 1"
    claims = ClaimsWhen(
        {
            "stationary-at-oracle",
            "noise-by-pixel",
            "views-in-law",
            "levels-above-floor",
            "detached-anchor",
            "serves-masks",
            "serves-operators",
        },
        {"x_0-scale", "scale-under-masks"},
        lambda part: part.cap >= CAP_OF_X_0_SCALE and part.weighting == "edm",
    )

    p_mean: float = -1.2
    """Mean of log sigma."""
    p_std: float = Field(1.2, gt=0)
    """Std of log sigma."""
    near: float = Field(0.5, ge=0, le=1)
    """Share of the levels drawn just above sigma_n, as antithetic pairs."""
    near_ratio: float = Field(1.5, gt=1)
    """Upper end of that range, in units of sigma_n."""
    fraction: float = Field(1.0, gt=0, le=1)
    """Share of the batch's rows used."""
    cap: float = Field(25.0, ge=1)
    """Bound of the factor 1/a^2 where rows are not drawn in pairs."""
    weighting: Literal["edm", "min-snr"] = "edm"
    """lambda, in the scale of x_0: EDM's, or min-SNR's min(1 / sigma^2, snr_gamma / sigma_data^2)."""
    snr_gamma: float = Field(5.0, gt=0)
    """Of min-snr."""
    hidden_power: float | None = Field(None, ge=0, le=1)
    """Of the weight of hidden values: 1 counts them as at pure noise, 0 as values seen at the level of the row. Less
    favours rows that are restored, more favours samples. None: what suits the corruption; for single pixels under
    `mask` 1.5 times the share that is missing, at most 0.6."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term, `tweedie`, with a value for every row used. Raises InputError for rows as noisy as sigma_max."""
        draws = self._drawn(batch, tools)
        batch = take(batch, draws.row)
        sigma = self._levels(batch, draws, tools)
        view, cap = self._views(batch, sigma, draws, tools)
        return {"tweedie": Term(self._value(denoiser, batch, view, cap, tools), sigma)}

    def _drawn(self, batch: Batch, tools: Tools) -> _Draws:
        """The draws for the first `fraction` of the rows: which of them come in pairs, and where their levels
        lie."""
        here = torch.arange(math.ceil(self.fraction * len(batch.x_n)), device=batch.x_n.device)
        couple = here - here % 2
        u = uniform(torch.empty(len(here), 2, device=here.device), tools.generator)
        paired = u[couple, 0] < self.near
        return _Draws(
            here, couple, paired, torch.where(paired, couple, here), torch.where(paired, u[couple, 1], u[:, 1])
        )

    def _levels(self, batch: Batch, draws: _Draws, tools: Tools) -> Tensor:
        """(N,), a level for each row, not below its own; those of pairs next to it."""
        floor, sigma_max = tools.corruption.floor(batch), tools.levels.sigma_max
        if (floor >= sigma_max).any():
            row = int(batch.row[int((floor >= sigma_max).nonzero()[0])])
            raise InputError(
                f"row {row} of the data is as noisy as sigma_max = {sigma_max:g} or noisier: raise "
                "levels.sigma_max or leave it out"
            )
        sigma = truncated_lognormal(
            draws.u, floor.clamp(min=tools.levels.sigma_min), sigma_max, self.p_mean, self.p_std
        ).to(floor.dtype)
        if self.near == 0:
            return sigma
        low = floor.clamp(min=torch.finfo(floor.dtype).tiny)
        close = log_uniform(draws.u.to(floor.dtype), low, (low * self.near_ratio).clamp(max=sigma_max))
        return torch.where(draws.paired & (floor > 0), torch.maximum(close, floor), sigma)

    def _views(self, batch: Batch, sigma: Tensor, draws: _Draws, tools: Tools) -> tuple[View, Tensor]:
        """x_t at these levels, the second of a pair mirrored about x_n; and (N,), the bound of 1/a^2 for each."""
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        cap = torch.full_like(sigma, self.cap)
        if "symmetric-degrade" not in tools.corruption.claims:
            return view, cap
        has_partner = draws.couple + 1 < len(draws.couple)  # the last of an odd number has none
        cap = torch.where(draws.paired & has_partner, max(self.cap, CAP_OF_PAIRS), cap)
        second = per_row((draws.paired & (draws.here % 2 == 1)).to(batch.x_n.dtype), batch.x_n) > 0
        return view._replace(x=torch.where(second, 2 * batch.x_n - view.x[draws.couple], view.x)), cap

    def _value(self, denoiser: Denoiser, batch: Batch, view: View, cap: Tensor, tools: Tools) -> Tensor:
        """(N,), lambda(sigma) mean(min(1/a^2, cap) (rho^2 - what no network changes))."""
        x_0_hat = denoiser(view.x, view.sigma, **view.cond).to(batch.x_n.dtype)
        rho = tools.corruption.expect(x_0_hat, view, batch) - batch.x_n
        a = tools.corruption.slope(view, batch)
        # Independent of D, so it only lowers variance: b (x_t - x_n) is the residual where D implies x_n, a sigma_n the
        # noise in x_n.
        at_0 = tools.corruption.expect(torch.zeros_like(x_0_hat), view, batch)
        in_vain = (a * batch.x_n + at_0 - batch.x_n) ** 2 + (a * per_row(batch.sigma_n, batch.x_n)) ** 2
        power = tools.corruption.hidden_power if self.hidden_power is None else self.hidden_power
        hidden = hidden_factor(view.sigma, tools.signal.sigma_data, power)
        factor = tools.corruption.weight(view, batch, cap, hidden)
        return self._lambda(view.sigma, tools.signal.sigma_data) * (factor * (rho**2 - in_vain)).flatten(1).mean(1)

    def _lambda(self, sigma: Tensor, sigma_data: float) -> Tensor:
        if self.weighting == "min-snr":
            return min_snr_weight(sigma, sigma_data, self.snr_gamma)
        return edm_weight(sigma, sigma_data)


class _Draws(NamedTuple):
    """Rows are taken two by two; a couple is either two rows, or one row as a pair. All (N,)."""

    here: Tensor
    """0, 1, 2, ..."""
    couple: Tensor
    """0, 0, 2, 2, ..."""
    paired: Tensor
    """Whether both of the couple are its first row."""
    row: Tensor
    """The row of the batch that is taken."""
    u: Tensor
    """Uniform draws for the level, one for a pair."""
