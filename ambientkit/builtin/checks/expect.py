"""The check `expect`: E[x_n | x_t] from E[x_0 | x_t] is that of the mixture."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.checks.noise_law import Stronger
from ambientkit.builtin.checks.outcome import exact, largest
from ambientkit.builtin.checks.travel import at_level, key
from ambientkit.interfaces import Case, Check, Corruption, Measured, Part
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.noise import per_row


class Expect(Check):
    """`expect` turns the exact E[x_0 | x_t] into the exact E[x_n | x_t], for one level per data set, per row, per
    pixel, and for clean rows.

    The answer is computed in another way: x_n follows the mixture with covariances C + diag(sigma_n^2), and x_t is x_n
    seen through noise of std sqrt(sigma^2 - sigma_n^2) in each coordinate, which scaling turns into a unit level.
    """

    name = "expect"
    source = "arXiv 2404.10177, Lemma 3.1; Bishop (2006), eq. 2.113-2.117"
    kind = "corruption"
    claim = "gaussian-noise"
    null_law = "exact: tolerance 1e-6"
    detects = "any other mix of E[x_0 | x_t] and x_t"
    meaning = "What a denoiser implies for the observation is wrong: ambient Tweedie with this corruption is biased."
    quick = True

    rows: int = Field(8, ge=4)
    """Points of each kind."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest error over points and kinds of level."""
        assert isinstance(part, Corruption)
        n, d = self.rows, case.law.dimension
        u = torch.rand(n, d, generator=key(case, "expect.levels"), dtype=torch.float64)
        by_row = 0.1 + 0.4 * u[:, 0]
        some_clean = torch.where(torch.arange(n) % 2 == 0, 0.0, by_row)
        kinds = (torch.tensor(0.3, dtype=torch.float64), by_row, some_clean, 0.05 + 0.4 * u)
        errors = []
        for index, sigma_n in enumerate(kinds):
            level = (sigma_n if sigma_n.ndim == 2 else sigma_n.reshape(-1, 1)).expand(n, d)
            sigma = level.amax(1).clamp(min=0.1) * (1.1 + 2 * u[:, 1 % d])
            sigma = torch.where(
                torch.arange(n) % 4 == 3, 1.003 * level.amax(1).clamp(min=0.1), sigma
            )  # where b is close to 1
            x_t = at_level(case.law, sigma, key(case, "expect.points", index))
            x_t = torch.where(torch.arange(n).unsqueeze(1) % 4 == 2, 4 * x_t, x_t)  # far from [-1, 1]
            # The answer depends on x_t, and on the observation not at all.
            batch = Batch(x_t + 0.5, sigma_n, torch.arange(n), {})
            found = part.expect(case.law.posterior_mean(x_t, sigma), View(x_t, sigma, {}), batch)
            right = torch.cat([_observation(case.law, x_t[row : row + 1], sigma[row], level[row]) for row in range(n)])
            errors.append(found.double() - right)
        errors += self._pictures(part, case)
        return exact(largest(errors), 1e-6, n * (len(kinds) + 4))

    def _pictures(self, part: Corruption, case: Case) -> list[Tensor]:
        """The same for pictures, value by value D + b (x_t - D), b = sigma_n^2 / sigma^2: levels per row, per pixel, in
        a pattern with channels of unlike noise, and (B, 1, 1, 1)."""
        n, shape, errors = self.rows, (3, 4, 5), []
        g = key(case, "expect.pictures")
        pixels = 0.05 + 0.4 * torch.rand(n, *shape, generator=g, dtype=torch.float64)
        pattern = torch.linspace(0.05, 0.5, 60, dtype=torch.float64).reshape(shape).expand(n, *shape)
        for sigma_n in (pixels[:, 0, 0, 0], pixels, pattern, pixels[:, :1, :1, :1]):
            x_t, x_0_hat = (torch.randn(n, *shape, generator=g, dtype=torch.float64) for _ in range(2))
            level = per_row(sigma_n, x_t).expand_as(x_t)
            sigma = level.flatten(1).amax(1) * (1.1 + torch.arange(n) % 3)
            batch = Batch(x_t + 0.5, sigma_n, torch.arange(n), {})
            found = part.expect(x_0_hat.clone(), View(x_t, sigma, {}), batch)
            errors.append(found.double() - (x_0_hat + (level / per_row(sigma, x_t)) ** 2 * (x_t - x_0_hat)))
        return errors

    def control(self, part: Part) -> Part:
        """The same corruption, whose answer is 1 % too large."""
        assert isinstance(part, Corruption)
        return Stronger(inner=part)


def _observation(law: GaussianMixture, x_t: Tensor, sigma: Tensor, sigma_n: Tensor) -> Tensor:
    """E[x_n | x_t] for one point (1, d), sigma_n (d,)."""
    scale = (sigma**2 - sigma_n**2).sqrt()
    covariances = (law.covariances + torch.diag(sigma_n**2)) / (scale.unsqueeze(1) * scale)
    return scale * GaussianMixture(law.weights, law.means / scale, covariances).posterior_mean(x_t / scale, 1.0)
