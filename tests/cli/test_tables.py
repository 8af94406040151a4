"""Tables: never cut, whatever the width; one line for each row where there is no terminal."""

from __future__ import annotations

import io
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ambientkit.cli.tables import print_table
from ambientkit.tables import Table

WORDS = st.text("abcdefghijklmnop0123456789.-,% ", max_size=60)


def in_terminal(table: Table, width: int) -> str:
    stream = io.StringIO()
    table.print_to(Console(file=stream, width=width, force_terminal=False))
    return stream.getvalue()


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[WORDS] * n), min_size=1, max_size=4)), st.data())
def test_a_table_in_a_narrow_terminal_loses_no_character(rows: list[tuple[str, ...]], data: st.DataObject) -> None:
    width = data.draw(st.integers(20, 120))
    told = in_terminal(Table("", tuple(f"head {i}" for i in range(len(rows[0]))), rows), width)
    given_ = "".join(f"head{i}" for i in range(len(rows[0]))) + "".join("".join(row) for row in rows)
    assert Counter("".join(told.split())) == Counter("".join(given_.split()))
    assert max(map(len, told.splitlines())) <= width


def test_short_cells_keep_their_width_beside_long_reasons() -> None:
    """Case: at 80 columns the verdicts of `inspect` were not shown, and the names of its tests were cut."""
    reason = "the flat areas are of nearly one brightness, which is 12 % of what there is in all rows together."
    told = in_terminal(Table("", ("test", "verdict", "why"), [("signal-dependence", "not tested", reason)]), 80)
    assert "signal-dependence  not tested  the flat areas" in told


def test_in_a_pipe_each_row_is_one_whole_line_without_blanks_at_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("a", "word " * 60 + "end"), ("longer", "short")]
    print_table(("name", "why"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert [line.split(maxsplit=1)[1] for line in lines[1:]] == [text for _, text in rows]
    assert all(line == line.rstrip() for line in lines)
