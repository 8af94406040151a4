"""Links to nothing: a file is written where one leads to, a folder is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.finished import write_run

SAMPLE = ["sample", "run", "-n", "1", "--steps", "2", "--device", "cpu"]
FOLDERS = {
    "sample": [*SAMPLE, "--out"],
    "sample --from": [*SAMPLE, "--from", "array{path: rows.npy, sigma_n: 0.3}", "--draws", "0", "--out"],
    "corrupt": ["corrupt", "digits", "--sigma", "0.2"],
    "train": ["train", "--end-step", "1", "--skip-preflight", "--output-dir"],
    "train --dry-run": ["train", "--end-step", "1", "--dry-run", "--output-dir"],
    "export": ["export", "run", "--out"],
    "new-plugin": ["new-plugin", "thing", "--dir"],
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: Any) -> Path:
    """A folder with a run, and a link to nothing."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run")
    np.save("rows.npy", np.random.default_rng(0).standard_normal((8, 1, 8, 8)).astype(np.float32))
    (tmp_path / "link").symlink_to("away")
    return tmp_path


@pytest.mark.parametrize("command", FOLDERS.values(), ids=list(FOLDERS))
@pytest.mark.parametrize("below", ["", "/below"])
def test_a_folder_that_is_a_link_to_nothing_is_refused(
    ambientkit: Any, place: Path, command: list[str], below: str
) -> None:
    """Cases: "File exists"; a plug-in made where the link led."""
    before = sorted(place.rglob("*"))
    status, _, err = ambientkit(*command, f"link{below}")
    assert status == 2
    which = "link is" if below else "is"
    if command[0] != "new-plugin" or not below:  # which asks for the folder above first
        assert f"link{below}: {which} a link to away, which is not there" in err
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("command", FOLDERS.values(), ids=list(FOLDERS))
def test_a_link_to_a_folder_is_followed_and_stays(ambientkit: Any, place: Path, command: list[str]) -> None:
    (place / "away").mkdir()
    small = ["--model", "mlp", "--set", "model.width=8", "--device", "cpu"] if command[0] == "train" else []
    status, out, err = ambientkit(*command[:1], *small, *command[1:], "link")
    assert status == 0, out + err
    assert (place / "link").is_symlink()
    assert any((place / "away").iterdir()) != ("--dry-run" in command)


def test_a_file_is_written_where_a_link_leads_to(ambientkit: Any, place: Path) -> None:
    assert ambientkit("inspect", "rows.npy", "--sigma-n", "1", "--json", "link")[0] in (0, 1)
    assert (place / "link").is_symlink()
    assert (place / "away").read_text().startswith("{")
