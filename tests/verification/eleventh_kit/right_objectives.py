"""Right objectives that look unusual."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Term, take
from ambientkit.errors import InputError
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.eleventh_kit.bases import ABOVE, Above


class Stratified(Above):
    """Levels of a batch lie in strata, the first of which is chosen at random: uniform for each row."""

    name = "kit11-stratified"

    def levels(self, batch, tools):
        """Log-uniform above the floor."""
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        if (floor >= tools.levels.sigma_max).any():
            raise InputError("kit11: a row is as noisy as sigma_max")
        u = uniform(floor, tools.generator)
        u = (u[:1] + torch.arange(len(u)).to(u) / len(u) + 0 * u) % 1
        return log_uniform(u, floor, tools.levels.sigma_max)


class ByViewContrast(Above):
    """Weighs rows by the contrast of the view, which the expectation is conditioned on."""

    name = "kit11-by-view-contrast"

    def weigh(self, residual, view, batch, tools):
        """(B,)."""
        contrast = view.x.flatten(1).var(1, unbiased=False)
        return super().weigh(residual, view, batch, tools) / (contrast.detach() + 0.05)


class CoarseToo(Above):
    """Adds the squared error of means of neighbours: a quadratic form of the residual, so its minimum is the same."""

    name = "kit11-coarse-too"

    def weigh(self, residual, view, batch, tools):
        """(B,)."""
        coarse = (residual + residual.roll(1, -1)).flatten(1).square().mean(1) / 4
        return super().weigh(residual, view, batch, tools) + coarse / (view.sigma**2 + 1)


class ShuffledValues(Above):
    """Works on the rows in a random order and gives values and levels in that order."""

    name = "kit11-shuffled-values"

    def loss(self, denoiser, batch, tools):
        """One term."""
        order = uniform(batch.x_n.flatten(1)[:, 0], tools.generator).argsort()
        return super().loss(denoiser, take(batch, order), tools)


class InChunks(Above):
    """Asks the denoiser three rows at a time."""

    name = "kit11-in-chunks"

    def ask(self, denoiser, view, batch, tools):
        """D, in pieces."""
        pieces = []
        for start in range(0, len(view.x), 3):
            at = slice(start, start + 3)
            cond = {name: value[at] for name, value in view.cond.items()}
            pieces.append(denoiser(view.x[at], view.sigma[at], **cond).to(batch.x_n.dtype))
        return torch.cat(pieces)


class DoubleInside(Above):
    """Computes its residual in float64."""

    name = "kit11-double-inside"

    def weigh(self, residual, view, batch, tools):
        """(B,)."""
        return super().weigh(residual.double(), view, batch, tools).to(batch.x_n.dtype)


class TwoViews(Above):
    """Two views of each row at one level, and the mean of their values."""

    name = "kit11-two-views"

    def loss(self, denoiser, batch, tools):
        """Mean of the two values."""
        sigma = self.levels(batch, tools)
        values: list[Tensor] = []
        for _ in range(2):
            view = self.view(batch, sigma, tools)
            answer = self.ask(denoiser, view, batch, tools)
            values.append(self.weigh(self.residual(answer, view, batch, tools), view, batch, tools))
        return {"above": Term((values[0] + values[1]) / 2, sigma)}


class TwoTerms(Above):
    """Gives its loss as two terms, of the low levels and of the high ones; either may be empty."""

    name = "kit11-two-terms"

    def loss(self, denoiser, batch, tools):
        """`low` and `high`."""
        term = super().loss(denoiser, batch, tools)["above"]
        low = term.sigma < 1
        return {
            "low": Term(term.value[low], term.sigma[low]),
            "high": Term(term.value[~low], term.sigma[~low]),
        }


class EvenHalf(Above):
    """Uses the even rows of a batch alone."""

    name = "kit11-even-half"

    def loss(self, denoiser, batch, tools):
        """One term, for half of the rows, the larger one."""
        return super().loss(denoiser, take(batch, torch.arange(0, len(batch.x_n), 2)), tools)


class MeanWeight(Above):
    """Divides lambda by its mean over the batch, which depends on the levels alone."""

    name = "kit11-mean-weight"

    def weigh(self, residual, view, batch, tools):
        """(B,)."""
        return super().weigh(residual, view, batch, tools) / edm_weight(view.sigma, tools.signal.sigma_data).mean()


class TeacherMixed(Above):
    """A tenth of the target is the teacher's answer, which is the exact one where the teacher is."""

    name = "kit11-teacher-mixed"

    def residual(self, answer, view, batch, tools):
        """a D + b x_t less the mixed target."""
        with torch.no_grad():
            known = tools.teacher(view.x, view.sigma, **view.cond).to(batch.x_n.dtype)
        expected = tools.corruption.expect(answer, view, batch)
        target = 0.9 * batch.x_n + 0.1 * tools.corruption.expect(known, view, batch)
        return expected - target


class NoiseForm(Above):
    """Compares scores: (D - x_t) / sigma^2 with the share of it that x_n has."""

    name = "kit11-noise-form"

    def residual(self, answer, view, batch, tools):
        """In units of the noise."""
        if tools.corruption.name != "gaussian":
            raise InputError("kit11-noise-form knows Gaussian noise only")
        s, n = per_row(view.sigma, view.x), per_row(batch.sigma_n, view.x)
        score = (answer - view.x) / s**2
        return (s**2 - n**2) / s * score - (batch.x_n - view.x) / s

    def weigh(self, residual, view, batch, tools):
        """(B,)."""
        return residual.square().flatten(1).mean(1)


class MirroredByRow(Above):
    """The noise of every second row is that of the row before it with the other sign; so no claim on views."""

    name = "kit11-mirrored-by-row"
    claims = ABOVE - {"views-in-law"}

    def view(self, batch, sigma, tools):
        """x_t."""
        if tools.corruption.name != "gaussian":
            return super().view(batch, sigma, tools)
        if (sigma < tools.corruption.floor(batch)).any():
            raise InputError("kit11: below the floor")
        z = standard_normal(batch.x_n, tools.generator)
        odd = torch.arange(len(z)) % 2 == 1
        z = torch.where(per_row(odd.to(z.dtype), z) > 0, -z.roll(1, 0), z)
        missing = (per_row(sigma, z) ** 2 - per_row(batch.sigma_n, z) ** 2).clamp(min=0).sqrt()
        return super().view(batch, sigma, tools)._replace(x=batch.x_n + missing.to(z.dtype) * z)
