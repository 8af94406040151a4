"""Wrong variants of the corruption `mask`, and of the objective `tweedie` on rows with missing values."""

from __future__ import annotations

import abc
import dataclasses

import torch
from pydantic import InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, Term, View
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Corruption, Denoiser, Mutant, Objective, Tools
from ambientkit.maths.ambient import tweedie_mix
from ambientkit.maths.noise import RandomSource, per_row
from ambientkit.maths.weights import HIDDEN

RIGHT = Mask(sigma_n=(0.1, 0.4), drop=0.3)


class MaskMutant(Mutant, Corruption, abc.ABC):
    """What these mutants share: the right part's claims, and its methods where nothing is wrong with them."""

    mutant_of = "mask"
    claims = Mask.claims
    carries = Mask.carries

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """The right part's."""
        return self.observed(x_0, RIGHT.observe(x_0, row, generator))

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The right part's."""
        return self.degraded(batch, sigma, generator)

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """The right part's."""
        return self.expected(x_0_hat, view, batch)

    def floor(self, batch: Batch) -> Tensor:
        """The right part's."""
        return RIGHT.floor(batch)

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """The right part's."""
        return self.weighed(view, batch, cap, hidden)

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The right part's."""
        return RIGHT.show(batch, sigma, generator)

    def unseen(self, batch: Batch) -> str:
        """The right part's."""
        return RIGHT.unseen(batch)

    def clean_std(self, batch: Batch) -> float:
        """The right part's."""
        return RIGHT.clean_std(batch)

    def observed(self, x_0: Tensor, batch: Batch) -> Batch:
        """What becomes of the right observations."""
        return batch

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """x_n to A~ x_t."""
        return RIGHT.degrade(batch, sigma, generator)

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """E[x_n | view]."""
        return RIGHT.expect(x_0_hat, view, batch)

    def weighed(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """What errors count."""
        return RIGHT.weight(view, batch, cap, hidden)


class FrozenFurtherMask(MaskMutant):
    """Masks whose further mask is drawn once for each row, as published code does."""

    name = "mask-frozen-further-mask"
    wrong = "the further mask is a function of the row, so that what it hides is hidden for good"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        kept = [torch.Generator().manual_seed(int(row)) for row in batch.row]
        shown = batch.cond["mask"] & RIGHT.degrade(batch, sigma, kept).cond["mask"] if "mask" in batch.cond else None
        if shown is None:
            return RIGHT.degrade(batch, sigma, kept)
        return RIGHT.show(batch._replace(cond={**batch.cond, "mask": shown}), sigma, generator)


class NoFurtherMask(MaskMutant):
    """Masks whose views show all that was measured."""

    name = "mask-no-further-mask"
    wrong = "nothing more is hidden, so that hidden values are never learnt"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return RIGHT.show(batch, sigma, generator)


class MaskOfAnotherRow(MaskMutant):
    """Masks that take the mask of the next row for their own."""

    name = "mask-of-another-row"
    wrong = "the mask of the next row in the batch"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        if "mask" in batch.cond:
            batch = batch._replace(cond={**batch.cond, "mask": batch.cond["mask"].roll(1, 0)})
        return RIGHT.degrade(batch, sigma, generator)


class TellsTheFirstMask(MaskMutant):
    """Masks whose views give the denoiser the mask of the row in place of their own."""

    name = "mask-tells-the-first-mask"
    wrong = "the denoiser is given A in place of A~"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = RIGHT.degrade(batch, sigma, generator)
        return view._replace(cond={**view.cond, **{k: v for k, v in batch.cond.items() if k == "mask"}})


class LeavesHiddenValues(MaskMutant):
    """Masks whose views still hold the values that they hide."""

    name = "mask-leaves-hidden-values"
    wrong = "hidden values stay in x_t"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = RIGHT.degrade(batch, sigma, generator)
        return view._replace(x=torch.where(view.cond["mask"], view.x, batch.x_n))


class HidesTheBright(MaskMutant):
    """Masks that depend on the picture: values above 0.6 are missing besides."""

    name = "mask-hides-the-bright"
    wrong = "the mask depends on the values under it"

    def observed(self, x_0: Tensor, batch: Batch) -> Batch:
        seen = batch.cond["mask"].expand_as(x_0) & (x_0 < 0.6)
        return batch._replace(x_n=torch.where(seen, batch.x_n, 0.0), cond={"mask": seen})


class HidesWhatIsLarge(MaskMutant):
    """Masks whose further mask depends on the observation."""

    name = "mask-hides-what-is-large"
    wrong = "large values are hidden rather than small ones"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = RIGHT.degrade(batch, sigma, generator)
        shown = view.cond["mask"] & (batch.x_n < 0.9)
        return view._replace(x=torch.where(shown, view.x, 0.0), cond={**view.cond, "mask": shown})


class MixesWhatIsHidden(MaskMutant):
    """Masks that expect hidden values as if x_t were seen there."""

    name = "mask-mixes-what-is-hidden"
    wrong = "a h + b x_t for hidden values too"

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        right = RIGHT.expect(x_0_hat, view, batch)
        return torch.where(right == 0, right, tweedie_mix(x_0_hat, view.x, view.sigma, batch.sigma_n))


class ExpectsWhatIsMissing(MaskMutant):
    """Masks that expect x_0_hat where nothing was measured."""

    name = "mask-expects-what-is-missing"
    wrong = "missing values are compared with the 0 that stands for them"

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        seen = batch.cond["mask"] if "mask" in batch.cond else torch.ones_like(view.cond["mask"])
        return torch.where(seen, RIGHT.expect(x_0_hat, view, batch), x_0_hat)


class ExpectsByTheFloor(MaskMutant):
    """`expect` that takes the level of the noisiest value measured for all of a row."""

    name = "mask-expects-by-the-floor"
    wrong = "where noise is known pixel by pixel, all values are mixed by the highest level"

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        return RIGHT.expect(x_0_hat, view, batch._replace(sigma_n=RIGHT.floor(batch)))


class TopsUpByTheFloor(MaskMutant):
    """A view that adds to all values what the noisiest one lacks."""

    name = "mask-tops-up-by-the-floor"
    wrong = "where noise is known pixel by pixel, quiet values stay below the level of the view"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return RIGHT.degrade(batch._replace(sigma_n=RIGHT.floor(batch)), sigma, generator)


class ForgetsK(MaskMutant):
    """Masks whose hidden values count as if all of them had been measured."""

    name = "mask-forgets-k"
    wrong = "hidden values are not divided by the chance that they were measured"

    def weighed(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        weight = RIGHT.weight(view, batch, cap, hidden)
        level = per_row(hidden.to(weight.dtype), weight)
        return torch.where(view.cond["mask"] | (weight == 0), weight, level)


class CountsWhatIsShown(MaskMutant):
    """Masks whose errors count where the view shows something, and nowhere else."""

    name = "mask-counts-what-is-shown"
    wrong = "hidden values count nothing: nothing is learnt of them"

    def weighed(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        return RIGHT.weight(view, batch, cap, torch.zeros_like(hidden))


class TweedieForgetsTheWeight(Mutant, Objective):
    """Tweedie that weighs hidden values like shown ones."""

    name = "tweedie-forgets-the-weight"
    mutant_of = "tweedie"
    claims = Tweedie.claims
    wrong = "min(1/a^2, cap) in place of the weight that the corruption gives"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie().loss(denoiser, batch, _with(tools, _PlainWeight(inner=tools.corruption)))


class TweedieOnePowerForAllMasks(Mutant, Objective):
    """Tweedie that leaves the power of hidden values to the corruption, and does not ask it."""

    name = "tweedie-one-power-for-all-masks"
    mutant_of = "tweedie"
    claims = Tweedie.claims
    wrong = "hidden values count by the power 0.6, for any share that is missing"

    hidden_power: float | None = None
    """Of hidden values; None: that of the corruption."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie(hidden_power=HIDDEN).loss(denoiser, batch, tools)


class TweedieHidesNothing(Mutant, Objective):
    """Tweedie that shows the denoiser all that was measured."""

    name = "tweedie-hides-nothing"
    mutant_of = "tweedie"
    claims = frozenset({"stationary-at-oracle", "serves-masks"})
    wrong = "views are those that a row is restored from: hidden values are never held against what was measured"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie(near=0.0).loss(denoiser, batch, _with(tools, _Shows(inner=tools.corruption)))


class TweedieCountsWhatIsMissing(Mutant, Objective):
    """Tweedie that takes every row for whole."""

    name = "tweedie-counts-what-is-missing"
    mutant_of = "tweedie"
    claims = Tweedie.claims
    wrong = "the mask of the row is forgotten: the 0 of missing values is taken for what was measured"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        whole = {name: value for name, value in batch.cond.items() if name != "mask"}
        return Tweedie().loss(denoiser, batch._replace(cond=whole), tools)


class _PlainWeight(Corruption):
    """A corruption that gives no weight of its own."""

    name = "plain-weight"

    inner: InstanceOf[Corruption]

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """The inner corruption's."""
        return self.inner.observe(x_0, row, generator)

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The inner corruption's."""
        return self.inner.degrade(batch, sigma, generator)

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """The inner corruption's."""
        return self.inner.expect(x_0_hat, view, batch)

    def floor(self, batch: Batch) -> Tensor:
        """The inner corruption's."""
        return self.inner.floor(batch)


class _Shows(_PlainWeight):
    """A corruption whose views hide nothing more."""

    name = "shows"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """All that was measured."""
        return self.inner.show(batch, sigma, generator)

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """The inner corruption's."""
        return self.inner.weight(view, batch, cap, hidden)


def _with(tools: Tools, corruption: Corruption) -> Tools:
    return dataclasses.replace(tools, corruption=corruption)


class HidesTheFirstChannel(MaskMutant):
    """Masks that hide a value in the first channel of a picture alone."""

    name = "mask-hides-the-first-channel"
    wrong = "other channels hold what the mask of the view hides"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = RIGHT.degrade(batch, sigma, generator)
        if batch.x_n.ndim != 4:
            return view
        return view._replace(x=torch.cat([view.x[:, :1], torch.where(view.cond["mask"], view.x, batch.x_n)[:, 1:]], 1))


MUTANTS = [
    HidesTheFirstChannel,
    FrozenFurtherMask,
    NoFurtherMask,
    MaskOfAnotherRow,
    TellsTheFirstMask,
    LeavesHiddenValues,
    HidesTheBright,
    HidesWhatIsLarge,
    MixesWhatIsHidden,
    ExpectsWhatIsMissing,
    ExpectsByTheFloor,
    TopsUpByTheFloor,
    ForgetsK,
    CountsWhatIsShown,
    TweedieForgetsTheWeight,
    TweedieOnePowerForAllMasks,
    TweedieHidesNothing,
    TweedieCountsWhatIsMissing,
]
