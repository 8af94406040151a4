"""The state of a training run as files: weights, their average, the optimiser, and counters.

There is no generator state to keep: every generator is a function of the seed and the step.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ambientkit.checkpoint.base import NONE, Base, check_base
from ambientkit.checkpoint.folder import FORMAT_VERSION
from ambientkit.checkpoint.names import AVERAGE
from ambientkit.checkpoint.weights import fill, from_bytes, to_bytes
from ambientkit.errors import InputError

WITHIN = "/"
"""Between the name of a mapping in an optimiser's state and the names in it."""


def save_state(
    network: Mapping[str, Tensor],
    average: Mapping[str, Tensor],
    state: Mapping[str, Any],
    counters: Mapping[str, Any],
    base: Base = NONE,
) -> dict[str, bytes]:
    """The files of a checkpoint. network, average: their tensors (`base.kept`), those of the average's network under
    "module."; state: the optimiser's `state_dict`; counters: JSON values, kept as they are; base: what of the network
    is frozen, which the files do not repeat."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for index, entries in state["state"].items():
        for name, value in _flat(entries):
            (tensors if isinstance(value, Tensor) else plain)[f"{index}.{name}"] = value
    groups = [{key: value for key, value in group.items() if not callable(value)} for group in state["param_groups"]]
    return {
        "model.safetensors": to_bytes(network),
        AVERAGE: to_bytes(average),
        "optimizer.safetensors": to_bytes(tensors),
        "state.json": json.dumps(
            {
                "format_version": FORMAT_VERSION,
                "counters": {**counters, **base.entry()},
                "optimizer": {"state": plain, "param_groups": groups},
            },
            indent=1,
        ).encode(),
    }


def load_state(
    files: Mapping[str, bytes],
    where: str,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    own: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    base: Base = NONE,
) -> dict[str, Any]:
    """Put the files of a checkpoint back, strictly; returns the counters. Raises InputError naming the file that does
    not fit.

    own: what of the optimiser's whole state this process keeps; base: what of the network is frozen, and must be what
    it was.
    """
    for name in ("model.safetensors", AVERAGE, "optimizer.safetensors", "state.json"):
        if name not in files:
            raise InputError(f"{where}/{name}: missing from the checkpoint")
    for name, module, frozen in (("model.safetensors", network, base), (AVERAGE, average, base.under("module."))):
        tensors, _ = from_bytes(files[name], f"{where}/{name}")
        fill(module, tensors, f"{where}/{name}", frozen)
    try:
        plain = json.loads(files["state.json"])
        check_base(base, plain["counters"].get("base"), where)
        if plain.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
            raise InputError(
                f"{where}/state.json: format {plain['format_version']!r} is not known; this version reads "
                f"{FORMAT_VERSION}"
            )
        counters, saved = dict(plain["counters"]), plain["optimizer"]
        tensors, _ = from_bytes(files["optimizer.safetensors"], f"{where}/optimizer.safetensors")
        state: dict[int, dict[str, Any]] = {}
        for key, value in {**tensors, **saved["state"]}.items():
            index, _, name = key.partition(".")
            *outer, name = name.split(WITHIN)
            entries = state.setdefault(int(index), {})
            for group_name in outer:
                entries = entries.setdefault(group_name, {})
            entries[name] = value
        groups = [
            {**group, "betas": tuple(group["betas"])} if "betas" in group else group for group in saved["param_groups"]
        ]
        optimizer.load_state_dict(own({"state": state, "param_groups": groups}))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{where}: the optimiser's state does not fit this run ({type(error).__name__}: {error})"
        ) from None
    return counters


def _flat(entries: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of an optimiser's state of one parameter: bitsandbytes keeps its 8-bit tensors in a mapping within."""
    for name, value in entries.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}{WITHIN}")
        else:
            yield prefix + name, value
