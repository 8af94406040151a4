"""Pictures that can be distinguished at any level: row i is constant, its number times `SPACING`, and conditions say
the number again.

For data that are known points m the exact denoiser is D = m, and each view is m + sigma z with z white, for any
level. So a denoiser sees from its input which row it is asked for, and whether the conditions are those of that row.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ambientkit.batch import Batch
from ambientkit.interfaces import Part, Sampler, Signal
from ambientkit.maths.noise import RandomSource, per_row, standard_normal
from ambientkit.maths.reverse import reverse_step

SHAPE = (3, 5, 7)
"""Height and width differ, so that exchanging them shows, and all are odd, so that nothing can be halved."""
SPACING = 200.0
"""Far more than the noise of a mean over a picture at any level of the case."""
SIGNAL = Signal(SHAPE, 0.4, {"label": (), "style": (2,)})


class Broken(Exception):
    """The fault of a part, in words."""


def require(right: bool, otherwise: str) -> None:
    """Raise Broken where something is not as it must be."""
    if not right:
        raise Broken(otherwise)


def conditions(number: Tensor) -> dict[str, Tensor]:
    """The conditions of rows (B,) by their numbers: an integer, and two numbers."""
    return {"label": number.long(), "style": torch.stack([0.5 * number, -2.0 * number], 1).float()}


def labelled(sigma_n: Tensor, generator: torch.Generator, shape: tuple[int, ...] = SHAPE, first: int = 1) -> Batch:
    """Observations in float32 of rows `first`, `first` + 1, ... at noise sigma_n (B,) or per pixel (B, *shape)."""
    number = torch.arange(first, first + len(sigma_n))
    x_0 = (SPACING * number).float().reshape(-1, *[1] * len(shape)).expand(-1, *shape).contiguous()
    sigma_n = sigma_n.float()
    return Batch(
        x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, generator), sigma_n, 40 + number, conditions(number)
    )


def number_of(x: Tensor) -> Tensor:
    """(B,), the number of the row that each point is a view of."""
    return (x.detach().double().flatten(1).mean(1) / SPACING).nan_to_num(0.0, 0.0, 0.0).round()


def centre_of(x: Tensor, number: Tensor) -> Tensor:
    """The clean picture below each point that is asked about, constant: its row, or that row at the contrast of the
    point."""
    mean = x.detach().double().flatten(1).mean(1)
    return per_row(torch.where(number_of(x) == number, SPACING * number, mean).to(x.dtype), x)


def may_lower_contrast(part: Part) -> bool:
    """Whether an objective may ask about rows of lower contrast than they have: one that claims no unbiased minimum
    may rest on the assumption that these are rows too (arXiv 2510.11964)."""
    return "stationary-at-oracle" not in part.claims


def asked_of(
    x: Tensor,
    sigma: Tensor,
    cond: Mapping[str, Tensor],
    *,
    shape: tuple[int, ...] = SHAPE,
    conditioned: bool = True,
    lowered: bool = False,
    filled: bool = False,
) -> Tensor:
    """The numbers of the rows that a denoiser is asked for. Raises Broken for a call that the contract of `Denoiser`
    does not allow.

    lowered: points may be those of the row that the conditions are of, at lower contrast. filled: points near 0, of no
    row, may have any conditions: a batch may be filled up; their number is 0, and nothing may depend on their answers.
    """
    require(
        isinstance(x, Tensor) and x.shape[1:] == shape,
        "the denoiser is asked about points of another shape than the rows",
    )
    require(
        isinstance(sigma, Tensor) and sigma.shape == x.shape[:1],
        "the denoiser is asked at levels of another shape than (B,)",
    )
    require(
        bool(sigma.isfinite().all() and (sigma > 0).all()),
        "the denoiser is asked at a level that is not a positive number",
    )
    require(bool(x.isfinite().all()), "the denoiser is asked about points that are not finite")
    number = number_of(x)
    if lowered and isinstance(label := cond.get("label"), Tensor) and label.shape == number.shape:
        number = torch.where((number >= 0) & (number <= label), label.double(), number)
    if conditioned:
        right = conditions(number)
        require(set(cond) == set(right), "the denoiser is not given the conditions of the rows")
        for name, value in right.items():
            require(cond[name].dtype == value.dtype, "the denoiser gets conditions of another dtype than the rows have")
            own = _equal_rows(cond[name], value) | ((number == 0) & filled)
            require(
                bool(own.all()),
                "the denoiser gets other conditions than those of the row it is asked about, or asked about no "
                "row at all",
            )
    return number


def _equal_rows(one: Tensor, other: Tensor) -> Tensor:
    """(B,), which rows of two tensors are equal: none where the shapes differ."""
    if one.shape != other.shape:
        return torch.zeros(len(other), dtype=torch.bool, device=other.device)
    equal = one.double() == other.double()
    return equal.flatten(1).all(1) if equal.ndim > 1 else equal


def global_state() -> list[bytes]:
    """The states of the global generators that a part must leave alone: torch's, numpy's and Python's."""
    numpy: Any = np.random.get_state(legacy=False)
    numbers = numpy["state"]
    return [
        torch.get_rng_state().numpy().tobytes(),
        numbers["key"].tobytes() + bytes([numbers["pos"] % 256]),
        repr(random.getstate()).encode(),
    ]


def same(one: Batch, other: Batch) -> bool:
    """Whether nothing in a batch has changed: values, dtypes, names, and that no graph hangs on it."""
    pairs = [(one.x_n, other.x_n), (one.sigma_n, other.sigma_n), (one.row, other.row)]
    if one.cond.keys() != other.cond.keys():
        return False
    pairs += [(value, other.cond[name]) for name, value in one.cond.items()]
    return all(a.dtype == b.dtype and a.requires_grad == b.requires_grad and torch.equal(a, b) for a, b in pairs)


def copied(batch: Batch) -> Batch:
    """A batch of its own."""
    cond = {name: value.clone() for name, value in batch.cond.items()}
    return Batch(batch.x_n.clone(), batch.sigma_n.clone(), batch.row.clone(), cond)


class NoHalf(TorchFunctionMode):
    """While active, `found` says whether any operation gave numbers in half precision: the algebra of noise loses its
    digits there."""

    found = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """The operation's own answer."""
        answer = func(*args, **(kwargs or {}))
        if isinstance(answer, Tensor) and answer.dtype in (torch.float16, torch.bfloat16):
            self.found = True
        return answer


class OneStep(Sampler):
    """The reverse step of DDPM at each level: exact for known points."""

    name = "one-step"
    source = "arXiv 2006.11239, eq. 6-7"
    claims = frozenset({"reverse-kernel", "row-generators"})

    def sample(
        self, denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Carry x (B, *S) from sigmas[0] to sigmas[-1]."""
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = reverse_step(x, denoiser(x, sigma_t, **cond).to(x.dtype), sigma_t, sigma_s, generator)
        return x
