"""Results that people read: paragraphs and tables, as plain text, in colour in a terminal, and as HTML in a
notebook."""

from __future__ import annotations

import abc
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ambientkit.spelling import in_python

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {
    "passed": "green",
    "failed": "bold red",
    "inconclusive": "bold yellow",
    "unchecked": "dim",
    "killed": "green",
    "survived": "bold red",
    "equivalent": "dim",
    "contradicted": "bold red",
}
"""Of cells that hold a verdict."""
RIGHT = {"statistic", "p", "n", "control p"}
"""Headings of columns that are aligned at the right."""


def number(value: float, digits: int = 3) -> str:
    """A number for a table; 0 and 1 are exact, everything else has `digits` digits."""
    return f"{value:.{digits}g}"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts; the first cell of a row is its heading.

    Nothing of it is ever cut. In a terminal cells are folded, the widest column first; in a pipe, a file and as `str` a
    row is one line, without blanks at its end.
    """

    caption: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def print_to(self, console: Console) -> None:
        """Print the table, without its caption, as wide as the console at most."""
        from rich.table import Table as Drawn
        from rich.text import Text

        drawn = Drawn(box=None, pad_edge=False, header_style="bold")
        for heading in self.head:
            align = "right" if heading in RIGHT else "left"
            drawn.add_column(heading, justify=align, overflow="fold")  # type: ignore[arg-type]
        for row in self.rows:
            drawn.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))  # Text: no markup
        console.print(drawn)

    @property
    def width(self) -> int:
        """Characters that the table takes where nothing is folded."""
        return sum(max(map(len, column)) + 2 for column in zip(self.head, *self.rows, strict=True))

    def __str__(self) -> str:
        from rich.console import Console

        stream = io.StringIO()
        self.print_to(Console(file=stream, width=max(self.width, 1), color_system=None))
        lines = [line.rstrip() for line in stream.getvalue().splitlines()]
        return "\n".join([self.caption, *lines] if self.caption else lines)

    def in_python(self) -> Table:
        """The same table with the names of arguments in place of flags."""
        return Table(in_python(self.caption), self.head, [tuple(map(in_python, row)) for row in self.rows])

    def _repr_html_(self) -> str:
        def cells(tag: str, row: Sequence[str]) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"

        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        body = "".join(cells("td", row) for row in self.rows)
        return f"<table>{caption}<thead>{cells('th', self.head)}</thead><tbody>{body}</tbody></table>"


class Record(abc.ABC):
    """A result: it prints as people read it, is shown as HTML in a notebook, and `to_dict` is what a JSON file
    holds."""

    __slots__ = ()

    @abc.abstractmethod
    def blocks(self) -> Sequence[str | Table]:
        """Paragraphs and tables, in the order in which they are read."""

    @abc.abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""

    def __str__(self) -> str:
        return "\n".join(map(str, self._blocks_in_python()))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))  # IPython, where it can show no HTML

    def _repr_html_(self) -> str:
        return "".join(
            block._repr_html_() if isinstance(block, Table) else f"<p>{html.escape(block)}</p>"
            for block in self._blocks_in_python()
            if block
        )

    def _blocks_in_python(self) -> list[str | Table]:
        """What advises a flag advises the argument here."""
        return [in_python(block) if isinstance(block, str) else block.in_python() for block in self.blocks()]
