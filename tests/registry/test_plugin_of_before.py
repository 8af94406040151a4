"""A plug-in written against the first version's hooks still loads, trains, samples and is judged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ambientkit as ak
from tests.registry import plugin_of_before
from tests.support import forked
from tests.support.make_plugin import make_plugin

pytestmark = pytest.mark.slow

PARTS = ("noise-before", "eps-before", "euler-before", "linear-before", "waves-before")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which it is installed."""
    folder = tmp_path_factory.mktemp("site")
    make_plugin(folder, "plugin-before", Path(plugin_of_before.__file__).read_text(encoding="utf-8"))
    return folder


def run(path: Path, cwd: Path, *arguments: str):
    done = forked.run(["-m", "ambientkit", *arguments], cwd=cwd, env={"PYTHONPATH": str(path), "COLUMNS": "250"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_each_part_is_listed_with_its_package(path: Path, tmp_path: Path) -> None:
    lines = run(path, tmp_path, "plugins").stdout.splitlines()
    assert all(any(name in line and "plugin-before 0.1" in line for line in lines) for name in PARTS)


def test_it_trains_and_samples_by_its_parts(path: Path, tmp_path: Path) -> None:
    named = ("--corruption", "noise-before", "--objective", "eps-before", "--model", "linear-before")
    few = ("--data", "waves-before", "--end-step", "3", "--batch-size", "8", "--device", "cpu", "--skip-preflight")
    run(path, tmp_path, "train", *named, *few, "--output-dir", "run")
    assert ak.status(tmp_path / "run").step == 3
    done = run(path, tmp_path, "sample", "run", "-n", "4", "--steps", "4", "--sampler", "euler-before")
    assert "4 samples of shape (1, 6, 6)" in done.stdout


def test_what_it_claims_holds(path: Path, tmp_path: Path) -> None:
    kinds = ("corruption", "objective", "sampler", "model")
    done = run(path, tmp_path, "verify", *map(":".join, zip(kinds, PARTS, strict=False)), "--quick")
    assert all(re.search(rf"^\w+ +{part} +contract .* passed", done.stdout, re.MULTILINE) for part in PARTS[:4])
