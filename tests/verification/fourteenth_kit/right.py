"""Right objectives and corruptions that do a thing in an unusual way."""

from __future__ import annotations

import torch

from ambientkit.batch import Batch, take
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.objectives.posterior_buffer import PosteriorBuffer
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.masks import draw_mask
from ambientkit.maths.noise import Mirrored, per_row, standard_normal, uniform

from .bases import Down, OfClean, TopUp, made, numbers
from .corruptions import White


class PlainTopUp(TopUp):
    """The base as it is."""

    name = "kit14-right-top-up"


class PlainDown(Down):
    """The base as it is."""

    name = "kit14-right-down"


class PlainOfClean(OfClean):
    """The base as it is."""

    name = "kit14-right-of-clean"


class Stratified(TopUp):
    """Numbers of the batch are stratified, and dealt out to the rows at random."""

    name = "kit14-right-stratified"

    def levels(self, batch, tools):
        n = len(batch.x_n)
        place = uniform(batch.x_n.new_empty(n), tools.generator).argsort()
        u = ((place + numbers(batch.x_n, tools.generator)) / n).clamp(max=1 - 1e-6)
        low = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(u, low, tools.levels.sigma_max, -1.2, 1.2)


class AntitheticLevels(TopUp):
    """The second half of the rows has the numbers of the first, from the other end."""

    name = "kit14-right-antithetic-levels"

    def levels(self, batch, tools):
        n = len(batch.x_n)
        u = numbers(batch.x_n[: (n + 1) // 2], tools.generator)
        u = torch.cat([u, (1 - u).clamp(max=1 - 1e-6)])[:n]
        low = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return truncated_lognormal(u, low, tools.levels.sigma_max, -1.2, 1.2)


class EachRowOnce(TopUp):
    """A row that repeats in a batch is used once."""

    name = "kit14-right-each-row-once"

    def used(self, batch, tools):
        _, place = batch.row.unique(return_inverse=True)
        first = torch.full((int(place.max()) + 1,), len(place), dtype=torch.int64, device=place.device)
        first = first.scatter_reduce(0, place, torch.arange(len(place), device=place.device), "amin")
        return take(batch, first.sort().values)


class InTwoCalls(TopUp):
    """The denoiser is asked about the halves of the batch in turn."""

    name = "kit14-right-in-two-calls"

    def ask(self, denoiser, view, batch, tools):
        half = (len(view.x) + 1) // 2
        parts = [slice(0, half), slice(half, None)] if len(view.x) > 1 else [slice(None)]
        return torch.cat([denoiser(view.x[p], view.sigma[p], **{k: v[p] for k, v in view.cond.items()}) for p in parts])


class CountsCalls(TopUp):
    """Keeps how often it was called, which changes nothing."""

    name = "kit14-right-counts-calls"

    def used(self, batch, tools):
        tools.memory["calls"] = tools.memory.get("calls", torch.zeros((), dtype=torch.int64)) + 1
        return batch


class Shuffled(TopUp):
    """Rows are used in a random order, with all that belongs to them."""

    name = "kit14-right-shuffled"

    def used(self, batch, tools):
        return take(batch, uniform(batch.x_n.new_empty(len(batch.x_n)), tools.generator).argsort())


class ByTeacher(PosteriorBuffer):
    """Rows of the buffer are drawn by the averaged weights."""

    name = "kit14-right-drawn-by-teacher"

    def _draw(self, denoiser, batch, tools):
        super()._draw(tools.teacher, batch, tools)


class OnlyObservations(Down):
    """Anchors are observations alone; hops reach any lower level at once."""

    name = "kit14-right-long-hops"

    def anchor(self, batch, tools):
        return self.start(batch, tools.corruption.floor(batch), tools)

    def lower(self, anchor, tools):
        return log_uniform(numbers(anchor.x, tools.generator), tools.levels.sigma_min, anchor.sigma)


class EvenLevels(OfClean):
    """Levels log-uniform in the range."""

    name = "kit14-right-log-uniform"

    def levels(self, batch, tools):
        return log_uniform(numbers(batch.x_n, tools.generator), tools.levels.sigma_min, tools.levels.sigma_max)


class PairsOfClean(OfClean):
    """The noise of a pair of rows is mirrored: not one number per row, so that "views-in-law" is not claimed."""

    name = "kit14-right-mirrored-noise"
    claims = OfClean.claims - {"views-in-law"}

    def noise(self, x_0, sigma, tools):
        if len(x_0) % 2:
            return super().noise(x_0, sigma, tools)
        return per_row(sigma, x_0) * standard_normal(x_0, Mirrored(tools.generator))


class NoiseLast(White):
    """Noise of levels that are known is added by its two halves."""

    name = "kit14-right-two-halves"

    def noise(self, x, generator):
        return 0.6 * standard_normal(x, generator) + 0.8 * standard_normal(x, generator)


class PerPixelKept(White):
    """Levels are told with an axis for each of the row's."""

    name = "kit14-right-levels-with-axes"

    def kept(self, batch, generator):
        if isinstance(self.sigma_n, tuple) or batch.x_n.ndim < 2:
            return batch
        return Batch(batch.x_n, per_row(batch.sigma_n, batch.x_n), batch.row, batch.cond)


class MaskInSteps(Mask):
    """What a view hides on top is drawn in two steps of half the chance."""

    name = "kit14-right-hidden-in-two-steps"

    def degrade(self, batch, sigma, generator):
        if self.kind == "boxes":
            return super().degrade(batch, sigma, generator)
        half = 1 - (1 - self.drop) ** 0.5
        more = draw_mask(batch.x_n, self.kind, half, generator) & draw_mask(batch.x_n, self.kind, half, generator)
        return self._view(batch, sigma, self._seen(batch) & more, generator)


RIGHT = made(
    PlainTopUp,
    PlainDown,
    PlainOfClean,
    Stratified,
    AntitheticLevels,
    EachRowOnce,
    InTwoCalls,
    CountsCalls,
    Shuffled,
    ByTeacher,
    OnlyObservations,
    EvenLevels,
    PairsOfClean,
    NoiseLast,
    PerPixelKept,
    MaskInSteps,
)
