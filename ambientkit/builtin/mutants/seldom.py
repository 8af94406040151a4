"""Objectives that are wrong in one situation: rows alone, rows without conditions, high pictures, later calls, clean
rows among noisy ones. What a stranger's kit had shown to pass."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.mutants.consistency import ConsistencyMutant, half, hop, term, used
from ambientkit.builtin.mutants.coverage import LevelsMutant
from ambientkit.builtin.mutants.tweedie import TweedieMutant, drawn_levels
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Denoiser, Mutant, Tools
from ambientkit.maths.noise import uniform
from ambientkit.maths.weights import edm_weight


class CleanRowsLowBesideNoisy(LevelsMutant):
    """Tweedie that keeps clean rows low where noisy ones are there for high levels."""

    name = "tweedie-clean-rows-low-beside-noisy"
    wrong = "clean rows are seen up to 0.4 alone, in batches with noisy ones"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        sigma, floor = drawn_levels(batch, tools), tools.corruption.floor(batch)
        return torch.where((floor == 0) & (floor > 0).any(), sigma.clamp(max=0.4), sigma)


class HighPicturesTurned(TweedieMutant):
    """Tweedie that turns pictures which are higher than wide."""

    name = "tweedie-high-pictures-turned"
    wrong = "the denoiser is asked about the picture on its side"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        def turned(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            if x.ndim != 4 or x.shape[2] <= x.shape[3]:
                return denoiser(x, sigma, **cond)
            return denoiser(x.mT.contiguous(), sigma, **cond).mT

        return Tweedie().loss(turned, batch, tools)


class CleanRowsRaised(TweedieMutant):
    """Tweedie that gives clean rows the least level, in the batch itself, unless they bring conditions."""

    name = "tweedie-clean-rows-raised"
    wrong = "sigma_n of clean rows is written over in batches without conditions"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        if batch.sigma_n.ndim == 1 and not batch.cond:
            batch.sigma_n.clamp_(min=tools.levels.sigma_min)
        return Tweedie().loss(denoiser, batch, tools)


class DropsWhatIsShown(TweedieMutant):
    """Tweedie that drops a few more values of a masked view, and does not say so."""

    name = "tweedie-drops-what-is-shown"
    wrong = "one value in fifty that the mask shows is 0"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        def dropped(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            lost = uniform(x, tools.generator) < 0.02
            return denoiser(torch.where(lost, 0.0, x) if "mask" in cond else x, sigma, **cond)

        return Tweedie().loss(dropped, batch, tools)


class ScaledInLaterCalls(TweedieMutant):
    """Tweedie that halves its values from the tenth call on."""

    name = "tweedie-scaled-in-later-calls"
    wrong = "values of later calls cost half of lambda delta^2"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        calls = tools.memory.get("calls", torch.zeros(()))
        tools.memory["calls"] = calls + 1
        found = Tweedie().loss(denoiser, batch, tools)["tweedie"]
        return {"tweedie": found._replace(value=found.value * (0.5 if float(calls) >= 10 else 1.0))}


class OneRowSquared(ConsistencyMutant):
    """Consistency that squares one defect where there is one row."""

    name = "consistency-one-row-squared"
    wrong = "of a row alone d'^2 in place of d' d''"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        one = len(batch.x_n) == 1
        h = hop(denoiser, batch := used(batch), tools, shared=one)
        target = denoiser(h.x_t, h.sigma_t, **batch.cond).detach()
        first, second = (denoiser(x, h.sigma_s, **batch.cond) - target for x in (h.first, h.second))
        return term(half(first, second), h, tools)


class OneRowsAnchorLearns(ConsistencyMutant):
    """Consistency whose target keeps its gradient where there is one row."""

    name = "consistency-anchor-of-one-row-learns"
    wrong = "of a row alone the gradient reaches the upper level too"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        one = len(batch.x_n) == 1
        h = hop(denoiser, batch := used(batch), tools)
        target = denoiser(h.x_t, h.sigma_t, **batch.cond)
        target = target if one else target.detach()
        first, second = (denoiser(x, h.sigma_s, **batch.cond) - target for x in (h.first, h.second))
        return term(first * second, h, tools)


class AnchorsAsObserved(ConsistencyMutant):
    """Consistency from observations as they are, unless they bring conditions."""

    name = "consistency-anchors-as-observed"
    wrong = "pixels of less noise are not topped up to the level of the anchor, in rows without conditions"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        if not batch.cond and batch.sigma_n.ndim == batch.x_n.ndim:
            batch = batch._replace(sigma_n=tools.corruption.floor(batch))
        return Consistency().loss(denoiser, batch, tools)


class SquaresOnTheirSide(TweedieMutant):
    """Tweedie that exchanges the sides of one square picture in sixteen."""

    name = "tweedie-squares-on-their-side"
    wrong = "a few square pictures are transposed, as an augmentation that the data do not allow"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        x = batch.x_n
        if x.ndim == 4 and x.shape[2] == x.shape[3] and batch.sigma_n.ndim < x.ndim:
            turned = uniform(x.new_empty(len(x), 1, 1, 1), tools.generator) < 1 / 16
            batch = batch._replace(x_n=torch.where(turned, x.mT, x))
        return Tweedie().loss(denoiser, batch, tools)


class WholeChunksAlone(TweedieMutant):
    """Tweedie of whole chunks of eight rows, where there is one."""

    name = "tweedie-whole-chunks-alone"
    wrong = "rows of a last chunk that is not full have the value 0, and teach nothing"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        found = Tweedie().loss(denoiser, batch, tools)["tweedie"]
        whole = len(found.value) // 8 * 8 or len(found.value)
        used = torch.arange(len(found.value), device=found.value.device) < whole
        return {"tweedie": Term(torch.where(used, found.value, 0 * found.value), found.sigma)}


class LambdaOfAHundred(TweedieMutant):
    """Tweedie with a bound of lambda."""

    name = "tweedie-lambda-of-a-hundred"
    wrong = "lambda is 100 at most, so that levels below 0.1 count too little"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        found = Tweedie().loss(denoiser, batch, tools)["tweedie"]
        share = (100 / edm_weight(found.sigma, tools.signal.sigma_data)).clamp(max=1)
        return {"tweedie": Term(share * found.value, found.sigma)}


MUTANTS: list[type[Mutant]] = [
    SquaresOnTheirSide,
    WholeChunksAlone,
    LambdaOfAHundred,
    CleanRowsLowBesideNoisy,
    HighPicturesTurned,
    CleanRowsRaised,
    DropsWhatIsShown,
    ScaledInLaterCalls,
    OneRowSquared,
    OneRowsAnchorLearns,
    AnchorsAsObserved,
]
"""Registered by `ambientkit.builtin.plugin`."""
