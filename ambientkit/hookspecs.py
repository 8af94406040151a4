"""The whole extension surface of ambientkit, on one page.

A plug-in is a module, named in the entry-point group `ambientkit`, that implements any of these hooks:

    from ambientkit.hookspecs import hookimpl

    @hookimpl
    def register_objectives():
        return [MyObjective]

Hooks return classes, never instances, and none intercepts a run. Each class subclasses the contract of its kind in
`ambientkit.interfaces` and has a lower-case `name`, unique within the kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from ambientkit.interfaces import (
        Check,
        Corruption,
        Data,
        Exporter,
        Extractor,
        Model,
        Mutant,
        Objective,
        Recipe,
        Sampler,
    )
    from ambientkit.memorisation_parts import Attack, MemoryMeasure, Similarity

hookspec = pluggy.HookspecMarker("ambientkit")
hookimpl = pluggy.HookimplMarker("ambientkit")


@hookspec
def register_corruptions() -> list[type[Corruption]]:  # type: ignore[empty-body]
    """How observations arise from clean data."""


@hookspec
def register_objectives() -> list[type[Objective]]:  # type: ignore[empty-body]
    """Losses whose minimum is E[x_0 | x_t]."""


@hookspec
def register_recipes() -> list[type[Recipe]]:  # type: ignore[empty-body]
    """Named lists of weighted objectives."""


@hookspec
def register_samplers() -> list[type[Sampler]]:  # type: ignore[empty-body]
    """Ways from one noise level to lower ones."""


@hookspec
def register_models() -> list[type[Model]]:  # type: ignore[empty-body]
    """Networks, and how their output becomes an estimate of x_0."""


@hookspec
def register_datasets() -> list[type[Data]]:  # type: ignore[empty-body]
    """Data sets: clean rows, or observations with their noise level."""


@hookspec
def register_extractors() -> list[type[Extractor]]:  # type: ignore[empty-body]
    """Features in which `ambientkit evaluate` compares two sets of rows."""


@hookspec
def register_exporters() -> list[type[Exporter]]:  # type: ignore[empty-body]
    """Forms in which `ambientkit export` writes a trained network for other libraries."""


@hookspec
def register_similarities() -> list[type[Similarity]]:  # type: ignore[empty-body]
    """In what two rows are near, for `ambientkit memorization` and `ambientkit attack`."""


@hookspec
def register_attacks() -> list[type[Attack]]:  # type: ignore[empty-body]
    """Ways to ask a model for its training rows."""


@hookspec
def register_memory_measures() -> list[type[MemoryMeasure]]:  # type: ignore[empty-body]
    """Figures of samples that say how much of them is copied."""


@hookspec
def register_checks() -> list[type[Check]]:  # type: ignore[empty-body]
    """Properties that `ambientkit verify` tests."""


@hookspec
def register_mutants() -> list[type[Mutant]]:  # type: ignore[empty-body]
    """Parts that are wrong on purpose, which the checks must reject."""
