"""`ambientkit corrupt`: the noise that training would simulate, on disk, once."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.config.datapath import data_spec
from ambientkit.corrupting import corrupt as copy
from ambientkit.data import Observations
from ambientkit.errors import InputError, RunError
from ambientkit.interfaces import Data
from ambientkit.noisy_copy import corrupt
from ambientkit.registry import load
from tests.support.formats import array, open_rows


def source(folder: Path, n: int = 30) -> Path:
    x = np.random.default_rng(0).uniform(-0.9, 0.9, (n, 1, 12, 10)).astype(np.float32)
    np.save(folder / "clean.npy", x)
    return folder / "clean.npy"


def make(src: Path | str, dst: Path, sigma: str = "0.3", **options: Any) -> Path:
    copy(src, dst, sigma=sigma, **{"seed": 3, **options})
    return dst


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_the_copy_holds_the_very_noise_that_training_simulates(tmp_path: Path) -> None:
    make(src := source(tmp_path), dst := tmp_path / "d")
    clean = open_rows({"name": "array", "path": str(src)}, clean=True)
    simulated = Observations(clean, Gaussian(sigma_n=0.3), seed=3)
    stored = open_rows({"name": "corrupted", "path": str(dst)})
    for i in (0, 7, 29):
        assert torch.equal(stored[i].x_n, simulated[i].x_n)
        assert stored[i].sigma_n == simulated[i].sigma_n


def test_levels_by_row_are_those_that_training_draws(tmp_path: Path) -> None:
    make(src := source(tmp_path), dst := tmp_path / "d", sigma="0.1,0.5")
    simulated = Observations(
        open_rows({"name": "array", "path": str(src)}, clean=True), Gaussian(sigma_n=(0.1, 0.5)), seed=3
    )
    stored = open_rows({"name": "corrupted", "path": str(dst)})
    assert len({float(stored[i].sigma_n) for i in range(30)}) == 30
    for i in range(30):
        assert torch.equal(stored[i].x_n, simulated[i].x_n)
        assert float(stored[i].sigma_n) == pytest.approx(float(simulated[i].sigma_n), rel=1e-6)


@pytest.mark.slow
def test_any_number_of_workers_writes_the_same_bytes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("ambientkit.noisy_copy.PIECE", 500)  # of this process: pieces of 4 rows
    src = source(tmp_path)
    assert content(make(src, tmp_path / "a")) == content(make(src, tmp_path / "b", workers=2))


def test_an_interrupted_copy_goes_on_and_ends_in_the_same_bytes(tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr("ambientkit.noisy_copy.PIECE", 500)
    src = source(tmp_path)
    whole = content(make(src, tmp_path / "whole"))

    def cut(*args: Any, **kwargs: Any):
        for done, pieces in corrupt(*args, **kwargs):
            yield done, pieces
            if done == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr("ambientkit.corrupting.write_copy", cut)
    with caplog.at_level("INFO", "ambientkit"), pytest.raises(KeyboardInterrupt):
        make(src, tmp_path / "cut")
    assert f"{tmp_path / 'cut'}: interrupted; the same command goes on from there" in caplog.text
    with pytest.raises(InputError, match="not finished"):
        open_rows({"name": "corrupted", "path": str(tmp_path / "cut")})
    seen: list[Any] = []
    monkeypatch.setattr(
        "ambientkit.corrupting.write_copy", lambda *a, **k: (seen.append(step) or step for step in corrupt(*a, **k))
    )
    make(src, tmp_path / "cut")
    assert seen[0] == (3, 8)
    assert content(tmp_path / "cut") == whole


def test_rows_in_memory_are_copied_like_those_of_a_file_and_nothing_is_printed(tmp_path: Path, capsys) -> None:
    src = source(tmp_path)
    found = copy(np.load(src), tmp_path / "a", sigma=(0.1, 0.5), seed=3)
    make(src, tmp_path / "b", sigma="0.1,0.5")
    assert np.array_equal(np.load(tmp_path / "a" / "rows.npy"), np.load(tmp_path / "b" / "rows.npy"))
    assert (found.path, found.rows, found.shape, found.sigma, found.eight_bit) == (
        tmp_path / "a",
        30,
        (1, 12, 10),
        (0.1, 0.5),
        False,
    )
    assert (
        str(found)
        == f"{tmp_path / 'a'}: 30 noisy rows with their manifest\nnext: ambientkit train --data {tmp_path / 'a'}"
    )
    assert json.loads(json.dumps(found.to_dict()))["sigma"] == [0.1, 0.5]
    assert capsys.readouterr() == ("", "")
    with pytest.raises(InputError, match="NaN or infinite"):
        copy(np.full((4, 1, 12, 10), np.nan, np.float32), tmp_path / "c", sigma=0.3)


@pytest.mark.parametrize("kept", [[], ["levels"], ["levels", "rows"]])
def test_a_copy_killed_before_its_first_piece_is_begun_anew(tmp_path: Path, kept: list[str]) -> None:
    src = source(tmp_path)
    whole = content(make(src, tmp_path / "whole"))
    (tmp_path / "cut" / "progress").mkdir(parents=True)
    for name in kept:
        (tmp_path / "cut" / {"levels": "sigma_n.npy", "rows": "rows.npy"}[name]).write_bytes(b"half")
    assert content(make(src, tmp_path / "cut")) == whole


def test_two_commands_do_not_write_one_copy(tmp_path: Path) -> None:
    src, dst = source(tmp_path), tmp_path / "d"
    rows = open_rows({"name": "array", "path": str(src)}, clean=True)
    options: dict[str, Any] = {"workers": 0, "eight_bit": False, "again": False}
    first = corrupt(rows, Gaussian(sigma_n=0.3), dst, 3, {}, **options)
    next(first)
    with pytest.raises(InputError, match="is corrupting here"):
        next(corrupt(rows, Gaussian(sigma_n=0.3), dst, 3, {}, **options))
    for _ in first:
        pass
    assert not (dst / ".corrupt.lock").exists()
    assert open_rows({"name": "corrupted", "path": str(dst)})


def test_the_beginning_of_another_copy_is_not_gone_on_with(tmp_path: Path, monkeypatch) -> None:
    src, dst = source(tmp_path), tmp_path / "d"
    rows = open_rows({"name": "array", "path": str(src)}, clean=True)
    options: dict[str, Any] = {"workers": 0, "eight_bit": False, "again": False}
    next(corrupt(rows, Gaussian(sigma_n=0.3), dst, 3, {}, **options))
    with pytest.raises(InputError, match="another seed"):
        next(corrupt(rows, Gaussian(sigma_n=0.3), dst, 4, {}, **options))
    with pytest.raises(InputError, match="another corruption"):
        next(corrupt(rows, Gaussian(sigma_n=0.2), dst, 3, {}, **options))


def test_the_manifest_names_level_seed_and_hashes_of_the_source(tmp_path: Path) -> None:
    import hashlib

    make(src := source(tmp_path), tmp_path / "d")
    manifest = json.loads((tmp_path / "d" / "manifest.json").read_text())
    assert manifest["sigma_n"] == pytest.approx(0.3)
    assert (manifest["seed"], manifest["rows"], manifest["shape"], manifest["units"]) == (3, 30, [1, 12, 10], "[-1, 1]")
    assert manifest["source_files_sha256"] == {"clean.npy": hashlib.sha256(src.read_bytes()).hexdigest()}
    assert len(manifest["rows_sha256"]) == 64
    measured = np.load(tmp_path / "d" / "rows.npy") - np.load(src)
    assert measured.std() == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize("name", ["", "rows.npy"])
def test_what_is_noisy_already_is_refused_unless_told_so(tmp_path: Path, name: str) -> None:
    make(source(tmp_path), once := tmp_path / "once")
    with pytest.raises(InputError, match="again"):
        make(once / name, tmp_path / "twice")
    assert not (tmp_path / "twice").exists()
    if not name:
        make(once, tmp_path / "twice", sigma="0.4", again=True)
        assert open_rows({"name": "corrupted", "path": str(tmp_path / "twice")})[0].sigma_n == pytest.approx(0.5)


def test_rows_with_a_stored_level_are_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(0, 0.5, (6, 1, 12, 10)).astype(np.float32)
    np.savez(tmp_path / "x.npz", rows=x, sigma_n=0.2)
    with pytest.raises(InputError, match="a noise level is stored"):
        make(tmp_path / "x.npz", tmp_path / "d")


def test_one_noisy_row_among_clean_ones_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "level.npy", np.where(np.arange(30) == 17, 0.3, 0.0))
    rows = open_rows({"name": "array", "path": str(source(tmp_path))}, sigma_n=str(tmp_path / "level.npy"))
    options: dict[str, Any] = {"workers": 0, "eight_bit": False}
    with pytest.raises(InputError, match="row 17 is noisy already"):
        list(corrupt(rows, Gaussian(sigma_n=0.3), tmp_path / "d", 3, {}, again=False, **options))
    list(corrupt(rows, Gaussian(sigma_n=0.4), tmp_path / "e", 3, {}, again=True, **options))
    levels = np.load(tmp_path / "e" / "sigma_n.npy")
    assert levels[17] == pytest.approx(0.5)
    assert levels[0] == pytest.approx(0.4)


def test_eight_bits_are_written_only_by_force_and_refused_by_training(tmp_path: Path, caplog) -> None:
    from PIL import Image

    make(source(tmp_path), tmp_path / "d", force_8_bit=True)
    assert "8-bit pictures clip and round the noise" in caplog.text
    assert not (tmp_path / "d" / "rows.npy").exists()
    pictures = sorted((tmp_path / "d" / "pictures").iterdir())
    assert len(pictures) == 30
    with Image.open(pictures[0]) as image:
        assert (image.mode, image.size) == ("L", (10, 12))
    with pytest.raises(InputError, match="8-bit copy is no data"):
        open_rows({"name": "corrupted", "path": str(tmp_path / "d")})


def test_a_finished_or_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    src = source(tmp_path)
    make(src, tmp_path / "d")
    before = content(tmp_path / "d")
    with pytest.raises(InputError, match="finished copy already"):
        make(src, tmp_path / "d")
    assert content(tmp_path / "d") == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        make(src, tmp_path / "other")


@pytest.mark.parametrize("sigma", ["0", "-1", "x", "nan", "0.5,0.1", "1,2,3", "inf", "1e-300", "1e30"])
def test_a_level_that_makes_no_sense_is_refused(tmp_path: Path, sigma: str) -> None:
    with pytest.raises(InputError, match="sigma"):
        make(source(tmp_path), tmp_path / "d", sigma=sigma)


def test_a_manifest_that_does_not_fit_its_rows_is_refused(tmp_path: Path) -> None:
    make(source(tmp_path), tmp_path / "d")
    np.save(tmp_path / "d" / "rows.npy", np.zeros((3, 1, 12, 10), np.float32))
    with pytest.raises(InputError, match="manifest says"):
        open_rows({"name": "corrupted", "path": str(tmp_path / "d")})
    (tmp_path / "d" / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="no manifest"):
        open_rows({"name": "corrupted", "path": str(tmp_path / "d")})
    shutil.rmtree(tmp_path / "d")
    with pytest.raises(InputError, match=r"no manifest\.json"):
        load().build("data", {"name": "corrupted", "path": str(tmp_path)}).rows()  # type: ignore[attr-defined]


@pytest.mark.parametrize("whole", [False, True], ids=["one map", "a map per row"])
def test_noise_is_added_to_noise_value_by_value(whole: bool, tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(-0.9, 0.9, (6, 12, 10, 1)).astype(np.float32)
    before = np.random.default_rng(1).uniform(0.05, 0.4, x.shape if whole else x.shape[1:]).astype(np.float32)
    np.save(tmp_path / "level.npy", before)
    spec = {**array(tmp_path / "x", x), "layout": "NHWC", "sigma_n": str(tmp_path / "level.npy")}
    text = f"array{{path: {spec['path']}, layout: NHWC, sigma_n: {spec['sigma_n']}}}"
    dst = make(text, tmp_path / "twice", sigma="0.1", again=True)
    stored = open_rows({"name": "corrupted", "path": str(dst)})
    for i in range(6):
        mine = np.moveaxis(before[i] if whole else before, -1, 0)
        assert np.allclose(stored[i].sigma_n, np.sqrt(np.square(mine) + 0.1**2), rtol=1e-6)
    manifest = json.loads((dst / "manifest.json").read_text())
    assert manifest["sigma_n"] == "sigma_n.npy"
    assert manifest["sigma_n_range"] == pytest.approx([np.hypot(before.min(), 0.1), np.hypot(before.max(), 0.1)])


def test_levels_of_as_many_rows_as_a_row_has_values_are_read_back_by_row(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(-0.9, 0.9, (20, 20)).astype(np.float32))
    dst = make(f"array{{path: {tmp_path / 'x.npy'}, layout: N...}}", tmp_path / "d", sigma="0.1,0.5")
    stored = open_rows({"name": "corrupted", "path": str(dst)})
    levels = np.load(dst / "sigma_n.npy").ravel()
    assert len(set(levels.tolist())) == 20
    assert [float(stored[i].sigma_n) for i in range(20)] == levels.tolist()


def test_rows_that_are_left_out_take_their_noise_with_them(tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(-0.9, 0.9, (6, 1, 12, 10)).astype(np.float32)
    whole = make(array(tmp_path / "whole", x)["path"], tmp_path / "a")
    x[2, 0, 1, 1] = np.nan
    some = make(array(tmp_path / "some", x)["path"], tmp_path / "b", on_bad_file="skip")
    assert np.array_equal(np.load(some / "rows.npy"), np.load(whole / "rows.npy")[[0, 1, 3, 4, 5]])


def test_a_full_disk_is_told_and_the_copy_goes_on_later(tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    src, whole = source(tmp_path), make(source(tmp_path), tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full, raising=False)
        with pytest.raises(RunError, match=r"rows\.npy: cannot be written \(No space left on device\)"):
            make(src, tmp_path / "d")
    make(src, tmp_path / "d")
    assert content(tmp_path / "d") == content(whole)


def test_the_rows_of_a_copy_bring_their_level_by_their_own_name_too(tmp_path: Path) -> None:
    dst = make(source(tmp_path), tmp_path / "d")
    assert open_rows({"name": "array", "path": str(dst / "rows.npy")})[0].sigma_n == torch.tensor(0.3)
    with pytest.raises(InputError, match=r"two noise levels: sigma_n = 0.4 is given, and 0.3 is stored"):
        open_rows({"name": "corrupted", "path": str(dst)}, sigma_n=0.4)
    with pytest.raises(InputError, match="leave value_range out"):
        open_rows({"name": "corrupted", "path": str(dst)}, value_range=[0, 1])


MASK = "mask{missing: 0.4, kind: pixels}"


def test_a_masked_copy_holds_the_masks_and_rows_that_training_simulates(tmp_path: Path) -> None:
    found = copy(src := source(tmp_path), tmp_path / "d", corruption=MASK, sigma="0.1,0.5", seed=3)
    clean = open_rows({"name": "array", "path": str(src)}, clean=True)
    simulated = Observations(clean, Mask(missing=0.4, sigma_n=(0.1, 0.5)), seed=3)
    stored = load().build(Data, data_spec(str(tmp_path / "d"), load())).rows()
    assert data_spec(str(tmp_path / "d"), load())["name"] == "masked"
    for i in (0, 7, 29):
        assert torch.equal(stored[i].x_n, simulated[i].x_n)
        assert torch.equal(stored[i].cond["mask"], simulated[i].cond["mask"])
        assert float(stored[i].sigma_n) == pytest.approx(float(simulated[i].sigma_n), rel=1e-6)
    assert found.missing == pytest.approx(1 - np.load(tmp_path / "d" / "masks.npy").mean())
    assert abs(found.missing - 0.4) < 0.04  # 3,600 values: 5 standard errors
    assert "--corruption 'mask{" not in str(found)  # its fields are those of the default
    assert f"next: ambientkit train --data {tmp_path / 'd'} --corruption mask" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["corruption"] == {"name": "mask", "sigma_n": [0.1, 0.5]}


def test_an_interrupted_masked_copy_goes_on_to_the_same_bytes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("ambientkit.noisy_copy.PIECE", 500)
    src = source(tmp_path)
    copy(src, tmp_path / "whole", corruption="mask{missing: 0.3, kind: rows}", seed=3)
    monkeypatch.setattr("ambientkit.corrupting.write_copy", _cut)
    with pytest.raises(KeyboardInterrupt):
        copy(src, tmp_path / "cut", corruption="mask{missing: 0.3, kind: rows}", seed=3)
    monkeypatch.setattr("ambientkit.corrupting.write_copy", corrupt)
    with pytest.raises(InputError, match="another corruption"):
        copy(src, tmp_path / "cut", corruption="mask{missing: 0.2, kind: rows}", seed=3)
    copy(src, tmp_path / "cut", corruption="mask{missing: 0.3, kind: rows}", seed=3)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def _cut(*args: Any, **kwargs: Any):
    for done, pieces in corrupt(*args, **kwargs):
        yield done, pieces
        if done == 3:
            raise KeyboardInterrupt


def test_what_a_masked_copy_lacks_is_never_taken_for_measured(tmp_path: Path) -> None:
    copy(source(tmp_path), tmp_path / "d", corruption=MASK)
    for spec in (
        {"name": "corrupted", "path": str(tmp_path / "d")},
        {"name": "array", "path": str(tmp_path / "d" / "rows.npy")},
    ):
        with pytest.raises(InputError, match=r"masks\.npy beside them"):
            open_rows(spec)
    with pytest.raises(InputError, match="seen in part already"):
        copy(f"masked{{path: {tmp_path / 'd'}}}", tmp_path / "e", sigma=0.1, again=True)
    with pytest.raises(InputError, match="leave sigma_n out"):
        open_rows({"name": "masked", "path": str(tmp_path / "d"), "sigma_n": 0.2})
    make(source(tmp_path), tmp_path / "noisy")
    with pytest.raises(InputError, match="rows of this copy are whole"):
        open_rows({"name": "masked", "path": str(tmp_path / "noisy")})


def test_a_corruption_that_no_copy_is_made_of_is_refused(tmp_path: Path) -> None:
    src = source(tmp_path)
    with pytest.raises(InputError, match="gaussian or mask"):
        copy(src, tmp_path / "a", corruption="linear")
    with pytest.raises(InputError, match="--sigma: is missing"):
        copy(src, tmp_path / "a")
    with pytest.raises(InputError, match="no room for masks"):
        copy(src, tmp_path / "a", corruption="mask", force_8_bit=True)
    assert not (tmp_path / "a").exists()
