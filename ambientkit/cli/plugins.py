"""`ambientkit plugins`."""

from __future__ import annotations


def run() -> None:
    """Print the table of parts, then the plug-ins that failed to load or that loaded with a doubt."""
    from ambientkit.api.parts import parts
    from ambientkit.cli.tables import show

    show(parts())
