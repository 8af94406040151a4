"""Models: a small network under EDM's, eps', flow's and x_0's forms, each with one fault."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Model
from ambientkit.maths.noise import per_row
from tests.verification.variants import variants


class Net(nn.Module):
    """F(y, t, **cond)."""

    def __init__(self, signal, fault=""):
        super().__init__()
        self.fault, self.conds = fault, dict(sorted(signal.conds.items()))
        size, extra = math.prod(signal.shape), sum(math.prod(s) for s in signal.conds.values())
        self.first = nn.Linear(size + 2 + extra, 32)
        middle = nn.Linear(32, 32)
        if fault == "list-of-layers":
            self.middle = [middle]
        else:
            self.middle = nn.ModuleList([middle])
        self.last = nn.Linear(32, size)
        self.register_buffer("running", torch.zeros(()))
        self.calls = 0

    def forward(self, y, t, **cond):
        f = self.fault
        flat = y.flatten(1)
        if f == "centres-input":
            flat = flat - flat.mean(1, keepdim=True)
        if f == "normalises-input":
            flat = flat / (flat.square().mean(1, keepdim=True).sqrt() + 1e-5)
        if f == "input-detached":
            flat = flat.detach()
        if f == "running-mean":
            self.running = 0.9 * self.running + 0.1 * flat.detach().mean()
            flat = flat - self.running
        if f == "noise-in-training" and self.training:
            flat = flat + 0.05 * torch.randn_like(flat)
        if f == "time-detached-by-item":
            t = torch.full_like(t, t[0].item())
        parts = [flat, torch.stack([t.cos(), t], 1)]
        for name, shape in self.conds.items():
            value = cond[name] if name in cond else y.new_zeros(len(y), *shape)
            value = value.reshape(len(y), -1).to(y.dtype)
            if f == "condition-to-bool":
                value = value.bool().to(y.dtype)
            if f == "condition-abs":
                value = value.abs()
            if f == "condition-first":
                value = value[:, :1].expand_as(value)
            if f == "condition-centred":
                value = value - value.mean(0)
            if f == "condition-detached":
                value = value * 0
            parts.append(value)
        hidden = self.first(torch.cat(parts, 1).to(self.first.weight.dtype)).tanh()
        if f == "fresh-layer":
            hidden = nn.Linear(32, 32).to(hidden)(hidden)
        hidden = hidden + self.middle[0].to(hidden.dtype)(hidden).tanh()
        if f == "sorted-rows":
            hidden = hidden.sort(0).values
        out = self.last(hidden)
        if f == "out-centred":
            out = out - out.mean(1, keepdim=True)
        if f == "out-positive":
            out = out.relu()
        if f == "out-normed":
            out = out / (out.square().mean(1, keepdim=True).sqrt() + 1e-5)
        if f == "one-value":
            out = out.mean(1, keepdim=True).expand_as(out)
        if f == "counts-calls":
            self.calls += 1
            out = out * (1 + 0.01 * min(self.calls, 20))
        if f == "last-pixel-dead":
            out = torch.cat([out[:, :-1], out[:, -1:].detach() * 0], 1)
        return out.reshape(y.shape)


class Edm(Model):
    """D = c_skip x + c_out F(c_in x, log(sigma) / 4)."""

    name = "kit4-edm"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})
    fault: ClassVar[str] = ""
    kept: ClassVar[dict] = {}

    def network(self, signal):
        return Net(signal, self.fault)

    def denoiser(self, network, signal):
        f, sd = self.fault, signal.sigma_data
        first: dict = {}

        def denoise(x, sigma, /, **cond):
            s = sigma.to(x.dtype)
            if f == "levels-of-first-call":
                s = first.setdefault(s.shape, s)
            if f == "conditions-of-first-call":
                cond = {k: first.setdefault((k, v.shape), v) for k, v in cond.items()}
            if f == "level-clamped-to-80":
                s = s.clamp(max=10)
            if f == "level-at-least":
                s = s.clamp(min=0.01)
            c_skip = sd**2 / (s**2 + sd**2)
            c_out = s * sd / (s**2 + sd**2).sqrt()
            c_in = 1 / (s**2 + sd**2).sqrt()
            t = s.log() / 4
            if f == "out-no-root":
                c_out = s * sd / (s + sd)
            if f == "in-sum":
                c_in = 1 / (s + sd)
            if f == "in-data":
                c_in = torch.full_like(s, 1 / sd)
            if f == "time-shifted":
                t = t + 0.1
            if f == "time-of-sigma-data":
                t = (s / sd).log() / 4
            if f == "time-sorted":
                t = t.sort().values
            if f == "skip-of-variance":
                c_skip = sd / (s**2 + sd)
            if f == "rows-of-width" and x.ndim == 4:
                c_skip, c_out = c_skip.view(-1, 1), c_out.view(-1, 1)
            if f == "view-4":
                c_skip, c_out, c_in = (c.view(-1, 1, 1, 1) for c in (c_skip, c_out, c_in))
                h = c_skip * x + c_out * network(c_in * x, t, **cond)
                return h.to(x.dtype)
            y = per_row(c_in, x) * x
            out = network(y, t, **cond).to(x.dtype)
            h = (c_skip if f == "rows-of-width" and x.ndim == 4 else per_row(c_skip, x)) * x
            h = h + (c_out if f == "rows-of-width" and x.ndim == 4 else per_row(c_out, x)) * out
            if f == "identity-below":
                h = torch.where(per_row(s, x) < 0.01, x, h)
            if f == "zero-above":
                h = torch.where(per_row(s, x) > 40, torch.zeros_like(h), h)
            if f == "tanh":
                h = h.tanh()
            if f == "soft-clip":
                h = 1.2 * (h / 1.2).tanh()
            if f == "centred":
                h = h - 0.05 * per_row(h.flatten(1).mean(1), h)
            if f == "keeps-mean-of-view":
                h = h + per_row((x - h).flatten(1).mean(1), h)
            if f == "skip-detached":
                h = h - per_row(c_skip, x) * x + per_row(c_skip, x) * x.detach()
            if f == "grad-off-in-training" and network.training:
                h = h.detach()
            return h

        return denoise


EDM = {
    "list-of-layers": "a hidden layer that is no parameter",
    "centres-input": "the network does not see the mean of a picture",
    "normalises-input": "the network does not see the scale of a picture",
    "input-detached": "no gradient to x through the network",
    "running-mean": "a running mean that each call changes",
    "noise-in-training": "noise on the input while training",
    "time-detached-by-item": "the first row's time for all",
    "condition-to-bool": "conditions become true or false",
    "condition-abs": "the sign of conditions is lost",
    "condition-first": "only the first number of a condition is used",
    "condition-centred": "conditions lose the mean of the batch",
    "condition-detached": "conditions times 0",
    "fresh-layer": "a new layer in each call",
    "sorted-rows": "hidden values are sorted over the batch",
    "out-centred": "the network's output has no mean",
    "out-positive": "the network's output is positive",
    "out-normed": "the network's output has one norm",
    "one-value": "one number for all pixels",
    "counts-calls": "answers change with the number of calls",
    "last-pixel-dead": "the last pixel is not learnt",
    "levels-of-first-call": "the levels of the first call are used ever after",
    "conditions-of-first-call": "the conditions of the first call are used ever after",
    "level-clamped-to-80": "levels above 10 are taken for 10",
    "level-at-least": "levels below 0.01 are taken for 0.01",
    "out-no-root": "c_out with a sum for the root of squares",
    "in-sum": "c_in with a sum for the root of squares",
    "in-data": "c_in of sigma_data alone",
    "time-shifted": "the time 0.1 later",
    "time-of-sigma-data": "the time of sigma over sigma_data",
    "time-sorted": "times are sorted",
    "skip-of-variance": "c_skip of sigma_data, not of its square",
    "rows-of-width": "coefficients broadcast along the width",
    "view-4": "coefficients for pictures only, spread over points",
    "identity-below": "levels below 0.01 are handed through",
    "zero-above": "0 above 40",
    "tanh": "tanh of the answer",
    "soft-clip": "a soft clip of the answer",
    "centred": "a twentieth of the mean is lost",
    "keeps-mean-of-view": "the mean is that of the view",
    "skip-detached": "no gradient to x through the skip",
    "grad-off-in-training": "no gradient in training mode",
}


class Eps(Model):
    """VP eps: D = x - sigma F(x / sqrt(1 + sigma^2), atan(sigma))."""

    name = "kit4-eps"
    claims = frozenset({"denoiser-contract", "eps-form"})
    fault: ClassVar[str] = ""

    def network(self, signal):
        return Net(signal)

    def denoiser(self, network, signal):
        f = self.fault

        def denoise(x, sigma, /, **cond):
            s = per_row(sigma.to(x.dtype), x)
            alpha = 1 / (1 + s**2).sqrt()
            F = network(alpha * x, sigma.to(x.dtype).atan(), **cond).to(x.dtype)
            if f == "cancellation":
                kept = (alpha**2).float()
                s = ((1 - kept) / kept).sqrt().to(x.dtype)
            if f == "beta":
                s = 1 - alpha
            if f == "rescaled":
                return (x - s * F) * alpha
            if f == "schedule":
                s = (s * 20).round() / 20
            return x - s * F

        return denoise


EPS = {
    "cancellation": "sigma from 1 - alpha_bar in float32",
    "beta": "1 - alpha for sigma",
    "rescaled": "the answer of the scaled process",
    "schedule": "sigma rounded to a table",
}


class Flow(Model):
    """Flow: D = x_f - t F(x_f, t), x_f = x / (1 + sigma), t = sigma / (1 + sigma)."""

    name = "kit4-flow"
    claims = frozenset({"denoiser-contract", "flow-form"})
    fault: ClassVar[str] = ""

    def network(self, signal):
        return Net(signal)

    def denoiser(self, network, signal):
        f = self.fault

        def denoise(x, sigma, /, **cond):
            s = sigma.to(x.dtype)
            t = s / (1 + s)
            T = per_row(t, x)
            F = network((1 - T) * x, t, **cond)
            if f == "noise-side":
                return (1 - T) * x + (1 - T) * F
            if f == "unscaled":
                return x - T * F
            if f == "variance-preserving":
                return (1 - T**2).sqrt() * (1 - T) * x - T * F
            return (1 - T) * x - T * F

        return denoise


FLOW = {
    "noise-side": "the estimate of the noise for that of x_0",
    "unscaled": "x for x / (1 + sigma)",
    "variance-preserving": "formulas of two forms",
}


class X0(Model):
    """D = F(x / sqrt(1 + sigma^2), log sigma)."""

    name = "kit4-x0"
    claims = frozenset({"x_0-form"})
    fault: ClassVar[str] = ""

    def network(self, signal):
        return Net(signal)

    def denoiser(self, network, signal):
        f = self.fault

        def denoise(x, sigma, /, **cond):
            s = per_row(sigma.to(x.dtype), x)
            alpha = 1 / (1 + s**2).sqrt()
            F = network(alpha * x, sigma.to(x.dtype).log(), **cond)
            if f == "with-skip":
                return F + 0.1 * x
            if f == "over-alpha":
                return F / alpha
            if f == "clipped":
                return F.clamp(-1, 1)
            return F

        return denoise


X_0 = {
    "with-skip": "a tenth of x on top",
    "over-alpha": "divided by alpha",
    "clipped": "clipped to [-1, 1]",
}
WRONG = [*variants(Edm, EDM), *variants(Eps, EPS), *variants(Flow, FLOW), *variants(X0, X_0)]


class Conv(Model):
    """EDM around two convolutions; pictures alone."""

    name = "kit4-conv"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})

    def network(self, signal):
        if len(signal.shape) != 3 or signal.conds:
            raise InputError("takes pictures (C, H, W) without conditions")
        return _Conv(signal.shape[0])

    def denoiser(self, network, signal):
        return Edm().denoiser(network, signal)


class _Conv(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels + 1, 16, 3, padding=1)
        self.last = nn.Conv2d(16, channels, 3, padding=1)

    def forward(self, y, t):
        time = t.reshape(-1, 1, 1, 1).expand(-1, 1, *y.shape[2:])
        return self.last(self.first(torch.cat([y, time], 1).to(self.first.weight.dtype)).tanh())


class Dropout(Model):
    """EDM around a network with dropout while training."""

    name = "kit4-dropout"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})

    def network(self, signal):
        net = Net(signal)
        net.middle = nn.ModuleList([nn.Sequential(nn.Linear(32, 32), nn.Dropout(0.1))])
        return net

    def denoiser(self, network, signal):
        return Edm().denoiser(network, signal)


RIGHT = [Edm, Eps, Flow, X0, Conv, Dropout]

NOT_WRONG = {
    "kit4-edm-noise-in-training": "a regulariser, as dropout is: in evaluation it is not there",
}
