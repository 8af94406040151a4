"""Memory that is counted without values is what a pass keeps: on a tiny SDXL it is measured."""

from __future__ import annotations

import pytest
import torch
from ambientkit_diffusers.calls import CALLS
from ambientkit_diffusers.conditions import POOLED, PROMPT, TIME_IDS
from ambientkit_diffusers.memory import SDXL_UNET, Memory, training_memory
from ambientkit_diffusers.models import DiffusersUNet
from torch.profiler import ProfilerActivity, profile

from ambientkit.interfaces import Signal
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.training.memory import checkpoint_blocks

SIGNAL = Signal((4, 16, 16), 1.0, {PROMPT: (77, 64), POOLED: (32,), TIME_IDS: (6,)})
ROWS = 4


@pytest.fixture(scope="module")
def model(tiny_sdxl):
    scheduler = tiny_sdxl / "scheduler" / "scheduler_config.json"
    return DiffusersUNet.model_validate(
        {"config": tiny_sdxl / "unet" / "config.json", "scheduler": scheduler, "rank": 4}
    )


def measured(model, checkpointing):
    """(bytes kept after a forward pass, most bytes held in forward and backward), beyond the weights."""
    with isolated_global_generator(0, "test"):
        network = model.network(SIGNAL)
    if checkpointing:
        checkpoint_blocks(network)
    cond = {name: torch.zeros(ROWS, *shape) for name, shape in SIGNAL.conds.items()}
    x, time = torch.zeros(ROWS, *SIGNAL.shape), torch.zeros(ROWS)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        answer = CALLS["UNet2DConditionModel"].ask(network, x, time, cond)
        with torch.profiler.record_function("backward"):
            answer.sum().backward()
    events = sorted(seen.profiler.kineto_results.events(), key=lambda event: event.start_ns())
    (turn,) = (event.start_ns() for event in events if event.name() == "backward")
    held = kept = peak = 0
    for event in (event for event in events if event.name() == "[memory]"):
        held += event.nbytes()
        peak = max(peak, held)
        kept = held if event.start_ns() < turn else kept
    return kept, peak


@pytest.mark.slow
def test_what_is_counted_is_what_a_pass_keeps(model):
    for checkpointing in (False, True):
        found = training_memory(model, SIGNAL, checkpointing=checkpointing)
        kept, peak = measured(model, checkpointing)
        assert found.for_each_row * ROWS == pytest.approx(peak if checkpointing else kept, rel=0.1)
    with isolated_global_generator(0, "test"):
        network = model.network(SIGNAL)
    trained = sum(value.numel() for value in network.parameters() if value.requires_grad)
    assert found.numbers == trained
    assert found.trained == trained * (3 * 4 + 8)
    assert found.base == sum(value.nbytes for value in network.parameters() if not value.requires_grad)


def test_the_largest_batch_fits_and_one_more_does_not():
    found = Memory(base=5_000_000_000, trained=100_000_000, for_each_row=2_000_000_000, numbers=1)
    for gigabytes in (24, 40, 80):
        n = found.largest_batch(gigabytes)
        assert found.total(n) <= 0.9e9 * gigabytes < found.total(n + 1)
    assert found.largest_batch(4) == 0


@pytest.mark.slow
def test_the_unet_of_sdxl_has_the_numbers_of_sdxl():
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        network = UNet2DConditionModel.from_config(SDXL_UNET)
    assert sum(value.numel() for value in network.parameters()) == 2_567_463_684
