"""A process of `tests.support.forked` ends as an interpreter does that was started: with the same status and words."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import forked

ENDS = {
    "handlers": "import atexit; atexit.register(print, 'at the exit'); print('before')",
    "a status": "import sys; sys.exit(3)",
    "a large status": "import sys; sys.exit(257)",
    "a message": "import sys; sys.exit('why')",
    "an error": "1 / 0",
    "an interrupt": "raise KeyboardInterrupt",
    "a thread": "import threading, time; threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()",
    "no reader": "import os, sys; os.close(1); print('lost')",
}


@pytest.mark.skipif(not forked.POSSIBLE, reason="processes are started here, not forked")
@pytest.mark.parametrize("code", ENDS.values(), ids=ENDS)
def test_a_forked_process_ends_as_one_that_was_started(code):
    started = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    ended = forked.run(["-c", code])
    assert (ended.returncode, ended.stdout) == (started.returncode, started.stdout)
    assert ended.stderr.splitlines()[-1:] == started.stderr.splitlines()[-1:]
