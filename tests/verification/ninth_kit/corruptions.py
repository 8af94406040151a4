"""Corruptions of noise that are wrong."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.interfaces import Corruption
from ambientkit.maths.ambient import tweedie_mix
from ambientkit.maths.noise import RandomSource, highest_level, per_row, standard_normal, uniform


class White(Corruption):
    """Gaussian noise, in pieces."""

    name = "nine-white-base"
    source = "arXiv 2404.10177, Lemma 3.1"
    claims = frozenset({"gaussian-noise", "symmetric-degrade", "row-generators"})
    std: float = 0.2
    """sigma_n."""

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n."""
        sigma_n = self.level(x_0, row, generator)
        return Batch(x_0 + per_row(sigma_n, x_0) * self.first(x_0, row, generator), sigma_n, row, {})

    def level(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Tensor:
        """(B,)."""
        return x_0.new_full((len(x_0),), self.std)

    def first(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Tensor:
        """z of the data."""
        return standard_normal(x_0, generator)

    def second(self, batch: Batch, generator: RandomSource) -> Tensor:
        """z of a view."""
        return standard_normal(batch.x_n, generator)

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """x_t."""
        self.refuse(batch, sigma)
        own = self.own(batch)
        missing = (per_row(sigma, batch.x_n) ** 2 - own**2).clamp(min=0).sqrt()
        return View(batch.x_n + missing.to(batch.x_n.dtype) * self.second(batch, generator), sigma, batch.cond)

    def own(self, batch: Batch) -> Tensor:
        """sigma_n as it is topped up."""
        return per_row(batch.sigma_n, batch.x_n)

    def refuse(self, batch: Batch, sigma: Tensor) -> None:
        """Raises ValueError naming the row."""
        below = sigma < self.floor(batch)
        if below.any():
            raise ValueError(f"row {int(batch.row[int(below.nonzero()[0])])} cannot be seen below its own noise level")

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """a D + b x_t."""
        return tweedie_mix(x_0_hat, view.x, view.sigma, batch.sigma_n)

    def floor(self, batch: Batch) -> Tensor:
        """(B,)."""
        return highest_level(batch.sigma_n, batch.x_n)


class OfSignal(White):
    """The level of a row follows its brightness, as shot noise does, and is known."""

    name = "nine-level-of-signal"

    def level(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Tensor:
        """0.2 + 0.1 mean(x_0)."""
        return (0.2 + 0.1 * x_0.flatten(1).mean(1)).clamp(min=0.05)


class OfNoisy(White):
    """The level told is estimated from the noisy row."""

    name = "nine-level-estimated"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """sigma_n from |x_n|."""
        batch = super().observe(x_0, row, generator)
        return batch._replace(sigma_n=(self.std * (0.7 + 0.3 * batch.x_n.flatten(1).abs().mean(1))))


class FirstGenerator(White):
    """The levels of all rows come from the first row's generator."""

    name = "nine-levels-of-first-generator"

    def level(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Tensor:
        """Uniform on [0.1, 0.3]."""
        first = generator[0] if isinstance(generator, list | tuple) else generator
        return 0.1 + 0.2 * uniform(x_0.new_empty(len(x_0)), first)


class NumpyNoise(White):
    """Noise of numpy, keyed by the row and not by the run."""

    name = "nine-noise-keyed-by-row"

    def first(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Tensor:
        """From default_rng(row)."""
        drawn = [np.random.default_rng(int(one)).standard_normal(tuple(x_0.shape[1:])) for one in row]
        return torch.from_numpy(np.stack(drawn)).to(x_0) if drawn else torch.zeros_like(x_0)


class NumpyGlobal(White):
    """A view's noise from numpy's global generator."""

    name = "nine-numpy-views"

    def second(self, batch: Batch, generator: RandomSource) -> Tensor:
        """np.random."""
        return torch.from_numpy(np.random.standard_normal(tuple(batch.x_n.shape))).to(batch.x_n)


class Demosaiced(White):
    """Neighbouring values share some of their noise, as in demosaiced pictures."""

    name = "nine-demosaiced"

    def first(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Tensor:
        """(z_i + 0.3 z_(i+1)) / sqrt(1.09)."""
        z = standard_normal(x_0, generator)
        return (z + 0.3 * z.roll(1, -1)) / 1.09**0.5


class UniformNoise(White):
    """Views with uniform noise of the right variance."""

    name = "nine-uniform-views"

    def second(self, batch: Batch, generator: RandomSource) -> Tensor:
        """On [-sqrt(3), sqrt(3)]."""
        return (2 * uniform(batch.x_n, generator) - 1) * 3**0.5


class MaxForPixels(White):
    """Noise per pixel is topped up by what its largest lacks."""

    name = "nine-tops-up-by-largest"

    def own(self, batch: Batch) -> Tensor:
        """The largest of the row."""
        return per_row(self.floor(batch), batch.x_n)


class FloorNumber(White):
    """The floor of rows that share a level is one number."""

    name = "nine-floor-of-no-axis"

    def floor(self, batch: Batch) -> Tensor:
        """()."""
        return batch.sigma_n.max() if batch.sigma_n.numel() else batch.sigma_n.sum()


class FloorRms(White):
    """The floor of noise per pixel is its root mean square."""

    name = "nine-floor-rms"

    def floor(self, batch: Batch) -> Tensor:
        """(B,)."""
        return per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).square().mean(1).sqrt()


class SafeDivision(White):
    """1e-4 is added to sigma^2, so that nothing is divided by 0."""

    name = "nine-epsilon-in-b"

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """b = sigma_n^2 / (sigma^2 + 1e-4)."""
        b = self.own(batch) ** 2 / (per_row(view.sigma, view.x) ** 2 + 1e-4)
        return (1 - b) * x_0_hat + b * view.x


class LeastA(White):
    """a is at least 0.05, for stable training."""

    name = "nine-least-a"

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """max(a, 0.05) D + b x_t."""
        b = (self.own(batch) / per_row(view.sigma, view.x)) ** 2
        return (1 - b).clamp(min=0.05) * x_0_hat + b * view.x


class OwnSlope(White):
    """A slope of its own, without squares."""

    name = "nine-slope-of-stds"

    def slope(self, view: View, batch: Batch) -> Tensor:
        """1 - sigma_n / sigma."""
        return (1 - self.own(batch) / per_row(view.sigma, view.x)).expand_as(view.x)


class NoCap(White):
    """1/a^2 without the bound that was asked for."""

    name = "nine-weight-without-cap"

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """1/a^2."""
        return 1 / self.slope(view, batch) ** 2


class NoisyStd(White):
    """The std of clean data is that of the noisy rows."""

    name = "nine-std-of-noisy"

    def clean_std(self, batch: Batch) -> float:
        """std(x_n)."""
        return float(batch.x_n.double().std(unbiased=False))


class NamesPlace(White):
    """A row that cannot be seen is named by its place in the batch."""

    name = "nine-names-place"

    def refuse(self, batch: Batch, sigma: Tensor) -> None:
        """Raises ValueError with the place."""
        below = sigma < self.floor(batch)
        if below.any():
            raise ValueError(f"row {int(below.nonzero()[0])} cannot be seen below its own noise level")


class DetachedExpect(White):
    """What is expected has no gradient."""

    name = "nine-expect-without-gradient"

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """For logging, it was thought."""
        return super().expect(x_0_hat, view, batch).detach()


class AddsTwice(White):
    """A view keeps its level in its conditions."""

    name = "nine-view-adds-condition"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """With sigma in the batch's own conditions."""
        view = super().degrade(batch, sigma, generator)
        view.cond["level"] = sigma
        return view


PARTS: tuple[type[Corruption], ...] = (
    OfSignal,
    OfNoisy,
    FirstGenerator,
    NumpyNoise,
    NumpyGlobal,
    Demosaiced,
    UniformNoise,
    MaxForPixels,
    FloorNumber,
    FloorRms,
    SafeDivision,
    LeastA,
    OwnSlope,
    NoCap,
    NoisyStd,
    NamesPlace,
    DetachedExpect,
    AddsTwice,
)
