"""No result takes the place of what a run keeps for itself, of a file of another kind, or of data that are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ambientkit as ak
import ambientkit.cli.app as commands
from ambientkit.checkpoint.lock import at_work
from ambientkit.checkpoint.own import refuse_own
from ambientkit.checkpoint.target import check_target
from ambientkit.errors import InputError
from ambientkit.export import export
from ambientkit.run.folder import refuse_used
from tests.support.finished import write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = write_run(tmp_path / "run")
    (folder / "versions.json").write_text("{}")
    for name in ("checkpoints/checkpoint_4", "samples", "logs", "verify", "evaluate"):
        (folder / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder)
    return folder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


OWN = [".", "checkpoints", "checkpoints/checkpoint_4", "checkpoints/new", "samples", "logs", "logs/x", "verify"]


@pytest.mark.parametrize("which", ["run", "link"])
@pytest.mark.parametrize("place", OWN)
def test_a_folder_of_results_is_no_folder_that_a_run_keeps_for_itself(run: Path, which: str, place: str) -> None:
    before, folder = names(run), run.parent / which / place
    told = rf"out \S*: (is the run|is a folder of the run|lies in the folder \w+ of the run) {run}, which keeps"
    with pytest.raises(InputError, match=told):
        ak.draw_to_files(run, folder, n=1, steps=1, device="cpu")
    with pytest.raises(InputError, match="DST "), at_work(folder, ".x.lock", "corrupting", "DST"):
        pass
    if not (folder.exists() and any(folder.iterdir())):  # others are refused as used
        with pytest.raises(InputError, match=r"output.dir"):
            refuse_used(folder)
    assert names(run) == before


@pytest.mark.parametrize("place", ["samples/mine", "restored/mine", "export/mine", "mine", "../elsewhere"])
def test_a_new_folder_in_a_run_or_beside_it_may_be_given(run: Path, place: str) -> None:
    before = names(run)
    refuse_own(run / place, "--out", folder=True)
    with at_work(run / place, ".x.lock", "corrupting", "DST"):
        assert (run / place).is_dir()
    assert {*names(run)} >= {*before}


@pytest.mark.parametrize(
    "place", ["versions.json", "status.json", "model_ema.safetensors", "best.safetensors", "verify/report.json"]
)
def test_a_file_of_results_is_no_file_of_a_run(run: Path, place: str) -> None:
    with pytest.raises(InputError, match=rf"--json \S*: is a file of the run {run}"):
        check_target(run / place, "--json")
    with pytest.raises(InputError, match="checkpoints of the run"):
        check_target(run / "checkpoints" / "checkpoint_4" / "x.json", "--json")
    for fine in ("evaluate.json", "evaluate/1.json", "report.html"):
        check_target(run / fine, "--json")


@pytest.mark.parametrize("place", ["best.safetensors", "checkpoints/checkpoint_4/average.safetensors"])
def test_an_export_never_replaces_weights_of_a_run(run: Path, place: str) -> None:
    (run / place).write_bytes(b"weights")
    with pytest.raises(InputError, match="of the run"):
        export(run / "model_ema.safetensors", out=run / place, force=True)
    assert (run / place).read_bytes() == b"weights"


@pytest.mark.parametrize("kind", ["JSON", "HTML", "PDF"])
def test_a_file_of_another_kind_is_not_replaced_by_a_result(tmp_path: Path, kind: str) -> None:
    np.save(tmp_path / "rows.npy", np.zeros(3))
    with pytest.raises(InputError, match=f"--x .*rows.npy: is there already and is no {kind} file"):
        check_target(tmp_path / "rows.npy", "--x", kind)
    (tmp_path / "empty").touch()
    check_target(tmp_path / "empty", "--x", kind)
    (tmp_path / "earlier").write_bytes({"JSON": b'{"a": 1}', "HTML": b"\n<!doctype html>", "PDF": b"%PDF-1.4"}[kind])
    check_target(tmp_path / "earlier", "--x", kind)


def test_a_copy_is_not_written_into_the_data_that_it_is_made_of(tmp_path: Path) -> None:
    data = tmp_path / "rows"
    data.mkdir()
    np.save(data / "a.npy", np.zeros((4, 1, 8, 8), dtype=np.float32))
    with pytest.raises(InputError, match=r"DST .*lies inside the data"):
        ak.corrupt({"name": "array-folder", "path": data, "clean": True}, data / "noisy", sigma=0.1)
    assert names(data) == {"a.npy"}


def test_an_empty_path_is_not_the_current_folder(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for call in (
        lambda: ak.draw_to_files(run, "", n=1, steps=1, device="cpu"),
        lambda: ak.corrupt("digits", "", sigma=0.1),
        lambda: export(run, out=""),
        lambda: ak.train("digits", sigma_n=0.3, output_dir=""),
    ):
        with pytest.raises(InputError, match="is empty; give a path"):
            call()
    assert not names(tmp_path / "here")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sample", "run", "--out", ""], "--out: its value is empty"),
        (["train", "--output-dir="], "--output-dir: its value is empty"),
        (["corrupt", "digits", ""], "what follows digits is empty"),
        (["sample", "run", "--prompt", "", "--out", "x"], None),
    ],
)
def test_an_empty_word_of_a_command_is_refused(words: list[str], told: str | None) -> None:
    if told is None:
        commands._check_options(words)
        return
    with pytest.raises(InputError, match=told):
        commands._check_options(words)


def test_two_results_are_two_files(tmp_path: Path) -> None:
    from ambientkit.cli.output import check_files

    with pytest.raises(InputError, match="is the file of --json"):
        check_files(tmp_path / "x", tmp_path / "x")
    check_files(Path("/dev/null"), Path("/dev/null"))
