"""A few lines of Python that repeat one measurement to the last digit."""

from __future__ import annotations

from ambientkit.interfaces import Part
from ambientkit.registry import Registry
from ambientkit.verification.plan import Pair


def snippet(pair: Pair, seed: int, registry: Registry) -> str:
    """A script of at most 15 lines that prints the `Measured` of this pair, the very numbers of the report."""
    made = [_make(pair.kind, "part", pair.part, registry), _make("check", "check", pair.check, registry)]
    imports = sorted(
        {line for lines, _ in made for line in lines} | {"from ambientkit.verification import case_for, reproducible"}
    )
    return "\n".join(
        [
            *imports,
            "",
            *(line for _, line in made),
            f"with reproducible({seed}):  # one thread; the global generator as in the run",
            f"    case = case_for(part, seed={seed})",
            "    measured = check.measure(part, case)  # its control: check.measure(check.control(part), case)",
            "print(measured)",
        ]
    )


def _make(kind: str, variable: str, part: Part, registry: Registry) -> tuple[list[str], str]:
    """The imports and the line that make a part: through the registry where it is registered, otherwise from its
    module."""
    cls = type(part)
    fields = part.model_dump(mode="json", exclude_defaults=True)
    if any(entry.part is cls for entry in registry.entries()):
        spec = {"name": part.name, **fields} if fields else part.name
        return ["from ambientkit.registry import load"], f"{variable} = load().build({kind!r}, {spec!r})"
    arguments = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    return [f"from {cls.__module__} import {cls.__qualname__}"], f"{variable} = {cls.__qualname__}({arguments})"
