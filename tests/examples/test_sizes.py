"""Example plug-ins are short enough to be read: at most 80 lines of code of their own."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import pytest

from tests.support import ROOT

MOST = 80
EMPTY = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def lines_of_code(source: str) -> int:
    """Lines that hold more than comments and docstrings."""
    texts = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    found = {line for token in tokens if token.type not in EMPTY for line in range(token.start[0], token.end[0] + 1)}
    return len(found - texts)


def test_lines_are_counted_without_comments_and_docstrings() -> None:
    assert (
        lines_of_code('"""Two\nlines."""\n\n# why\nx = 1\ndef f():\n    """What."""\n    return [\n        x,\n    ]\n')
        == 5
    )


@pytest.mark.parametrize("package", sorted(path.name for path in (ROOT / "examples").glob("plugin-*")))
def test_an_example_is_short(package: str) -> None:
    files = [path for path in (ROOT / "examples" / package).glob("*.py") if path.is_file()]
    assert files
    assert 0 < sum(lines_of_code(Path(path).read_text(encoding="utf-8")) for path in files) <= MOST
