"""What a denoiser makes of its network's answers: the same in every mode and after any earlier call. Exact probes for
`model-contract`."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from ambientkit.builtin.checks.answered import put
from ambientkit.builtin.checks.labelled import require
from ambientkit.builtin.checks.reach import call_of, tensor_of
from ambientkit.interfaces import Model, Signal
from ambientkit.maths.randomness import isolated_global_generator

PURPOSE = "verify.model-contract.formula"
MANY = 64
"""Rows that the network is given: a label in ten may be dropped."""


class Replaced:
    """While active, a network answers with numbers that depend on all that it is given, row by row, in the form of its
    own output. It runs once, to show that form."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._output: object = None
        self.asked = False
        """Whether it was called, as a module."""

    def __enter__(self) -> Replaced:
        self._hook = self._network.register_forward_hook(self._replace, with_kwargs=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._hook.remove()
        vars(self._network).pop("forward", None)

    def _replace(self, module: nn.Module, args: tuple, kwargs: dict, output: object) -> object:
        self.asked = True
        if self._output is None:
            self._output = output
            self._network.forward = lambda *args, **kwargs: self._output
        tensors = [value for value in [*args, *kwargs.values()] if isinstance(value, Tensor) and value.ndim]
        rows = [value.detach().double().reshape(len(value), -1) for value in tensors if len(value) == len(tensors[0])]
        told = sum(((index + 1) * value.mean(1) for index, value in enumerate(rows)), start=torch.ones(len(rows[0])))
        form = tensor_of(output)[0]
        pattern = torch.sin(1.0 + torch.arange(form.numel(), dtype=torch.float64)).reshape(form.shape)
        return put(output, (torch.sin(told).reshape(-1, *[1] * form.ndim) * pattern).to(form))


def remembers_no_call(
    part: Model, network: nn.Module, signal: Signal, x: Tensor, sigma: Tensor, **cond: Tensor
) -> None:
    """Rows at other levels, and with other conditions, have the answers that a new denoiser gives to each of them
    alone, after any calls. Raises Broken."""
    others = sigma.clone()
    others[1] = 0.05
    turned = {name: value.flip(0) for name, value in cond.items()}
    with torch.no_grad(), isolated_global_generator(0, PURPOSE), Replaced(network) as replaced:
        used = part.denoiser(network, signal)
        for levels, given in ((sigma, cond), (others, cond), (sigma.flip(0), cond), (sigma, turned)):
            found = used(x, levels, **given)
            alone = [
                part.denoiser(network, signal)(
                    x[i : i + 1], levels[i : i + 1], **{name: value[i : i + 1] for name, value in given.items()}
                )
                for i in range(len(x))
            ]
            if replaced.asked:
                _alike(found, torch.cat(alone), "an answer is made with levels or conditions of an earlier call")


def is_one_in_both_modes(
    part: Model, network: nn.Module, signal: Signal, x: Tensor, sigma: Tensor, **cond: Tensor
) -> None:
    """Of equal answers of its network to rows with conditions a denoiser makes the same while training and in
    evaluation mode: no guidance is hidden in one of them. Leaves the network in evaluation mode; `model-scaling` asks
    the same of rows without conditions. Raises Broken."""
    with torch.no_grad(), isolated_global_generator(0, PURPOSE), Replaced(network) as replaced:
        one, other = (part.denoiser(network.train(mode), signal)(x, sigma, **cond) for mode in (True, False))
    if replaced.asked:
        _alike(one, other, "of equal answers of its network the denoiser makes another x_0 than while training")
    _fed_alike_in_both_modes(part, network, signal, x, sigma, cond)


def _fed_alike_in_both_modes(
    part: Model, network: nn.Module, signal: Signal, x: Tensor, sigma: Tensor, cond: dict[str, Tensor]
) -> None:
    """Of `MANY` rows the network is given the same while training and in evaluation mode, labels among it, which may be
    changed in a few rows alone. Raises Broken."""
    row = torch.arange(MANY) % len(x)
    many = {name: value[row] for name, value in cond.items()}
    calls = []
    with isolated_global_generator(0, PURPOSE):
        for mode in (True, False):
            denoiser = part.denoiser(network.train(mode), signal)
            calls.append(call_of(network, partial(denoiser, x[row], sigma[row], **many), run=False))
    given = [
        [value for value in (*call[0], *call[1].values()) if isinstance(value, Tensor)]
        for call in calls
        if call is not None
    ]
    if len(given) < len(calls):  # it cannot be seen
        return
    for one, other in zip(*given, strict=False):
        if one.shape == other.shape:
            right = torch.allclose(one.double(), other.double(), rtol=1e-3, atol=1e-5)
            require(right, "while training, the network is given another input, level or condition of some rows")


def _alike(one: Tensor, other: Tensor, otherwise: str) -> None:
    require(torch.allclose(one, other, rtol=1e-3, atol=1e-3 * float(one.abs().max())), otherwise)
