"""Bases of the models of this kit: small networks under EDM's preconditioning, and in other forms."""

from __future__ import annotations

import math

import torch
from torch import nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Model
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import edm_preconditioning


class Layers(nn.Module):
    """Two layers on flattened rows and the level that is told."""

    def __init__(self, size, width=32):
        super().__init__()
        self.first, self.last = nn.Linear(size + 1, width), nn.Linear(width, size)

    def forward(self, y, told):
        return self.last(torch.tanh(self.first(torch.cat([y, told.unsqueeze(1)], dim=1))))


class Small(Model):
    """D = c_skip x + c_out F(c_in x, log(sigma) / 4), in steps."""

    name = "kit17-base-small"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})

    def network(self, signal):
        if signal.conds:
            raise InputError(f"model {self.name!r} takes no conditions, but the data carry {sorted(signal.conds)}")
        return Layers(math.prod(signal.shape))

    def coefficients(self, sigma, std):
        """c_skip, c_out, c_in and c_noise, each (B,)."""
        return tuple(edm_preconditioning(sigma, std))

    def call(self, network, y, told):
        return network(y.flatten(1), told).reshape(y.shape).to(y.dtype)

    def mixed(self, x, sigma, network, std):
        skip, out, into, told = self.coefficients(sigma, std)
        return per_row(skip, x) * x + per_row(out, x) * self.call(network, per_row(into, x) * x, told)

    def denoiser(self, network, signal):
        return lambda x, sigma, /, **cond: self.mixed(x, sigma.to(x.dtype), network, signal.sigma_data)


class Eps(Small):
    """The network answers with the noise: D = x - sigma F."""

    name = "kit17-base-eps"
    claims = frozenset({"denoiser-contract", "eps-form"})

    def coefficients(self, sigma, std):
        return torch.ones_like(sigma), -sigma, 1 / torch.hypot(torch.ones_like(sigma), sigma), sigma.log() / 4


class V(Small):
    """The network answers with v: D = alpha^2 x - s F."""

    name = "kit17-base-v"
    claims = frozenset({"denoiser-contract", "v-form"})

    def coefficients(self, sigma, std):
        alpha = 1 / torch.hypot(torch.ones_like(sigma), sigma)
        return alpha**2, -sigma * alpha, alpha, sigma.atan()


class Velocity(Small):
    """The network answers with the velocity of the flow: D = (x - sigma F) / (1 + sigma)."""

    name = "kit17-base-velocity"
    claims = frozenset({"denoiser-contract", "flow-form"})

    def coefficients(self, sigma, std):
        return 1 / (1 + sigma), -sigma / (1 + sigma), 1 / (1 + sigma), sigma / (1 + sigma)


class Plain(Small):
    """The network answers with x_0: D = F."""

    name = "kit17-base-plain"
    claims = frozenset({"x_0-form"})

    def coefficients(self, sigma, std):
        return torch.zeros_like(sigma), torch.ones_like(sigma), 1 / torch.hypot(std + 0 * sigma, sigma), sigma.log() / 4
