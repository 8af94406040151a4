"""Tables of hundreds of entries: `make test` tries a share of them, `make thorough` all."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any
from zlib import crc32

import pytest


def beyond_share(name: str, of: int) -> list[pytest.MarkDecorator]:
    """The mark `thorough` for all entries but one in `of`, chosen by their names, so that entries that are added or
    taken away move no other."""
    return [] if crc32(name.encode()) % of == 0 else [pytest.mark.thorough]


def first_and_share(
    values: Iterable[Any], name: Callable[[Any], str], group: Callable[[Any], Any], of: int
) -> list[Any]:
    """Values of `parametrize`: the first of each group, and of the others a share, as `beyond_share` takes it."""
    met, found = set(), []
    for value in values:
        marks = beyond_share(name(value), of) if group(value) in met else []
        found.append(pytest.param(value, id=name(value), marks=marks))
        met.add(group(value))
    return found


def some(values: Iterable[Any], kept: Container[Any]) -> list[Any]:
    """Values of `parametrize`, of which those that are not in `kept` are second forms and have the mark `thorough`."""
    return [
        value
        if value in kept
        else pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.thorough)
        for value in values
    ]
