"""Tables in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console

from ambientkit.tables import Record, Table


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; in a log or a pipe, which have no width of their own, each row is one line."""
    _print(Table("", tuple(headings), [tuple(row) for row in rows]))


def show(record: Record) -> None:
    """Print a result, its tables in colour where a terminal can show it."""
    for block in record.blocks():
        if isinstance(block, Table):
            _print(block)
        else:
            print(block)


def _print(table: Table) -> None:
    if not sys.stdout.isatty():
        print(table)
        return
    if table.caption:
        print(table.caption)
    table.print_to(Console())
