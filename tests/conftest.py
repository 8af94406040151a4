"""What all tests share: a Hypothesis profile, one thread a worker, and a guard of torch's global generator."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest
import torch
from hypothesis import settings

from ambientkit.cli import main
from ambientkit.evaluation.pictures import patch_distance
from ambientkit.run import demo
from tests.support import forked

# No deadline: the first call of a torch operator may take a second. In CI the examples are always the same.
settings.register_profile("ambientkit", deadline=None, max_examples=50, derandomize="CI" in os.environ)
settings.load_profile("ambientkit")

# A shell starts commands in the background with Ctrl-C ignored, and nohup with SIGHUP, which they and all that they
# start inherit.
with suppress(ValueError):  # not in the main thread
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)

# The picture at the end of a run takes 63 calls of the network, tests train for a few steps.
demo.DEMO_STEPS = 4
# Sorting windows along 128 directions takes half of the time of a comparison; tests ask for no such precision.
patch_distance.__kwdefaults__["projections"] = 16

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # workers that spin on one another's cores are ten times slower


def pytest_collection_finish() -> None:
    """All that was imported stays: a collection, which some parts ask for, need not go through it again each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _global_generator_untouched(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test fails where it moves torch's global generator: the library draws from keyed generators only."""
    before = torch.get_rng_state()
    yield
    moved = not torch.equal(before, torch.get_rng_state())
    if moved and request.node.get_closest_marker("touches_global_generator") is None:
        pytest.fail(
            "this test changed the state of torch's global generator: draw with a torch.Generator, build networks "
            "inside "
            "ambientkit.maths.randomness.isolated_global_generator, or mark the test touches_global_generator"
        )


@pytest.fixture(autouse=True)
def _messages_as_before() -> Iterator[None]:
    """A command prints what the library logs from then on: in a test only until its end."""
    logger = logging.getLogger("ambientkit")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    """A test that fails leaves no process behind, which would take a core until somebody finds it."""
    before = len(forked.STARTED)
    yield
    while len(forked.STARTED) > before:
        process = forked.STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def ambientkit(monkeypatch, capsys):
    """Runs a command in this process; returns (exit status, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["ambientkit", *map(str, arguments)])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code or 0
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def sample(ambientkit, monkeypatch):
    """Runs `ambientkit sample` with the parts of the tests; returns (status, stdout, stderr)."""
    from tests.support.sampling import registry

    monkeypatch.setattr("ambientkit.registry.environment", registry)
    return lambda *arguments: ambientkit("sample", *arguments, "--device", "cpu")
