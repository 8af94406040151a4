"""Keeps the list of checks in docs/verify.md true: `python docs/_ext/check_list.py` writes it from the code."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path

from ambientkit.interfaces import Check
from ambientkit.registry import Registry, load
from ambientkit.verify import registered_checks

PAGE = Path(__file__).parents[1] / "verify.md"
BEGIN, END = "<!-- checks: written by docs/_ext/check_list.py -->\n", "<!-- end of checks -->\n"
TITLES = {"objective": "Objectives", "sampler": "Samplers", "corruption": "Corruptions", "model": "Models"}


def paragraph(text: str) -> str:
    """The first paragraph of a docstring on one line, safe in Markdown: escaped, but for what stands between backquotes."""
    pieces = " ".join((text or "").partition("\n\n")[0].split()).split("`")
    return "`".join(piece if place % 2 else re.sub(r"([|*_<\[\]])", r"\\\1", piece) for place, piece in enumerate(pieces))


def entry(check: Check) -> str:
    """One check: what is claimed, the hypothesis, its null law, what it finds, and its control."""
    lines = [
        f"- **`{check.name}`** ({'quick; ' if check.quick else ''}claim `{check.claim}`). {paragraph(inspect.getdoc(type(check)) or '')}",
        f"  Null law: {paragraph(check.null_law)}. Finds: {paragraph(check.detects)}.",
        f"  Control: {paragraph(inspect.getdoc(type(check).control) or '')}",
    ]
    return "\n".join(textwrap.fill(line, 120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False) for line in lines)


def listing(registry: Registry) -> str:
    """All built-in checks, by the kind of part they measure."""
    built_in = {entry.part.name for entry in registry.entries() if entry.kind == "check" and entry.package == "ambientkit"}
    checks = [check for check in registered_checks(registry) if check.name in built_in]
    parts = []
    for kind, title in TITLES.items():
        parts.append(f"### {title}\n\n" + "\n".join(entry(check) for check in checks if check.kind == kind) + "\n")
    return "\n" + "\n".join(parts) + "\n"


def put(page: str, text: str) -> str:
    """The page with the list between its two marks replaced."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + text + END + after


if __name__ == "__main__":
    PAGE.write_text(put(PAGE.read_text(), listing(load())))
