"""`ambientkit export`: one file to take elsewhere, no paths of this machine, nothing replaced unasked."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open

from ambientkit.builtin.data.array import Array
from ambientkit.checkpoint.names import WEIGHTS
from ambientkit.config import Source, dump, resolve
from ambientkit.config.portable import _without, is_machine_path, last_name, portable
from ambientkit.data.identity import fingerprint
from ambientkit.errors import InputError, RunError
from ambientkit.export import export
from ambientkit.interfaces import Exporter
from ambientkit.registry import Entry, Registry, load
from ambientkit.sample import load_run
from tests.support.finished import write_run

pytestmark = pytest.mark.slow


class Folder(Exporter):
    """Writes a folder with two files."""

    name = "two-files"
    suffix = ""
    broken: bool = False

    def takes(self, model):
        return True

    def write(self, finished, path):
        path.mkdir()
        (path / "shape.json").write_text(json.dumps(finished.signal.shape))
        (path / "deep").mkdir()
        (path / "deep" / "levels.json").write_text(json.dumps(finished.levels))

    def snippet(self, finished, path):
        return f"read({path!r})"


class Full(Folder):
    """Finds the disk full when half of it is written."""

    name = "full"

    def write(self, finished, path):
        super().write(finished, path)
        raise OSError(28, "No space left on device")


@pytest.fixture
def two_more_forms():
    return Registry([*load().entries(), *(Entry("exporter", part, "tests", "1") for part in (Folder, Full))])


def test_our_own_file_gives_the_samples_of_the_run(tmp_path, ambientkit):
    folder = write_run(tmp_path / "run")
    status, out, _ = ambientkit("export", folder)
    assert status == 0
    file = folder / "export" / "ambientkit.safetensors"
    assert f"next: ambientkit sample {file}" in out
    for path, name in ((folder, "a"), (file, "b")):
        assert ambientkit("sample", path, "-n", 3, "--steps", 2, "--out", tmp_path / name, "--device", "cpu")[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a" / "samples.npy"), np.load(tmp_path / "b" / "samples.npy"))
    one, other = (load_run(path, load()) for path in (folder, file))
    assert (one.config, one.signal, one.step, one.units, one.sigma_n, one.noise) == (
        other.config,
        other.signal,
        other.step,
        other.units,
        other.sigma_n,
        other.noise,
    )


def test_our_own_file_names_no_path_of_the_machine_and_is_read_all_the_same(tmp_path):
    secret_place = tmp_path / "home" / "somebody"
    data = {
        "name": "array",
        "path": str(secret_place / "scans.npy"),
        "sigma_n": str(secret_place / "levels.csv"),
        "layout": "NHW",
    }
    folder = write_run(secret_place / "run", data, init_from=str(secret_place / "older"))
    file = tmp_path / "model.safetensors"
    export(folder, out=file)
    text = json.dumps(safe_open(file, "pt").metadata())
    assert "scans.npy" in text
    assert "levels.csv" in text
    assert "somebody" not in text
    assert str(tmp_path) not in text
    trained = load_run(file, load())
    assert str(trained.config.data.path) == "scans.npy"
    assert trained.config.init_from == "older"


def test_a_path_is_known_by_its_type_or_by_its_look_and_other_texts_stay():
    for text in ("/data/x", "~/x", "../x", "C:\\x\\y", "\\\\server\\share\\x"):
        assert is_machine_path(text), text
    for text in ("owner/name", "mlp", "a\\b", "https", ""):
        assert not is_machine_path(text), text
    assert last_name("C:\\x\\y.npy") == "y.npy"
    assert last_name("/a/b.npy") == "b.npy"
    config = resolve(Source({"data": {"name": "array", "path": "sub/scans.npy", "layout": "NHW"}}), load())
    assert portable(config)["data"]["path"] == "scans.npy"  # relative, but declared as a path
    plain = dump(config)
    plain["data"]["path"] = "scans.npy"
    assert portable(config) == plain


def test_texts_that_are_named_like_secrets_do_not_travel():
    plain = {"api_key": "abc", "deep": [{"hub_token": "x", "n": 1, "token_count": 3}], "name": "kept"}
    assert _without(plain, {}) == {
        "api_key": "***",
        "deep": [{"hub_token": "***", "n": 1, "token_count": 3}],
        "name": "kept",
    }


def test_the_same_run_gives_the_same_bytes(tmp_path):
    folder = write_run(tmp_path / "run")
    for name in ("a", "b"):
        export(folder, out=tmp_path / f"{name}.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize(("form", "name"), [("ambientkit", "out.safetensors"), ("two-files", "out")])
def test_what_is_there_is_replaced_only_when_asked(tmp_path, form, name, two_more_forms):
    folder, out = write_run(tmp_path / "run"), tmp_path / name
    first = export(folder, form, out, registry=two_more_forms)
    content = out if out.is_file() else out / "shape.json"
    content.write_text("mine")
    with pytest.raises(InputError, match=rf"--out {out}: is there already, and is left as it is"):
        export(folder, form, out, registry=two_more_forms)
    assert content.read_text() == "mine"
    assert export(folder, form, out, force=True, registry=two_more_forms) == first
    assert b"mine" not in content.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["run", name])


def test_the_record_says_what_was_written_and_how_it_is_used(tmp_path, two_more_forms):
    folder, out = write_run(tmp_path / "run", step=9), tmp_path / "out"
    found = export(folder, "two-files", out, registry=two_more_forms)
    size = sum(file.stat().st_size for file in out.rglob("*.json"))
    assert found.to_dict() == {
        "form": "two-files",
        "path": str(out),
        "step": 9,
        "size": size,
        "snippet": f"read({str(out)!r})",
    }
    assert (
        str(found) == f"two-files: {out}, step 9, {size / 1e6:.3g} MB\n\nTo sample it with that library "
        f"alone:\n\nread({str(out)!r})"
    )


def test_a_run_in_memory_gives_the_same_file_and_needs_to_be_told_where(tmp_path):
    folder = write_run(tmp_path / "run")
    trained = load_run(folder, load())
    with pytest.raises(InputError, match="--out: give the file or folder to write"):
        export(replace(trained, path=None))
    one, other = export(trained), export(folder, out=tmp_path / "other.safetensors")
    assert one.path == folder / "export" / "ambientkit.safetensors"
    assert one.path.read_bytes() == other.path.read_bytes()


def test_a_pipe_is_not_replaced_by_an_export(tmp_path):
    os.mkfifo(pipe := tmp_path / "pipe.safetensors")
    with pytest.raises(InputError, match="is a device, a pipe or a socket"):
        export(write_run(tmp_path / "run"), out=pipe, force=True)
    assert pipe.is_fifo()


def test_rows_of_the_same_name_elsewhere_are_not_those_that_the_exported_network_was_trained_on(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((16, 1, 8, 8)).astype("f4"))
    part = Array(path=tmp_path / "x.npy", sigma_n=0.3)
    folder = write_run(tmp_path / "run", {"name": "array", "path": str(tmp_path / "x.npy"), "sigma_n": 0.3})
    known = fingerprint(part, part.rows())
    exported = export(replace(load_run(folder, load()), fingerprint=known), out=tmp_path / "e.safetensors")
    monkeypatch.chdir(tmp_path)
    assert len(load_run(exported.path, load()).rows()) == 16
    assert load_run(exported.path, load()).fingerprint == {name: known[name] for name in ("rows", "how", "sha256")}
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    np.save("x.npy", np.random.default_rng(1).standard_normal((16, 1, 8, 8)).astype("f4"))
    with pytest.raises(InputError, match=r"e\.safetensors: its data array \(x\.npy\) were changed"):
        load_run(exported.path, load()).rows()


def test_force_never_removes_files_that_an_export_does_not_write(tmp_path, two_more_forms):
    folder, out = write_run(tmp_path / "run"), tmp_path / "home"
    (out / "deep").mkdir(parents=True)
    (out / "deep" / "thesis.tex").write_text("years of work")
    with pytest.raises(
        InputError, match=r"holds files that an export does not write \(deep.thesis\.tex\); nothing is replaced"
    ):
        export(folder, "two-files", out, force=True, registry=two_more_forms)
    assert (out / "deep" / "thesis.tex").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "run"]
    (tmp_path / "x.safetensors").mkdir()
    with pytest.raises(InputError, match="but this is a folder"):
        export(folder, out=tmp_path / "x.safetensors", force=True)
    with pytest.raises(InputError, match="is a file of the run"):
        export(folder, out=folder / WEIGHTS, force=True)


def test_a_full_disk_leaves_what_was_there(tmp_path, two_more_forms):
    folder, out = write_run(tmp_path / "run"), tmp_path / "out"
    export(folder, "two-files", out, registry=two_more_forms)
    with pytest.raises(RunError, match=r"out: cannot be written \(No space left on device\)"):
        export(folder, "full", out, force=True, registry=two_more_forms)
    assert (out / "shape.json").read_text() == "[1, 8, 8]"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_a_run_without_whole_weights_is_refused(tmp_path):
    folder = tmp_path / "early"
    folder.mkdir()
    (folder / "config.yaml").write_text("data: digits\n")
    with pytest.raises(
        InputError,
        match=r"early: this run has not saved its averaged weights yet .* Go on with: ambientkit train --resume",
    ):
        export(folder)
    whole = write_run(tmp_path / "run")
    content = (whole / WEIGHTS).read_bytes()
    (whole / WEIGHTS).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="not a valid safetensors file"):
        export(whole)
    with pytest.raises(InputError, match="there is no such file"):
        export(tmp_path / "nothing")
    assert not (whole / "export").exists()


def test_an_unfinished_run_is_exported_with_a_note(tmp_path, ambientkit):
    folder = write_run(tmp_path / "run", step=70)
    status, _, err = ambientkit("export", folder)
    assert (status, err) == (0, f"note: {folder}: these are the weights of step 70 of 10000; the run is not finished\n")
    assert "is there already" in ambientkit("export", folder)[2]
    assert ambientkit("export", folder, "--force")[0] == 0


def test_an_unknown_form_names_those_there_are(tmp_path):
    ours = Registry([entry for entry in load().entries() if entry.package == "ambientkit"])
    with pytest.raises(InputError, match=r"--format onnx: there is no such form\. Known: ambientkit$"):
        export(tmp_path, "onnx", registry=ours)
    with pytest.raises(
        InputError, match="k-diffusion comes with the package ambientkit-kdiffusion, which is not installed"
    ):
        export(tmp_path, "k-diffusion", registry=ours)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_named(tmp_path):
    folder, closed = write_run(tmp_path / "run"), tmp_path / "closed"
    closed.mkdir(0o500)
    with pytest.raises(InputError, match="its folder is read-only"):
        export(folder, out=closed / "m.safetensors")


def test_a_place_that_cannot_be_is_found_before_the_weights_are_written(tmp_path):
    folder = write_run(tmp_path / "run")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--out .*: .*file is a file, not a folder"):
        export(folder, out=tmp_path / "file" / "new" / "m.safetensors")
