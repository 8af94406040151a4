"""Keeps the layers in docs/contracts.md true: `python docs/_ext/layer_list.py` writes them from the contract in
pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

PAGE = Path(__file__).parents[1] / "contracts.md"
PROJECT = Path(__file__).parents[2] / "pyproject.toml"
BEGIN, END = "<!-- layers: written by docs/_ext/layer_list.py -->\n", "<!-- end of layers -->\n"


def layers(project: str) -> list[str]:
    """The layers of the package, highest first, as import-linter checks them; rooms of one layer stand beside each
    other."""
    contracts = tomllib.loads(project)["tool"]["importlinter"]["contracts"]
    (found,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return [layer.replace("ambientkit.", "") for layer in found]


def listing(project: str) -> str:
    """The layers as a block of code."""
    return "\n```text\n" + "\n".join(layers(project)) + "\n```\n\n"


def put(page: str, text: str) -> str:
    """The page with what stands between its two marks replaced."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + text + END + after


if __name__ == "__main__":
    PAGE.write_text(put(PAGE.read_text(), listing(PROJECT.read_text())))
