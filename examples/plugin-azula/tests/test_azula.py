"""The model: every check of what it claims, that it learns, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from ambientkit_azula import AzulaUNet, register_models

import ambientkit as ak
from ambientkit.errors import InputError
from ambientkit.interfaces import Signal
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.testing import parametrize_with_checks

pytest.importorskip("azula", reason="azula is not installed")
SMALL = AzulaUNet(channels=(8, 16), blocks=(1, 1), features=16)


@parametrize_with_checks([SMALL])
def test_the_model_keeps_what_it_claims(part, check):
    check(part)


def test_the_network_is_told_its_level():
    with isolated_global_generator(0, "test"):
        network = SMALL.network(Signal((1, 8, 8), 0.5))
    y = torch.ones(2, 1, 8, 8)
    answers = network(y, torch.tensor([-1.0, 1.0]))
    assert not torch.allclose(answers[0], answers[1], atol=1e-6)


@pytest.mark.parametrize("shape", [(2,), (1, 7, 8), (3, 8, 9)])
def test_rows_that_it_cannot_take_are_refused(shape):
    with pytest.raises(InputError, match="whose sides are multiples of 2"):
        SMALL.network(Signal(shape, 0.5))


def test_conditions_are_refused():
    with pytest.raises(InputError, match=r"takes no conditions, but the data carry \['class_cond'\]"):
        SMALL.network(Signal((1, 8, 8), 0.5, {"class_cond": ()}))


def test_stages_without_their_number_of_blocks_are_refused():
    with pytest.raises(ValueError, match="one value per stage"):
        AzulaUNet(channels=(8, 16), blocks=(1,))


@pytest.mark.slow
def test_it_trains_on_noisy_rows_and_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corruption = {"name": "gaussian", "sigma_n": 0.2}
    options = {"model": SMALL, "batch_size": 16, "end_step": 10, "skip_preflight": True}
    run = ak.train("digits", corruption=corruption, output_dir="run", **options)
    samples = run.sample(2, seed=0, steps=4)
    assert samples.shape == (2, 1, 8, 8)
    assert samples.isfinite().all()


def test_the_hook_returns_the_model():
    assert register_models() == [AzulaUNet]
