"""Python processes that begin with torch and ambientkit imported: forked from one process that has done nothing else.

`Forked(["-m", "ambientkit", ...])` is a `subprocess.Popen` of `python -m ambientkit ...`, without the seconds that its
imports take. The process is an own one in every other respect: environment, folder, signals, exit status and exit
handlers. Tests of what an interpreter does while it starts use `subprocess` itself, as does a system without pidfd.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from tests.support import ROOT

POSSIBLE = hasattr(os, "pidfd_open")
STARTED: list[subprocess.Popen] = []
"""Processes of `start`; those of a test are taken away, and killed, at its end."""
LARGEST = 1 << 20
"""Bytes of a request at most."""
LATE = (
    "scipy.stats",
    "skimage.restoration",
    "sklearn.datasets",
    "torch._dynamo",
    "torchmetrics.image.fid",
    "torchsde",
    "torchvision",
)
"""What commands import on their way, and takes them seconds; k_diffusion itself asks the environment at its import."""


def start(arguments: Sequence[Any], **kwargs: Any) -> subprocess.Popen:
    """`python ARGUMENTS`, with the arguments of `subprocess.Popen`; forked where that is possible."""
    words = [*map(str, arguments)]
    if POSSIBLE and "preexec_fn" not in kwargs:
        process: subprocess.Popen = Forked(words, **kwargs)
    else:
        process = subprocess.Popen([sys.executable, *words], **kwargs)
    STARTED.append(process)
    return process


def run(arguments: Sequence[Any], timeout: float = 300, **kwargs: Any) -> subprocess.CompletedProcess:
    """As `subprocess.run([sys.executable, *ARGUMENTS], capture_output=True, text=True)`."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}
    with start(arguments, **pipes | kwargs) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess([*arguments], process.returncode, out, err)


class Forked(subprocess.Popen):
    """A process forked from the one of `_mother`, which also waits for it and reports how it ended."""

    def _execute_child(  # the step of Popen that makes the process; its parameters are those of CPython 3.11 to 3.13
        self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell, *others
    ) -> None:
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite = others[:6]
        request = {
            "argv": list(args),
            "env": dict(os.environ if env is None else env),
            "cwd": os.fspath(cwd or os.getcwd()),
            "session": others[-2],
        }
        self._ended, theirs = os.pipe()
        streams = [
            mine if given == -1 else given for mine, given in zip((0, 1, 2), (p2cread, c2pwrite, errwrite), strict=True)
        ]
        socket.send_fds(_mother(), [json.dumps(request).encode()], [*streams, theirs])
        os.close(theirs)
        self.pid = int(self._line())
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)

    def _line(self) -> bytes:
        found = b""
        while not found.endswith(b"\n") and (one := os.read(self._ended, 1)):
            found += one
        return found

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if wait_flags & os.WNOHANG and not select.select([self._ended], [], [], 0)[0]:
            return 0, 0
        status = int(self._line() or 0)
        os.close(self._ended)
        return self.pid, status

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None and self._waitpid_lock.acquire(False):
            try:
                if self.returncode is None and (found := self._try_wait(os.WNOHANG))[0] == self.pid:
                    self._handle_exitstatus(found[1])
            finally:
                self._waitpid_lock.release()
        return self.returncode


@cache
def _mother() -> socket.socket:
    """The process that others are forked from, by the socket that it takes requests from; it ends with this one."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
    nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.support.forked", str(theirs.fileno())]
    subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[theirs.fileno()], start_new_session=True, **nothing)
    theirs.close()
    return mine


# --- in the process that others are forked from ---------------------------------------------------------------------


def _import_everything() -> None:
    """All that a command may import; nothing is computed, and no thread is started."""
    import importlib
    import pkgutil
    from importlib.util import find_spec

    import ambientkit.cli
    from ambientkit import _HOMES
    from ambientkit.registry import environment

    for home in _HOMES.values():
        importlib.import_module(f"ambientkit.{home.partition(':')[0]}")
    for module in pkgutil.iter_modules(ambientkit.cli.__path__, "ambientkit.cli."):
        importlib.import_module(module.name)
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # of pandas, which would start one
    for name in LATE:
        if find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    environment()
    environment.cache_clear()  # a request may bring packages of its own
    gc.freeze()  # so that no collection copies the pages that all share


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork for each request, and report the end of each process. Returns the request in the process forked for it, and
    None where nobody asks any more."""
    running: dict[int, tuple[int, int]] = {}
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in running:
                pid, report = running.pop(descriptor)
                poll.unregister(descriptor)
                os.close(descriptor)
                _write(report, os.waitpid(pid, 0)[1])
                os.close(report)
                continue
            message, streams, _, _ = socket.recv_fds(requests, LARGEST, 4)
            if not message:
                return None
            *streams, report = streams
            pid = os.fork()
            if pid == 0:
                requests.close()
                for other, (_, their) in running.items():
                    os.close(other)
                    os.close(their)
                os.close(report)
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
                    os.close(stream)
                return json.loads(message)
            for stream in streams:
                os.close(stream)
            _write(report, pid)
            running[child := os.pidfd_open(pid)] = (pid, report)
            poll.register(child, select.POLLIN)


def _write(report: int, number: int) -> None:
    with suppress(BrokenPipeError):  # nobody waits for it
        os.write(report, f"{number}\n".encode())


def become(request: Mapping[str, Any]) -> None:
    """What an interpreter started with these arguments does after its imports."""
    if request["session"]:
        os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    paths = [path for path in request["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[0:1] = [*([request["cwd"]] if request["argv"][0] == "-m" else [""]), *paths]
    sys.path[:] = [path for path in dict.fromkeys(sys.path) if path != str(ROOT) or path in (request["cwd"], *paths)]
    kind, *rest = request["argv"]
    main = sys.modules["__main__"].__dict__
    if kind == "-m":
        sys.argv = rest
        runpy._run_module_as_main(rest[0])
    elif kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        main.update({"__spec__": None, "__doc__": None})
        main.pop("__file__", None)
        exec(compile(rest[0], "<string>", "exec"), main)
    else:
        sys.argv = [kind, *rest]
        sys.path[0] = os.path.dirname(os.path.abspath(kind))
        runpy.run_path(kind, run_name="__main__")


def leave(status: int) -> None:
    """End as an interpreter does, but leave out what takes it the longest, to take its modules apart."""
    threading._shutdown()  # waits for threads; then what is to be done at the exit
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):  # of a reader that went away: the interpreter then says so, and ends its way
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status & 255)
    sys.exit(status)


if __name__ == "__main__":
    _import_everything()
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        wanted = _serve(asked)
    if wanted is not None:
        try:
            become(wanted)
        except SystemExit as end:
            if not isinstance(end.code, int | None):
                raise
            leave(end.code or 0)
        leave(0)
