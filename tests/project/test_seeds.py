"""One rule for seeds, wherever one is given: whole numbers from 0 to 2^63 - 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import ambientkit as ak
from ambientkit.cli.app import app
from ambientkit.errors import InputError
from ambientkit.seeds import LARGEST, check_seed

COMMANDS = ["train", "sample r", "verify", "corrupt digits d", "evaluate r", "report r", "attack r", "memorization r"]
X = torch.zeros(8, 1, 8, 8)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is not refused leaves nothing in the repository."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("seed", ["-1", str(10**23), "1.5", "nan"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_refuses_a_seed_that_is_none(command: str, seed: str) -> None:
    found = CliRunner().invoke(app, [*command.split(), "--seed", seed])
    assert (found.exit_code, "--seed" in found.output) == (2, True)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_states_the_range(command: str) -> None:
    found = CliRunner().invoke(app, [command.split()[0], "--help"], env={"COLUMNS": "200"})
    assert f"0<=x<={LARGEST}" in found.output.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize("seed", [-1, 10**23, 1.0, True, "0"])
@pytest.mark.parametrize(
    "call",
    [
        lambda seed: ak.corrupt("digits", "nowhere", sigma=0.1, seed=seed),
        lambda seed: ak.draw_to_files("nowhere", seed=seed),
        lambda seed: ak.restore_to_files("nowhere", "digits", seed=seed),
        lambda seed: ak.evaluate(X, reference=X, seed=seed),
        lambda seed: ak.memorization(X, train=X, heldout=X, seed=seed),
        lambda seed: ak.attack("nowhere", heldout=X, train=X, seed=seed),
        lambda seed: ak.verify(["tweedie"], seed=seed),
    ],
)
def test_a_call_refuses_a_seed_that_is_none(call: Callable[[object], object], seed: object) -> None:
    with pytest.raises(InputError, match=r"seed .*should be a whole number"):
        call(seed)


def test_a_new_run_refuses_it_in_a_configuration_too(tmp_path: Path) -> None:
    for seed in (-1, 10**23):
        with pytest.raises(InputError, match=r"seed .*: should be a whole number from 0 to"):
            ak.train("digits", sigma_n=0.3, seed=seed, end_step=1, output_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_ends_and_numbers_of_numpy_are_seeds() -> None:
    for seed in (0, LARGEST, np.int64(3)):
        check_seed(seed)
