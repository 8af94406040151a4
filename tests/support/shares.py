"""Tables of hundreds of entries: `make test` tries a share of them, `make thorough` all."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any
from zlib import crc32

import pytest


def beyond_share(name: str, of: int) -> list[pytest.MarkDecorator]:
    """The mark `thorough` for all entries but one in `of`, chosen by their names, so that entries that are added or
    taken away move no other."""
    return [] if crc32(name.encode()) % of == 0 else [pytest.mark.thorough]


def some(values: Iterable[Any], kept: Container[Any]) -> list[Any]:
    """Values of `parametrize`, of which those that are not in `kept` are second forms and have the mark `thorough`."""
    return [
        value
        if value in kept
        else pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.thorough)
        for value in values
    ]
