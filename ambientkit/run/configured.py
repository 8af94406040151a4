"""The configuration of a run, with the model and the training that suit its rows where no model is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from torch.utils.data import Dataset

from ambientkit.config import RunConfig, dump
from ambientkit.config.request import Request, configure, names_model, other_length
from ambientkit.data import observed
from ambientkit.interfaces import Model
from ambientkit.proposal import Proposal
from ambientkit.registry import Registry
from ambientkit.run.levels import suiting_levels
from ambientkit.training.blame import blaming


class Configured(NamedTuple):
    """What a run is."""

    config: RunConfig
    rows: Dataset[Any] | None = None
    """Its rows, where they had to be opened to know."""
    chosen: str = ""
    """The choice made for them and its reason, for the user; empty where none was made."""
    changed: str = ""
    """What another length changes of a run that goes on, for the user; empty for the same length, and a new run."""


def configured(request: Request, registry: Registry, stored: Path | None) -> Configured:
    """As `config.request.configure`; where a new run names no model, with what the models propose for its rows.

    Of all registered models the one that prefers these rows most is taken, with its fields and the training that suits
    (`Model.proposal`); every key that is given counts more. The configuration then holds all of it, so a run is resumed
    as it was begun, with any packages installed then. Raises InputError as `configure` does, and for rows that
    cannot be read.
    """
    config = configure(request, registry, stored)
    if stored is not None:
        return Configured(config, changed=other_length(config, stored, registry))
    if names_model(request):
        return Configured(config)
    with blaming(config, "before step 1"):
        rows = config.data.rows()
        observations = observed(rows, config.corruption, config.seed, config.augment)
        if len(observations) == 0:
            return Configured(config, rows)  # which is refused, in words, where the run begins
        first = observations.__getitems__([0])
        shape, conds = tuple(first.x_n.shape[1:]), {name: tuple(value.shape[1:]) for name, value in first.cond.items()}
        name, proposal = proposed(registry, shape, conds, len(observations))
        levels = suiting_levels(observations, config.corruption) if proposal.levels_by_rows else None
    layer = {"model": {"name": name, **proposal.fields}, **proposal.training}
    if levels is not None:
        layer["levels"] = levels._asdict()
    chosen = configure(replace(request, config=(layer, *request.config)), registry, None)
    return Configured(chosen, rows, _describe(name, proposal, dump(chosen), shape, len(observations)))


def proposed(
    registry: Registry, shape: tuple[int, ...], conds: Mapping[str, tuple[int, ...]], rows: int
) -> tuple[str, Proposal]:
    """The model that prefers such rows most, by name, with what it proposes; of equal ones the first by name."""
    models = [cast(type[Model], registry.find("model", name).part) for name in registry.names("model")]
    found = [(model.name, one) for model in models if (one := model.proposal(shape, conds, rows)) is not None]
    return max(found, key=lambda pair: pair[1].preference)  # max gives the first of equal ones; `mlp` is always there


def _describe(name: str, proposal: Proposal, config: Mapping[str, Any], shape: tuple[int, ...], rows: int) -> str:
    """The choice and its reason."""
    fields = ", ".join(f"{field} {config['model'][field]}" for field in proposal.fields)
    training, levels = config["optimizer"], config["levels"]
    recipe = proposal.training.get("objective")
    told = [
        f"{config['end_step']:,} steps of {config['batch_size'] * config['grad_accum_steps']} rows",
        f"rate {training['lr']:g}, {training['schedule']}",
        f"noise levels {levels['sigma_min']:g} to {levels['sigma_max']:g}",
        *([f"objective {recipe} unless another is given"] if isinstance(recipe, str) else []),
    ]
    return (
        f"model: {name}{f' ({fields})' if fields else ''}, chosen for {rows:,} rows of shape {shape}: {proposal.why}. "
        f"Trained for {', '.join(told)} (--model, --end-step, ... change it)"
    )
