"""Keeps the lists of checks (docs/verify.md) and of claims (docs/contracts.md) true: `python docs/_ext/check_list.py`
writes them from the code."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path

from ambientkit.interfaces import CONTRACT, Check
from ambientkit.registry import Registry, load
from ambientkit.verification import registered_checks
from ambientkit.verification.claims import known_claims

PAGE = Path(__file__).parents[1] / "verify.md"
CLAIMS_PAGE = Path(__file__).parents[1] / "contracts.md"
BEGIN_CLAIMS, END_CLAIMS = "<!-- claims: written by docs/_ext/check_list.py -->\n", "<!-- end of claims -->\n"
BEGIN, END = "<!-- checks: written by docs/_ext/check_list.py -->\n", "<!-- end of checks -->\n"
TITLES = {
    "objective": "Objectives",
    "sampler": "Samplers",
    "corruption": "Corruptions",
    "model": "Models",
    "attack": "Attacks",
    "similarity": "Similarities",
    "memory-measure": "Measures of memory",
}


def paragraph(text: str) -> str:
    """The first paragraph of a docstring on one line, safe in Markdown: escaped, but for what stands between
    backquotes."""
    pieces = " ".join((text or "").partition("\n\n")[0].split()).split("`")
    return "`".join(
        piece if place % 2 else re.sub(r"([|*_<\[\]])", r"\\\1", piece) for place, piece in enumerate(pieces)
    )


def claim_of(check: Check) -> str:
    """What a part must claim to be measured."""
    return "every part" if check.claim == CONTRACT else f"claim `{check.claim}`"


def entry(check: Check) -> str:
    """One check: what is claimed, the hypothesis, its null law, what it finds, and its control."""
    lines = [
        f"- **`{check.name}`** ({'quick; ' if check.quick else ''}{claim_of(check)}). "
        f"{paragraph(inspect.getdoc(type(check)) or '')}",
        f"  Null law: {paragraph(check.null_law)}. Finds: {paragraph(check.detects)}.",
        f"  Control: {paragraph(inspect.getdoc(type(check).control) or '')}",
    ]
    return "\n".join(
        textwrap.fill(line, 120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for line in lines
    )


def listing(registry: Registry) -> str:
    """All built-in checks, by the kind of part they measure."""
    built_in = {
        entry.part.name for entry in registry.entries() if entry.kind == "check" and entry.package == "ambientkit"
    }
    checks = [check for check in registered_checks(registry) if check.name in built_in]
    parts = []
    for kind, title in TITLES.items():
        parts.append(f"### {title}\n\n" + "\n".join(entry(check) for check in checks if check.kind == kind) + "\n")
    return "\n" + "\n".join(parts) + "\n"


def claims_listing(registry: Registry) -> str:
    """All claims that built-in checks test or heed, by kind, as a table."""
    built_in = {
        entry.part.name for entry in registry.entries() if entry.kind == "check" and entry.package == "ambientkit"
    }
    checks = [check for check in registered_checks(registry) if check.name in built_in]
    rows = ["| kind | claim | what is claimed | checks |", "|---|---|---|---|"]
    for claim in known_claims(checks):
        tests = ", ".join(f"`{name}`" for name in claim.checks) or "changes how it is measured"
        rows.append(f"| {claim.kind} | `{claim.name}` | {paragraph(claim.meaning)} | {tests} |")
    return "\n" + "\n".join(rows) + "\n\n"


def put(page: str, text: str, begin: str = BEGIN, end: str = END) -> str:
    """The page with the list between its two marks replaced."""
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return before + begin + text + end + after


if __name__ == "__main__":
    PAGE.write_text(put(PAGE.read_text(), listing(load())))
    CLAIMS_PAGE.write_text(put(CLAIMS_PAGE.read_text(), claims_listing(load()), BEGIN_CLAIMS, END_CLAIMS))
