"""What a network can be taught: from every direction of its input, in every direction of its output, by its own
parameters. Exact probes for `model-contract`."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ambientkit.builtin.checks.labelled import require
from ambientkit.interfaces import Denoiser

SILENT = 1e-3
"""A direction is dead where it moves less than this share of what others move: exactly 0, but for rounding."""
UNMOVED = 1e-6
"""The same of a single pixel, at which a bounded answer may be saturated: tanh moves 4e-4 of the others at 0.9998."""
LOWEST, HIGHEST = 0.005, 5.0
"""Levels of rows that are seen in part."""
FIRST_STEPS = 5
"""From the start: gates that begin at 0 behind one that does are reached at the third."""
STEP = 1e-3
"""Of the difference quotients, in units of the level."""


def tensor_of(output: object) -> Tensor:
    """What a network answers: a tensor, or the first one of a tuple or of a record such as those of diffusers."""
    if isinstance(output, Tensor):
        return output
    values = (
        list(output.values()) if isinstance(output, dict) else list(output) if isinstance(output, tuple | list) else []
    )
    return next(value for value in values if isinstance(value, Tensor))


class _Called(Exception):
    """A network was called that need not run."""


def call_of(network: nn.Module, ask: Callable[[], object], *, run: bool = True) -> tuple[tuple, dict] | None:
    """What the network is called with, args and kwargs, while `ask` runs; None where it is not called once, as a
    module. run: whether it is to answer; otherwise all ends at its first call."""
    calls: list[tuple[tuple, dict]] = []

    def note(module: nn.Module, args: tuple, kwargs: dict) -> None:
        calls.append((args, kwargs))
        if not run:
            raise _Called

    hook = network.register_forward_pre_hook(note, with_kwargs=True)
    try:
        with torch.no_grad(), contextlib.suppress(_Called):
            ask()
    finally:
        hook.remove()
    return calls[0] if len(calls) == 1 else None


def learns_in_its_parameters(network: nn.Module, answer: Tensor) -> None:
    """Every tensor that would be learnt for `answer` is a parameter of the network: others are neither given to the
    optimiser, nor averaged, nor saved. Raises Broken."""
    own = {id(parameter) for parameter in network.parameters()}
    nodes, seen = [answer.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        require(
            leaf is None or id(leaf) in own,
            "the answer depends on weights that are no parameters of the network: they are not trained, averaged "
            "or saved",
        )
        nodes += [below for below, _ in node.next_functions]


def nothing_detached(network: nn.Module, denoiser: Denoiser, x: Tensor, sigma: Tensor, **cond: Tensor) -> None:
    """A parameter that changes the answer gets a gradient from it: no path from it is detached. The parameters without
    gradient are moved and put back. Raises Broken."""
    target = [parameter for parameter in network.parameters() if parameter.requires_grad]
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    grads = torch.autograd.grad((denoiser(x, sigma, **cond) * weights).sum(), target, allow_unused=True)
    silent = [one for one, grad in zip(target, grads, strict=True) if grad is None or not bool(grad.any())]
    if not silent:
        return
    kept = [one.detach().clone() for one in silent]
    with torch.no_grad():
        before = denoiser(x, sigma, **cond)
        for one in silent:
            one.add_(0.1 + 0.1 * one.abs())
        after = denoiser(x, sigma, **cond)
        for one, value in zip(silent, kept, strict=True):
            one.copy_(value)
    same = torch.allclose(before, after, rtol=1e-4, atol=1e-5 * float(before.abs().max()))
    require(same, "some parameters change the answer but get no gradient from it: they are detached")


def gradient_is_that_of_the_answer(
    network: nn.Module, denoiser_of: Callable[[nn.Module], Denoiser], x: Tensor, sigma: Tensor
) -> None:
    """The derivative with respect to x that autograd gives is that of the answer, by difference quotients in float64:
    no path from x to the answer is detached. Nothing is tried on networks that do not run in float64. Raises Broken."""
    with contextlib.suppress(RuntimeError):
        denoiser = denoiser_of(copy.deepcopy(network).double())
        generator = torch.Generator().manual_seed(0)
        x, sigma = x.double(), sigma.double()
        level = sigma.reshape(-1, *[1] * (x.ndim - 1))
        along, weights = (torch.randn(x.shape, generator=generator, dtype=torch.float64) for _ in range(2))
        step = STEP * level * along
        with torch.no_grad():
            ahead, behind = denoiser(x + step, sigma), denoiser(x - step, sigma)
        quotient = ((ahead - behind) / (2 * STEP) * weights).flatten(1).sum(1)
        point = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad((denoiser(point, sigma) * weights).sum(), point)
        told = (slope * level * along).flatten(1).sum(1)
        size = (ahead - behind).flatten(1).norm(dim=1) / (2 * STEP) * weights.flatten(1).norm(dim=1)
        off = (told - quotient).abs() / size.clamp(min=1e-12) * x[0].numel() ** 0.5
        require(
            bool((off < 0.02).all()),
            "the gradient with respect to x is not that of the answer: a part of it is detached",
        )


def reaches_every_pixel(network: nn.Module, answer: Tensor) -> None:
    """Some pixels of the denoiser's answer can each be moved by the parameters. Raises Broken."""
    learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for flat in answer.flatten(1)[: len(answer) if answer[0].numel() <= 256 else 1]:
        _moves(flat, _pixels(flat), learnt, UNMOVED)


def _pixels(flat: Tensor) -> dict[str, Tensor]:
    places = {0, len(flat) // 2, len(flat) - 1}
    return {f"pixel {i}": torch.zeros_like(flat).index_fill(0, torch.tensor([i]), 1.0) for i in places}


def _moves(flat: Tensor, names: dict[str, Tensor], learnt: list[nn.Parameter], silent: float = SILENT) -> None:
    moved = {name: _moved(flat, v / v.norm().clamp(min=1e-12), learnt) for name, v in names.items()}
    middle = sorted(moved.values())[len(moved) // 2]
    for name, size in moved.items():
        require(size > silent * middle and size > 0, f"no parameter moves {name}: the network can never learn it")


def learns_from_the_start(network: nn.Module, denoiser_of: Callable[[nn.Module], Denoiser], x: Tensor) -> None:
    """A fresh network, moved a few times by the sign of a gradient, gets a gradient in nine tenths of its parameters:
    a layer that begins at 0 is moved at once, one behind it after that, and two in a row never. Raises Broken."""
    network = copy.deepcopy(network).eval()
    target = [parameter for parameter in network.parameters() if parameter.requires_grad]
    denoiser, sigma = denoiser_of(network), torch.linspace(0.3, 3.0, len(x))
    reached, total = [False] * len(target), sum(parameter.numel() for parameter in target)
    for step in range(FIRST_STEPS):
        weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(step))
        found = torch.autograd.grad((denoiser(x, sigma) * weights).sum(), target, allow_unused=True)
        reached = [old or (new is not None and bool(new.any())) for old, new in zip(reached, found, strict=True)]
        share = sum(parameter.numel() for parameter, there in zip(target, reached, strict=True) if there) / total
        if share >= 0.9:
            return
        with torch.no_grad():
            for parameter, gradient in zip(target, found, strict=True):
                if gradient is not None:
                    parameter.sub_(1e-2 * gradient.sign())
    require(False, f"as it begins, the gradient ever reaches only {share:.0%} of the network's parameters")


def learns_what_is_hidden(
    network: nn.Module,
    denoiser_of: Callable[[nn.Module], Denoiser],
    shape: tuple[int, ...],
    mask: tuple[int, ...],
    *,
    takes_anything: bool,
) -> None:
    """The parameters move the answer for values under a mask at a low level about as far as at a high one: with the
    coefficients of values that are shown it would stay at the input. takes_anything: the model takes a condition of
    any name; where its network is shown what a mask hides, it takes this for one like any. Raises Broken."""
    generator = torch.Generator().manual_seed(0)
    seen = torch.rand(1, *mask, generator=generator) < 0.5
    seen.view(-1)[0], seen.view(-1)[-1] = True, False
    hidden = (~seen).expand(1, *shape).float()
    learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
    weights, moved = torch.randn(1, *shape, generator=generator) * hidden, []
    denoiser = denoiser_of(network)

    def asked_about(x: Tensor) -> list[Tensor]:
        call = call_of(network, lambda: denoiser(x, torch.tensor([HIGHEST]), mask=seen), run=False)
        return [value for value in call[0] if isinstance(value, Tensor)] if call is not None else []

    told = [asked_about(x) for x in (torch.zeros(1, *shape), hidden)]
    reads = not told[0] or not all(torch.equal(one, other) for one, other in zip(*told, strict=True))
    if reads and takes_anything:
        return
    for level in (LOWEST, HIGHEST):
        x = torch.randn(1, *shape, generator=generator) * (1 + level**2) ** 0.5 * (1 - hidden)
        answer = denoiser(x, torch.tensor([level]), mask=seen)
        moved.append(_moved(answer.flatten(), weights.flatten(), learnt))
    require(moved[0] > 0.05 * moved[1], "under a mask the network can hardly be taught at low levels: values stay 0")


def reaches_every_direction(network: nn.Module, args: tuple, kwargs: dict) -> None:
    """The mean, all but the mean, and the answer itself can each be moved by the parameters; and the answer changes
    with the mean and with the size of the input. Raises Broken."""
    out = tensor_of(network(*args, **kwargs))
    rows = range(len(out)) if out[0].numel() <= 256 else range(1)
    learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for row in rows:
        flat = out[row].flatten()
        names = {"the mean of a picture": torch.ones_like(flat), "all but the mean": _free_of_mean(flat)}
        names["the size of the answer"] = flat.detach().clone()
        _moves(flat, names, learnt)
    y, *rest = args if args else (None,)
    if not isinstance(y, Tensor):
        return
    for size in (1.0, 0.1, 0.01):  # the units of a network may be saturated, and are not with small weights
        usual, brighter, larger = _effects(_scaled(network, size), y, rest, kwargs)
        if usual > 0:
            break
    require(usual > 0, "the network's input has no effect on its answer")
    require(brighter > SILENT * usual, "the network does not see the mean of its input")
    require(larger > SILENT * usual, "the network does not see the size of its input")


def _scaled(network: nn.Module, size: float) -> nn.Module:
    """The network with all its parameters times a number."""
    if size == 1:
        return network
    found = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.mul_(size)
    return found


@torch.no_grad()
def _effects(network: nn.Module, y: Tensor, rest: list, kwargs: dict) -> tuple[float, float, float]:
    """How far the answer moves with noise on the input, with its mean, and with its size."""

    def answer(other: Tensor) -> Tensor:
        return tensor_of(network(other, *rest, **kwargs))

    base = answer(y)
    spread = float(y.std()) if y.numel() > 1 else 1.0
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0)).to(y)
    moved = (answer(y + 0.3 * spread * noise), answer(y + 0.3 * spread), answer(1.3 * y))
    usual, brighter, larger = (float((one - base).norm()) for one in moved)
    return usual, brighter, larger


def _free_of_mean(like: Tensor) -> Tensor:
    v = torch.randn(like.shape, generator=torch.Generator().manual_seed(1)).to(like)
    return v - v.mean()


def _moved(flat: Tensor, direction: Tensor, learnt: list[nn.Parameter]) -> float:
    """How far the parameters can move the answer in a direction: the norm of the gradient."""
    found = torch.autograd.grad((flat * direction).sum(), learnt, retain_graph=True, allow_unused=True)
    return float(sum(float(one.double().square().sum()) for one in found if one is not None)) ** 0.5
