"""`--help` of every script in examples/: it prints, whatever signs the names of arms hold."""

from __future__ import annotations

import runpy
import sys

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(path for path in EXAMPLES.rglob("*.py") if "argparse.ArgumentParser(" in path.read_text())


def test_the_scripts_are_found():
    assert {"quality.py", "step.py", "checkpoint_ranks.py", "demo.py"} <= {path.name for path in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_help_is_printed(script, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(script.parent))
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    before = set(sys.modules)
    try:
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(script), run_name="__main__")
    finally:
        for name in set(sys.modules) - before:
            if str(EXAMPLES) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
    assert not end.value.code
    out = capsys.readouterr().out
    assert out.startswith("usage: ")
    assert "--" in out
    assert "%%" not in out
