"""The example plug-in, installed as a user would install it, listed and trained with by name."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support import ROOT, forked

pytestmark = pytest.mark.slow

EXAMPLE = ROOT / "examples" / "plugin-objective"
FEW = ("--data", "mixture", "--set", "data.n=500", "--model", "mlp", "--end-step", "20", "--device", "cpu")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip has installed the example into, without a network. A copy is built, so that the tree stays
    clean."""
    source, target = tmp_path_factory.mktemp("source") / "plugin-objective", tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", str(target), str(source)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def ambientkit(arguments: Sequence[str], *, path: Path | None, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "250", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return forked.run(["-m", "ambientkit", *arguments], cwd=cwd, env=environment)


def test_the_list_of_plug_ins_shows_its_kind_name_line_package_and_version(installed, tmp_path):
    done = ambientkit(["plugins"], path=installed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "eps-tweedie" in line]
    shown = (
        r"objective +eps-tweedie +Ambient Tweedie in its epsilon form: predict the noise z .* "
        r"+ambientkit-eps-tweedie 0\.1\.0"
    )
    assert re.match(shown, line)


def test_its_claim_is_measured_by_name_and_holds(installed, tmp_path):
    done = ambientkit(["verify", "eps-tweedie", "--quick"], path=installed, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^objective +eps-tweedie +stationary-at-oracle .* passed", done.stdout, re.MULTILINE)


def test_it_is_trained_with_by_name_and_its_loss_is_logged(installed, tmp_path):
    done = ambientkit(
        ["train", "--objective", "eps-tweedie", *FEW, "--output-dir", "run"], path=installed, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "name: eps-tweedie" in (tmp_path / "run" / "config.yaml").read_text()
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 20
    assert last["terms"].keys() == {"eps-tweedie"}
    assert math.isfinite(last["terms"]["eps-tweedie"])
    assert (tmp_path / "run" / "model_ema.safetensors").stat().st_size > 0


def test_without_the_package_the_name_is_unknown(tmp_path):
    done = ambientkit(["train", "--objective", "eps-tweedie", *FEW, "--output-dir", "run"], path=None, cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no objective 'eps-tweedie'" in done.stderr
    assert "Traceback" not in done.stderr
