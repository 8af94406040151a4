"""A page as a PDF file, printed by a browser that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ambientkit.checkpoint.folder import write_file
from ambientkit.errors import InputError, RunError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Names under which a browser that prints without a window is sought, in this order."""
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
"""Flags of a browser without a window that sends nothing to anybody."""
PRINTING = 120
"""Seconds after which a browser is given up."""


def find_browser() -> str:
    """The path of a browser that can print. Raises InputError where none is on the search path."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise InputError(
        f"--pdf: none of {', '.join(BROWSERS)} is on the search path. Install Chromium (on Debian: apt-get install "
        "chromium), "
        "or leave --pdf out and print the page from any browser"
    )


def print_pdf(html: Path, pdf: Path, browser: str) -> None:
    """Print the page `html` to the file `pdf` by a headless browser. Raises RunError where it does not."""
    with tempfile.TemporaryDirectory(prefix="ambientkit-") as folder:
        printed = Path(folder) / "page.pdf"
        command = [
            browser,
            *QUIET,
            f"--user-data-dir={folder}/profile",
            f"--print-to-pdf={printed}",
            "--no-pdf-header-footer",
        ]
        if os.name == "posix" and os.geteuid() == 0:  # Chromium refuses to run as root inside its sandbox
            command.append("--no-sandbox")
        try:
            done = subprocess.run(
                [*command, html.absolute().as_uri()], capture_output=True, text=True, timeout=PRINTING, errors="replace"
            )
        except subprocess.TimeoutExpired:
            raise RunError(
                f"--pdf {pdf}: {browser} did not end within {PRINTING} s; the page {html} is written"
            ) from None
        except OSError as error:
            raise RunError(
                f"--pdf {pdf}: {browser} cannot be started ({error.strerror}); the page {html} is written"
            ) from None
        if done.returncode or not printed.is_file() or not printed.stat().st_size:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1][:300]
            raise RunError(
                f"--pdf {pdf}: {browser} ended with status {done.returncode} ({said}); the page {html} is written"
            )
        write_file(pdf, printed.read_bytes())
