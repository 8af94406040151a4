"""`ambientkit inspect` as its users meet it: exit status, words and files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ambientkit.cli.inspect import run
from ambientkit.config.datapath import data_spec
from ambientkit.data.inspected import inspect
from ambientkit.errors import InputError
from ambientkit.inspection import NoiseVerdict
from ambientkit.registry import load
from tests.support.formats import FORMATS, rows
from tests.support.noisy_sets import clothes, normal


def status(
    data: Path | str, sigma_n: str | None = None, json_file: Path | None = None, html: Path | None = None
) -> int:
    with pytest.raises(SystemExit) as ended:
        run(str(data), sigma_n, json_file, html, 128)
    return int(ended.value.code or 0)


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", (clothes() + 0.3 * normal(clothes())).astype(np.float32))
    return tmp_path / "x.npy"


def test_good_data_end_with_0_and_a_wrong_level_with_1(noisy: Path, capsys) -> None:
    assert status(noisy, "0.3") == 0
    assert "verdict: fine" in capsys.readouterr().out
    assert status(noisy, "0.6") == 1
    out = capsys.readouterr().out
    assert "0.5" in out
    assert "verdict: violated" in out


def test_data_of_unknown_level_are_estimated(noisy: Path, tmp_path: Path, capsys) -> None:
    assert status(noisy, None, tmp_path / "f.json") == 0
    assert "estimated noise per row: median 0.3" in capsys.readouterr().out
    found = json.loads((tmp_path / "f.json").read_text())
    assert found["facts"]["sigma_n_estimated"][2] == pytest.approx(0.3, rel=0.1)
    assert found["facts"]["rows"] == 128


def test_data_that_train_would_refuse_are_explained_not_refused(tmp_path: Path, capsys) -> None:
    x = np.round((np.clip(clothes() + 0.3 * normal(clothes()), -1, 1) + 1) * 127.5).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    assert status(tmp_path / "x.npy", "0.3", tmp_path / "f.json", tmp_path / "f.html") == 1
    assert "saturation" in capsys.readouterr().out
    assert (tmp_path / "f.html").read_text().startswith("<!doctype html>")


def test_rows_that_are_left_out_are_listed_and_the_others_keep_their_numbers(tmp_path: Path, capsys) -> None:
    x = (clothes() + 0.3 * normal(clothes())).astype(np.float32)
    x[5], x[9] = np.nan, 0.25
    np.save(tmp_path / "x.npy", x)
    spec = f"array{{path: {tmp_path / 'x.npy'}, on_bad_file: skip}}"
    assert status(spec, "0.3", tmp_path / "f.json") == 1
    assert (
        "left out, because they cannot be used: 1: row 5: 784 of its values are not finite" in capsys.readouterr().out
    )
    facts = json.loads((tmp_path / "f.json").read_text())["facts"]
    assert facts["rows"] == 127
    assert facts["constant_rows"] == [9]


def test_levels_in_a_file_are_those_of_the_rows(tmp_path: Path) -> None:
    level = np.linspace(0.1, 0.5, 128)
    np.save(tmp_path / "x.npy", (clothes() + level[:, None, None, None] * normal(clothes())).astype(np.float32))
    np.save(tmp_path / "right.npy", level)
    np.save(tmp_path / "wrong.npy", level[::-1])
    assert status(tmp_path / "x.npy", str(tmp_path / "right.npy")) == 0
    assert status(tmp_path / "x.npy", str(tmp_path / "wrong.npy")) == 1


@pytest.mark.parametrize("sigma_n", ["0", "-1", "nan", "none.csv", "1e-300", "1e30"])
def test_a_level_that_makes_no_sense_is_an_input_error(noisy: Path, sigma_n: str) -> None:
    with pytest.raises(InputError, match="sigma_n"):
        run(str(noisy), sigma_n, None, None, 128)


def test_what_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            run(str(path), None, None, None, 128)
    with pytest.raises(InputError, match="--json"):
        run("digits", None, tmp_path / "no" / "f.json", None, 128)


def test_a_named_clean_data_set_is_not_judged_for_noise_it_does_not_have(capsys) -> None:
    assert status("digits") == 0
    assert "noise will be simulated" in capsys.readouterr().out


def test_arrays_in_memory_are_inspected_by_a_call_that_prints_nothing(capsys) -> None:
    x = (clothes() + 0.3 * normal(clothes())).astype(np.float32)
    found = inspect(x, rows=128)
    assert found.verdict is NoiseVerdict.FINE
    assert found.facts["sigma_n_estimated"][2] == pytest.approx(0.3, rel=0.1)
    assert found.facts["data"] == "in-memory"
    given = inspect(x, sigma_n=0.3, rows=128)
    assert given.verdict is NoiseVerdict.FINE
    assert "white, Gaussian and of the declared level." in given.page()
    assert inspect(x, sigma_n=0.6, rows=128).verdict is NoiseVerdict.VIOLATED
    assert inspect(x, sigma_n=np.full(len(x), 0.6), rows=128).verdict is NoiseVerdict.VIOLATED
    assert "verdict: fine" in str(found)
    assert found.page().startswith("<!doctype html>")
    assert "whether their noise is white and Gaussian." in found.page()
    assert "declared" not in found.page()
    assert json.loads(json.dumps(found.to_dict()))["verdict"] == "fine"
    assert capsys.readouterr() == ("", "")
    assert inspect(x, sigma_n=0.3, rows=8).facts["rows_looked_at"] == 8
    with pytest.raises(InputError, match="rows 0"):
        inspect(x, rows=0)


@pytest.mark.parametrize("name", FORMATS)
def test_a_path_of_every_format_finds_its_data_set(name: str, tmp_path: Path) -> None:
    spec = FORMATS[name](tmp_path / "d", rows())
    found = data_spec(spec["path"], load())
    if (
        name == "tiff_stack"
    ):  # a folder of TIFF files may be one picture a file: image-folder says so where it meets several pages
        assert found["name"] == "image-folder"
    else:
        assert found["name"] == spec["name"]
    assert data_spec("digits", load()) == "digits"
    assert data_spec("array{path: x.npy, clean: true}", load()) == {"name": "array", "path": "x.npy", "clean": True}


def test_floats_of_0_to_255_are_refused_as_train_refuses_them_and_0_to_1_is_a_doubt(tmp_path: Path, capsys) -> None:
    x = np.random.default_rng(0).uniform(0, 255, (8, 3, 16, 16)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(InputError, match="value_range"):
        status(tmp_path / "x.npy")
    np.save(tmp_path / "y.npy", (clothes() + 1) / 2)
    assert status(tmp_path / "y.npy") == 0
    out = capsys.readouterr().out
    assert "verdict: doubt" in out
    assert "value_range: [0, 1]" in out


def test_pictures_that_use_little_of_their_type_are_refused_with_the_remedy(tmp_path: Path, capsys) -> None:
    x = np.round(600 + 200 * (clothes() + 0.3 * normal(clothes()))).astype(np.uint16)
    np.save(tmp_path / "x.npy", x)
    assert status(tmp_path / "x.npy") == 1
    out = capsys.readouterr().out
    assert "verdict: violated" in out
    assert "value_range: data" in out


def test_rows_with_four_axes_are_looked_at_slice_by_slice(tmp_path: Path, capsys) -> None:
    x = (clothes() + 0.3 * normal(clothes()))[:, None].astype(np.float32)
    for planes in (x, np.concatenate([x, x[::-1]], 2)):
        np.save(tmp_path / "x.npy", planes)
        spec = f"array{{path: {tmp_path / 'x.npy'}, layout: N...}}"
        assert status(spec) == 0
        assert status(spec, "0.3") == 0


def test_a_stored_level_and_another_one_given_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", rows=(clothes() + 0.3 * normal(clothes())).astype(np.float32), sigma_n=0.3)
    assert status(tmp_path / "x.npz") == 0
    with pytest.raises(InputError, match="two noise levels"):
        status(tmp_path / "x.npz", "0.5")
