"""`ambientkit plugins`."""

from __future__ import annotations


def run() -> None:
    """Print the table of parts, then the plug-ins that failed to load or that loaded with a doubt."""
    import ambientkit as ak
    from ambientkit.cli.tables import show

    show(ak.parts())
