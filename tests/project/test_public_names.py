"""The names that others build on: one that comes or goes is a decision, not an accident.

`python tests/project/test_public_names.py` writes the list after a change that is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer

import ambientkit as ak
from ambientkit.cli.app import app
from ambientkit.plugins import KINDS, MUTANTS

LIST = Path(__file__).with_name("public_names.txt")


def names() -> Iterator[str]:
    """Functions and classes of the Python API, hooks, required methods of the contracts, and commands."""
    yield from (f"ambientkit.{name}" for name in ak.__all__)
    yield f"hook {MUTANTS}"
    for contract, hook in KINDS.values():
        yield f"hook {hook}"
        yield from (f"{contract.__name__}.{method}" for method in contract.__abstractmethods__)
    command = typer.main.get_command(app)
    yield from (f"command {name}" for name in getattr(command, "commands", {}))


def listing(found: Iterator[str] | list[str]) -> str:
    """One a line, sorted."""
    return "\n".join(sorted(set(found))) + "\n"


def test_the_public_names_are_those_of_the_list() -> None:
    found = listing(names())
    for kind in ("ambientkit.train", "hook register_objectives", "Sampler.sample", "command verify"):
        assert kind in found.splitlines()
    assert found == LIST.read_text(), (
        "a public name came or went: follow docs/stability.md, and run python tests/project/test_public_names.py"
    )


if __name__ == "__main__":
    LIST.write_text(listing(names()))
