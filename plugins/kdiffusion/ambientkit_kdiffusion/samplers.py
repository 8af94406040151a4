"""k-diffusion's samplers, under its own names."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ambientkit.interfaces import ClaimsWhen
from ambientkit_kdiffusion.sampler import KDiffusionSampler, Noise

ROWS = frozenset({"row-generators"})
LAW = frozenset({"final-law", "grid-levels"})


class Churned(KDiffusionSampler):
    """Samplers of the probability-flow equation that may raise a level sigma, adding noise, before each step."""

    noise = "churn"

    s_churn: float = Field(0.0, ge=0)
    """Noise added over the run: sigma is raised to sigma (1 + min(s_churn / steps, sqrt 2 - 1)). 0 is deterministic."""
    s_tmin: float = Field(0.0, ge=0)
    """No noise is added below this level."""
    s_tmax: float | None = Field(None, gt=0)
    """No noise is added above this level; left out, there is no such bound."""
    s_noise: float = Field(1.0, ge=0)
    """Factor of the added noise."""


class Renoised(KDiffusionSampler):
    """Samplers that add fresh noise in each step."""

    noise: ClassVar[Noise] = "white"

    eta: float = Field(1.0, ge=0, le=1)
    """Share of fresh noise; 0 is deterministic. Beyond 1 a step of second order would ask below the lowest level."""
    s_noise: float = Field(1.0, ge=0)
    """Factor of the fresh noise; only 1 keeps the law."""


def at_unit_noise(*extra: str) -> ClaimsWhen:
    """The claims of a sampler that draws from the right law where eta = 1 and s_noise = 1, as they are by default."""
    return ClaimsWhen(ROWS, LAW | {*extra}, lambda part: part.eta == part.s_noise == 1)


def without_churn(*extra: str) -> ClaimsWhen:
    """The claims of a deterministic sampler, as long as no noise is added before its steps."""
    return ClaimsWhen(ROWS, LAW | {*extra}, lambda part: part.s_churn == 0)


class Euler(Churned):
    """Euler's rule on the probability-flow equation, one evaluation a step."""

    name = "sample_euler"
    source = "arXiv 2206.00364, algorithm 2 without its second-order correction"
    claims = without_churn("order-1")


class Heun(Churned):
    """Heun's second-order rule on the probability-flow equation; with s_churn > 0 EDM's stochastic sampler."""

    name = "sample_heun"
    source = "arXiv 2206.00364, algorithm 2"
    claims = without_churn("order-2")


class DPM2(Churned):
    """The midpoint rule in log sigma on the probability-flow equation, two evaluations a step."""

    name = "sample_dpm_2"
    source = "k-diffusion 0.1.1.post1, sample_dpm_2; after DPM-Solver-2, arXiv 2206.00927"
    claims = without_churn("order-2")


class LMS(KDiffusionSampler):
    """Linear multistep (Adams-Bashforth with unequal steps) on the probability-flow equation, one evaluation a step."""

    name = "sample_lms"
    source = "k-diffusion 0.1.1.post1, sample_lms"
    claims = ClaimsWhen(ROWS | LAW | {"order-1"}, {"order-2"}, lambda part: part.order > 1)
    noise = "none"

    order: int = Field(4, ge=1)
    """Slopes used, the newest first."""


class DPMpp2M(KDiffusionSampler):
    """DPM-Solver++(2M): a multistep rule on the probability-flow equation, one evaluation a step."""

    name = "sample_dpmpp_2m"
    source = "arXiv 2211.01095, algorithm 2"
    claims = ROWS | LAW | {"order-2"}
    noise = "none"


class EulerAncestral(Renoised):
    """Euler's rule down to sigma_down, then noise of std sigma_up; with eta = 1 this is the reverse step of
    `ancestral`.

    sigma_up = eta sigma_s sqrt(1 - r), sigma_down = sqrt(sigma_s^2 - sigma_up^2), r = sigma_s^2 / sigma_t^2. With eta =
    1, sigma_down / sigma_t = r, so the mean is r x_t + (1 - r) D. Claims "reverse-kernel" for eta = 1 and s_noise = 1
    only.
    """

    name = "sample_euler_ancestral"
    source = "k-diffusion 0.1.1.post1, sample_euler_ancestral; for eta = 1 arXiv 2006.11239, eq. 6-7"
    claims = at_unit_noise("reverse-kernel", "exact-for-points", "order-1")


class DPM2Ancestral(Renoised):
    """The midpoint rule of `sample_dpm_2` down to sigma_down, then noise of std sigma_up.

    It keeps the law of x_s, not the kernel: in a short hop E[D(x_s)] is off D(x_t) nearly as far as without noise.
    """

    name = "sample_dpm_2_ancestral"
    source = "k-diffusion 0.1.1.post1, sample_dpm_2_ancestral"
    claims = at_unit_noise("exact-for-points", "order-2")

    eta: float = Field(1.0, ge=0, le=1)
    """Share of fresh noise; 0 is deterministic. Above 1 sigma_down may reach 0, where the function adds no noise at
    all."""


class DPMpp2SAncestral(Renoised):
    """DPM-Solver++(2S) down to sigma_down, then noise of std sigma_up.

    It keeps the law of x_s, not the kernel: in a short hop E[D(x_s)] is off D(x_t) nearly as far as without noise.
    """

    name = "sample_dpmpp_2s_ancestral"
    source = "arXiv 2211.01095, algorithm 1; ancestral noise: k-diffusion 0.1.1.post1"
    claims = at_unit_noise("exact-for-points", "order-2")


class DPMppSDE(Renoised):
    """DPM-Solver++ for the reverse stochastic equation, two evaluations a step, whose noise is that of one Brownian
    path.

    With eta = 1 and s_noise = 1 it draws from the reverse kernel, and more exactly than `ancestral`: on eight modes of
    std .1 a hop from sigma .3 to .225 leaves E[D(x_s)] off D(x_t) by .008 rms, against .024 of `ancestral` and .047 of
    a deterministic step.
    """

    name = "sample_dpmpp_sde"
    source = "arXiv 2211.01095; k-diffusion 0.1.1.post1, sample_dpmpp_sde"
    claims = at_unit_noise("reverse-kernel", "exact-for-points", "order-2")
    noise = "nested"

    r: float = Field(0.5, gt=0, le=1)
    """Where the second evaluation lies in the step, in -log sigma."""


class DPMpp2MSDE(Renoised):
    """DPM-Solver++(2M) for the reverse stochastic equation, one evaluation a step.

    With eta = 1 and s_noise = 1 it draws from the reverse kernel: its first step is that of `ancestral`, later ones are
    more exact.
    """

    name = "sample_dpmpp_2m_sde"
    source = "arXiv 2211.01095; k-diffusion 0.1.1.post1, sample_dpmpp_2m_sde"
    claims = at_unit_noise("reverse-kernel", "exact-for-points", "order-2")

    solver_type: Literal["midpoint", "heun"] = "midpoint"
    """Form of the second-order term."""


class DPMpp3MSDE(Renoised):
    """DPM-Solver++(3M) for the reverse stochastic equation, one evaluation a step.

    With eta = 1 and s_noise = 1 it draws from the reverse kernel: its first step is that of `ancestral`, later ones are
    more exact.
    """

    name = "sample_dpmpp_3m_sde"
    source = "k-diffusion 0.1.1.post1, sample_dpmpp_3m_sde"
    claims = at_unit_noise("reverse-kernel", "exact-for-points", "order-2")
