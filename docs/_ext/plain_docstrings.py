"""Docstrings are plain text with `code` in single backticks; this makes reStructuredText of them, so that formulas stay
as written."""

from __future__ import annotations

import re

from sphinx.application import Sphinx


def to_restructured_text(lines: list[str]) -> list[str]:
    """Escape what would be markup (x_0, *S, |x|), make `code` literal, and show indented blocks as code."""
    converted: list[str] = []
    in_block = False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not in_block:
            converted += ["::", ""]
        in_block = indented or (in_block and not line.strip())
        converted.append(line if in_block else _escape(line))
    return converted


def _escape(line: str) -> str:
    pieces = re.split(r"(`[^`]+`)", line)
    return "".join(f"`{piece}`" if piece.startswith("`") else re.sub(r"([\\*|_`])", r"\\\1", piece) for piece in pieces)


def _process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = to_restructured_text(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the conversion to autodoc."""
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True}
