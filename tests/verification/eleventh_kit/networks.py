"""Wrong models."""

from __future__ import annotations

import math

import torch
from torch import nn

from ambientkit.errors import InputError
from ambientkit.maths.noise import per_row
from tests.verification.eleventh_kit.bases import Edm, Labelled, Net


class ClampedLevels(Edm):
    """Holds the level of the coefficients to [0.01, 50], which is wrong beyond them."""

    name = "kit11-clamped-levels"

    def coefficients(self, sigma, std):
        return super().coefficients(sigma.clamp(0.01, 50), std)


class BatchScaledInTraining(Edm):
    """In training the input is divided by its std over the batch, so that rows depend on each other."""

    name = "kit11-batch-scaled-in-training"

    def denoiser(self, network, signal):
        plain = super().denoiser(_BatchScaled(network), signal)
        return plain


class _BatchScaled:
    def __init__(self, network):
        self.network = network

    def __call__(self, y, c_noise):
        if self.network.training and len(y) > 1:
            y = y / (y.std() + 1e-3)
        return self.network(y, c_noise)


class AlwaysDropping(Edm):
    """Drops activations in evaluation too."""

    name = "kit11-always-dropping"

    def network(self, signal):
        return _Dropping(super().network(signal))


class _Dropping(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, y, c_noise):
        return self.net(nn.functional.dropout(y, 0.05), c_noise)


class NullIsLast(Labelled):
    """Clamps labels to the last class, so that "none" is that class."""

    name = "kit11-null-is-last"

    def label(self, label):
        return label.clamp(max=self.num_classes - 1)


class SeedsAll(Edm):
    """Seeds torch's global generator while it builds a network, so that all that is drawn later is set by it."""

    name = "kit11-seeds-all"

    def network(self, signal):
        torch.manual_seed(0)
        return super().network(signal)


BUILT: dict = {}


class OneNetwork(Edm):
    """Keeps the network that it built for a shape, and gives it again where a fresh one is asked for."""

    name = "kit11-one-network"

    def network(self, signal):
        key = (tuple(signal.shape), self.width)
        if key not in BUILT:
            BUILT[key] = super().network(signal)
        return BUILT[key]


class CachesCoefficients(Edm):
    """Keeps coefficients by the first level and the number of rows, as all rows of a sampler share a level."""

    name = "kit11-caches-coefficients"

    def denoiser(self, network, signal):
        kept = {}

        def denoise(x, sigma, /, **cond):
            key = (len(x), round(float(sigma[0]), 6), x.dtype, x.ndim)
            if key not in kept:
                kept[key] = self.coefficients(per_row(sigma.to(x.dtype), x), signal.sigma_data)
            c_in, c_skip, c_out = kept[key]
            answer = network(c_in * x, sigma.to(x.dtype).log() / 4).to(x.dtype).reshape(x.shape)
            return c_skip * x + c_out * answer

        return denoise


class TakesAndIgnores(Edm):
    """Takes any conditions without a word, and does not use them."""

    name = "kit11-takes-and-ignores"

    def network(self, signal):
        return Net(math.prod(signal.shape), self.width)


class ReadsHidden(Edm):
    """Takes a mask as one more input, and reads the values that it hides all the same."""

    name = "kit11-reads-hidden"

    def network(self, signal):
        if signal.conds.keys() - {"mask"}:
            raise InputError(f"model {self.name!r} takes a mask and nothing else")
        masks = sum(math.prod(shape) for name, shape in signal.conds.items() if name == "mask")
        return Net(math.prod(signal.shape) + masks, self.width, out=math.prod(signal.shape))

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            level = per_row(sigma.to(x.dtype), x)
            c_in, c_skip, c_out = self.coefficients(level, signal.sigma_data)
            y = (c_in * x).flatten(1)
            if "mask" in cond:
                y = torch.cat([y, cond["mask"].flatten(1).to(y)], 1)
            return c_skip * x + c_out * network(y, sigma.to(x.dtype).log() / 4).to(x.dtype).reshape(x.shape)

        return denoise


class FrozenEmbedding(Edm):
    """Its first layer is computed without gradient, left from a trial: it is never trained."""

    name = "kit11-frozen-embedding"

    def network(self, signal):
        super().network(signal)  # which refuses conditions
        return _Frozen(math.prod(signal.shape), self.width)


class _Frozen(Net):
    def forward(self, y, c_noise, label=None):
        c = c_noise.to(y.dtype).unsqueeze(1)
        with torch.no_grad():
            hidden = self.first(torch.cat([y.flatten(1), c, c.cos(), c.sin(), (2 * c).sin()], dim=1))
        hidden = hidden + self.second(nn.functional.silu(hidden))
        return self.last(nn.functional.silu(hidden))


class DeadStart(Edm):
    """Both of its last layers begin at zero, so that neither ever gets a gradient."""

    name = "kit11-dead-start"

    def network(self, signal):
        super().network(signal)  # which refuses conditions
        return _Dead(math.prod(signal.shape), self.width)


class _Dead(nn.Module):
    def __init__(self, size, width):
        super().__init__()
        self.body = Net(size, width, out=width)
        self.up, self.down = nn.Linear(width, width, bias=False), nn.Linear(width, size, bias=False)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.down.weight)

    def forward(self, y, c_noise):
        return self.down(self.up(self.body(y, c_noise)))


class WritesSigma(Edm):
    """Holds the levels above 0.002 in place: the caller's levels change."""

    name = "kit11-writes-sigma"

    def denoiser(self, network, signal):
        plain = super().denoiser(network, signal)

        def denoise(x, sigma, /, **cond):
            return plain(x, sigma.clamp_(min=0.01), **cond)

        return denoise


class BoundedAnswer(Edm):
    """Answers with x_0 through a tanh, which no data beyond 1 pass."""

    name = "kit11-bounded-answer"
    claims = frozenset({"x_0-form"})

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            c_in, _, _ = self.coefficients(per_row(sigma.to(x.dtype), x), signal.sigma_data)
            return torch.tanh(network(c_in * x, sigma.to(x.dtype).log() / 4).to(x.dtype)).reshape(x.shape)

        return denoise


class UnscaledFlow(Edm):
    """A flow network that is fed x as it is, not x / (1 + sigma): inputs of 80 at large levels."""

    name = "kit11-unscaled-flow"
    claims = frozenset({"denoiser-contract", "flow-form"})

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            level = per_row(sigma.to(x.dtype), x)
            velocity = network(x, sigma.to(x.dtype) / (1 + sigma.to(x.dtype))).to(x.dtype).reshape(x.shape)
            return (x - level * velocity) / (1 + level)

        return denoise


class WholeSteps(Edm):
    """Gives its network the level as a whole number of 40 steps: neighbouring levels are one to it."""

    name = "kit11-whole-steps"

    def denoiser(self, network, signal):
        def rounded(y, c_noise):
            return network(y, torch.round(c_noise * 4) / 4)

        return super().denoiser(rounded, signal)


class SkipsHalf(Edm):
    """Under autocast the skip is computed in bfloat16 as well: digits of x are lost at small levels."""

    name = "kit11-skips-half"

    def denoiser(self, network, signal):
        plain = super().denoiser(network, signal)

        def denoise(x, sigma, /, **cond):
            if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
                return plain(x.bfloat16(), sigma, **cond).to(x.dtype)
            return plain(x, sigma, **cond)

        return denoise


class LastColumn(Edm):
    """Pools to half the size and back: the last column of pictures of odd width never gets an answer."""

    name = "kit11-last-column"

    def network(self, signal):
        super().network(signal)  # which refuses conditions
        return _Pooled(signal.shape, self.width)


class _Pooled(nn.Module):
    def __init__(self, shape, width):
        super().__init__()
        self.shape, self.net = tuple(shape), Net(math.prod(shape), width)

    def forward(self, y, c_noise):
        found = self.net(y, c_noise).reshape(-1, *self.shape)
        wide = self.shape[-1]
        if len(self.shape) == 3 and wide % 2:
            found = torch.cat([found[..., : wide - 1], torch.zeros_like(found[..., :1])], -1)
        return found.flatten(1)


class NeverCalled(Edm):
    """A layer of its network is never called: DDP waits for its gradient, and it is kept and averaged for nothing."""

    name = "kit11-never-called"

    def network(self, signal):
        net = super().network(signal)
        net.forgotten = nn.Linear(self.width, self.width)
        return net


class FirstLabel(Labelled):
    """Embeds the label of the first row for all of the batch."""

    name = "kit11-first-label"

    def label(self, label):
        return label[:1].expand_as(label)


class HighSigmaOverflow(Edm):
    """c_out by way of the 16th power of sigma, of which float32 keeps two digits at 0.002."""

    name = "kit11-high-sigma-overflow"

    def coefficients(self, sigma, std):
        total = sigma**2 + std**2
        return total.rsqrt(), std**2 / total, (sigma**16 * std**2 / total / sigma**14).sqrt()
