"""Wrong parts out of one class and a table of its faults."""

from __future__ import annotations


def variants(base, faults):
    """[(subclass of `base` whose `fault` is set, what is wrong)] for each fault in a table name -> what is wrong."""
    return [
        (
            type(
                f"{base.__name__}_{name.replace('-', '_')}",
                (base,),
                {"name": f"{base.name}-{name}", "fault": name, "__module__": base.__module__},
            ),
            text,
        )
        for name, text in faults.items()
    ]
