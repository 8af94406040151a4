"""Optimisers of other packages by name: exact resume, and refusals before step 1."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

from ambientkit.checkpoint.weights import from_bytes
from ambientkit.config import Source, resolve
from ambientkit.errors import InputError
from ambientkit.registry import load
from ambientkit.training import build, steps
from ambientkit.training.optim import PACKAGES
from tests.support.engine import SMALL, bits, same


def config(name, **fields):
    optimizer = {"name": name, "lr": 1.0 if name == "prodigy" else 1e-3, "warmup_steps": 2, **fields}
    model = {**SMALL["model"], "width": 72}  # 8-bit states begin at 4,096 values
    return resolve(
        Source({**SMALL, "model": model, "objective": "tweedie", "end_step": 6, "optimizer": optimizer}), load()
    )


@pytest.mark.parametrize("name", PACKAGES)
def test_a_run_resumes_to_the_same_bits(name):
    pytest.importorskip(PACKAGES[name][0].partition(".")[0])
    whole, half = build(config(name)), build(config(name))
    assert type(whole.bare_optimizer).__name__ == PACKAGES[name][1]
    list(steps(whole))
    found = iter(steps(half))
    next(found), next(found)
    again = build(config(name))
    files = half.state()
    held = from_bytes(files["optimizer.safetensors"], "here")[0]
    assert any(value.dtype == torch.uint8 for value in held.values()) == (name == "adamw-8bit")
    again.restore(files, "here")
    list(steps(again))
    assert same(bits(whole), bits(again))
    assert not same(bits(whole), bits(build(config(name))))


def test_a_package_that_is_not_there_is_named_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "prodigyopt", None)
    importlib.invalidate_caches()
    with pytest.raises(InputError, match=r"Prodigy of the package prodigyopt.*pip install 'ambientkit\[optimizers\]'"):
        build(config("prodigy"))


def test_prodigy_is_not_given_the_rate_of_another_optimiser():
    with pytest.raises(InputError, match="prodigy finds the rate itself, and lr is a multiple of it: give lr 1"):
        config("prodigy", lr=5e-4)
    with pytest.raises(InputError, match="momentum belongs to sgd, but prodigy was chosen"):
        config("prodigy", momentum=0.9)
