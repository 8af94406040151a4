"""The objective `split-levels`: clean rows teach the low levels only, and noisy copies of them the levels above."""

from __future__ import annotations

import torch
from pydantic import Field

from ambientkit.batch import Batch, Term
from ambientkit.errors import InputError
from ambientkit.interfaces import ClaimsWhen, Denoiser, Objective, Tools
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, uniform
from ambientkit.maths.weights import edm_weight


class SplitLevels(Objective):
    """Clean rows are denoised up to the level `clean_below` only; above it noisy copies of them teach, by Tweedie.

    loss = lambda(sigma) min(1/a^2, cap) mean(rho^2 - (b (x_t - x_n))^2 - (a sigma_n)^2), rho = a D(x_t, sigma) + b x_t
    - x_n, as in `tweedie`. Rows at or below sigma_min are clean (a = 1, b = 0: ordinary denoising), and are seen at
    sigma_min <= sigma <= clean_below; the others are copies x_n = x_0 + sigma_n z of clean rows, made once, and are
    seen at copies_from sigma_n < sigma <= sigma_max. lambda: the EDM weight. So of a training row the network learns
    above `clean_below`, where it is decided which picture is drawn, only its noisy copy; details it learns from clean
    rows. Both parts are unbiased for E[x_0 | x_t], so that the minimum is that of training on clean rows.

    With few rows take copies_from = 2, and clean_below = 2 sigma_n (docs/memorisation.md). A network that has learned a
    copy by its noise answers (x_n - b x_t) / a to x_t = x_n + sqrt(sigma^2 - sigma_n^2) z', which is off x_n by
    sigma_n^2 / sqrt(sigma^2 - sigma_n^2) z': without bound next to sigma_n, by 0.58 sigma_n z' at twice of it.

    A copy must stay the same in all epochs: fresh noise in each would give its clean row away. A share of the rows held
    out at random would hold copies whose clean rows are trained on: say hold_out 0.
    """

    name = "split-levels"
    source = (
        "arXiv 2502.21278, abstract (noisy data at large noise scales); arXiv 2404.10177, eq. 3.4; "
        "arXiv 2206.00364, table 1"
    )
    claims = ClaimsWhen(
        {
            "stationary-at-oracle",
            "noise-by-pixel",
            "views-in-law",
            "clean-rows-low",
            "x_0-scale",
            "detached-anchor",
        },
        {"levels-above-floor"},
        lambda part: part.copies_from == 1,
    )
    below_sigma_n = "from clean rows, which are used at the low levels alone"

    clean_below: float = Field(0.4, gt=0)
    """Highest level at which clean rows are used; as a rule copies_from times the sigma_n of the copies."""
    copies_from: float = Field(1.0, ge=1, le=4)
    """Lowest level at which copies are used, over their sigma_n."""
    p_mean: float = -1.2
    """Mean of log sigma, before the restriction to the levels of the row."""
    p_std: float = Field(1.2, gt=0)
    """Std of log sigma."""
    cap: float = Field(25.0, ge=25)
    """Bound of the factor 1/a^2. Next to sigma_n it holds, and clean rows teach these levels."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term, `split`, with a value for every row. Raises InputError for rows as noisy as sigma_max, and for a
        `clean_below` outside the range of levels."""
        sigma = self._levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        x_0_hat = denoiser(view.x, sigma, **view.cond).to(batch.x_n.dtype)
        rho = tools.corruption.expect(x_0_hat, view, batch) - batch.x_n
        a = tools.corruption.slope(view, batch)
        # What no network changes; taken off, it lowers the variance of the value.
        in_vain = (tools.corruption.expect(batch.x_n, view, batch) - batch.x_n) ** 2 + (
            a * per_row(batch.sigma_n, batch.x_n)
        ) ** 2
        value = (capped_inverse_square(a, self.cap) * (rho**2 - in_vain)).flatten(1).mean(1)
        return {"split": Term(edm_weight(sigma, tools.signal.sigma_data) * value, sigma)}

    def _levels(self, batch: Batch, tools: Tools) -> torch.Tensor:
        """(N,): of clean rows up to `clean_below`, of copies from `copies_from` times their own noise."""
        floor, low, high = tools.corruption.floor(batch), tools.levels.sigma_min, tools.levels.sigma_max
        if not low < self.clean_below <= high:
            raise InputError(
                f"split-levels: clean_below {self.clean_below:g} should be above sigma_min {low:g}, and not above "
                f"sigma_max {high:g}"
            )
        bottom = self.copies_from * floor
        if (bottom >= high).any():
            row = int(batch.row[int((bottom >= high).nonzero()[0])])
            least = f" / copies_from = {high / self.copies_from:g}" if self.copies_from > 1 else f" = {high:g}"
            raise InputError(
                f"row {row} of the data is as noisy as sigma_max{least} or noisier: raise levels.sigma_max or leave it "
                "out"
            )
        top = torch.where(floor <= low, torch.full_like(floor, self.clean_below), torch.full_like(floor, high))
        u = uniform(torch.empty(len(batch.x_n), device=batch.x_n.device, dtype=batch.x_n.dtype), tools.generator)
        return truncated_lognormal(u, bottom.clamp(min=low), top, self.p_mean, self.p_std).to(floor.dtype)
