"""Noise for k-diffusion's samplers that comes from the caller's generator, never from torch's global one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ambientkit.interfaces import Denoiser
from ambientkit.maths.noise import RandomSource, standard_normal

NoiseSampler = Callable[[Tensor, Tensor], Tensor]
"""(sigma, sigma_next) -> unit normal noise for the step between them: k-diffusion's `noise_sampler`."""


def white(x: Tensor, generator: RandomSource) -> NoiseSampler:
    """Independent noise at each call: right for a sampler that asks once for each of disjoint intervals of sigma."""
    return lambda sigma, sigma_next: standard_normal(x, generator)


class Nested:
    """Increments of a Brownian path in sigma, each row its own: right for a sampler that asks for an interval and then
    for one round it.

    sample_dpmpp_sde asks for sigma_t to a middle level, and then for the whole step from the same sigma_t, whose
    increment therefore is the first one plus an independent rest. Exact; k-diffusion's BrownianTreeNoiseSampler, which
    answers any question, needs some milliseconds a row and question (measured: 67 s against .04 s for 400 points and 30
    steps).
    """

    def __init__(self, x: Tensor, generator: RandomSource) -> None:
        self._x, self._generator = x, generator
        self._start = self._end = x.new_zeros(())
        self._increment = torch.zeros_like(x)

    def __call__(self, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        """(w(sigma) - w(sigma_next)) / sqrt(sigma - sigma_next): unit normal, shape of x."""
        z = standard_normal(self._x, self._generator)
        if sigma != self._start:
            self._start, self._end, self._increment = sigma, sigma, torch.zeros_like(self._x)
        self._increment = self._increment + (self._end - sigma_next).clamp(min=0).sqrt() * z
        self._end = sigma_next
        # In a step too short for the precision nothing is added, but 0/0 would be.
        return self._increment / (sigma - sigma_next).sqrt() if sigma > sigma_next else z


class Churn(TorchFunctionMode):
    """While active, `torch.randn_like` draws from `generator`, or gives zeros where that is None.

    Three of k-diffusion's samplers call torch.randn_like, even where they do not use the result, and take no noise
    sampler. The denoiser is let alone: `outside(denoiser)` runs as if the mode were not there.
    """

    def __init__(self, generator: RandomSource | None) -> None:
        super().__init__()
        self._generator = generator
        self._asleep = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.randn_like and not self._asleep:
            return torch.zeros_like(args[0]) if self._generator is None else standard_normal(args[0], self._generator)
        return func(*args, **(kwargs or {}))

    def outside(self, denoiser: Denoiser) -> Denoiser:
        """The same denoiser, in whose calls `torch.randn_like` is torch's own."""

        def call(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            self._asleep = True
            try:
                return denoiser(x, sigma, **cond)
            finally:
                self._asleep = False

        return call
