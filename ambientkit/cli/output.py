"""What a command prints, and where: results and progress to stdout, notes and warnings to stderr, a bar where a person
looks; and --json.

Also what a reader that has gone does to a command.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ambientkit.cli.signals import stopped_by_signals

if TYPE_CHECKING:
    from ambientkit.api.training import Stop
    from ambientkit.tables import Record

NOTE, INTERRUPTED = 25, "interrupted"
"""Level of a note, and a subject: those of `ambientkit.messages`, which is not imported here so that `--help` stays
immediate."""
NOTHING_DONE = "interrupted; no unfinished file is left, and the same command begins anew"
"""The message of a command that is stopped, where its work says nothing itself."""


def progress_wanted() -> bool:
    """True where standard error is a terminal that can redraw a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def command() -> Iterator[None]:
    """The surroundings of every command: messages are printed, a reader that has gone changes nothing, and signals end
    it in order."""
    with ExitStack() as stack:
        stack.enter_context(stopped_by_signals())
        stack.enter_context(_for_any_reader())
        stack.enter_context(_messages_printed())
        yield


class _Printer(logging.Handler):
    """Prints the messages of the library. The streams are those of the moment."""

    def __init__(self) -> None:
        super().__init__()
        self.subjects: set[str] = set()
        """Of the messages so far."""
        self._printed: set[str] = set()
        """Notes and warnings: a data set that is opened several times says the same each time."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message, by its level."""
        self.subjects.add(getattr(record, "subject", ""))
        text = getattr(record, "as_command", record.getMessage())
        if record.levelno >= NOTE:
            kind = "warning" if record.levelno >= logging.WARNING else "note"
            if (line := f"{kind}: {text}") in self._printed:
                return
            self._printed.add(line)
            print(line, file=sys.stderr, flush=True)
        elif record.name == "ambientkit.progress":
            print(text, flush=True)


@contextmanager
def _messages_printed() -> Iterator[None]:
    logger, handler = logging.getLogger("ambientkit"), _Printer()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as ended:
        first = os.environ.get("RANK", "0") == "0"  # of several processes
        if first and _interrupted(ended) and INTERRUPTED not in handler.subjects:
            logger.log(NOTE, NOTHING_DONE)
        raise
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def _interrupted(ended: BaseException | None) -> bool:
    """Whether Ctrl-C, or a signal that is treated alike, is behind it."""
    while ended is not None and not isinstance(ended, KeyboardInterrupt):
        ended = ended.__cause__ or ended.__context__
    return ended is not None


class _Patient:
    """A stream that never ends the command that prints to it.

    What nobody reads is dropped (`| head`, a closed stream). What the system refuses is dropped too (a full disk), and
    `refused` says why. A character that the stream cannot express is written as its code.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w") if stream is None else stream
        self.refused: OSError | None = None
        if isinstance(self._stream, io.TextIOWrapper) and self._stream.errors == "strict":
            self._stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or drop it."""
        with self._dropped():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what is there."""
        with self._dropped():
            self._stream.flush()

    @contextmanager
    def _dropped(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.refused = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # what the stream still holds goes there too
            os.close(nowhere)


@contextmanager
def _for_any_reader() -> Iterator[None]:
    """A command ends with the status of its work, but with 1 where what it printed could not be written."""
    for _ in range(3):  # a file opened later must not get the number of a closed stream
        if (number := os.open(os.devnull, os.O_RDWR)) > 2:
            os.close(number)
            break
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = patient = _Patient(sys.stdout), _Patient(sys.stderr)  # type: ignore[assignment]
    try:
        yield
    except SystemExit as end:
        patient[0].flush()
        if (refused := patient[0].refused) and not end.code:
            print(
                f"ambientkit: error: standard output: cannot be written ({refused.strerror}); the command was carried "
                "out, and what it printed is not whole",
                file=sys.stderr,
            )
            raise SystemExit(1) from None
        raise
    finally:
        for stream in patient:
            stream.flush()
        sys.stdout, sys.stderr = before


def check_files(json: Path | None, html: Path | None = None) -> None:
    """Raise InputError where the files of --json and --html cannot be written. Called before the work whose result they
    are to hold."""
    from ambientkit.api.outputs import check_target
    from ambientkit.errors import InputError

    for flag, path, kind in (("--json", json, "JSON"), ("--html", html, "HTML")):
        if path is not None:
            check_target(path, flag, kind)
    if json is None or html is None or json.is_char_device():  # such as /dev/null, or a terminal
        return
    if os.path.realpath(json) == os.path.realpath(html):
        raise InputError(f"--html {html}: is the file of --json; give another path")


def write_json(path: Path, content: Record | dict[str, Any]) -> None:
    """Write a result as a JSON file, whole or not at all. Raises RunError where the disk refuses."""
    document = content if isinstance(content, dict) else content.to_dict()
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all. Raises RunError where the disk refuses."""
    from ambientkit.api.outputs import write_file

    sys.stdout.flush()  # the path may be that of standard output
    write_file(path, text.encode())


def show_and_write(found: Record, json: Path | None, html: Path | None = None, page: Callable[[], str] = str) -> None:
    """Print a result; then write it as a JSON file, and as a page, where those are asked for."""
    from ambientkit.cli.tables import show

    show(found)
    if json is not None:
        write_json(json, found)
        print(f"\nwritten: {json}")
    if html is not None:
        write_text(html, page())
        print(f"\nwritten: {html}")


@contextmanager
def stopping() -> Iterator[Stop]:
    """Within the block the first signal asks the work to stop in an orderly way; a second one ends the process at
    once."""
    from ambientkit.api.training import stop_on_signals

    with stop_on_signals() as stop:
        yield stop
