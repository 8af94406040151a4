"""What accelerate's launcher asks of a run: done, or refused by name; never passed over."""

from __future__ import annotations

import os

import pytest
from accelerate.state import AcceleratorState

from ambientkit.errors import InputError
from ambientkit.training import steps
from ambientkit.training.launched import ACCUMULATION, DEEPSPEED, FSDP, REFUSED, ZERO_STAGE, split_asked
from tests.support.engine import bits, make, same


@pytest.fixture(autouse=True)
def anew():
    """accelerate keeps the precision of its first use for as long as the process lives."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize(("way", "name"), [(way, name) for way, names in REFUSED.items() for name in names])
def test_what_is_not_done_of_fsdp_and_deepspeed_is_refused_by_name(monkeypatch, way, name):
    monkeypatch.setenv(name, "cpu" if "DEVICE" in name else "true")
    make()  # not asked for at all
    monkeypatch.setenv(way, "true")
    key = name.removeprefix("ACCELERATE_DEEPSPEED_").lower()
    with pytest.raises(InputError, match=f"with {key}, which is not supported: "):
        make()
    monkeypatch.setenv(name, "none")
    make()


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("ACCELERATE_USE_MEGATRON_LM", "true", "Megatron-LM"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true", "parallelism_config"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", "--compile"),
    ],
)
def test_what_is_not_done_at_all_is_refused_by_name(monkeypatch, name, value, what):
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=what):
        make()


@pytest.mark.parametrize(
    ("name", "value", "agreed", "advice"),
    [
        ("ACCELERATE_MIXED_PRECISION", "bf16", {"mixed_precision": "bf16"}, "--mixed-precision bf16"),
        (ACCUMULATION, "4", {"grad_accum_steps": 4}, "--grad-accum-steps 4"),
        (
            "ACCELERATE_GRADIENT_CLIPPING",
            "0.5",
            {"optimizer": {"max_grad_norm": 0.5}},
            "--set optimizer.max_grad_norm=0.5",
        ),
    ],
)
def test_a_launcher_that_contradicts_the_run_is_refused_with_the_option_that_settles_it(
    monkeypatch, name, value, agreed, advice
):
    """Accumulation would even divide the loss by its number once more, without a word."""
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"the run's configuration for .*: give train {advice},"):
        make()
    asked = make(end_step=2, **agreed)
    assert os.environ[name] == value
    for _ in steps(asked):
        pass
    monkeypatch.delenv(name)
    alone = make(end_step=2, **agreed)
    for _ in steps(alone):
        pass
    assert same(bits(asked), bits(alone))


def test_what_the_launcher_always_says_contradicts_nothing(monkeypatch):
    for name, value in (("ACCELERATE_MIXED_PRECISION", "no"), ("ACCELERATE_DYNAMO_BACKEND", "NO"), (ACCUMULATION, "1")):
        monkeypatch.setenv(name, value)
    assert make(mixed_precision="bf16", grad_accum_steps=2).accelerator.mixed_precision == "bf16"


@pytest.mark.parametrize(
    ("stage", "asked"), [(None, "DeepSpeed ZeRO"), ("0", ""), ("1", "DeepSpeed ZeRO"), ("3", "DeepSpeed ZeRO")]
)
def test_zero_splits_from_its_stage_one_on_and_in_one_process_nothing(monkeypatch, stage, asked):
    monkeypatch.setenv(DEEPSPEED, "true")
    if stage is not None:
        monkeypatch.setenv(ZERO_STAGE, stage)
    assert split_asked() == asked
    assert make().split is None


def test_fsdp_in_one_process_has_nothing_to_split(monkeypatch):
    monkeypatch.setenv(FSDP, "true")
    assert make().split is None
    assert os.environ[FSDP] == "true"
