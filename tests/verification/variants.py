"""One class for each fault of a base."""

from __future__ import annotations

from ambientkit.interfaces import Part


def variants(base: type[Part], faults: dict[str, str]) -> list[tuple[type[Part], str]]:
    """A subclass of `base` for each fault: the class, and what is wrong."""
    return [
        (
            type(
                f"{base.__name__}_{fault.replace('-', '_')}",
                (base,),
                {"name": f"{base.name}-{fault}", "fault": fault, "__module__": base.__module__},
            ),
            text,
        )
        for fault, text in faults.items()
    ]
