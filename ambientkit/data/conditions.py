"""Conditions that are left out: what a row carries in their place, and which rows of a step do."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.errors import InputError
from ambientkit.interfaces import Model
from ambientkit.maths.randomness import derive_seed


def null_values(model: Model, cond: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """name -> what stands for "no condition", in the dtype and on the device of the condition: one value, or one of the
    shape of a row's. Conditions that are never dropped (`Model.always`) are left out.

    cond: name -> (B, ...). Raises InputError where the model names none for a whole number, which would be another
    class, or one that does not fit.
    """
    found = {}
    for name, value in cond.items():
        if name in model.always:
            continue
        null = model.null_cond(name)
        if null is None and not value.is_floating_point():
            raise InputError(
                f"model {model.name!r} does not say which value of {name!r} stands for no condition, and of whole "
                "numbers 0 may be a class: "
                "a model that can do without says so in null_cond"
            )
        one = torch.as_tensor(0 if null is None else null).to(value)
        if one.ndim and one.shape != value.shape[1:]:
            raise InputError(
                f"model {model.name!r}: null_cond({name!r}) has shape {tuple(one.shape)}, but rows carry "
                f"{tuple(value.shape[1:])}"
            )
        found[name] = one
    return found


def drop_conditions(batch: Batch, null: Mapping[str, Tensor], probability: float, seed: int, step: int) -> Batch:
    """A batch of which each row has all conditions that `null` names put to it with this probability, drawn by (seed,
    row, step).

    So it depends on neither the batch nor the process in which a row is seen. Source: classifier-free guidance, arXiv
    2207.12598, algorithm 1.
    """
    drawn = [derive_seed(seed, "condition", step=step, row=row) for row in batch.row.tolist()]
    dropped = torch.tensor([value < probability * 2**32 for value in drawn], device=batch.x_n.device)
    return batch._replace(
        cond={
            name: torch.where(_spread(dropped, value), null[name], value) if name in null else value
            for name, value in batch.cond.items()
        }
    )


def _spread(chosen: Tensor, value: Tensor) -> Tensor:
    return chosen.reshape(-1, *[1] * (value.ndim - 1))
