"""Broken and clashing plug-ins, as a user of the command line meets them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support import forked
from tests.support.make_plugin import OBJECTIVE, make_plugin

pytestmark = pytest.mark.slow


def ambientkit(*arguments: str, path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path), "COLUMNS": "250", "OMP_NUM_THREADS": "1"}
    return forked.run(["-m", "ambientkit", *arguments], cwd=cwd, env=environment)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four plug-ins that fail in four ways (F-01), and one that works."""
    folder = tmp_path_factory.mktemp("site")
    make_plugin(folder, "aktest-broken-import", "import a_module_that_does_not_exist\n")
    make_plugin(folder, "aktest-syntax", "def f(:\n")
    make_plugin(folder, "aktest-raises", "raise RuntimeError('boom [at] import')\n")
    make_plugin(folder, "aktest-sysexit", "import sys\nsys.exit(3)\n")
    make_plugin(folder, "aktest-sound", OBJECTIVE.format(name="aktest-mine"))
    return folder


CAUSES = {
    "aktest-broken-import 0.1": "No module named 'a_module_that_does_not_exist'",
    "aktest-syntax 0.1": "SyntaxError",
    "aktest-raises 0.1": "boom [at] import",
    "aktest-sysexit 0.1": "SystemExit: 3",
}


def test_the_list_of_plug_ins_shows_each_broken_one_in_a_line_with_package_version_and_cause(broken, tmp_path):
    done = ambientkit("plugins", path=broken, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for package, cause in CAUSES.items():
        (line,) = [line for line in done.stdout.splitlines() if package in line]
        assert line.startswith("error: ")
        assert cause in line
    assert re.search(
        r"objective +aktest-mine +An objective that is never asked for its loss\. +aktest-sound 0\.1", done.stdout
    )


def test_help_and_training_without_the_broken_plug_ins_work_with_a_line_for_each(broken, tmp_path):
    assert ambientkit("--help", path=broken, cwd=tmp_path).returncode == 0
    few = (
        "--data",
        "mixture",
        "--set",
        "data.n=200",
        "--end-step",
        "1",
        "--skip-preflight",
        "--output-dir",
        "run",
        "--device",
        "cpu",
    )
    done = ambientkit("train", *few, path=broken, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for package, cause in CAUSES.items():
        (line,) = [line for line in done.stderr.splitlines() if package in line]
        assert cause in line


def test_using_a_broken_plug_in_ends_with_its_cause_and_status_2_and_no_traceback(broken, tmp_path):
    done = ambientkit("train", "--objective", "theirs", "--output-dir", "run", path=broken, cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no objective 'theirs'" in done.stderr
    assert all(package in done.stderr for package in CAUSES)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_name_clash_leaves_everything_else_and_names_both(tmp_path):
    for package in ("aktest-dup-one", "aktest-dup-two"):
        make_plugin(tmp_path / "site", package, OBJECTIVE.format(name="my-objective"))
    done = ambientkit("plugins", path=tmp_path / "site", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "aktest-dup-one 0.1 and by aktest-dup-two 0.1" in done.stdout
    used = ambientkit(
        "train", "--objective", "my-objective", "--output-dir", "run", path=tmp_path / "site", cwd=tmp_path
    )
    assert used.returncode == 2
    assert "aktest-dup-one 0.1 and by aktest-dup-two 0.1" in used.stderr
    assert "Traceback" not in used.stderr
