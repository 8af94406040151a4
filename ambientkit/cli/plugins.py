"""`ambientkit plugins`."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ambientkit.registry import load


def run() -> None:
    """Print the table of parts, then the plug-ins that failed to load or that loaded with a doubt."""
    registry = load()
    console = Console() if sys.stdout.isatty() else Console(width=200)  # a log or a pipe has no width of its own
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("kind", "name", "what it is", "package"):
        table.add_column(heading, no_wrap=heading in ("kind", "name"))
    for entry in registry.entries():
        table.add_row(*map(Text, (entry.kind, entry.part.name, entry.line, f"{entry.package} {entry.version}")))  # Text: no markup
    console.print(table)
    for problem in registry.problems:
        console.print(f"{'error' if problem.fatal else 'warning'}: {problem}", markup=False, highlight=False)
