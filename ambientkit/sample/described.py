"""What a weights file says of itself, held against its tensors before anything of that size is allocated: it may be
damaged, or hostile."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ambientkit.checkpoint.base import Base, frozen_names, kept, network_of
from ambientkit.checkpoint.weights import check_fit
from ambientkit.config import RunConfig
from ambientkit.errors import InputError
from ambientkit.interfaces import Signal

LARGEST = 2**34
"""Values of a row at most."""
SPARE = 4
"""A network under construction may register so many times the parameters that it has in the end."""


def stored_signal(stored: Any) -> Signal:
    """The signal that metadata describe. Raises KeyError, TypeError or ValueError where it can be none."""
    shape = _sizes("shape", stored["shape"])
    if not shape or math.prod(shape) > LARGEST:
        raise ValueError(f"shape {list(shape)}")
    sigma_data = float(stored["sigma_data"])
    if not (math.isfinite(sigma_data) and sigma_data > 0):
        raise ValueError(f"sigma_data should be above 0 and finite, not {sigma_data}")
    return Signal(
        shape, sigma_data, {str(name): _sizes(f"conds.{name}", sizes) for name, sizes in dict(stored["conds"]).items()}
    )


def _sizes(what: str, stored: Any) -> tuple[int, ...]:
    if not isinstance(stored, list | tuple) or not all(type(size) is int and size > 0 for size in stored):
        raise ValueError(f"{what} should be a list of whole numbers above 0, not {str(stored)[:60]}")
    return tuple(stored)


def check_described(config: RunConfig, signal: Signal, tensors: Mapping[str, Tensor], frozen: int, where: str) -> None:
    """Raise InputError where the network of a run has other tensors than a file. Built on the device "meta", it takes
    no memory.

    One that has more parameters than the file is given up while it is built. frozen: the number of tensors in its
    frozen base, which the file does not hold. A network that can only be built in memory is not checked here.
    """
    most = SPARE * (len(tensors) + frozen) + 100
    try:
        with torch.device("meta"), _at_most(most), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights that a model loads into it, which do nothing there
            network = network_of(config, signal)
    except _TooMany:
        raise InputError(
            f"{where}: the weights do not fit this model: its configuration describes a network of more than "
            f"{most:,} tensors, but the file has "
            f"{len(tensors):,}"
        ) from None
    except (RuntimeError, NotImplementedError, ValueError, TypeError, OverflowError):
        return
    base = Base(frozen_names(network))
    check_fit(kept(network, base), {name: value for name, value in tensors.items() if name not in base.names}, where)


class _TooMany(Exception):
    """More parameters were registered than a file can hold."""


@contextmanager
def _at_most(most: int) -> Iterator[None]:
    """Raise _TooMany in the block when more than so many parameters are registered in networks."""
    count = 0

    def registered(module: nn.Module, name: str, parameter: Any) -> None:
        nonlocal count
        count += 1
        if count > most:
            raise _TooMany

    hook = register_module_parameter_registration_hook(registered)
    try:
        yield
    finally:
        hook.remove()
