"""Right samplers, models, attacks and measures that do a thing in an unusual way."""

from __future__ import annotations

import torch
from torch.nn import functional

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.memory_measures.shares import Ratio
from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.memorisation_parts import Similarity

from .bases import made
from .models import Edm, Noise, Small
from .models_networks import Angular, Velocity
from .samplers import Drawn, Flowed


class PlainDrawn(Drawn):
    """The base as it is."""

    name = "kit14-right-drawn"


class PlainFlowed(Flowed):
    """The base as it is."""

    name = "kit14-right-flowed"


class AllNoiseFirst(Drawn):
    """The noise of all steps is drawn before the first."""

    name = "kit14-right-noise-first"

    def sample(self, denoiser, x, sigmas, generator, cond):
        steps = len(sigmas) - 1
        z = standard_normal(x.unsqueeze(1).expand(-1, steps, *x.shape[1:]), generator).unbind(1)
        given = iter(z)

        class Given(Drawn):
            name = "given"

            def noise(self, x, generator):
                return next(given)

        return Given().sample(denoiser, x, sigmas, generator, cond)


class Midpoint(Sampler):
    """The midpoint rule in log sigma: a level between each two of the grid."""

    name = "kit14-right-midpoint"
    source = "arXiv 2206.00927, algorithm 1, in variance-exploding form"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            first = denoiser(x, t, **cond).to(x.dtype)
            inside = s > 0
            if not bool(inside.any()):
                x = first
                continue
            mid = torch.where(inside, (t * s).sqrt(), t)
            half = first + per_row(mid / t, x) * (x - first)
            second = denoiser(half, mid, **cond).to(x.dtype)
            found = second + per_row(s / t, x) * (x - second)
            x = torch.where(per_row(inside.to(x.dtype), x) > 0, found, first)
        return x


class Padded(Edm):
    """The batch is filled up to a multiple of eight rows for the network, and cut again."""

    name = "kit14-right-batch-padded"

    def answer(self, network, y, c_noise):
        more = -len(y) % 8
        flat = torch.cat([y.flatten(1), y.flatten(1)[-1:].expand(more, -1)])
        return network(flat, torch.cat([c_noise, c_noise[-1:].expand(more)]))[: len(y)].reshape(y.shape)


class FlowOfScaled(Velocity):
    """(1 - t) x - t F: the same in the flow's own terms."""

    name = "kit14-right-flow-terms"

    def form(self, x, t, sigma, found):
        return (1 - t) * x - t * found


class Plain(Angular):
    """The base as it is."""

    name = "kit14-right-angular"


class Doubles(Noise):
    """The formula is computed in double precision."""

    name = "kit14-right-in-doubles"

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            level = sigma.to(x.dtype)
            y = self.fed(x, (level**2 + signal.sigma_data**2) ** -0.5)
            found = self.answer(network, y, self.time(level)).double()
            return (x.double() - per_row(level.double(), x.double()) * found).to(x.dtype)

        return denoise


class Gated(Small):
    """Its last layer is gated by the level, and is 0 at first."""

    def __init__(self, size):
        super().__init__(size)
        torch.nn.init.zeros_(self.outer.weight)
        torch.nn.init.zeros_(self.outer.bias)

    def forward(self, y, c_noise):
        return super().forward(y, c_noise) * (1 + functional.softplus(c_noise)).unsqueeze(1)


class GatedEdm(Edm):
    """A network whose answer is 0 at first."""

    name = "kit14-right-gated"

    def fresh(self, size):
        return Gated(size)


class Summed(Loss):
    """The distance is the squared error over all values."""

    name = "kit14-right-summed-loss"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(distance=found.distance.square() * x[0].numel())


class Ranked(Similarity):
    """Values by their rank within the row."""

    name = "kit14-right-ranks"
    source = "Spearman's correlation"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows):
        flat = rows.flatten(1)
        less = (flat.unsqueeze(2) > flat.unsqueeze(1)).double().mean(2)
        more = (flat.unsqueeze(2) < flat.unsqueeze(1)).double().mean(2)
        return (less - more).reshape(rows.shape).to(rows.dtype)


class InLogs(Ratio):
    """The logarithm of the ratio, which orders rows alike."""

    name = "kit14-right-log-ratio"

    def by_row(self, judged, null, train, seed):
        one, other = super().by_row(judged, null, train, seed)
        return one.clamp(min=1e-30).log(), other.clamp(min=1e-30).log()


RIGHT = made(
    PlainDrawn,
    PlainFlowed,
    AllNoiseFirst,
    Midpoint,
    Padded,
    FlowOfScaled,
    Plain,
    Doubles,
    GatedEdm,
    Summed,
    Ranked,
    InLogs,
)
