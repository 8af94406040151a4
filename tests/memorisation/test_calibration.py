"""Intervals that hold on sets of rows that nobody has seen, duplicates, and rows whose units or numbers do not fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ambientkit.api.training import train
from ambientkit.data.held_out import held_out_rows
from ambientkit.errors import InputError
from ambientkit.maths import copying as m
from ambientkit.maths.randomness import keyed_generator
from ambientkit.memorisation import attack, memorization, nearest
from tests.memorisation.support import digits, remembers

X = digits(5)


def measured(samples, train, heldout, **more):
    return memorization(samples, train=train, heldout=heldout, **{"shift": 0, "device": "cpu", "resamples": 0, **more})


@pytest.mark.parametrize("samples", [200, 1200])
def test_the_interval_of_the_gap_misses_0_on_unseen_rows_as_often_as_it_says(samples: int) -> None:
    missed, told, values = 0, [], []
    for split in range(200):
        order = torch.randperm(len(X), generator=keyed_generator(split, "test.gap"))
        train, other, fresh = X[order[:60]], X[order[60:120]], X[order[120 : 120 + samples]]
        a, b = nearest(fresh, train, 1), nearest(fresh, other, 1)
        near, far = a.distance[:, 0], b.distance[:, 0]
        owner = torch.where(near < far, a.row[:, 0], b.row[:, 0] + 60)
        low, high = m.interval_of_gap((near < far).double(), owner, 120)
        missed += not low <= 0 <= high
        told.append((high - low) / (2 * 1.96))
        values.append(m.nearer_to_train(near, far))
    assert missed <= 22  # 10 are expected; the bootstrap over samples misses 0 in 40 to 90
    assert 0.8 < np.mean(told) / np.std(values) < 1.25


def test_one_sample_again_and_again_is_no_evidence_of_a_gap() -> None:
    found = measured(X[900:901].expand(200, -1, -1, -1), X[:100], X[100:500], resamples=5).measure("train gap")
    assert abs(found.value) == 0.5
    assert found.interval[0] < 0 < found.interval[1]


@pytest.mark.parametrize("copies", [2, 5])
def test_training_rows_that_are_there_several_times_do_not_move_the_gap(copies: int) -> None:
    train, heldout, samples = X[:100], X[100:800], torch.cat([X[800:1000], X[:40]])
    plain = measured(samples, train, heldout).measure("train gap").value
    again = measured(samples, train.repeat(copies, 1, 1, 1), heldout).measure("train gap").value
    assert plain > 0.05
    assert again == pytest.approx(plain, abs=0.06)  # other held-out rows may be chosen


def test_samples_that_are_all_0_are_measured_and_mifid_says_nothing_of_them() -> None:
    found = measured(torch.zeros(100, 1, 8, 8), X[:100], X[100:500])
    assert math.isnan(found.measure("mifid").value)
    assert found.listed.sum() == 0
    assert "nan" in str(found)
    assert found.to_dict()["measures"][-1]["value"] is None
    assert "<html" in found.html()


def test_rows_in_other_units_than_the_training_rows_are_refused() -> None:
    train, heldout, samples = X[:100], X[100:300], X[300:400]
    for given, words in (
        ((samples, (train + 1) * 127.5, (heldout + 1) * 127.5), "train: the values go from 0 to 255, far beyond"),
        ((samples, train, ((heldout + 1) * 127.5).to(torch.uint8)), "heldout: the values go from 0 to 255"),
        (((samples + 1) * 127.5, train, heldout), "the samples: the values go from 0 to 255"),
        (
            (samples, train, (heldout + 1) / 2),
            r"heldout rows in memory: all values lie in \[0, 1\], those of the train",
        ),
        ((samples, train > 0, heldout), "train: should be an array of real numbers, not of torch.bool"),
        ((samples, train + 0j, heldout), "real numbers, not of torch.complex64"),
        ((samples, np.array(["a"]), heldout), "train: should be an array of real numbers"),
        ((samples, train[:1].expand(9, -1, -1, -1), heldout), "9 training rows, of which 1 differ"),
        ((samples, train, torch.cat([heldout, train[:2] * (1 + 2e-7)])), "2 of 202 held-out rows are training rows"),
    ):
        with pytest.raises(InputError, match=words):
            measured(*given, level=0.05)
    assert "warning: of the samples all values lie in [0, 1]" in str(measured((samples + 1) / 2, train, heldout))
    samples[3] *= 1e6  # one sample that runs away is a finding
    assert measured(samples, train, heldout, level=0.05).listed.sum() == 0


def test_numbers_that_are_no_counts_are_refused_by_name() -> None:
    for name, value in (("n", 0), ("n", -3), ("resamples", -1), ("shift", 1.5), ("steps", 0), ("batch_size", 0)):
        with pytest.raises(InputError, match=f"{name} {value}: should be a whole number"):
            measured(X[300:400], X[:100], X[100:300], level=0.05, **{name: value})
    for value in (-1.0, math.nan):
        with pytest.raises(InputError, match=r"duplicates.within .*: should be finite and 0 or more"):
            measured(X[300:400], X[:100], X[100:300], level=0.05, duplicates_within=value)
    for name in ("n", "null", "draws", "steps", "particles", "batch_size"):
        with pytest.raises(InputError, match=f"{name} 0: should be a whole number, 1 or more"):
            attack(remembers(X[:50]), train=X[:50], heldout=X[50:150], **{name: 0})


def test_rows_that_the_run_held_out_are_no_training_rows_and_the_others_keep_their_numbers(tmp_path) -> None:
    rows = X[:60].numpy()
    run = train(
        rows,
        clean=True,
        sigma_n=0,
        objective="denoising",
        model={"name": "mlp", "width": 8},
        hold_out=0.25,
        end_step=4,
        output_dir=tmp_path / "run",
        skip_preflight=True,
        device="cpu",
    )
    apart = held_out_rows(range(60), 15, 0)
    others = [at for at in range(60) if at not in apart]
    attacked = run.attack(X[60:160], kind="loss", null=100, draws=1)
    assert attacked.rows.tolist() == others
    assert "15 rows of rows in memory are no training rows: the run held them out" in str(attacked)
    found = run.memorization(X[60:160], n=20, steps=2, shift=0, level=0.05, resamples=0)
    assert found.facts["train_rows"] == 45
    assert set(found.neighbours.row.flatten().tolist()) <= set(others)
    assert torch.equal(found.nearest_rows, X[found.neighbours.row[:, 0]])
    more = {"n": 20, "steps": 2, "shift": 0, "level": 0.05, "resamples": 0, "device": "cpu"}
    ends = run.trained.config.levels.as_levels()
    told = memorization(run.trained.denoiser, train=X[others], heldout=X[60:160], levels=tuple(ends), **more)
    assert torch.equal(told.p_values, found.p_values)
    assert torch.equal(told.neighbours.distance, found.neighbours.distance)
    run.memorization(X[apart + list(range(60, 160))], n=20, steps=2, shift=0, level=0.05, resamples=0)  # unseen rows
    with pytest.raises(InputError, match=f"held-out row 0 is training row {others[20]}"):
        run.attack(X[[others[20], *range(60, 160)]])
