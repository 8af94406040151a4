"""A guard of torch's global generator, as in the tests of ambientkit itself, and what the tests of both networks
share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from ambientkit.interfaces import Model, Signal
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator
from ambientkit.run import demo

Built = Callable[[Model, Signal], nn.Module]
Rows = Callable[..., tuple[torch.Tensor, torch.Tensor]]

# The picture at the end of a run takes 63 calls of the network, tests train for a few steps.
demo.DEMO_STEPS = 4

if torch.get_num_threads() > 2:
    torch.set_num_threads(2)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "filterwarnings", "ignore:Accessing Draft4Validator.resolver:DeprecationWarning"
    )  # jsonmerge, in load_config


@pytest.fixture(autouse=True)
def _global_generator_untouched(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_rng_state()
    yield
    if request.node.get_closest_marker("touches_global_generator") is None:
        assert torch.equal(before, torch.get_rng_state()), "this test moved torch's global generator"


@pytest.fixture(scope="session")
def built() -> Built:
    """A network whose zero-initialised weights are drawn too, so that its output depends on everything."""

    def built(model: Model, signal: Signal) -> nn.Module:
        with isolated_global_generator(0, "test"):
            network = model.network(signal)
        generator = keyed_generator(0, "weights")
        with torch.no_grad():
            for parameter in network.parameters():
                if not parameter.any():
                    parameter.normal_(std=0.1, generator=generator)
        return network.eval()

    return built


@pytest.fixture(scope="session")
def rows() -> Rows:
    """Points (n, *shape) and a level for each."""

    def rows(shape: tuple[int, ...], n: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randn(n, *shape, generator=keyed_generator(1, "rows")), torch.linspace(0.1, 5.0, n)

    return rows
