"""The pages read as one text: paragraphs wrap at one width, decimals have their zero, and phrases that were hard to
read stay away, from docstrings, comments and messages too."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.support import ROOT

PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts)]
WIDTH = 120
GENERATED = re.compile(r"<!-- rates.*?<!-- end of", re.DOTALL)
"""Text that examples/benchmarks/verify_rates.py prints, one paragraph per line."""
DECIMAL = re.compile(r"(?<![\w.)\]*])\.\d")

BANNED = {
    "write 'per'": r"\b(?:one|once|level|std|steps?|bytes|calls|pictures?|idea|part|decision|generator|pages|rows|hop)"
    r" an? (?:row|pixel|step|hop|file|chunk|set|picture|call|batch|page|refresh)\b",
    "write 'per row', 'per pixel'": r"(?<!row )(?<!pixel )\bby (?:row|pixel)\b(?! (?:group|number))",
    "name the thing": r"(?:^|[.:;] )what (?:is|was|it|cannot|can|has|must|may|lies)\b[^?]*$|\bwhatever\b",
    "write 'report', 'show', 'distinguish'": r"\b(?:told|tells?)\b|\btheirs to say\b",
    "write 'refresh' or 'round'": r"\blaps?\b",
    "write 'silently'": r"\bin silence\b|\bwithout a word\b",
    "write 'memorised'": r"\bby heart\b",
    "begin with the subject": r"(?:^|[.] )(?:Told|Said|Seen|Refused|Killed|Run),",
}
"""What to do instead -> phrases."""
SOURCES = [
    *sorted((ROOT / "ambientkit").rglob("*.py")),
    *sorted(path for path in (ROOT / "plugins").rglob("*.py") if not {"tests", "build"} & {*path.parts}),
    *sorted((ROOT / "examples").rglob("*.py")),
]
IN_CODE = {advice: BANNED[advice] for advice in BANNED if advice != "name the thing"} | {
    "write 'give', 'use'": r"\blen[td]s?\b(?!_)",
    "name the thing": r"\bwhatever\b",
    "name the thing itself": r"^(?-i:What) (?:is|was|it|cannot|can|has|must|may|lies)\b[^?]*$",
}
"""As `BANNED`, for code, where "what is" in the middle of a sentence is let through."""


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not in a fence, front matter or a comment."""
    fenced = front = False
    for number, line in enumerate(text.splitlines(), start=1):
        if number == 1 and line == "---":
            front = True
        elif line.startswith("---"):
            front = False
        elif line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not front and not line.startswith("<!--"):
            yield number, line


def too_wide(text: str) -> list[int]:
    """Lines of paragraphs that are wider than a page; headings, tables, pictures and formulas cannot be broken, nor can
    one long word."""
    text = GENERATED.sub(lambda found: "<!-- -->" + "\n" * found[0].count("\n"), text)
    loose = ((number, line) for number, line in prose(text) if not line.startswith(("#", "|", "![", "$$")))
    return [number for number, line in loose if len(line) > WIDTH and " " in line.strip()[:WIDTH]]


def bare_decimals(text: str) -> list[int]:
    """Lines with a decimal such as .5; code apart."""
    return [number for number, line in prose(text) if DECIMAL.search(re.sub(r"`[^`]*`", "", line))]


def banned(text: str) -> list[str]:
    """Phrases that should be put in another way, each with the way; headings and code apart."""
    paragraphs = re.split(
        r"\n\s*\n|\n(?=\s*(?:[-*|]|\d+\.) )", "\n".join(line for _, line in prose(text) if not line.startswith("#"))
    )
    found = []
    for paragraph in paragraphs:
        plain = " ".join(re.sub(r"`[^`]*`", "``", paragraph).split())
        for sentence in re.split(r"(?<=[.?]) ", plain):
            found += [
                f"{advice}: {sentence}"
                for advice, phrase in BANNED.items()
                if re.search(phrase, sentence.strip("-* "), re.IGNORECASE)
            ]
    return found


LET_THROUGH = 7
"""Hits in all of the code that are no failure, so that one sentence stops no change."""


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Number and text of each docstring, comment and string of more than one word in a module."""
    tree, parts = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts |= {id(value) for value in node.values}
            yield node.lineno, "".join(one.value if isinstance(one, ast.Constant) else "{}" for one in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")


def banned_in_code(source: str) -> list[str]:
    """As `banned`, of the texts of a module, each with its line."""
    found = []
    for number, text in texts(source):
        plain = " ".join(re.sub(r"``?[^`]*``?", "``", text).split())
        for sentence in re.split(r"(?<=[.?]) ", plain) if " " in plain else ():
            found += [
                f"line {number}: {advice}: {sentence}"
                for advice, phrase in IN_CODE.items()
                if re.search(phrase, sentence, re.IGNORECASE)
            ]
    return found


@pytest.mark.slow
def test_docstrings_comments_and_messages_use_no_phrase_that_is_hard_to_read() -> None:
    found = {path: banned_in_code(path.read_text()) for path in SOURCES}
    hits = [f"{path.relative_to(ROOT)}: {one}" for path, some in found.items() for one in some]
    assert len(hits) <= LET_THROUGH, hits


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paragraphs_of_a_page_wrap_at_one_width(page) -> None:
    assert too_wide(page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_decimals_of_a_page_have_their_zero(page) -> None:
    assert bare_decimals(page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_uses_no_phrase_that_is_hard_to_read(page) -> None:
    assert banned(page.read_text()) == []


def test_a_wide_line_is_noticed_and_a_table_is_none() -> None:
    wide = "word " * 30
    assert too_wide(f"# {wide}\n\n| {wide} |\n\n```\n{wide}\n```\n\n{wide}\nshort\n") == [9]


def test_a_bare_decimal_is_noticed_and_a_file_name_is_none() -> None:
    assert bare_decimals("noise of .5\n| .05 |\n0.5, `sigma: .5`, .npy, version 1.2.3\n\n```\n.5\n```") == [1, 2]


@pytest.mark.parametrize(
    "phrase",
    [
        "It has one level a row.",
        "Levels by\npixel are possible.",
        "What is known is little.",
        "This holds whatever the order.",
        "Told, but not applied: nothing.",
        "A note tells the reason.",
        "It is lost in every lap.",
        "- It changes in silence.",
    ],
)
def test_a_hard_phrase_is_noticed(phrase) -> None:
    assert banned(f"A fine sentence. {phrase}") != []


@pytest.mark.parametrize(
    "phrase", ["What is a row?", "One row by one.", "Compared row by row.", "`stationarity-by-pixel`", "`what is`"]
)
def test_a_plain_phrase_is_let_through(phrase) -> None:
    assert banned(phrase) == []


@pytest.mark.parametrize(
    "line",
    [
        '"""What it is called in messages."""',
        "x = 1  # the level that the network is told",
        'raise ValueError(f"{x}: has one level a row")',
        'y = "the sampler that is lent"',
        '"""Rows\nthat are learned by\nheart."""',
    ],
)
def test_a_hard_phrase_in_code_is_noticed(line) -> None:
    assert banned_in_code(line) != []


@pytest.mark.parametrize("line", ['told = {"lent": 1}', '"""Asks `told` what it is."""', "x = 1  # one level per row"])
def test_plain_code_is_let_through(line) -> None:
    assert banned_in_code(line) == []
