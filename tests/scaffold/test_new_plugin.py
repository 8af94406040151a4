"""`ambientkit new-plugin`: packages whose own tests pass, and names that no part can have."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ambientkit as ak
from ambientkit.errors import InputError, RunError
from ambientkit.plugins import KINDS as REGISTERED
from ambientkit.scaffold import KINDS
from tests.support import forked

RUFF = Path(sys.executable).with_name("ruff")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One package of each kind."""
    folder = tmp_path_factory.mktemp("packages")
    for kind in KINDS:
        ak.new_plugin(f"my-{kind}", kind, folder / kind)
    return folder


@pytest.mark.slow
@pytest.mark.thorough
def test_their_own_tests_pass(packages: Path) -> None:
    ran = forked.run(
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *KINDS],
        cwd=packages,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " xfailed" in ran.stdout  # the sampler that draws, which the check rejects


@pytest.mark.parametrize("kind", KINDS)
def test_the_entry_point_registers_the_part(kind: str, packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(packages / kind)
    stated = tomllib.loads((packages / kind / "pyproject.toml").read_text(encoding="utf-8"))
    (module,) = stated["project"]["entry-points"]["ambientkit"].values()
    plugin = __import__(module, fromlist=["plugin"])
    contract, hook = REGISTERED[kind]
    (part,) = getattr(plugin, hook)()
    assert issubclass(part, contract)
    assert part.name == f"my-{kind}"
    assert part.__doc__
    assert stated["tool"]["setuptools"]["packages"] == [module.split(".")[0]]


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_is_formatted_and_typed(kind: str, packages: Path) -> None:
    rules = ["--isolated", "--line-length=120", "--target-version=py311"]
    for command in (
        ["check", "-q", "--select=E,F,W,I,B,UP,SIM,RUF,PT", "--ignore=RUF012,RUF007"],
        ["format", "--check", "-q"],
    ):
        ran = subprocess.run([RUFF, *command, *rules, "."], cwd=packages / kind, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout
    assert (packages / kind / f"ambientkit_my_{kind}" / "py.typed").is_file()


@pytest.mark.parametrize("name", ["My", "my_part", "-a", "a-", "1a", "a b", "../a", "class", ""])
def test_a_name_that_no_part_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name: should be lower-case words"):
        ak.new_plugin(name, "objective", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_another_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"but is 'sampel'.*sampler"):
        ak.new_plugin("mine", "sampel")


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path: Path, ambientkit) -> None:
    (tmp_path / "kept").write_text("mine")
    code, _, err = ambientkit("new-plugin", "mine", "--dir", tmp_path)
    assert code == 2
    assert "is there already" in err
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_an_empty_folder_is_empty_again_after_an_interrupt(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mine").mkdir()

    def interrupted(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ak.new_plugin("my-check", "check", tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("broken", [False, True])
def test_an_empty_folder_is_filled_and_stays_the_same_one(
    broken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may stand in it, and a mount cannot be replaced."""
    before = tmp_path.stat().st_ino
    monkeypatch.chdir(tmp_path)
    if broken:
        monkeypatch.setattr("os.rename", _full)
        with pytest.raises(RunError, match="it is empty as before"):
            ak.new_plugin("mine", folder=".")
    else:
        ak.new_plugin("mine", folder=".")
    assert tmp_path.stat().st_ino == before
    assert {path.name for path in tmp_path.iterdir()} == (
        set() if broken else {"README.md", "ambientkit_mine", "pyproject.toml", "tests"}
    )


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
