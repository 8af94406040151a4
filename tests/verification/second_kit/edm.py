"""Of the second kit: the network of its models, and the EDM form, right and with one fault."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import nn

from ambientkit.interfaces import Model
from ambientkit.maths.noise import per_row


class Net(nn.Module):
    """F(y, t, **cond)."""

    def __init__(self, shape, conds, fault=""):
        super().__init__()
        self.fault, self.shape = fault, shape
        size = math.prod(shape)
        self.first = nn.Linear(size + 2 + sum(math.prod(s) for s in conds.values()), 32)
        self.last = nn.Linear(32, size)
        self.conds = sorted(conds)
        if fault == "batch-norm":
            self.norm = nn.BatchNorm1d(32)
        if fault == "frozen":
            for p in self.parameters():
                p.requires_grad_(False)

    def forward(self, y, t, **cond):
        f = self.fault
        if f == "row-norm-over-batch":
            y = (y - y.mean(0)) / (y.std(0, unbiased=False) + 1)
        parts = [y.flatten(1), torch.stack([t, t.sin()], 1)]
        given = {} if f == "net-ignores-condition" else cond
        if f == "net-ignores-time":
            parts[1] = torch.zeros_like(parts[1])
        for name in self.conds:
            value = given.get(name)
            parts.append(
                value.flatten(1).to(y.dtype)
                if value is not None
                else y.new_zeros(len(y), self.first.in_features - y.flatten(1).shape[1] - 2)
            )
        w = torch.cat(parts, 1).to(self.first.weight.dtype)
        hidden = self.first(w)
        if f == "batch-norm":
            hidden = self.norm(hidden)
        hidden = hidden.tanh()
        if f == "net-noise":
            hidden = hidden + 0.1 * torch.randn_like(hidden)
        if f == "dropout-always":
            hidden = nn.functional.dropout(hidden, 0.5, training=True)
        if f == "net-no-grad":
            hidden = hidden.detach()
        out = self.last(hidden)
        if f == "net-detached":
            out = out.detach()
        if f == "dead-layer":
            out = out + 0 * hidden.sum()
        return (
            out.reshape(y.shape)
            if f != "transposed" or y.ndim < 4
            else out.reshape(y.transpose(-1, -2).shape).transpose(-1, -2)
        )


class Edm(Model):
    """D = c_skip x + c_out F(c_in x, log(sigma) / 4)."""

    name = "kit2-edm"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})
    fault: ClassVar[str] = ""
    cache: ClassVar[dict] = {}

    def network(self, signal):
        f = self.fault
        if f == "shape-of-plane":
            return Net((2,), signal.conds, f)
        if f == "cached":
            return self.cache.setdefault((signal.shape, tuple(signal.conds)), Net(signal.shape, signal.conds, f))
        if f == "seeded":
            torch.manual_seed(0)
        if f == "refuses-by-assert" and signal.conds:
            assert not signal.conds
        if f == "ignores-conditions-of-signal":
            return Net(signal.shape, {}, f)
        return Net(signal.shape, signal.conds, f)

    def denoiser(self, network, signal):
        f, sd = self.fault, signal.sigma_data
        if f == "own-network":
            network = Net(signal.shape, signal.conds)
        if f == "eval":
            network.eval()
        if f == "train":
            network.train()
        if f == "freezes":
            for p in network.parameters():
                p.requires_grad_(False)
        if f == "copy":
            import copy

            network = copy.deepcopy(network)
        if f == "half-network":
            network = network.half().float() if isinstance(network, Net) else network
        if f in ("sigma-data", "sigma-data-in-skip", "sigma-data-in-out", "sigma-data-in-in"):
            fixed = 0.5
        else:
            fixed = sd

        def denoise(x, sigma, /, **cond):
            s = sigma.to(x.dtype)
            if f == "rounds-level":
                s = (s * 100).round().clamp(min=1) / 100
            if f == "clamps-level":
                s = s.clamp(0.02, 5)
            if f == "level-of-first":
                s = s[:1].expand_as(s)
            if f == "mean-level":
                s = s.mean().expand_as(s)
            own = {k: (fixed if f in ("sigma-data", f"sigma-data-in-{k}") else sd) for k in ("skip", "out", "in")}
            c_skip = own["skip"] ** 2 / (s**2 + own["skip"] ** 2)
            c_out = s * own["out"] / (s**2 + own["out"] ** 2).sqrt()
            c_in = 1 / (s**2 + own["in"] ** 2).sqrt()
            t = s.log() / 4
            if f == "skip-root":
                c_skip = c_skip.sqrt()
            if f == "skip-one":
                c_skip = torch.ones_like(s)
            if f == "no-skip":
                c_skip = torch.zeros_like(s)
            if f == "no-out":
                c_out = torch.ones_like(s)
            if f == "out-sign":
                c_out = -c_out
            if f == "out-square":
                c_out = c_out**2
            if f == "no-in":
                c_in = torch.ones_like(s)
            if f == "time-sigma":
                t = s
            if f == "time-log":
                t = s.log()
            if f == "time-log2":
                t = s.log2() / 4
            if f == "time-log10":
                t = s.log10() / 4
            if f == "time-zero":
                t = torch.zeros_like(s)
            if f == "time-of-first":
                t = t[:1].expand_as(t)
            if f == "time-mean":
                t = t.mean().expand_as(t)
            if f == "time-clamped":
                t = t.clamp(-1, 0.5)
            if f == "time-rounded":
                t = (t * 8).round() / 8
            if f == "time-negated":
                t = -t
            y = per_row(c_in, x) * x
            if f == "in-place":
                y = x.mul_(per_row(c_in, x))
            if f == "clips-in":
                y = y.clamp(-1, 1)
            if f == "in-of-view":
                y = x
            c = (
                {}
                if f == "no-condition"
                else {k: v.roll(1, 0) for k, v in cond.items()}
                if f == "rolled-condition"
                else cond
            )
            if f == "first-condition":
                c = {k: v[:1].expand_as(v) for k, v in cond.items()}
            if f == "no-grad":
                with torch.no_grad():
                    out = network(y, t, **c)
            else:
                out = network(y, t, **c)
            if f == "autocast":
                out = out.bfloat16()
            out = out.to(x.dtype)
            if f == "detached":
                out = out.detach()
            if f == "channels-rolled" and x.ndim == 4:
                out = out.roll(1, 1)
            if f == "global-rng":
                out = out + 1e-3 * torch.randn_like(out)
            h = per_row(c_skip, x) * x + per_row(c_out, x) * out
            if f == "skip-of-in":
                h = per_row(c_skip, x) * y + per_row(c_out, x) * out
            if f == "clips":
                h = h.clamp(-1, 1)
            if f == "float64":
                h = h.double()
            if f == "half":
                h = h.half()
            if f == "float32":
                h = h.float()
            if f == "squeezes":
                h = h.squeeze(0)
            if f == "flat":
                h = h.flatten(1)
            if f == "mean-row":
                h = h + 0.01 * h.mean(0)
            if f == "residual":
                h = x - h
            if f == "checks-shape" and x.ndim != 2:
                raise ValueError("points only")
            if f == "one-level-only" and len(set(sigma.tolist())) > 1:
                raise ValueError("one level a batch")
            return h

        return denoise


EDM = {
    "shape-of-plane": "a network of two pixels whatever the signal",
    "cached": "the same network each time",
    "seeded": "seeds the global generator",
    "refuses-by-assert": "an AssertionError for conditions",
    "ignores-conditions-of-signal": "takes conditions and ignores them",
    "own-network": "uses a network of its own",
    "eval": "switches the network to evaluation",
    "train": "switches the network to training",
    "freezes": "freezes the network's parameters",
    "copy": "uses a copy of the network",
    "sigma-data": "sigma_data 0.5 hard-coded",
    "sigma-data-in-skip": "sigma_data 0.5 hard-coded in c_skip",
    "sigma-data-in-out": "sigma_data 0.5 hard-coded in c_out",
    "sigma-data-in-in": "sigma_data 0.5 hard-coded in c_in",
    "rounds-level": "rounds levels to 0.01",
    "clamps-level": "clamps levels",
    "level-of-first": "the first row's level for all",
    "mean-level": "the mean level for all",
    "skip-root": "root of c_skip",
    "skip-one": "c_skip 1",
    "no-skip": "c_skip 0",
    "no-out": "c_out 1",
    "out-square": "c_out squared",
    "no-in": "c_in 1",
    "time-sigma": "told sigma",
    "time-log": "told log sigma",
    "time-log2": "told log2 sigma / 4",
    "time-log10": "told log10 sigma / 4",
    "time-zero": "told nothing of the level",
    "time-of-first": "told the first row's level",
    "time-mean": "told the mean level",
    "time-clamped": "told a clamped level",
    "time-rounded": "told a rounded level",
    "time-negated": "told -log(sigma) / 4",
    "in-place": "changes x",
    "clips-in": "clips the network's input",
    "no-condition": "hands on no conditions",
    "rolled-condition": "hands on the next row's condition",
    "first-condition": "hands on the first row's condition",
    "no-grad": "network called without gradient",
    "autocast": "network's output rounded to bfloat16",
    "detached": "network's output detached",
    "channels-rolled": "channels of the output exchanged",
    "global-rng": "noise from the global generator",
    "skip-of-in": "c_skip times the scaled input",
    "clips": "clips to [-1, 1]",
    "float64": "float64 answers",
    "half": "half answers",
    "float32": "float32 answers for float64",
    "squeezes": "squeezes a batch of one row",
    "flat": "flat answers for pictures",
    "mean-row": "adds the batch's mean",
    "residual": "answers with the noise",
    "checks-shape": "points only",
    "one-level-only": "one level a batch only",
    "batch-norm": "batch normalisation",
    "frozen": "a network without trainable parameters",
    "row-norm-over-batch": "normalises over the batch",
    "net-ignores-condition": "the network ignores conditions",
    "net-ignores-time": "the network ignores the time",
    "net-noise": "the network draws noise",
    "dropout-always": "dropout in evaluation too",
    "net-no-grad": "no gradient into the first layer",
    "net-detached": "the network's output is detached",
    "transposed": "height and width exchanged in the network",
}
