"""The model `mlp`: a residual network on flattened rows, for mixtures and small pictures."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor, nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Model, Signal
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import edm_preconditioning


class MLP(Model):
    """A residual multilayer perceptron on flattened rows of any shape, with EDM preconditioning.

    D(x, sigma) = c_skip x + c_out F(c_in x, c_noise). With `features` > 0 the input is joined by that many random Fourier
    features of c_in x, which a smooth network needs to fit sharp modes.
    """

    name = "mlp"
    source = "preconditioning: arXiv 2206.00364, eq. 7; features: arXiv 2006.10739"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})

    width: int = Field(256, ge=1)
    """Channels of each layer."""
    depth: int = Field(3, ge=1)
    """Residual blocks of two layers each."""
    features: int = Field(0, ge=0)
    """Random Fourier features of the input; 0 for none."""
    feature_scale: float = Field(3.0, gt=0)
    """Std of their frequencies, in units of 1 / std of the preconditioned input."""

    def network(self, signal: Signal) -> nn.Module:
        """A fresh network F for rows of `signal.shape`. Raises InputError where the data carry conditions."""
        if signal.conds:
            raise InputError(f"model 'mlp' takes no conditions, but the data carry {sorted(signal.conds)}: choose another model")
        return _Perceptron(math.prod(signal.shape), self.width, self.depth, self.features, self.feature_scale)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """D(x, sigma) for x (B, *S), sigma (B,)."""

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
            output = network((per_row(c.c_in, x) * x).flatten(1), c.c_noise).to(x.dtype)
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * output.reshape(x.shape)

        return denoise


class _Perceptron(nn.Module):
    """F(y, c_noise): y (B, d), c_noise (B,) to (B, d)."""

    def __init__(self, size: int, width: int, depth: int, features: int, feature_scale: float) -> None:
        super().__init__()
        self.frequencies: Tensor
        self.noise_frequencies: Tensor
        self.register_buffer("frequencies", torch.randn(size, features) * feature_scale)
        self.register_buffer("noise_frequencies", 2.0 ** torch.linspace(-2, 3, 16))
        self.encode = nn.Linear(size + 2 * features, width)
        self.encode_noise = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(depth)
        )
        self.decode = nn.Linear(width, size)
        nn.init.zeros_(self.decode.weight)
        nn.init.zeros_(self.decode.bias)

    def forward(self, y: Tensor, c_noise: Tensor) -> Tensor:
        phase = y @ self.frequencies
        hidden = self.encode(torch.cat([y, phase.cos(), phase.sin()], dim=1))
        phase = c_noise.unsqueeze(1) * self.noise_frequencies
        noise = self.encode_noise(torch.cat([phase.cos(), phase.sin()], dim=1))
        for block in self.blocks:
            hidden = hidden + block(hidden + noise)
        return self.decode(nn.functional.silu(hidden))
