"""`ambientkit attack` and `ambientkit memorization` on runs and files: what they print, write and refuse."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from ambientkit.cli import main
from tests.memorisation.support import digits
from tests.support.finished import write_run

X = digits(2).numpy()


def run(capsys, *words: object) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ambientkit", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


@pytest.fixture
def files(tmp_path):
    """Training rows, held-out rows and samples in files of grey values, and a run of an untrained network."""
    for name, part in (("train", X[:60]), ("held", X[60:260]), ("samples", np.concatenate([X[260:320], X[:6]]))):
        np.save(tmp_path / f"{name}.npy", np.round((part[:, 0] + 1) * 8).astype(np.uint8))
    write_run(tmp_path / "run")
    ranged = "array{{path: {}/{}.npy, layout: NHW, value_range: [0, 16], clean: true}}"
    return {name: ranged.format(tmp_path, name) for name in ("train", "held", "samples")} | {"run": tmp_path / "run"}


@pytest.mark.parametrize("kind", ["noise", "box"])
def test_an_attack_prints_its_figures_and_writes_a_page_with_pictures(tmp_path, capsys, files, kind: str) -> None:
    sides = ["--train", files["train"], "--heldout", files["held"]]
    small = ["-n", 10, "--null", 30, "--draws", 2, "--steps", 3, "--particles", 4, "--device", "cpu"]
    page, document = tmp_path / "a.html", tmp_path / "a.json"
    status, out, err = run(
        capsys, "attack", files["run"], *sides, "--kind", kind, *small, "--html", page, "--json", document
    )
    assert status == 0, err
    assert "AUC, training against held-out" in out
    found = json.loads(document.read_text())
    assert len(found["p_values"]) == 10
    assert len(found["null"]) == 30
    text = page.read_text()
    assert text.count("<img ") == 2
    assert "no guarantee" in text.lower()
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")


def test_samples_in_a_file_are_measured_against_both_sides(tmp_path, capsys, files) -> None:
    page, document = tmp_path / "m.html", tmp_path / "m.json"
    status, out, err = run(
        capsys, "memorization", files["samples"], "--train", files["train"], "--heldout", files["held"], "--shift", 0,
        "--html", page, "--json", document, "--device", "cpu",
    )  # fmt: skip
    assert status == 0, err
    assert "ratio below 1/3" in out
    listed = json.loads(document.read_text())["listed"]
    assert len(listed) >= 6
    assert page.read_text().count("<img ") == 1


def test_held_out_rows_that_are_training_rows_are_refused_by_number(capsys, files) -> None:
    status, _, err = run(capsys, "attack", files["run"], "--train", files["train"], "--heldout", files["train"])
    assert status == 2
    assert "60 of 60 held-out rows are training rows" in err
    status, _, err = run(capsys, "memorization", files["samples"], "--heldout", files["held"])
    assert status == 2
    assert "--train" in err
