"""The oracle of linear measurements: a Gaussian mixture seen through an operator of each row and white noise, in closed
form.

y = A x_0 + sigma z. A^T y is sufficient for x_0, so G = A^T A and A^T y are enough. For a component N(m, C), with
r = A^T y - G m and P = (C^-1 + G / sigma^2)^-1: x_0 given y is N(m + P r / sigma^2, P), and the component has the log
weight log w + (m^T (2 A^T y - G m) / sigma^2 + r^T P r / sigma^4 - log det(C P^-1)) / 2, up to a term that all share.
Source: Bishop, "Pattern Recognition and Machine Learning" (2006), eq. 2.113-2.117, and Woodbury's identity, eq. C.7.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.noise import RandomSource, standard_normal, uniform


class LinearPosterior:
    """p(x_0 | y) of a Gaussian mixture for B rows with operators of their own, in float64.

    gram: (B, d, d), A^T A of each row. seen: (B, d), A^T y. sigma: (B,), > 0. The mixture's covariances must be
    regular; A may be anything.
    """

    def __init__(self, law: GaussianMixture, gram: Tensor, seen: Tensor, sigma: Tensor) -> None:
        gram, seen = gram.double().unsqueeze(1), seen.double().unsqueeze(1).unsqueeze(3)
        noise = sigma.double().square().reshape(-1, 1, 1, 1)
        m = law.means.unsqueeze(2)
        factor = torch.linalg.cholesky(law.precisions + gram / noise)
        r = seen - gram @ m
        moved = torch.cholesky_solve(r / noise, factor)
        quadratic = (m * (2 * seen - gram @ m)).sum((2, 3)) / noise[:, :, 0, 0] + (r * moved).sum((2, 3)) / noise[
            :, :, 0, 0
        ]
        determinant = 2 * factor.diagonal(dim1=2, dim2=3).log().sum(2) + law.log_determinants
        self.responsibilities = torch.softmax(law.weights.log() + (quadratic - determinant) / 2, dim=1)
        """(B, K)."""
        self.means = (m + moved).squeeze(3)
        """(B, K, d)."""
        self._factor = factor

    @cached_property
    def covariances(self) -> Tensor:
        """(B, K, d, d)."""
        return torch.cholesky_inverse(self._factor)

    def mean(self) -> Tensor:
        """E[x_0 | y], (B, d)."""
        return torch.einsum("bk,bkd->bd", self.responsibilities, self.means)

    def sample(self, generator: RandomSource) -> Tensor:
        """One draw of x_0 for each row, (B, d)."""
        u = uniform(self.responsibilities[:, :1], generator)
        component = (self.responsibilities.cumsum(1) < u).sum(1).clamp(max=self.means.shape[1] - 1)
        rows = torch.arange(len(component))
        factor = torch.linalg.cholesky(self.covariances[rows, component])
        z = standard_normal(self.means[:, 0], generator)
        return self.means[rows, component] + torch.einsum("bij,bj->bi", factor, z)
