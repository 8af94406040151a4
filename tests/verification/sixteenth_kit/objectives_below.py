"""Wrong objectives at and below the noise of the data."""

from __future__ import annotations

import torch

from ambientkit.batch import Term
from ambientkit.maths.levels import geometric_grid, power_grid, truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.fifteenth_kit.bases import draws, made
from tests.verification.fifteenth_kit.bases_below import Below, Split, Stein, Store, at, twice


class OneSeedForBothPairs(Below):
    """The generator is put back between the two pairs, so that both have the same ends: d' d'' is d'^2."""

    name = "kit16-both-pairs-of-one-seed"

    def ends(self, denoiser, anchor, sigma_s, tools):
        state = tools.generator.get_state()
        first = self.pair(denoiser, anchor, sigma_s, tools)
        tools.generator.set_state(state)
        return [first, self.pair(denoiser, anchor, sigma_s, tools)]


class MirroredAboutTheAnchor(Below):
    """The second end of a pair is 2 x_t - x_s: mirrored about x_t, where the mean of x_s is r x_t + (1 - r) D."""

    name = "kit16-ends-mirrored-about-the-anchor"

    def pair(self, denoiser, anchor, sigma_s, tools):
        grid = torch.stack([anchor.sigma, sigma_s])
        x = tools.sampler.sample(denoiser, anchor.x, grid, tools.generator, anchor.cond)
        return torch.cat([x, 2 * anchor.x - x])


class EndsAsInForward(Below):
    """The ends are forward draws, D + sigma_s z, "which have the level": they forget where the chain was."""

    name = "kit16-ends-drawn-forward"

    def pair(self, denoiser, anchor, sigma_s, tools):
        x_0 = self.known(denoiser, anchor, tools)
        z = per_row(sigma_s, x_0) * standard_normal(x_0, tools.generator)
        return torch.cat([x_0 + z, x_0 - z])


class HalfTheGradient(Below):
    """The second defect is detached and the factor of two left out: half of the gradient."""

    name = "kit16-half-backward-without-its-two"

    def product(self, first, second):
        return (first * second.detach()).flatten(1).mean(1)


class HalfWay(Below):
    """The target is the mean of D at the anchor and of the answer itself, detached: half the defect."""

    name = "kit16-target-half-way"

    def defect(self, said, known):
        return said - (known + said.detach()) / 2


class BelowSigmaMin(Below):
    """Hops are not cut at sigma_min: the denoiser is asked at levels the run does not have."""

    name = "kit16-hops-below-sigma-min"

    def lower(self, anchor, tools):
        return anchor.sigma * torch.exp(-0.4 * draws(anchor.x, tools.generator))


class DefectNormalised(Below):
    """Both defects are divided by their own norms, a cosine, "as magnitudes differ by level"."""

    name = "kit16-cosine-of-the-defects"

    def product(self, first, second):
        a, b = (
            d / d.detach().flatten(1).norm(dim=1).reshape(-1, *[1] * (d.ndim - 1)).clamp(min=1e-6)
            for d in (first, second)
        )
        return (a * b).flatten(1).mean(1)


class NeverNegative(Below):
    """The product of the defects of each row, no lower than 0, as a squared norm is."""

    name = "kit16-product-no-lower-than-0"

    def product(self, first, second):
        return (first * second).flatten(1).mean(1).relu()


class ProductOfMeans(Below):
    """The mean over the picture is taken before the product, so that only the mean brightness is taught."""

    name = "kit16-product-of-the-rows-means"

    def product(self, first, second):
        return first.flatten(1).mean(1) * second.flatten(1).mean(1)


class ChainToldTheFloor(Below):
    """The chain is sampled on a grid that stops a step early, and the anchor is told the level it was to reach."""

    name = "kit16-chain-stops-a-step-early"

    def chain(self, view, floor, sigma, moved, tools):
        grid = geometric_grid(floor[moved], sigma[moved], 4)[:-1]
        return tools.sampler.sample(tools.teacher, view.x[moved], grid, tools.generator, at(view.cond, moved))


class ChainOfTheFirstRows(Below):
    """The ends of chains are put in the first places, and not where their rows are, as the batch was cut, not
    indexed."""

    name = "kit16-chains-put-into-the-first-places"

    def anchor(self, batch, tools):
        found = super().anchor(batch, tools)
        floor = tools.corruption.floor(batch)
        moved = (found.sigma < floor).nonzero().squeeze(1)
        sigma = found.sigma.clone()
        sigma[: len(moved)] = found.sigma[moved]
        sigma[len(moved) :] = floor[len(moved) :]
        return found._replace(sigma=sigma)


class CondOfOneHalf(Below):
    """The conditions of the two halves of the ends are interleaved, (a, a, b, b), where the ends are (a, b, a, b)."""

    name = "kit16-conditions-interleaved"

    def at_ends(self, denoiser, ends, sigma_s, anchor):
        cond = {name: value.repeat_interleave(2, 0) for name, value in anchor.cond.items()}
        found = denoiser(ends, sigma_s.repeat(2), **cond).to(ends.dtype)
        return found.unflatten(0, (2, -1)).mean(0)


class LevelsInterleaved(Below):
    """The levels of the ends are interleaved, where the ends are not."""

    name = "kit16-levels-of-the-ends-interleaved"

    def at_ends(self, denoiser, ends, sigma_s, anchor):
        found = denoiser(ends, sigma_s.repeat_interleave(2), **twice(anchor.cond)).to(ends.dtype)
        return found.unflatten(0, (2, -1)).mean(0)


class GradientThroughKnown(Below):
    """D at the anchor has its gradient, "as both sides should agree"."""

    name = "kit16-anchor-with-gradient"

    def known(self, denoiser, anchor, tools):
        return denoiser(anchor.x, anchor.sigma, **anchor.cond).to(anchor.x.dtype)


class BatchDecides(Split):
    """Clean rows are seen at low levels where the whole batch is clean; beside a noisy row they are seen at all."""

    name = "kit16-clean-if-the-whole-batch-is"

    def clean(self, floor, tools):
        return (floor.max() <= tools.levels.sigma_min).expand_as(floor)


class CleanBelowTimesData(Split):
    """`clean_below` is read as a ratio to a std of one half, and is twice as high in units of the data."""

    name = "kit16-clean-below-twice-as-high"

    def levels(self, batch, tools):
        low, high = self.low(batch, tools), tools.levels.sigma_max
        top = torch.where(
            self.clean(tools.corruption.floor(batch), tools),
            torch.full_like(low, 2 * self.clean_below),
            torch.full_like(low, high),
        )
        return truncated_lognormal(draws(batch.x_n, tools.generator).to(low), low, top, -1.2, 1.2)


class OneSignForARow(Stein):
    """The probe is one sign for each row, and the estimate holds all off-diagonal derivatives."""

    name = "kit16-one-sign-for-a-row"

    def probe(self, x, tools):
        sign = torch.where(draws(x, tools.generator) < 0.5, -1.0, 1.0).to(x)
        return per_row(sign, x).expand_as(x)


class OneProbeOfRows(Stein):
    """Probe uniform on [-1, 1], of variance 1/3: a third of the divergence."""

    name = "kit16-probe-uniform-on-minus-one-one"

    def probe(self, x, tools):
        return 2 * uniform(x, tools.generator) - 1


class OneValueProbed(Stein):
    """One value of each row is probed, and its derivative is not multiplied by their number."""

    name = "kit16-one-value-probed"

    def probe(self, x, tools):
        flat = torch.zeros_like(x).flatten(1)
        place = (draws(x, tools.generator) * flat.shape[1]).long().clamp(max=flat.shape[1] - 1)
        flat[torch.arange(len(flat), device=x.device), place] = 1.0
        return flat.reshape(x.shape)


class DivergenceWithoutGraph(Stein):
    """The divergence is a number without graph: it changes the value, and nothing of the gradient."""

    name = "kit16-divergence-detached"

    def slope(self, x_0_hat, x, probe):
        return torch.autograd.grad((x_0_hat * probe).sum(), x, retain_graph=True)[0]


class SteinOfTheData(Stein):
    """The noise of the risk is the mean sigma of the batch."""

    name = "kit16-risk-by-the-batch-s-mean-noise"

    def noise(self, sigma, x):
        return sigma.mean() ** 2


class KeepsMeans(Store):
    """Keeps posterior means, one call each, which are smoother than the data."""

    name = "kit16-stores-posterior-means"

    def draw(self, denoiser, view, top, tools):
        return denoiser(view.x, top, **view.cond).to(view.x.dtype)


class StopsAtAThird(Store):
    """The chain of a draw ends at a third of sigma_n, and what is left of the noise is kept as data."""

    name = "kit16-chain-ends-at-a-third"

    def draw(self, denoiser, view, top, tools):
        low = torch.maximum(top / 3, torch.full_like(top, tools.levels.sigma_min)).minimum(top)
        grid = power_grid(top, low, 8, 3.0)
        return tools.sampler.sample(denoiser, view.x, grid, tools.generator, view.cond)


class OneDrawForAll(Store):
    """Draws are the mean of two, "less noisy"."""

    name = "kit16-mean-of-two-draws"

    def draw(self, denoiser, view, top, tools):
        return (super().draw(denoiser, view, top, tools) + super().draw(denoiser, view, top, tools)) / 2


class CondsOfTheBatch(Store):
    """The draws are taken at random and their conditions from the first rows of the batch."""

    name = "kit16-conditions-of-the-batch-for-the-store"

    def conds(self, memory, which, batch):
        return {name: value[: len(which)] for name, value in batch.cond.items()}


class StoreMixed(Store):
    """What is kept is moved a tenth towards the draw before it with each call, "to augment": mixtures of rows."""

    name = "kit16-stores-the-mean-of-neighbours"

    def keep(self, denoiser, batch, tools):
        super().keep(denoiser, batch, tools)
        x_0 = tools.memory["x_0"]
        count = min(int(tools.memory["count"]), len(x_0))
        x_0[:count] = 0.9 * x_0[:count] + 0.1 * x_0[:count].roll(1, 0)


class TermOfTheFloors(Below):
    """The levels of the term are the floors of the first rows of the batch, not those the values were taken at."""

    name = "kit16-term-sigma-of-the-anchor"

    def loss(self, denoiser, batch, tools):
        term = super().loss(denoiser, batch, tools)["below"]
        return {"below": Term(term.value, tools.corruption.floor(batch)[: len(term.value)])}


WRONG = made(
    OneSeedForBothPairs,
    MirroredAboutTheAnchor,
    EndsAsInForward,
    HalfTheGradient,
    HalfWay,
    BelowSigmaMin,
    DefectNormalised,
    NeverNegative,
    ProductOfMeans,
    ChainToldTheFloor,
    ChainOfTheFirstRows,
    CondOfOneHalf,
    LevelsInterleaved,
    GradientThroughKnown,
    BatchDecides,
    CleanBelowTimesData,
    OneSignForARow,
    OneProbeOfRows,
    OneValueProbed,
    DivergenceWithoutGraph,
    SteinOfTheData,
    KeepsMeans,
    StopsAtAThird,
    OneDrawForAll,
    CondsOfTheBatch,
    StoreMixed,
    TermOfTheFloors,
)
