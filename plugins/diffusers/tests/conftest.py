"""A guard of torch's global generator, as in the tests of ambientkit itself, and no network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ambientkit.maths.randomness import isolated_global_generator


@pytest.fixture(autouse=True)
def _offline(monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def _global_generator_untouched(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_rng_state()
    yield
    if request.node.get_closest_marker("touches_global_generator") is None:
        assert torch.equal(before, torch.get_rng_state()), "this test moved torch's global generator"


@pytest.fixture(scope="session")
def drawn():
    """A network of a model all of whose values are drawn, so that its answer depends on everything."""

    def drawn(model, signal):
        with isolated_global_generator(0, "test"):
            network = model.network(signal)
            for parameter in network.parameters():
                parameter.data += 0.05 * torch.randn(parameter.shape)
        return network.eval().requires_grad_(False)

    return drawn


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory):
    """The folder of a tiny SDXL with random weights."""
    from ambientkit_diffusers.tiny import write_tiny_sdxl

    return write_tiny_sdxl(tmp_path_factory.mktemp("pipelines") / "tiny-sdxl")
