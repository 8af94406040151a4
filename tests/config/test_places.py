"""Relative paths in a configuration: one rule for files, flags and Python, and an error that names the folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ambientkit as ak
from ambientkit.errors import InputError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder `configs` with a configuration of rows in `data/noisy.npy`, which lie beside it and in no other
    folder."""
    (tmp_path / "configs" / "data").mkdir(parents=True)
    np.save(tmp_path / "configs" / "data" / "noisy.npy", np.zeros((4, 1, 8, 8), np.float32))
    tree = "data: {name: array, path: data/noisy.npy, sigma_n: 0.2}\nmodel: mlp\nend_step: 2\n"
    (tmp_path / "configs" / "run.yaml").write_text(tree)
    return tmp_path


def test_a_relative_path_of_a_file_is_seen_from_the_current_folder(project: Path, monkeypatch) -> None:
    """Decision 33; the configuration of a run then holds the whole path."""
    monkeypatch.chdir(project / "configs")
    for config in ("run.yaml", project / "configs" / "run.yaml", {"data": {"name": "array", "path": "data/noisy.npy"}}):
        assert ak.configure(config=config, model="mlp").data.path == project / "configs" / "data" / "noisy.npy"


def test_data_that_lie_beside_the_file_alone_are_refused_with_both_folders(project: Path, monkeypatch) -> None:
    monkeypatch.chdir(project)
    with pytest.raises(InputError) as refused:
        ak.configure(config="configs/run.yaml")
    assert str(refused.value) == (
        f"configs/run.yaml: data.path: there is no {project / 'data' / 'noisy.npy'}: a relative path is looked for in "
        f"the current folder, {project}, and not in that of the file. Write "
        f"{project / 'configs' / 'data' / 'noisy.npy'}, or run the command in {project / 'configs'}"
    )


def test_data_that_lie_nowhere_are_refused_with_the_whole_path(project: Path, monkeypatch) -> None:
    (project / "configs" / "data" / "noisy.npy").unlink()
    monkeypatch.chdir(project)
    with pytest.raises(InputError, match=rf"^{project / 'data' / 'noisy.npy'}: no such file"):
        ak.build("configs/run.yaml")
