"""Hypothesis strategies: mixtures and batches, all in float64."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.randomness import keyed_generator


@st.composite
def mixtures(draw, max_modes: int = 6, max_dimension: int = 8):
    """A mixture of 1 to 6 modes in 1 to 8 dimensions with full covariances; the numbers come from a drawn seed."""
    modes, dimension = draw(st.integers(1, max_modes)), draw(st.integers(1, max_dimension))
    generator = keyed_generator(draw(st.integers(0, 2**31)), "mixture")
    factors = torch.randn(modes, dimension, dimension, generator=generator, dtype=torch.float64) / dimension**0.5
    covariances = factors @ factors.mT * 0.5 + 0.02 * torch.eye(dimension, dtype=torch.float64)
    means = torch.randn(modes, dimension, generator=generator, dtype=torch.float64) * 1.5
    weights = torch.rand(modes, generator=generator, dtype=torch.float64) + 0.1
    return GaussianMixture(weights, means, covariances)
