"""A run knows its data by content, and means the same from every folder."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import torch

import ambientkit as ak
from ambientkit.builtin.data.array import Array
from ambientkit.data.identity import fingerprint, refuse_other
from ambientkit.errors import InputError

SMALL = {
    "model": {"name": "mlp", "width": 8, "depth": 1},
    "batch_size": 16,
    "device": "cpu",
    "skip_preflight": True,
    "allow": "noise",
}


def rows(seed: int = 0) -> np.ndarray:
    r = np.random.default_rng(seed)
    y, x = np.mgrid[:8, :8] / 8
    clean = np.stack([0.5 * np.sin(2 * y + x + i + seed) for i in range(64)])[:, None]
    return (clean + 0.2 * r.standard_normal(clean.shape)).astype("f4")


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A run of four steps, begun from a relative path."""
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", rows())
    return ak.train("a.npy", sigma_n=0.2, end_step=4, output_dir="run", **SMALL)


def test_a_run_goes_on_with_the_data_it_had_though_the_file_was_touched(begun):
    os.utime("a.npy", (1, 1))
    assert ak.train("a.npy", sigma_n=0.2, end_step=5, output_dir="run", **SMALL).step == 5


@pytest.mark.parametrize(
    "change", [lambda x: x[::-1] * 0.7 + 0.1, lambda x: np.concatenate([x[:63], x[:1]]), lambda x: x[:60]]
)
def test_data_that_were_changed_are_refused_by_name_and_nothing_is_lost(begun, change):
    before = {path.name: path.read_bytes() for path in begun.path.iterdir() if path.is_file() and path.name != ".lock"}
    np.save("a.npy", change(rows()).astype("f4"))
    with pytest.raises(InputError, match=r"run: its data array \(.*a\.npy\) (were changed|have 60 rows now)"):
        ak.train("a.npy", sigma_n=0.2, end_step=6, output_dir="run", **SMALL)
    assert {
        path.name: path.read_bytes() for path in begun.path.iterdir() if path.is_file() and path.name != ".lock"
    } == before


def test_a_change_between_the_sampled_rows_is_found_by_a_full_fingerprint_only():
    x = np.tile(rows(), (10, 1, 1, 1))
    part = ak.configure(x, sigma_n=0.2).data
    changed = x.copy()
    changed[1] += 0.1  # 256 of 640 rows are sampled, of which row 1 is none
    other = ak.configure(changed, sigma_n=0.2).data
    refuse_other(other, other.rows(), fingerprint(part, part.rows()), "run")
    with pytest.raises(InputError, match="were changed"):
        refuse_other(other, other.rows(), fingerprint(part, part.rows(), "full"), "run")


def test_a_run_means_the_same_from_every_folder_and_moved_data_are_given_by_name(begun, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    np.save(elsewhere / "a.npy", rows(seed=5))  # of the same name and shape
    monkeypatch.chdir(elsewhere)
    assert ak.load(tmp_path / "run").config.data.path == tmp_path / "a.npy"
    assert ak.train(resume=tmp_path / "run", end_step=5, skip_preflight=True).step == 5
    shutil.move(tmp_path / "a.npy", tmp_path / "moved.npy")
    with pytest.raises(InputError, match=r"a\.npy: no such file"):
        ak.train(resume=tmp_path / "run", end_step=6)
    with pytest.raises(InputError, match="were changed"):
        ak.train("a.npy", resume=tmp_path / "run", end_step=6)
    run = ak.train("../moved.npy", resume=tmp_path / "run", end_step=6)
    assert (run.step, ak.load(tmp_path / "run").config.data.path) == (6, elsewhere / "../moved.npy")


@pytest.mark.slow
def test_rows_that_are_others_by_now_are_not_taken_for_those_of_the_run(begun, caplog):
    few = {"n": 8, "steps": 1, "repeats": 1, "extractors": ["pixels"]}
    begun.evaluate(**few)
    np.save("a.npy", rows()[::-1].copy())
    run = ak.load("run")
    for work in (lambda: run.evaluate(**few), lambda: run.verify(rows=4)):
        with pytest.raises(InputError, match=r"run: its data array \(.*a\.npy\) were changed since it was trained"):
            work()
    with pytest.raises(InputError, match=r"noisy a\.npy: .* were changed .*sigma_n"):
        run.restore("a.npy", n=2, steps=1, draws=1)
    assert run.restore("a.npy", sigma_n=0.2, n=2, steps=1, draws=1).mean.shape[0] == 2
    caplog.set_level("INFO")
    assert run.evaluate(rows(3), sigma_n=0.2, **few), "with another reference they are not needed"
    assert "nothing is compared with it" in caplog.text
    assert set(run.verify(rows(3), sigma_n=0.2, rows=4).found.losses) == {"held-out rows"}
    page = run.report("page.html", n=4, steps=1, rows=4)
    assert "were changed since it was trained" in page.notes["run"]["nearest"][0]
    assert "What the run was trained on cannot be read" in page.path.read_text()


def test_what_was_estimated_once_is_kept(begun):
    known = json.loads((begun.path / "data.json").read_text())
    assert known["sigma_data"] == begun.signal.sigma_data
    known["sigma_data"] = 0.123  # as if the estimate came out otherwise today
    (begun.path / "data.json").write_text(json.dumps(known))
    assert ak.train(resume=begun.path, end_step=5).signal.sigma_data == 0.123


def test_a_noise_level_for_each_row_and_conditions_count_as_content(tmp_path):
    np.save(tmp_path / "x.npy", rows())
    prints = []
    for level in (0.2, 0.3):
        np.save(tmp_path / "levels.npy", np.full(64, level))
        part = Array(path=tmp_path / "x.npy", sigma_n=str(tmp_path / "levels.npy"))
        prints.append(fingerprint(part, part.rows())["sha256"])
    assert prints[0] != prints[1]
    assert torch.get_default_dtype() == torch.float32
