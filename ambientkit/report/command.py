"""`ambientkit report`: one page on one or several runs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ambientkit.checkpoint.folder import write_file
from ambientkit.errors import InputError, RunError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
)
"""A browser without a window that asks nobody for anything."""
PRINTING = 120
"""Seconds after which a browser is given up."""


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """The flags of `ambientkit report` as given."""

    runs: tuple[Path, ...]
    out: Path = Path("report.html")
    pdf: Path | None = None
    n: int | None = None
    steps: int = 32
    rows: int = 64
    seed: int = 0
    batch_size: int = 64
    device: str = "auto"

    def command(self) -> str:
        """The command that writes the page again."""
        words = ["ambientkit", "report", *map(str, self.runs), "--out", str(self.out)]
        default = ReportRequest(self.runs)
        for flag, value, usual in (
            ("--pdf", self.pdf, None),
            ("-n", self.n, None),
            ("--steps", self.steps, default.steps),
            ("--rows", self.rows, default.rows),
            ("--seed", self.seed, default.seed),
            ("--device", self.device, default.device),
        ):
            words += [flag, str(value)] if value != usual else []
        return shlex.join(words)


def run(request: ReportRequest) -> None:
    """Write the page. Every run is looked at before anything is drawn, so that a mistake shows at once; an existing page is replaced as a whole."""
    for flag, path in (("--out", request.out), ("--pdf", request.pdf)):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise InputError(f"{flag} {path}: should be a file in a folder that exists")
    if request.pdf is not None and request.pdf.absolute() == request.out.absolute():
        raise InputError(f"--pdf {request.pdf}: is the page itself; give another file")
    browser = _browser() if request.pdf is not None else None
    same = [path.resolve() for path in request.runs]
    if len(set(same)) < len(same):
        raise InputError("a run is named twice; each needs to be named once")

    from ambientkit.registry import load
    from ambientkit.report import page
    from ambientkit.report.collect import collect
    from ambientkit.report.opened import names, opened

    registry = load()
    found = [opened(path, name, request, registry) for path, name in zip(request.runs, names(request.runs), strict=True)]
    reports = []
    for one in found:
        print(f"{one.path}: {one.state}; drawing and measuring", flush=True)
        reports.append(collect(one, request, registry))
    written = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    write_file(request.out, page(reports, command=request.command(), written=written).encode())
    print(f"report: {request.out}")
    if request.pdf is not None and browser is not None:
        print_pdf(request.out, request.pdf, browser)
        print(f"pdf: {request.pdf}")


def _browser() -> str:
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise InputError(
        f"--pdf: none of {', '.join(BROWSERS)} is on the search path. Install Chromium (on Debian: apt-get install chromium), or leave --pdf out "
        "and print the page from any browser"
    )


def print_pdf(html: Path, pdf: Path, browser: str) -> None:
    """Print a page to a PDF file by a headless browser. Raises RunError where it does not."""
    with tempfile.TemporaryDirectory(prefix="ambientkit-") as folder:
        printed = Path(folder) / "page.pdf"
        command = [browser, *QUIET, f"--user-data-dir={folder}/profile", f"--print-to-pdf={printed}", "--no-pdf-header-footer"]
        if os.name == "posix" and os.geteuid() == 0:  # Chromium refuses to run as root inside its sandbox
            command.append("--no-sandbox")
        try:
            done = subprocess.run([*command, html.absolute().as_uri()], capture_output=True, text=True, timeout=PRINTING, errors="replace")
        except subprocess.TimeoutExpired:
            raise RunError(f"--pdf {pdf}: {browser} did not end within {PRINTING} s; the page {html} is written") from None
        except OSError as error:
            raise RunError(f"--pdf {pdf}: {browser} cannot be started ({error.strerror}); the page {html} is written") from None
        if done.returncode or not printed.is_file() or not printed.stat().st_size:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1][:300]
            raise RunError(f"--pdf {pdf}: {browser} ended with status {done.returncode} ({said}); the page {html} is written")
        write_file(pdf, printed.read_bytes())
