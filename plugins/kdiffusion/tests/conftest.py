"""A guard of torch's global generator, as in the tests of ambientkit itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

if torch.get_num_threads() > 2:
    torch.set_num_threads(2)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", "ignore:Accessing Draft4Validator.resolver:DeprecationWarning")  # jsonmerge, in load_config


@pytest.fixture(autouse=True)
def _global_generator_untouched(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_rng_state()
    yield
    if request.node.get_closest_marker("touches_global_generator") is None:
        assert torch.equal(before, torch.get_rng_state()), "this test moved torch's global generator"
