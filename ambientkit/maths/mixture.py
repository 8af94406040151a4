"""The oracle: a Gaussian mixture seen through Gaussian noise, in closed form.

If x_0 has density sum_k w_k N(m_k, C_k), then x = x_0 + sigma z has density sum_k w_k N(m_k, C_k + sigma^2 I), and
everything a diffusion model estimates is known. Source: standard normal theory, e.g. Bishop, "Pattern Recognition and
Machine Learning" (2006), eq. 2.113-2.117.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Generator, Tensor

from ambientkit.maths.noise import RandomSource, as_row_levels, standard_normal, uniform


class GaussianMixture:
    """A Gaussian mixture with full covariances, in float64.

    weights: (K,), positive, taken relative to their sum. means: (K, d). covariances: (K, d, d), symmetric, positive
    semi-definite. Points are (B, d), or any (B, *S) with d elements per row; sigma is a number or (B,), in the same
    units, >= 0. Raises ValueError for parameters of other shapes or kinds, and for sigma = 0 under a singular
    covariance.
    """

    def __init__(self, weights, means, covariances) -> None:
        self.weights, self.means, self.covariances = (
            torch.as_tensor(v, dtype=torch.float64) for v in (weights, means, covariances)
        )
        if self.weights.ndim != 1 or self.means.ndim != 2 or len(self.means) != len(self.weights):
            raise ValueError(
                f"weights {tuple(self.weights.shape)} and means {tuple(self.means.shape)} must be (K,) and (K, d)"
            )
        components, self.dimension = self.means.shape
        if self.covariances.shape != (components, self.dimension, self.dimension):
            raise ValueError(
                f"covariances must be {(components, self.dimension, self.dimension)}, not "
                f"{tuple(self.covariances.shape)}"
            )
        if not (self.weights > 0).all():
            raise ValueError("every weight must be positive")
        if not torch.allclose(self.covariances, self.covariances.mT, rtol=1e-10, atol=1e-12):
            raise ValueError("every covariance must be symmetric")
        self.weights = self.weights / self.weights.sum()
        eigenvalues, self._basis = torch.linalg.eigh(self.covariances)  # C_k = U_k diag(L_k) U_k^T
        if eigenvalues.min() < -1e-10 * eigenvalues.max():
            raise ValueError("every covariance must be positive semi-definite")
        self._variances = eigenvalues.clamp(min=0)  # rounding of eigh only, checked above
        # All components side by side, (d, K d) and (K d, K): one product of matrices takes a third of the time of K
        # small ones, and of sums over a short last axis.
        self._turned = self._basis.permute(1, 0, 2).flatten(1)
        self._origin = torch.einsum("kij,ki->kj", self._basis, self.means).flatten()
        self._summed = torch.eye(components, dtype=torch.float64).repeat_interleave(self.dimension, 0)

    @cached_property
    def precisions(self) -> Tensor:
        """(K, d, d), the inverse covariances. Raises RuntimeError where one is singular."""
        return torch.linalg.inv(self.covariances)

    @cached_property
    def log_determinants(self) -> Tensor:
        """(K,), log det C_k."""
        return torch.logdet(self.covariances)

    def log_prob(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log p_sigma(x), the density of x_0 + sigma z. Returns (B,), float64."""
        return torch.logsumexp(self._log_joint(*self._project(x, sigma)), dim=1)

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """grad log p_sigma(x) = (E[x_0 | x] - x) / sigma^2, computed without that division. Returns the shape of x,
        float64."""
        y, total = self._project(x, sigma)
        return -self._average_of_turned(self._responsibilities(y, total), y / total).reshape(x.shape)

    def posterior_mean(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """E[x_0 | x_0 + sigma z = x] (Tweedie: x + sigma^2 score). Returns the shape of x, float64."""
        y, total = self._project(x, sigma)
        r = self._responsibilities(y, total)
        return (r @ self.means + self._average_of_turned(r, self._variances / total * y)).reshape(x.shape)

    def posterior_covariance(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Cov[x_0 | x_0 + sigma z = x]: within plus between components. Returns (B, d, d), float64."""
        y, total = self._project(x, sigma)
        r = self._responsibilities(y, total)
        means = self.means + torch.einsum("kij,bkj->bki", self._basis, self._variances / total * y)
        noise = as_row_levels(sigma, y).square()[:, None, None]
        scaled = self._basis * (self._variances * noise / total).unsqueeze(2)
        within = scaled @ self._basis.mT
        spread = means - torch.einsum("bk,bkd->bd", r, means).unsqueeze(1)
        return torch.einsum("bk,bkij->bij", r, within + spread.unsqueeze(3) * spread.unsqueeze(2))

    def sample(self, n: int, generator: Generator) -> Tensor:
        """n independent draws of x_0. Returns (n, d), float64."""
        component = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn(n, self.dimension, generator=generator, dtype=torch.float64)
        return self.means[component] + torch.einsum(
            "nij,nj->ni", self._basis[component], self._variances[component].sqrt() * z
        )

    def sample_posterior(self, x: Tensor, sigma: Tensor | float, generator: RandomSource) -> Tensor:
        """One independent draw of x_0 given x_0 + sigma z = x, for each row. Returns the shape of x, float64."""
        y, total = self._project(x, sigma)
        r = self._responsibilities(y, total)
        u = uniform(r[:, :1], generator)
        component = (r.cumsum(1) < u).sum(1).clamp(max=len(self.weights) - 1)  # the last sum may round to just below 1
        rows = torch.arange(len(y))
        noise = as_row_levels(sigma, y).square().unsqueeze(1)
        shrunk = self._variances[component] / total[rows, component]
        spread = (shrunk * noise).sqrt()
        drawn = shrunk * y[rows, component] + spread * standard_normal(spread, generator)
        turned = torch.einsum("bij,bj->bi", self._basis[component], drawn)
        return (self.means[component] + turned).reshape(x.shape)

    def denoiser(self):
        """The exact `Denoiser` D(x, sigma) = E[x_0 | x]; conditions are ignored. Returns the shape and dtype of x."""

        def exact(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return self.posterior_mean(x, sigma).to(x.dtype)

        return exact

    def _project(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor]:
        """Points in each component's eigenbasis, U_k^T (x - m_k), and the variances L_k + sigma^2 there; both (B, K,
        d)."""
        flat = (x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)).double()
        if flat.shape[1] != self.dimension:
            raise ValueError(
                f"points of shape {tuple(x.shape)} do not have the {self.dimension} elements a row of this mixture"
            )
        levels = as_row_levels(sigma, flat)
        total = self._variances + levels.square()[:, None, None]
        if not (levels >= 0).all() or not (total > 0).all():
            raise ValueError("sigma must be >= 0, and > 0 where a covariance is singular")
        return (flat @ self._turned - self._origin).unflatten(1, self.means.shape), total

    def _log_joint(self, y: Tensor, total: Tensor) -> Tensor:
        exponents = (y.square() / total + torch.log(2 * torch.pi * total)).flatten(1)
        return self.weights.log() - 0.5 * exponents @ self._summed

    def _responsibilities(self, y: Tensor, total: Tensor) -> Tensor:
        # Over the first axis, along which rows lie side by side: torch takes five times as long over a short last one.
        return torch.softmax(self._log_joint(y, total).mT.contiguous(), dim=0).mT

    def _average_of_turned(self, r: Tensor, vectors: Tensor) -> Tensor:
        """sum_k r_k U_k v_k, (B, d), for v (B, K, d)."""
        return (r.unsqueeze(2) * vectors).flatten(1) @ self._turned.mT
