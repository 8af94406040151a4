"""The objective `consistency`: carry what is known at sigma_n down to the levels below it."""

from __future__ import annotations

from pydantic import Field

from ambientkit.batch import Batch, Term
from ambientkit.builtin.hops import hops
from ambientkit.interfaces import Denoiser, Objective, Tools


class Consistency(Objective):
    """Carries D from sigma_n to the levels below: D is a martingale of its own reverse process.

    E[D(x_s, sigma_s) | x_t] = D(x_t, sigma_t) under the reverse kernel, sigma_s < sigma_t <= sigma_n. Two independent
    pairs of hops start in x_t, the two hops of a pair with opposite noise. With d', d'' the means of D over the ends of
    a pair, less c = sg[D(x_t, sigma_t)], loss = lambda(sigma_s) mean(d' d''), unbiased for the squared martingale
    defect; a single value may be negative. Terms that are odd in the noise cancel in the mean of a pair, and for short
    hops these are nearly all of it. Anchors x_t are observations at sigma_n, or states that a short chain of the EMA
    teacher reaches below it.
    """

    name = "consistency"
    source = "arXiv 2302.09057, eq. 8; arXiv 2404.10177, section 3.2; pairs, anchors and chains: docs/method.md"
    claims = frozenset(
        {
            "stationary-at-oracle",
            "noise-by-pixel",
            "views-in-law",
            "value-unbiased",
            "detached-anchor",
            "half-backward",
            "serves-masks",
        }
    )
    below_sigma_n = "by making the estimates of neighbouring levels agree (consistency)"

    fraction: float = Field(3 / 16, gt=0, le=1)
    """Share of the batch's rows used."""
    from_observation: float = Field(0.3, ge=0, le=1)
    """Share of the anchors at (x_n, sigma_n); the others lie below it."""
    max_hop: float = Field(0.5, gt=0)
    """The hop log(sigma_t / sigma_s) is uniform on [0, max_hop]. 0.5 is for a sampler of second order; with `ancestral`
    take 0.3."""
    chain_steps: int = Field(2, ge=1)
    """Steps of the teacher's chain from sigma_n to an anchor below it. 2 is for a sampler of second order; with
    `ancestral` take 4."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term, `consistency`, with a value for each row used; rows at or below sigma_min (clean rows) are left
        out.

        Raises InputError where the sampler is not one of the reverse kernel, for which the property does not hold.
        """
        found = hops(
            self.name,
            denoiser,
            batch,
            tools,
            fraction=self.fraction,
            from_observation=self.from_observation,
            max_hop=self.max_hop,
            chain_steps=self.chain_steps,
        )
        if found is None:
            empty = batch.x_n.new_zeros(0)
            return {"consistency": Term(empty, empty)}
        return {"consistency": found.martingale(tools)}
