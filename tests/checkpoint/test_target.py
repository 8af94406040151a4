"""What a result is written to: files are replaced as a whole, links stay links, and devices, pipes and sockets are
never replaced."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from safetensors import SafetensorError

from ambientkit.checkpoint.folder import replacing, write_file
from ambientkit.checkpoint.target import check_place, check_target
from ambientkit.errors import InputError, RunError
from tests.support import ROOT, forked


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"old")
    with file.open("rb") as before:
        write_file(file, b"new")
        assert before.read() == b"old", "who has the old file open goes on reading it"
    assert file.read_bytes() == b"new"
    assert names(tmp_path) == {"a.json"}


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("relative", [True, False])
def test_a_link_is_followed_and_stays(tmp_path: Path, there: bool, relative: bool) -> None:
    (tmp_path / "results").mkdir()
    target, link, second = tmp_path / "results" / "target.json", tmp_path / "link.json", tmp_path / "second.json"
    if there:
        target.write_bytes(b"old")
    link.symlink_to(Path("results/target.json") if relative else target)
    second.symlink_to(link)
    check_target(second, "--json")
    write_file(second, b"new")
    assert target.read_bytes() == b"new"
    assert not target.is_symlink()
    assert link.is_symlink()
    assert second.is_symlink()
    assert names(tmp_path / "results") == {"target.json"}
    assert names(tmp_path) == {"results", "link.json", "second.json"}


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content, read = os.urandom(300_000), []  # more than a pipe holds
    check_target(pipe, "--json")
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_file(pipe, content)
    reader.join(30)
    assert read == [content]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == {"pipe"}


def test_a_pipe_that_nobody_reads_is_waited_for_and_it_is_said_so(tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO, "ambientkit")
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    writer = threading.Thread(target=write_file, args=(pipe, b"content"), daemon=True)
    writer.start()
    for _ in range(3000):
        if caplog.records or not writer.is_alive():
            break
        writer.join(0.01)
    assert [record.getMessage() for record in caplog.records] == [
        f"{pipe}: is a pipe that nobody reads; waiting for a reader"
    ]
    read.append(pipe.read_bytes())
    writer.join(30)
    assert read == [b"content"]


def test_what_a_library_writes_to_a_path_of_its_own_goes_through_a_pipe_too(tmp_path: Path) -> None:
    pipe, read, looked = tmp_path / "pipe.png", [], []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    with replacing(pipe, suffix=".png", check=lambda path: looked.append(path.read_bytes())) as aside:
        assert aside.suffix == ".png"
        aside.write_bytes(b"content")
    reader.join(30)
    assert read == looked == [b"content"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == {"pipe.png"}


def test_a_link_to_a_folder_stays_and_the_folder_is_replaced(tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    (folder / "old").touch()
    link.symlink_to(folder)
    with replacing(link) as aside:
        aside.mkdir()
        (aside / "new").touch()
    assert link.is_symlink()
    assert names(folder) == {"new"}
    assert names(tmp_path) == {"folder", "link"}


def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    node, link = tmp_path / "null", tmp_path / "link"
    try:
        os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        node.open("wb").close()
    except OSError as error:
        pytest.skip(f"no device can be made or opened here: {error.strerror}")
    link.symlink_to(node)
    for path in (node, link):
        check_target(path, "--json")
        write_file(path, b"content")
    assert stat.S_ISCHR(node.stat().st_mode)
    assert link.is_symlink()
    assert names(tmp_path) == {"null", "link"}


def test_a_socket_is_written_to_and_stays() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX) as server,
    ):  # its path may have some 100 characters at most
        path = Path(folder) / "socket"
        server.bind(str(path))
        server.listen()
        server.settimeout(5)
        check_target(path, "--json")
        write_file(path, b"content")
        connection, _ = server.accept()  # the first one: the check was not heard
        with connection:
            assert connection.recv(100) == b"content"
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert names(path.parent) == {"socket"}


@pytest.mark.parametrize(
    ("kind", "told"), [(None, "that nobody listens on: start the reader"), (socket.SOCK_DGRAM, "for datagrams")]
)
def test_a_socket_that_cannot_take_a_result_is_refused_before_the_work(kind: int | None, told: str) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, kind or socket.SOCK_STREAM) as server:
        path = Path(folder) / "socket"
        server.bind(str(path))
        if kind is None:
            server.close()
        with pytest.raises(InputError, match=f"--json .*socket: is a socket {told}"):
            check_target(path, "--json")


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="this system has no /dev/stdout")
@pytest.mark.parametrize("kind", ["pipe", "socket", "file"])
def test_standard_output_is_written_to_whatever_it_is(tmp_path: Path, kind: str) -> None:
    code = (
        "from pathlib import Path; from ambientkit.checkpoint.folder import write_file; from "
        "ambientkit.checkpoint.target import check_target; "
        "p = Path('/dev/stdout'); print('before', flush=True); check_target(p, '--json'); write_file(p, "
        "b'content\\n'); print('after')"
    )
    command = ["-c", code]
    if kind == "pipe":
        got = forked.start(command, cwd=ROOT, stdout=subprocess.PIPE).communicate(timeout=120)[0]
    elif kind == "file":
        with (tmp_path / "out").open("wb") as out:
            forked.start(command, cwd=ROOT, stdout=out).wait(timeout=120)
        got = (tmp_path / "out").read_bytes()
    else:
        one, other = socket.socketpair()
        with one, other:
            forked.start(command, cwd=ROOT, stdout=one).wait(timeout=120)
            one.close()
            got = b"".join(iter(lambda: other.recv(100), b""))
    assert got == b"before\ncontent\nafter\n"


@contextmanager
def ordinary_user() -> Iterator[Path]:
    """A folder of a user whom permissions bind, who one is inside the block: root may do everything."""
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    try:
        if root:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o700)
        shutil.rmtree(folder)


def test_what_a_library_says_of_a_full_disk_is_said_of_the_target(tmp_path: Path) -> None:
    """safetensors wraps it in an error of its own."""

    def write(reason: str) -> None:
        with replacing(tmp_path / "out") as aside:
            aside.write_bytes(b"half")
            raise SafetensorError(f"Error while serializing: {reason}")

    with pytest.raises(RunError, match=r"out: cannot be written \(No space left on device .os error 28.\)"):
        write("I/O error: No space left on device (os error 28)")
    with pytest.raises(SafetensorError):
        write("a tensor is not contiguous")
    assert names(tmp_path) == set()


def test_a_read_only_target_is_found_before_the_work_and_not_replaced() -> None:
    with ordinary_user() as folder:
        file, link = folder / "kept.json", folder / "link.json"
        file.write_bytes(b"kept")
        file.chmod(0o444)
        link.symlink_to(file)
        for path in (file, link):
            with pytest.raises(InputError, match=r"--json .*: is read-only; give another path"):
                check_target(path, "--json")
            with pytest.raises(RunError, match="is read-only; what was there before is untouched"):
                write_file(path, b"new")
        folder.chmod(0o555)
        with pytest.raises(InputError, match="its folder is read-only"):
            check_target(folder / "new.json", "--json")
        with pytest.raises(RunError, match="its folder is read-only"):
            write_file(folder / "new.json", b"new")
        folder.chmod(0o700)
        assert file.read_bytes() == b"kept"
        assert names(folder) == {"kept.json", "link.json"}


@pytest.mark.parametrize("where", ["", "no-folder/x.json", "dangling", "loop", "x" * 300])
def test_what_can_be_no_file_is_refused_before_the_work(tmp_path: Path, where: str) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "no-folder" / "x.json")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = names(tmp_path)
    reason = (
        "should be a file in a folder that exists|cannot be written .(Too many levels of symbolic links|File "
        "name too long)"
    )
    with pytest.raises(InputError, match=f"--json .*: ({reason})"):
        check_target(tmp_path / where, "--json")
    with pytest.raises(RunError):
        write_file(tmp_path / where, b"content")
    assert names(tmp_path) == before


def test_a_place_below_folders_that_are_still_to_be_made_is_tried_before_the_work(tmp_path: Path) -> None:
    check_place(tmp_path / "new" / "deep" / "x", "--out")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--out .*: \S*file is a file, not a folder"):
        check_place(tmp_path / "file" / "deep" / "x", "--out")
    with ordinary_user() as folder:
        folder.chmod(0o555)
        for place in (folder / "x", folder / "new" / "x"):
            with pytest.raises(InputError, match="its folder is read-only"):
                check_place(place, "--out")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
@pytest.mark.parametrize("check", [check_target, check_place])
def test_a_folder_that_takes_no_files_whatever_its_permissions_say_is_found_before_the_work(check) -> None:
    before = names(Path("/proc"))
    with pytest.raises(InputError, match=r"^--out /proc/x\.html: its folder (takes no files|is read-only)"):
        check(Path("/proc/x.html"), "--out")
    assert "x.html" not in before | names(Path("/proc"))


def test_a_folder_that_takes_files_is_left_as_it_is(tmp_path: Path) -> None:
    for check in (check_target, check_place):
        check(tmp_path / "x.html", "--out")
    assert names(tmp_path) == set()
