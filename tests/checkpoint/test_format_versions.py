"""Every file that a run writes states its format: another version is refused by name before anything is written, and
the first files are read."""

from __future__ import annotations

import hashlib
import json
import math
import shutil

import pytest

from ambientkit.checkpoint.lines import cut_after, from_line, last_line, read_lines, to_line
from ambientkit.errors import InputError
from tests.support.engine import FLAGS, command, finish

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of six steps with evaluations, its samples, and what `verify --run` and `evaluate` say of it; not to be
    changed."""
    folder = tmp_path_factory.mktemp("formats") / "run"
    train = ["train", *FLAGS, "--end-step", 6, "--evaluate-every", 3, "--output-dir", folder]
    for arguments in (
        train,
        [
            "sample",
            folder,
            "-n",
            8,
            "--steps",
            2,
            "--device",
            "cpu",
            "--format",
            "npy",
            "--out",
            folder.parent / "drawn",
        ],
        [
            "evaluate",
            folder,
            "--extractor",
            "pixels",
            "-n",
            8,
            "--repeats",
            1,
            "--steps",
            2,
            "--device",
            "cpu",
            "--json",
            folder / "e.json",
        ],
        ["verify", "--run", folder, "--rows", 8, "--device", "cpu"],
    ):
        status, out, err = finish(command(*arguments))
        assert status == 0, (arguments, out, err)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it."""
    return shutil.copytree(finished, tmp_path / "run")


def test_every_file_that_a_run_writes_states_its_format(finished):
    """Pictures and the card for people have none; in a checkpoint the manifest has it for all files."""
    for path in [*finished.rglob("*.json"), *finished.rglob("*.jsonl")]:
        if path.parent.parent.name == "checkpoints" and path.name != "manifest.json":
            continue
        texts = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        assert texts, path
        for text in texts:
            assert {"format", "format_version"} & json.loads(text).keys(), path
    assert (finished / "config.yaml").read_text().startswith("format_version: 1\n")
    assert {path.name for path in finished.glob("*.json*")} >= {
        "metrics.jsonl",
        "evaluations.jsonl",
        "status.json",
        "versions.json",
        "e.json",
    }


def newer(path):
    """The same file, said to be of version 99."""
    text = path.read_text()
    for old in ('"format_version": 1', '"format": 1', "format_version: 1"):
        text = text.replace(old, old.replace("1", "99"), 1)
    assert text != path.read_text()
    path.write_text(text)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("config.yaml", ["train", "--resume", "{run}"]),
        ("metrics.jsonl", ["train", "--resume", "{run}", "--end-step", "8"]),
        ("evaluations.jsonl", ["train", "--resume", "{run}", "--end-step", "8"]),
        ("metrics.jsonl", ["report", "{run}", "--out", "{run}/../r.html"]),
        ("versions.json", ["report", "{run}", "--out", "{run}/../r.html"]),
        ("versions.json", ["card", "{run}"]),
        ("status.json", ["status", "{run}"]),
    ],
)
def test_a_file_of_another_version_is_refused_by_name_and_nothing_is_changed(ambientkit, run, name, arguments):
    newer(run / name)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    status, _, err = ambientkit(*(word.format(run=run) for word in arguments))
    assert status == 2
    assert name in err
    assert "99 is not known to this version of ambientkit, which reads 1" in err
    assert len(err.splitlines()) == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"} == before


def test_a_last_line_of_another_version_is_refused_by_status(ambientkit, run):
    with (run / "metrics.jsonl").open("a") as log:
        log.write('{"format_version": 99, "step": 7}\n')
    status, _, err = ambientkit("status", run)
    assert status == 2
    assert "metrics.jsonl: format 99 is not known" in err


def test_evaluations_of_another_version_are_left_out_and_named(ambientkit, run):
    newer(run / "e.json")
    newer(run / "verify" / "report.json")
    status, _, err = ambientkit("card", run, "--force")
    assert status == 0
    assert "e.json: format 99 is not known, and is left out of the card" in err
    status, _, err = ambientkit(
        "report", run, "--out", run / "r.html", "-n", 4, "--steps", 2, "--rows", 4, "--device", "cpu"
    )
    assert status == 0, err
    page = (run / "r.html").read_text()
    assert "e.json has format 99, which this version does not know" in page
    assert "has format 99, which this version does not know; measured afresh" in page


def test_samples_and_copies_of_another_version_are_refused(ambientkit, finished, tmp_path):
    drawn = shutil.copytree(finished.parent / "drawn", tmp_path / "drawn")
    newer(drawn / "samples.json")
    status, _, err = ambientkit("evaluate", drawn, "--reference", "mixture", "--extractor", "pixels", "-n", 8)
    assert status == 2
    assert "samples.json: format 99 is not known" in err
    assert ambientkit("corrupt", "digits{split: test}", tmp_path / "copy", "--sigma", 0.2)[0] == 0
    newer(tmp_path / "copy" / "manifest.json")
    status, _, err = ambientkit("inspect", tmp_path / "copy")
    assert status == 2
    assert "manifest.json: format 99 is not known" in err


def test_a_run_of_the_time_before_lines_had_a_version_is_read_and_resumed(ambientkit, run):
    """What it has is kept byte by byte."""
    old = "".join(
        line.replace('"format_version": 1, ', "")
        for line in (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    )
    assert "format_version" not in old
    (run / "metrics.jsonl").write_text(old)
    assert ambientkit("status", run)[0] == 0
    status, _, err = ambientkit("train", "--resume", run, "--end-step", 8)
    assert status == 0, err
    text = (run / "metrics.jsonl").read_text()
    assert text.startswith(old)
    assert [json.loads(line)["step"] for line in text.splitlines()] == [2, 4, 6, 8]
    assert text.count('"format_version": 1') == 1


# --- the lines themselves -------------------------------------------------------------------------------------------


def test_a_line_comes_back_as_it_was_and_a_cut_one_is_none():
    facts = {"step": 3, "note": "a\nb\u2028c"}
    line = to_line(facts)
    assert line.count("\n") == 1
    assert len(line.splitlines()) == 1
    assert from_line(line, "here") == facts
    assert from_line(line[:-5], "here") is None
    assert from_line("3", "here") is None
    for wrong in ({"step": "x"}, {"loss": []}, {"terms": 1}, {"eta_s": math.nan}, {"skipped_steps": None}):
        assert from_line(to_line({**facts, **wrong}), "here") is None
    with pytest.raises(InputError, match=r"here: format '1' is not known"):
        from_line('{"format_version": "1"}', "here")


def test_lines_after_a_step_and_what_is_cut_are_taken_away(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text(
        '{"step": 1}\n{"other": 2}\n' + to_line({"step": 2}) + '{"st\n' + to_line({"step": 3}) + '{"step": 2}'
    )
    assert read_lines(path) == ([{"step": 1}, {"step": 2}, {"step": 3}, {"step": 2}], 2)  # one cut, one of no step
    cut_after(path, 2)
    assert path.read_text() == '{"step": 1}\n' + to_line({"step": 2})
    assert last_line(path) == {"step": 2}
    newer(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match="line 2: format 99"):
        cut_after(path, 1)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    cut_after(tmp_path / "none", 1)
    assert read_lines(tmp_path / "none") == ([], 0)
    assert last_line(tmp_path / "none") == {}
