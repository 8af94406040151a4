"""Ctrl-C ends a script of examples/ with one line and exit status 130, and the line says whether it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import ROOT

SCRIPTS = {
    "benchmarks/hot_lines.py": (["--seeds", "500"], "begins anew"),
    "benchmarks/few_rows.py": (["--folder", "OUT"], "goes on"),
    "memorisation/experiment.py": (["OUT"], "goes on"),
}


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_an_interrupt_is_one_line(script: str, tmp_path: Path) -> None:
    """Case: they ended with the traceback of whatever was computed at that moment."""
    flags, said = SCRIPTS[script]
    arguments = [flag.replace("OUT", str(tmp_path / "out")) for flag in flags]
    hook = "import sys, stopped; run = stopped.stoppable; " + (
        "stopped.stoppable = lambda main, **more: (print('begun', flush=True), run(main, **more))\n"
        "import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    place = ROOT / "examples" / script
    process = subprocess.Popen(
        [sys.executable, "-c", hook, place, *arguments],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": f"{place.parent}:{ROOT}/examples/benchmarks:{os.environ.get('PYTHONPATH', ROOT)}",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.splitlines()[-1] == f"interrupted; the same command {said}"


def test_every_script_is_stoppable() -> None:
    scripts = [path for folder in ("benchmarks", "memorisation") for path in (ROOT / "examples" / folder).glob("*.py")]
    main = [path for path in scripts if '__name__ == "__main__"' in path.read_text()]
    assert len(main) > 20
    assert [path.name for path in main if "    stoppable(main" not in path.read_text()] == []
