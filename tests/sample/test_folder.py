"""The folder of `ambientkit sample`: the same files after a kill and for any number of processes, and nothing of others
is touched."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ambientkit.checkpoint.lock import folder_lock
from ambientkit.errors import InputError
from ambientkit.processes import Processes
from ambientkit.sample import draw_to_files
from ambientkit.sample.restored import steps_of
from ambientkit.sample.store import Store
from tests.support.engine import finish
from tests.support.ranks import TWO
from tests.support.sampling import SHAPE, SHELL, files, ok, registry, start, write_run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "options", [["--format", "npy"], ["--format", "tiff"], ["--from", "digits", "--draws", 2]], ids=str
)
def test_a_command_that_was_interrupted_goes_on_to_the_same_files(sample, tmp_path, monkeypatch, options):
    run = write_run(tmp_path / "run", shape=(1, 8, 8) if "--from" in options else SHAPE)
    arguments = [run, "--n", 23, "--steps", 3, "--sampler", "ancestral", *options]
    ok(sample(*arguments, "--batch-size", 4, "--out", tmp_path / "whole"))
    write, written = Store.write, []

    def until(self, piece, *what):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(piece)
        write(self, piece, *what)

    monkeypatch.setattr("ambientkit.sample.store.Store.write", until)
    assert sample(*arguments, "--batch-size", 4, "--out", tmp_path / "cut")[0] != 0
    monkeypatch.setattr("ambientkit.sample.store.Store.write", write)
    assert not (tmp_path / "cut" / "samples.npy").exists()
    first = len(written[0]) * 2
    told = ok(sample(*arguments, "--batch-size", 4, "--out", tmp_path / "cut"))
    assert f"{first} of 23" in told
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    before = files(tmp_path / "cut")
    assert "nothing to do" in ok(sample(*arguments, "--batch-size", 7, "--out", tmp_path / "cut"))
    assert files(tmp_path / "cut") == before


def test_how_long_it_will_take_is_said_after_the_first_batch(sample, tmp_path, monkeypatch):
    """Without a bar, and by a clock on which a batch takes 10 seconds: long before the next line is due."""
    clock = SimpleNamespace(monotonic=itertools.count(0, 10).__next__)
    monkeypatch.setattr("ambientkit.sample.job.time", clock)
    told = ok(
        sample(write_run(tmp_path / "run"), "--n", 23, "--steps", 2, "--batch-size", 4, "--out", tmp_path / "out")
    )
    assert "\n4 of 23 samples, 0:00:48 left\n" in f"\n{told}"
    assert "\n8 of 23" not in told


def test_a_restoration_takes_fewer_steps_than_a_sample_but_for_particles(sample, tmp_path):
    run = write_run(tmp_path / "run", shape=(1, 8, 8))
    ok(sample(run, "--from", "digits", "--n", 2, "--draws", 1, "--out", tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "restored.json").read_text())["steps"] == 16
    assert [steps_of(None, 0), steps_of(None, 3), steps_of(5, 3)] == [16, 32, 5]


def test_a_full_disk_is_named_and_the_same_command_goes_on(sample, tmp_path, monkeypatch):
    arguments = [write_run(tmp_path / "run"), "--n", 12, "--steps", 2, "--batch-size", 4, "--device", "cpu"]
    replace = os.replace

    def full(source, target):
        if Path(target).name == "00000004.npz":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    status, _, err = sample(*arguments, "--out", tmp_path / "out")
    assert status == 1
    assert (
        "00000004.npz: cannot be written (No space left on device); make room on the disk and give the same command "
        "again, which goes on from here"
    ) in err
    assert not list((tmp_path / "out").rglob("*.tmp-*"))
    monkeypatch.setattr(os, "replace", replace)
    assert "4 of 12 samples are there already" in ok(sample(*arguments, "--out", tmp_path / "out"))


def test_a_killed_command_goes_on_to_the_same_files(sample, tmp_path):
    """SIGKILL, in a process of its own."""
    run = write_run(tmp_path / "run")
    arguments = [
        "sample",
        run,
        "--n",
        600,
        "--steps",
        40,
        "--batch-size",
        25,
        "--sampler",
        "ancestral",
        "--device",
        "cpu",
    ]
    ok(sample(*arguments[1:], "--out", tmp_path / "whole"))
    cut = tmp_path / "cut"
    process = start(*arguments, "--out", cut)
    deadline = time.monotonic() + 60
    while len(list(cut.glob("parts/0*[0-9].npz"))) < 5 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert process.poll() is None, finish(process)
    process.send_signal(signal.SIGKILL)
    finish(process)
    assert not (cut / "samples.npy").exists()
    assert not json.loads((cut / "samples.json").read_text())["finished"]
    ok(sample(*arguments[1:], "--out", cut))
    assert files(cut) == files(tmp_path / "whole")


def test_two_processes_share_the_work_and_write_the_same_files(sample, tmp_path):
    run = write_run(tmp_path / "run", shape=(1, 8, 8))
    arguments = [
        run,
        "-n",
        22,
        "--steps",
        3,
        "--batch-size",
        4,
        "--sampler",
        "ancestral",
    ]  # torchrun takes --n for an option of its own
    ok(sample(*arguments, "--out", tmp_path / "one"))
    status, out, err = finish(
        start("sample", *arguments, "--device", "cpu", "--out", tmp_path / "two", program=(*TWO, *SHELL)), timeout=300
    )
    assert status == 0, (out, err)
    assert out.count("22 samples of shape") == 1
    assert files(tmp_path / "two") == files(tmp_path / "one")


def test_each_of_two_processes_draws_every_second_piece(tmp_path, monkeypatch):
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    place = Processes(0, 2, torch.device("cpu"), lambda: None, lambda values: values, lambda: None)
    options = {"n": 22, "steps": 2, "batch_size": 4, "device": "cpu", "registry": registry()}
    monkeypatch.setattr("ambientkit.sample.files.processes", lambda _: place)
    with pytest.raises(
        FileNotFoundError
    ):  # the first process alone, which does not wait here, finds the pieces of the second one missing
        draw_to_files(run, out, **options)
    first = ["00000000.npz", "00000008.npz", "00000016.npz"]
    assert sorted(path.name for path in (out / "parts").glob("0*[0-9].npz")) == first
    monkeypatch.setattr("ambientkit.sample.files.processes", lambda _: dataclasses.replace(place, rank=1))
    draw_to_files(run, out, **options)
    left = {path.name for path in (out / "parts").glob("0*[0-9].npz")} - set(first)
    assert left == {"00000012.npz"}  # of the three pieces 4, 12 and 20 that were missing
    assert not (out / "samples.npy").exists()
    monkeypatch.undo()
    assert draw_to_files(run, out, **options).path == out / "samples.npy"


def test_another_request_is_refused_field_by_field_and_foreign_files_are_left_alone(sample, tmp_path):
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    ok(sample(run, "--n", 4, "--out", out))
    before = files(out)
    status, _, err = sample(run, "--n", 5, "--steps", 3, "--seed", 1, "--sampler", "ancestral", "--out", out)
    assert status == 2
    for line in (
        "n: 4 there, 5 now",
        "steps: 32 there, 3 now",
        "seed: 0 there, 1 now",
        "sampler.name: 'heun' there, 'ancestral' now",
    ):
        assert line in err
    write_run(tmp_path / "run", values=(0.3,))
    status, _, err = sample(run, "--n", 4, "--out", out)
    assert status == 2
    assert "weights_sha256" in err
    assert files(out) == before
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "samples.npy").write_bytes(b"mine")
    status, _, err = sample(run, "--n", 4, "--out", tmp_path / "foreign")
    assert status == 2
    assert "holds samples.npy of unknown origin" in err
    assert files(tmp_path / "foreign") == {"samples.npy": b"mine"}


def test_a_damaged_manifest_is_named(sample, tmp_path):
    run = write_run(tmp_path / "run")
    ok(sample(run, "--n", 2, "--out", tmp_path / "out"))
    (tmp_path / "out" / "samples.json").write_text("{")
    status, _, err = sample(run, "--n", 2, "--out", tmp_path / "out")
    assert status == 2
    assert "samples.json: cannot be read" in err
    assert sys.exc_info() == (None, None, None)


def test_a_folder_in_which_a_command_is_at_work_is_refused_and_left_alone(sample, tmp_path):
    """Another process holds the folder; then it is killed, and the same command goes on."""
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    arguments = [run, "--n", 600, "--steps", 40, "--batch-size", 25, "--sampler", "ancestral", "--out", out]
    process = start("sample", *arguments, "--device", "cpu")
    deadline = time.monotonic() + 60
    while not list(out.glob("parts/0*[0-9].npz")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGSTOP)
    try:
        before = files(out)
        for other in (arguments, [run, "--n", 5, "--out", out], [run, "--from", "digits", "--out", out]):
            status, _, err = sample(*other)
            assert f"{out}: process {process.pid} on " in err
            assert "is sampling here. Wait for it, stop it, or give another --out" in err
            assert status == 2
        assert files(out) == before
    finally:
        process.kill()
        finish(process)
    assert "600 samples of shape" in ok(sample(*arguments))
    assert sorted(path.name for path in out.iterdir()) == ["samples.json", "samples.npy", "samples.png"]


def test_what_the_first_of_two_processes_refuses_both_do_with_one_message(sample, tmp_path):
    """None is left waiting for the other."""
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    ok(sample(run, "-n", 4, "--out", out))
    status, _, err = finish(
        start("sample", run, "-n", 5, "--device", "cpu", "--out", out, program=(*TWO, *SHELL)), timeout=120
    )
    assert status == 1  # the launcher's own
    assert err.count("holds the files of another request") == 1
    assert "Traceback" not in err.partition("torch/distributed")[0]  # torchrun prints its own, about its children


def test_a_lock_whose_file_was_removed_by_its_holder_is_taken_anew(tmp_path, monkeypatch):
    """The second command has opened the file just before the first one removed it: it must not hold a file that nobody
    else can find."""
    flock, opened = fcntl.flock, []

    def first(descriptor, operation):
        if not opened:
            opened.append(descriptor)
            (tmp_path / ".sample.lock").unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", first)
    with folder_lock(tmp_path, ".sample.lock", "sampling", "--out", passing=True):
        assert opened
        with (
            pytest.raises(InputError, match="is sampling here"),
            folder_lock(tmp_path, ".sample.lock", "sampling", "--out", passing=True),
        ):
            pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [["--format", "npy"], ["--format", "tiff"]], ids=str)
def test_files_that_were_removed_after_the_end_are_drawn_again(sample, tmp_path, options):
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    ok(sample(run, "--n", 5, *options, "--out", out))
    before = files(out)
    next(iter(out.glob("samples.npy")), out / "samples" / "00000003.tif").unlink()
    assert "5 samples of shape" in ok(sample(run, "--n", 5, *options, "--out", out))
    assert files(out) == before


def test_a_command_killed_before_its_first_piece_goes_on(sample, tmp_path):
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    ok(sample(run, "--n", 5, "--out", out))
    before = files(out)
    manifest = json.loads((out / "samples.json").read_text())
    for path in out.iterdir():
        path.unlink()
    (out / "samples.json").write_text(json.dumps({**manifest, "finished": False}))
    ok(sample(run, "--n", 5, "--out", out))
    assert files(out) == before
