"""What a model says of itself before there is a network: the rows that it takes, the levels that it knows, and how it
would be used. Exact probes for `model-contract`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from ambientkit.builtin.checks.labelled import require
from ambientkit.builtin.checks.reach import call_of, reaches_every_pixel
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Levels, Model, Signal
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.proposal import Proposal

UNEVEN = ((3, 16, 32), (1, 16, 32), (1, 32, 64))
"""Pictures of unlike sides that any network of pictures can halve four times."""
ODD = ((1, 7, 9), (3, 7, 9))
"""Pictures that nothing halves without a rest."""

NEAR = (0.05, 40.0)
"""Levels between which a network should distinguish those that are a fourth apart: in the table of a thousand steps of
a variance-preserving network neighbours are farther apart below."""


def knows_its_levels(part: Model) -> None:
    """`level_range` is a range. Raises Broken."""
    known = part.level_range()
    require(
        known is None or 0 < known.sigma_min < known.sigma_max,
        f"level_range gives {known and tuple(known)}, which is no range 0 < sigma_min < sigma_max",
    )


def fresh_or_refused(part: Model, signal: Signal, seed: int, purpose: str, index: int = 0) -> nn.Module | None:
    """A fresh network, or None where the model refuses the signal with InputError. Raises Broken for another error."""
    try:
        with isolated_global_generator(seed, purpose, step=index):
            return part.network(signal)
    except InputError:
        return None
    except Exception as error:
        what = f"rows of shape {signal.shape}" + (f" with {sorted(signal.conds)}" if signal.conds else "")
        require(False, f"network refuses {what} by {type(error).__name__} in place of InputError ({error})")
        raise


def keeps_its_offers(part: Model, shapes: Iterable[tuple[int, ...]], seed: int) -> None:
    """A model that is proposed for rows takes them: its fields are valid, and its network fits. Raises Broken."""
    for shape in shapes:
        offered = type(part).proposal(shape, {}, 1000)
        if offered is None:
            continue
        require(isinstance(offered, Proposal), f"proposal gives {type(offered).__name__}, no Proposal")
        try:
            made = type(part)(**offered.fields)
        except ValidationError as error:
            require(False, f"what is proposed for rows of shape {shape} is not valid ({error.errors()[0]['msg']})")
            raise
        network = fresh_or_refused(made, Signal(shape, 0.7), seed, "verify.model-contract.offer")
        require(network is not None, f"the model is proposed for rows of shape {shape}, and refuses them")


def takes_unlike_sides(part: Model, seed: int) -> None:
    """Pictures of unlike sides are answered, or refused by `network`. Raises Broken."""
    failed: list[str] = []
    for shape in UNEVEN:
        network = fresh_or_refused(part, Signal(shape, 0.7), seed, "verify.model-contract.uneven")
        if network is None:
            continue
        denoiser = part.denoiser(network.eval(), Signal(shape, 0.7))
        try:
            with torch.no_grad():
                answer = denoiser(torch.zeros(2, *shape), torch.tensor([0.3, 1.0]))
        except RuntimeError as error:
            failed.append(f"{shape} ({str(error).splitlines()[0]})")
            continue
        require(answer.shape == (2, *shape), f"answers of shape {tuple(answer.shape)} to pictures {shape}")
        return
    require(not failed, "pictures of unlike sides are neither answered nor refused: " + ", ".join(failed))


def reaches_odd_sides(part: Model, stirred: Callable[[nn.Module], nn.Module], seed: int) -> None:
    """Of pictures of odd sides, where the model takes them, the last pixel can be learnt too. Raises Broken."""
    for shape in ODD:
        signal = Signal(shape, 0.7)
        network = fresh_or_refused(part, signal, seed, "verify.model-contract.odd")
        if network is None:
            continue
        network = stirred(network)
        try:
            answer = part.denoiser(network, signal)(torch.ones(1, *shape), torch.tensor([0.5]))
        except RuntimeError:  # `takes_unlike_sides` says so, unless other sides are taken
            continue
        return reaches_every_pixel(network, answer)


def reads_its_mask(part: Model, network: nn.Module, signal: Signal) -> None:
    """A value that is 0 is another matter where the mask of a view shows it than where it hides it, in that row alone.
    The mask is the first condition of the signal; of an operator's measurements the second one is these. Raises
    Broken."""
    (name, own), *others = signal.conds.items()
    generator, rows = torch.Generator().manual_seed(0), 12
    seen = torch.rand(rows, *own, generator=generator) < 0.5
    seen.flatten(1)[:, 0], seen.flatten(1)[:, -1] = False, True
    more = seen.clone()
    more.flatten(1)[::2, 0] = True  # what every other row shows in addition is 0
    x = torch.where(seen.expand(rows, *signal.shape), torch.randn(rows, *signal.shape, generator=generator), 0.0)
    sigma, denoiser = torch.logspace(-2, 1, rows), part.denoiser(network, signal)

    def ask(mask: Tensor) -> Tensor:
        with torch.no_grad():
            return denoiser(x, sigma, **{name: mask}, **{other: x for other, _ in others})

    one, other = ask(seen), ask(more)
    # Of rows at any level, to the last bit: the units of a network may be saturated.
    says = not torch.equal(one[::2], other[::2])
    require(says, f"{name}, which the model takes, has no effect: zeros that it hides are taken for values")
    same = torch.allclose(one[1::2], other[1::2], rtol=1e-3, atol=1e-3 * float(one.abs().max()))
    require(same, f"a row's answer depends on another row's {name}")


def distinguishes_levels(part: Model, network: nn.Module, denoiser: Denoiser, one: Tensor) -> None:
    """The network is given different numbers for neighbouring levels, a fourth apart; one: (1, *S), a row. Raises
    Broken."""
    known = part.level_range() or Levels()
    low, high = max(NEAR[0], known.sigma_min), min(NEAR[1], known.sigma_max)
    count = int(math.log(high / low) / math.log(1.25)) + 1
    sigma = low * 1.25 ** torch.arange(count).float()
    x = one.expand(count, *one.shape[1:]).contiguous()
    call = call_of(network, lambda: denoiser(x, sigma), run=False)
    if call is None:
        return
    told = [
        value.detach().flatten(1) if value.ndim > 1 else value.detach().unsqueeze(1)
        for value in [*call[0][1:], *call[1].values()]
        if isinstance(value, Tensor) and value.ndim and len(value) == count and value.shape != x.shape
    ]
    apart = [(one[1:] != one[:-1]).any(1) for one in told]
    require(
        not apart or bool(torch.stack(apart).any(0).all()),
        "the network is given the same number for levels a fourth apart: it cannot distinguish them",
    )
