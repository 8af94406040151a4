"""Weights, gradients, the average and the optimiser's state sharded over the processes by torch's `fully_shard`, for a
run that accelerate is configured for FSDP 2 with.

accelerate's own way there is closed: it wants one network, prepared with its optimiser, and shards on GPUs only.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from ambientkit.checkpoint.sharded import is_sharded, shard, whole
from ambientkit.errors import InputError
from ambientkit.text import listed
from ambientkit.training.launched import NO_WRAP, Sharding
from ambientkit.training.memory import blocks


def library() -> Any:
    """The module of `fully_shard`. Raises InputError where torch is too old.

    To be imported before a process group is made, for the reason given in `training.accelerator`."""
    tensor, found = (importlib.import_module(f"torch.distributed.{name}") for name in ("tensor", "fsdp"))
    if not hasattr(found, "FSDPModule") or "src_data_rank" not in tensor.distribute_tensor.__kwdefaults__:
        raise InputError(f"FSDP 2 needs torch 2.7 or later, and this is {torch.__version__}; leave fsdp_version at 1")
    return found


class Sharded:
    """What of a training is sharded, and the ways between shards and whole tensors."""

    def __init__(self, accelerator: Accelerator, sharding: Sharding) -> None:
        from torch.distributed.device_mesh import init_device_mesh

        self._library = library()
        self._sharding = sharding
        self._device = accelerator.device
        self._mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
        self._networks: list[nn.Module] = []

    def shard(self, network: nn.Module) -> None:
        """Shard a network in place, on the device: each block by itself, and together what is in none.

        A block after another is moved to the device. Raises InputError for weights that cannot be sharded.
        """
        units = [*self._units(network), network]
        _refuse(network, units)
        fully_shard: Any = self._library.fully_shard
        for unit in units:
            unit.register_forward_hook(_no_views)
            fully_shard(unit, mesh=self._mesh, reshard_after_forward=self._sharding.reshard)
        unused: Any = getattr(network, "set_reduce_scatter_unused_params", None)
        if unused is not None:
            unused(True)  # a weight that a process does not use, and another does, has the gradient 0 there
        self._networks.append(network)

    def _units(self, network: nn.Module) -> list[nn.Module]:
        names = self._sharding.classes
        if self._sharding.policy == NO_WRAP:
            return []
        if not names:
            return list(blocks(network))
        found = [module for module in network.modules() if type(module).__name__ in names and module is not network]
        missing = set(names) - {type(module).__name__ for module in found}
        if missing:
            raise InputError(
                f"fsdp_transformer_layer_cls_to_wrap: no module of this network is a {listed(sorted(missing))}; name "
                "classes of its blocks, or leave it out"
            )
        return found[::-1]  # from the inside out

    def settle(self, networks: Iterable[nn.Module]) -> None:
        """Give back what is still gathered of networks that were called, as an optimiser's step would leave it behind,
        and what torch remembers of the calls."""
        for network in networks:
            for module in network.modules():
                if isinstance(module, self._library.FSDPModule):
                    cast(Any, module).reshard()
            # Calls without a gradient are remembered, too, until the next backward pass; of the average there is none.
            reset: Any = getattr(network, "reset_iter_state", None)
            if reset is not None:
                reset()

    def whole_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """The `state_dict` of an optimiser of whole weights, on the CPU. All processes must call it at the same
        step."""
        return {
            **state,
            "state": {
                index: {
                    name: whole(value).cpu() if is_sharded(value) else value for name, value in sorted(entries.items())
                }
                for index, entries in sorted(state["state"].items())
            },
        }

    def own_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """The other way round."""
        trained = [weight for weight in self._networks[0].parameters() if weight.requires_grad]
        own = {
            index: {
                name: shard(value, trained[index])
                if isinstance(value, Tensor) and value.shape == trained[index].shape and name != "step"
                else value
                for name, value in entries.items()
            }
            for index, entries in state["state"].items()
        }
        return {**state, "state": own}


def _no_views(module: nn.Module, given: Any, output: Any) -> Any:
    """Copies of outputs that are views: one that is changed in place would lose the hook by which torch gathers."""
    return tree_map_only(Tensor, lambda value: value.clone() if value._base is not None else value, output)


def _refuse(network: nn.Module, units: list[nn.Module]) -> None:
    """Raise InputError for weights that torch would refuse in the first step, or in words of its own."""
    inner = {id(module): place for place, unit in reversed(list(enumerate(units))) for module in unit.modules()}
    owner: dict[int, int] = {}
    dtypes: dict[int, set[torch.dtype]] = {}
    for name, weight, unit in _weights(network, inner):
        if weight.ndim == 0:
            raise InputError(f"weight {name!r} has no axis, so that FSDP 2 cannot shard it; leave fsdp_version at 1")
        if owner.setdefault(id(weight), unit) != unit:
            raise InputError(
                f"weight {name!r} belongs to two blocks, which FSDP 2 would shard apart; give "
                "--fsdp_auto_wrap_policy NO_WRAP, or leave fsdp_version at 1"
            )
        if weight.requires_grad:
            dtypes.setdefault(unit, set()).add(weight.dtype)
            if len(dtypes[unit]) > 1:
                raise InputError(
                    f"weight {name!r} is {weight.dtype}, and others of its block are not: FSDP 2 shards blocks of one "
                    "type; leave fsdp_version at 1"
                )


def _weights(network: nn.Module, inner: dict[int, int]) -> Iterator[tuple[str, nn.Parameter, int]]:
    """The weights by name, with the number of the innermost unit that each is in."""
    for at, module in network.named_modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                yield f"{at}.{name}" if at else name, weight, inner[id(module)]
