"""Checkpoints are whole or not there, and nothing in them is ever executed."""

from __future__ import annotations

import json
import pickle
import threading

import pytest
import torch
from torch import nn

from ambientkit.checkpoint import folder, latest, load_state, prune, read_folder, save_state, write_folder
from ambientkit.checkpoint.replace import replacing
from ambientkit.checkpoint.weights import fill, from_bytes, load_weights, save_weights, to_bytes
from ambientkit.errors import InputError, RunError
from ambientkit.maths.randomness import isolated_global_generator


def network(width=4):
    with isolated_global_generator(0, "net"):
        return nn.Sequential(nn.Linear(3, width), nn.Linear(width, 1))


def test_a_folder_reads_back_as_it_was_written(tmp_path):
    write_folder(tmp_path / "checkpoint_1", {"a": b"one", "b": b"two"})
    assert read_folder(tmp_path / "checkpoint_1") == {"a": b"one", "b": b"two"}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_1"]


@pytest.mark.parametrize("damage", ["cut", "gone", "no manifest", "other format", "escape"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(tmp_path, damage):
    """Case C-21."""
    for step in (1, 2):
        write_folder(tmp_path / f"checkpoint_{step}", {"a": b"content"})
    newest = tmp_path / "checkpoint_2"
    if damage == "cut":
        (newest / "a").write_bytes(b"cont")
    elif damage == "gone":
        (newest / "a").unlink()
    elif damage == "no manifest":
        (newest / "manifest.json").write_text("")
    else:
        version, names = (999, {}) if damage == "other format" else (1, {"../secret": "0"})
        (newest / "manifest.json").write_text(json.dumps({"format_version": version, "sha256": names}))
    path, files, skipped = latest(tmp_path)
    assert path.name == "checkpoint_1"
    assert files == {"a": b"content"}
    assert len(skipped) == 1
    assert "checkpoint_2" in skipped[0]


def test_without_a_whole_checkpoint_there_is_nothing_to_resume_from(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        latest(tmp_path)


def test_a_full_disk_leaves_the_earlier_checkpoint_whole(tmp_path, monkeypatch):
    write_folder(tmp_path / "checkpoint_1", {"a": b"good"})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match="No space left"):
        write_folder(tmp_path / "checkpoint_2", {"a": b"bad"})
    with pytest.raises(RunError, match="untouched"):
        folder.write_file(tmp_path / "checkpoint_1" / "a", b"bad")
    monkeypatch.undo()
    assert latest(tmp_path)[1] == {"a": b"good"}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_1"]


def test_only_the_newest_are_kept(tmp_path):
    for step in (1, 2, 10):
        write_folder(tmp_path / f"checkpoint_{step}", {})
    (tmp_path / ".checkpoint_11.tmp-1").mkdir()
    prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint_10", "checkpoint_2"]


def test_the_state_of_an_optimiser_comes_back_to_the_bit():
    net, average = network(), network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    for _ in range(3):
        net(torch.ones(2, 3)).sum().backward()
        optimizer.step()
    files = save_state(net.state_dict(), average.state_dict(), optimizer.state_dict(), {"step": 3})
    assert not any(
        content.startswith(b"\x80") or b"PK\x03\x04" in content[:8] for content in files.values()
    )  # neither pickle nor zip
    other = network()
    again = torch.optim.AdamW(other.parameters(), lr=5.0)
    assert load_state(files, "here", other, average, again) == {"step": 3}
    assert again.param_groups[0]["lr"] == 1e-2
    assert again.param_groups[0]["betas"] == (0.9, 0.999)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))
    for opt, n in ((optimizer, net), (again, other)):
        opt.zero_grad()
        n(torch.ones(2, 3)).sum().backward()
        opt.step()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def test_weights_that_do_not_fit_are_listed_and_nothing_is_loaded():
    target, tensors = network(), network(5).state_dict()
    tensors["surplus"] = tensors.pop("1.bias")
    before = [p.clone() for p in target.parameters()]
    with pytest.raises(InputError, match=r"1 missing \(1\.bias\); 1 surplus \(surplus\); 3 misshaped"):
        fill(target, tensors, "file")
    assert all(torch.equal(a, b) for a, b in zip(before, target.parameters(), strict=True))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.complex64])
def test_weights_that_are_no_floating_point_do_not_fit(dtype):
    """Case: a header that says I32 for F32, and quantised weights; they were taken as the numbers that they are not."""
    target, tensors = network(), network().state_dict()
    tensors["1.bias"] = tensors["1.bias"].to(dtype)
    with pytest.raises(InputError, match=rf"1 not of floating point \(1\.bias {str(dtype)[6:]}\)$"):
        fill(target, tensors, "file")


def test_pickles_and_malformed_files_are_refused_by_name(tmp_path):
    """Cases H-01 and H-03."""
    canary = tmp_path / "CANARY"

    class Bomb:
        def __reduce__(self):
            return (open, (str(canary), "w"))

    bad = {
        "pickle": pickle.dumps(Bomb()),
        "empty": b"",
        "giant header": (2**60).to_bytes(8, "little") + b"{}",
        "no json": (4).to_bytes(8, "little") + b"abcd",
    }
    for name, content in bad.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(InputError, match=name):
            load_weights(path)
    assert not canary.exists()


def test_weights_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match=r"'w'.*not finite"):
        from_bytes(to_bytes({"w": torch.tensor([1.0, float("nan")])}), "file")


def test_the_same_weights_are_the_same_bytes():
    """safetensors alone writes metadata in an order that changes from call to call."""
    contents = {to_bytes({"w": torch.ones(3)}, {name: name for name in "abcdefgh"}) for _ in range(5)}
    assert len(contents) == 1
    assert torch.equal(from_bytes(contents.pop(), "here")[0]["w"], torch.ones(3))


@pytest.mark.parametrize("name", ["weights", "state"])
def test_a_file_of_another_format_is_refused_by_name(name):
    """Case C-37."""
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    files = save_state(net.state_dict(), net.state_dict(), optimizer.state_dict(), {})
    if name == "weights":
        files["model.safetensors"] = to_bytes(net.state_dict(), {"format_version": 999})
    else:
        files["state.json"] = files["state.json"].replace(b'"format_version": 1', b'"format_version": 999')
    file = {"weights": "model.safetensors", "state": "state.json"}[name]
    with pytest.raises(InputError, match=f"here/{file}: format 999 is not known"):
        load_state(files, "here", net, net, optimizer)


def test_checkpoints_after_the_one_resumed_are_set_aside(tmp_path):
    """Otherwise a damaged newer one would count among those kept, and push out the good one."""
    for step in (1, 2, 3):
        write_folder(tmp_path / f"checkpoint_{step}", {"a": b"%d" % step})
    (tmp_path / "checkpoint_3" / "a").write_bytes(b"damaged")
    (tmp_path / "checkpoint_2" / "a").write_bytes(b"damaged")
    folder.set_aside_newer(tmp_path, 1)
    write_folder(tmp_path / "checkpoint_2", {"a": b"again"})
    prune(tmp_path, 2)
    assert latest(tmp_path)[1] == {"a": b"again"}
    assert sorted(path.name for path in tmp_path.glob("checkpoint_*")) == ["checkpoint_1", "checkpoint_2"]
    assert (tmp_path / "set_aside_1_checkpoint_3" / "a").read_bytes() == b"damaged"


def test_weights_carry_their_configuration(tmp_path):
    save_weights(tmp_path / "w.safetensors", network(), {"config": {"a": [1, 2]}})
    tensors, metadata = load_weights(tmp_path / "w.safetensors")
    assert metadata == {"config": {"a": [1, 2]}}
    assert set(tensors) == set(network().state_dict())


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_being_replaced_comes_back_where_it_cannot_be(tmp_path, kind, monkeypatch):
    """The last rename fails, when the old content is out of the way already."""
    target = tmp_path / "out"

    def write(path, text):
        path.mkdir() if kind == "folder" else None
        (path / "a" if kind == "folder" else path).write_text(text)

    write(target, "old")

    def refuse(source, place):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", refuse)
        with (
            pytest.raises(
                RunError, match=r"out: cannot be written \(Input/output error\); what was there before is untouched"
            ),
            replacing(target) as aside,
        ):
            write(aside, "new")
    with pytest.raises(InputError, match="not this one"), replacing(target, check=_refuse) as aside:
        write(aside, "new")
    assert (target / "a" if kind == "folder" else target).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with replacing(target, suffix=".x") as aside:
        assert aside.suffix == ".x"
        write(aside, "new")
    assert (target / "a" if kind == "folder" else target).read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def _refuse(path):
    raise InputError("not this one")


def test_a_name_that_is_too_long_is_told(tmp_path):
    with pytest.raises(RunError, match=r"cannot be written \(File name too long\); what was there before is untouched"):
        folder.write_file(tmp_path / ("x" * 250), b"content")


def test_two_threads_that_write_one_file_leave_the_whole_of_either(tmp_path):
    target, opened, written = tmp_path / "file", threading.Barrier(2), []

    def write(content: bytes) -> None:
        with replacing(target) as aside, aside.open("wb") as stream:
            opened.wait(10)
            stream.write(content)
        written.append(content)

    threads = [threading.Thread(target=write, args=(content,)) for content in (b"long content", b"short")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 2
    assert target.read_bytes() in written
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
