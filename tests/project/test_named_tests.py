"""A test that a page names as evidence exists, under that name in that file."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`((?:[\w/-]+/)?test_\w+\.py)::(test_\w+)`")
HOMES = ("", "plugins/diffusers/tests/")
"""Where the files lie that a page names: from the root, or, on the pages on diffusers, in the plug-in's tests."""


def test_every_test_that_a_page_names_exists():
    found = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        for file, name in NAMED.findall(page.read_text(encoding="utf-8")):
            homes = [ROOT / home / file for home in HOMES if (ROOT / home / file).is_file()]
            assert homes, f"{page.name}: {file} is not there"
            assert f"def {name}(" in homes[0].read_text(encoding="utf-8"), f"{page.name}: {file} has no {name}"
            found.append(name)
    assert len(found) > 15  # the pattern still finds them
