"""The frozen base of a network: what training leaves as `Model.network` gave it, so that no file of a run repeats it.

Files hold what is trained, and a digest of the base. Whoever reads them asks the model for the network again, and so
for the base (the contract stands in `interfaces.Model`); the digest says whether it is the same one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ambientkit.config import RunConfig
from ambientkit.errors import InputError
from ambientkit.interfaces import Signal
from ambientkit.maths.randomness import isolated_global_generator

SAMPLED = 1024
"""Values of each tensor that the digest looks at, about; evenly spaced."""


@dataclass(frozen=True, slots=True)
class Base:
    """Names of a network's frozen tensors, as its `state_dict` has them, and what they hold. False where there are
    none."""

    names: frozenset[str] = frozenset()
    digest: str = ""
    """SHA-256 of names, shapes, types, and of about 1,024 values of each."""

    def __bool__(self) -> bool:
        return bool(self.names)

    def under(self, prefix: str) -> Base:
        """The same of a module that holds the network under a name, such as "module."."""
        return Base(frozenset(prefix + name for name in self.names), self.digest)

    def entry(self) -> dict[str, Any]:
        """Its entry in files; empty where there is none."""
        return {"base": {"digest": self.digest, "tensors": len(self.names)}} if self else {}


NONE = Base()


def network_of(config: RunConfig, signal: Signal) -> nn.Module:
    """The network of a run as it was before the first step: of a seed, the same weights and the same base each time. On
    the CPU, or where the model puts it."""
    with isolated_global_generator(config.seed, "init"):
        return config.model.network(signal)


def base_of(network: nn.Module) -> Base:
    """The frozen base of a fresh network: parameters that ask for no gradient, and buffers of modules whose parameters
    are all such.

    A network without any trained parameter has no base: nothing shows there which parameters would stay.
    """
    names = frozen_names(network)
    if not names:
        return NONE
    tensors = network.state_dict()
    digest = hashlib.sha256()
    for name in sorted(names):
        flat = tensors[name].detach().reshape(-1)
        digest.update(f"{name} {tuple(tensors[name].shape)} {flat.dtype}\n".encode())
        digest.update(flat[:: max(1, len(flat) // SAMPLED)].cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return Base(names, digest.hexdigest())


def frozen_names(network: nn.Module) -> frozenset[str]:
    """The names of the frozen base, as `base_of` has them; none where no parameter is trained. The network may lie on
    the device "meta"."""
    if not any(parameter.requires_grad for parameter in network.parameters()):
        return frozenset()
    return frozenset(_frozen(network, "", False)) & network.state_dict().keys()


def _frozen(module: nn.Module, at: str, around: bool) -> Iterator[str]:
    """Names of frozen parameters and buffers. A module without parameters does as the one around it does."""
    own = list(module.parameters())
    frozen = not any(parameter.requires_grad for parameter in own) if own else around
    yield from (
        at + name for name, value in module._parameters.items() if value is not None and not value.requires_grad
    )
    if frozen:
        yield from (at + name for name, value in module._buffers.items() if value is not None)
    for name, child in module._modules.items():
        if child is not None:
            yield from _frozen(child, f"{at}{name}.", frozen)


def train_mode(network: nn.Module) -> None:
    """Training mode for what is trained, evaluation mode for modules whose parameters are all frozen: no dropout there,
    and buffers stay."""
    network.train()
    _rest(network)


def _rest(module: nn.Module) -> None:
    own = list(module.parameters())
    if own and not any(parameter.requires_grad for parameter in own):
        module.eval()
        return
    for child in module.children():
        _rest(child)


def kept(module: nn.Module, base: Base = NONE) -> dict[str, Tensor]:
    """What files keep of a network: its `state_dict` without the base."""
    return {name: value for name, value in module.state_dict().items() if name not in base.names}


def check_base(base: Base, stored: Mapping[str, Any] | None, where: object) -> None:
    """Raise InputError where a file was written over another base than `base`. stored: the file's entry "base"; a file
    may say nothing."""
    found = (stored or {}).get("digest", base.digest)
    if found != base.digest:
        here = f"the model gives one of digest {base.digest[:12]} here" if base else "the model freezes nothing here"
        raise InputError(
            f"{where}: these weights belong to a frozen base of digest {str(found)[:12]}, but {here}. "
            "Give the model the files and fields that it had in training"
        )
