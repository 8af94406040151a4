"""Wrong models: of the preconditioning, of other forms, of conditions, and of what a network does with a batch."""

from __future__ import annotations

import math

import torch
from torch import nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Model
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import edm_preconditioning

from .bases import made

LIMIT = frozenset({"denoiser-contract"})
EDM = LIMIT | {"edm-preconditioned"}


class Net(nn.Module):
    """F(y, c_noise, label) on flattened rows."""

    def __init__(self, size, width=32, classes=None, extra=0):
        super().__init__()
        self.first = nn.Linear(size + extra + 2, width)
        self.middle = nn.Linear(width, width)
        self.last = nn.Linear(width, size)
        if classes:
            self.label = nn.Embedding(classes + 1, width)

    def forward(self, y, c_noise, label=None):
        shown = torch.stack([c_noise.sin(), c_noise.cos()], 1).to(y.dtype)
        hidden = torch.tanh(self.first(torch.cat([y, shown], 1)))
        if label is not None:
            hidden = hidden + self.label(label)
        return self.last(torch.tanh(self.middle(hidden)))


def refuse(signal, *known):
    """InputError for conditions that are not known."""
    others = sorted(set(signal.conds) - set(known))
    if others:
        raise InputError(f"takes no conditions {others}")


class Plain(Model):
    """EDM's preconditioning of `Net`; wrong ones replace a coefficient, the input or the output."""

    claims = EDM

    def network(self, signal):
        """A fresh network. Raises InputError for conditions."""
        refuse(signal)
        return Net(math.prod(signal.shape))

    def coefficients(self, sigma, signal):
        """(c_skip, c_out, c_in, c_noise)."""
        return edm_preconditioning(sigma, signal.sigma_data)

    def denoiser(self, network, signal):
        """D(x, sigma)."""

        def denoise(x, sigma, /, **cond):
            skip, out, into, noise = self.coefficients(sigma.to(x.dtype), signal)
            answer = network((per_row(into, x) * x).flatten(1), noise).to(x.dtype).reshape(x.shape)
            return per_row(skip, x) * x + per_row(out, x) * answer

        return denoise


class Formed(Plain):
    """A network that sees x over its std, and answers in a form: D = skip x + out F."""

    claims = LIMIT

    def form(self, x, sigma, answer):
        """D."""
        raise NotImplementedError

    def denoiser(self, network, signal):
        """D(x, sigma)."""

        def denoise(x, sigma, /, **cond):
            level = per_row(sigma.to(x.dtype), x)
            seen = x / (level**2 + signal.sigma_data**2).sqrt()
            answer = network(seen.flatten(1), sigma.to(x.dtype).log() / 4).to(x.dtype).reshape(x.shape)
            return self.form(x, level, answer)

        return denoise


class SkipSwapped(Plain):
    """c_skip = sigma^2 / (sigma^2 + sigma_data^2), numerators swapped."""

    name = "kit12-skip-swapped"

    def coefficients(self, sigma, signal):
        c = super().coefficients(sigma, signal)
        return c._replace(c_skip=1 - c.c_skip)


class OutWithoutRoot(Plain):
    """c_out = sigma sigma_data / (sigma^2 + sigma_data^2), the root forgotten."""

    name = "kit12-out-without-root"

    def coefficients(self, sigma, signal):
        c = super().coefficients(sigma, signal)
        return c._replace(c_out=sigma * signal.sigma_data / (sigma**2 + signal.sigma_data**2))


class InWithoutRoot(Plain):
    """c_in = 1 / (sigma^2 + sigma_data^2), the root forgotten."""

    name = "kit12-in-without-root"

    def coefficients(self, sigma, signal):
        c = super().coefficients(sigma, signal)
        return c._replace(c_in=c.c_in**2)


class WholeLog(Plain):
    """c_noise = log(sigma), the quarter forgotten."""

    name = "kit12-whole-log"

    def coefficients(self, sigma, signal):
        return super().coefficients(sigma, signal)._replace(c_noise=sigma.log())


class BuiltInSigmaData(Plain):
    """sigma_data = 0.5 whatever the data."""

    name = "kit12-built-in-sigma-data"

    def coefficients(self, sigma, signal):
        return edm_preconditioning(sigma, 0.5)


class FirstLevel(Plain):
    """The network is told the level of the first row for all rows."""

    name = "kit12-first-level"

    def coefficients(self, sigma, signal):
        c = super().coefficients(sigma, signal)
        return c._replace(c_noise=c.c_noise[:1].expand_as(sigma))


class Variance(Plain):
    """Takes sigma for a variance: its root goes into all coefficients."""

    name = "kit12-variance"

    def coefficients(self, sigma, signal):
        return edm_preconditioning(sigma.sqrt(), signal.sigma_data)


_SEEN: dict[str, object] = {}


class Memoised(Plain):
    """Computes the coefficients once for a number of rows, and keeps them for the next call of as many."""

    name = "kit12-memoised"

    def coefficients(self, sigma, signal):
        key = f"{len(sigma)} {sigma.dtype}"
        if key not in _SEEN:
            _SEEN[key] = super().coefficients(sigma, signal)
        return _SEEN[key]


class InByBatch(Plain):
    """Divides the input by the std of the batch in place of sqrt(sigma^2 + sigma_data^2)."""

    name = "kit12-in-by-batch"

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            c = self.coefficients(sigma.to(x.dtype), signal)
            answer = network((x / x.std()).flatten(1), c.c_noise).reshape(x.shape)
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * answer

        return denoise


class BatchNormed(Plain):
    """The network has a batch normalisation, in training mode too when it is asked."""

    name = "kit12-batch-normed"

    def network(self, signal):
        refuse(signal)
        net = Net(math.prod(signal.shape))
        net.middle = nn.Sequential(net.middle, nn.BatchNorm1d(32, track_running_stats=False))
        return net


class DropsAlways(Plain):
    """Drops a fifth of the answers in evaluation mode too (F.dropout with its default of training)."""

    name = "kit12-drops-always"

    def denoiser(self, network, signal):
        whole = super().denoiser(lambda y, c: nn.functional.dropout(network(y, c), 0.2), signal)
        return whole


class SpreadAlongWidth(Plain):
    """Spreads coefficients by hand as (B, 1), which runs along the width of pictures."""

    name = "kit12-spread-along-width"

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            skip, out, into, noise = (value for value in self.coefficients(sigma.to(x.dtype), signal))
            if x.ndim > 2 and len(x) == x.shape[-1]:
                skip, out, into = skip, out, into
            else:
                skip, out, into = (per_row(value, x) for value in (skip, out, into))
            answer = network((into * x).flatten(1), noise).reshape(x.shape)
            return skip * x + out * answer

        return denoise


class ChannelsLast(Plain):
    """Hands the network pictures with channels last, and reads its answer as channels first."""

    name = "kit12-channels-last"

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            c = self.coefficients(sigma.to(x.dtype), signal)
            y = per_row(c.c_in, x) * x
            y = y.movedim(1, -1) if y.ndim > 2 else y
            answer = network(y.flatten(1), c.c_noise).reshape(x.shape)
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * answer

        return denoise


class SinglePrecision(Plain):
    """Answers in float32, of double rows too."""

    name = "kit12-single-precision"

    def denoiser(self, network, signal):
        right = super().denoiser(network, signal)
        return lambda x, sigma, /, **cond: right(x, sigma, **cond).float()


class FlatAnswer(Plain):
    """Answers (B, d) for pictures."""

    name = "kit12-flat-answer"

    def denoiser(self, network, signal):
        right = super().denoiser(network, signal)
        return lambda x, sigma, /, **cond: right(x, sigma, **cond).flatten(1)


class ScaledInPlace(Plain):
    """Scales the points that it was given in place."""

    name = "kit12-scaled-in-place"

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            c = self.coefficients(sigma.to(x.dtype), signal)
            before = x.clone()
            answer = network(x.mul_(per_row(c.c_in, x)).flatten(1), c.c_noise).reshape(x.shape)
            return per_row(c.c_skip, x) * before + per_row(c.c_out, x) * answer

        return denoise


class LevelInPlace(Plain):
    """Turns the levels that it was given into their logarithms in place."""

    name = "kit12-level-in-place"

    def coefficients(self, sigma, signal):
        c = super().coefficients(sigma.clone(), signal)
        return c._replace(c_noise=sigma.log_().div(4))


class NoGradient(Plain):
    """Asks the network under no_grad."""

    name = "kit12-no-gradient"

    def denoiser(self, network, signal):
        def quiet(y, c):
            with torch.no_grad():
                return network(y, c)

        return super().denoiser(quiet, signal)


class Reseeds(Plain):
    """Seeds torch's global generator with 0 when it makes a network."""

    name = "kit12-reseeds"

    def network(self, signal):
        torch.manual_seed(0)
        return super().network(signal)


class WholeSteps(Plain):
    """Hands the network the level as a whole number, round(4 c_noise), of a table."""

    name = "kit12-whole-steps"

    def coefficients(self, sigma, signal):
        c = super().coefficients(sigma, signal)
        return c._replace(c_noise=(4 * c.c_noise).round() / 4)


WRONG = made(globals())
