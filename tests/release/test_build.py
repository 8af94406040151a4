"""Wheels and source distributions: the same bytes for the same commit, and what they hold."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.release.build import PACKAGES, build, digest, settle
from tests.support import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of this checkout as they are now, committed in a repository of their own."""
    root = tmp_path_factory.mktemp("repository")
    for name in ("ambientkit", "plugins", "pyproject.toml", "README.md", "LICENSE"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "tests")
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, root / name)
    who = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    return root


@pytest.fixture(scope="module")
def built(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Everything, built once."""
    return build(tmp_path_factory.mktemp("first"), root=repository)


@pytest.mark.thorough
def test_a_second_build_under_other_circumstances_has_the_same_bytes(
    repository: Path, built: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    mask = os.umask(0o077)
    try:
        again = build(tmp_path / "second", root=repository)
    finally:
        os.umask(mask)
    assert len(again) == 2 * len(PACKAGES)
    assert {path.name: digest(path) for path in again} == {path.name: digest(path) for path in built}


@pytest.mark.thorough
def test_without_settling_a_source_distribution_is_not_reproducible(built: list[Path], tmp_path: Path) -> None:
    """The control: other times of the files give other bytes, and `settle` gives the same ones again."""
    (sdist,) = (path for path in built if path.name.startswith("ambientkit_kdiffusion") and path.suffix == ".gz")
    other = tmp_path / sdist.name
    with tarfile.open(sdist) as old, tarfile.open(other, "w:gz") as new:
        epoch = int(old.getmembers()[0].mtime)
        for member in reversed(old.getmembers()):
            member.mtime = int(time.time()) - 5
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    assert digest(other) != digest(sdist)
    settle(other, epoch)
    assert digest(other) == digest(sdist)


def wheels(built: list[Path]) -> Iterator[tuple[str, zipfile.ZipFile]]:
    for path in built:
        if path.suffix == ".whl":
            yield path.name.split("-")[0], zipfile.ZipFile(path)


def test_a_wheel_holds_its_package_its_licence_and_its_type_marker_and_nothing_else(built: list[Path]) -> None:
    for name, wheel in wheels(built):
        files = wheel.namelist()
        assert f"{name}/py.typed" in files
        assert any(file.endswith("licenses/LICENSE") for file in files), name
        assert {file.split("/")[0] for file in files} == {name, f"{name}-0.1.0.dist-info"}


def test_the_core_brings_its_pages_and_templates(built: list[Path]) -> None:
    files = dict(wheels(built))["ambientkit"].namelist()
    missing = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "ambientkit").rglob("*")
        if path.suffix in (".html", ".css", ".jinja") and path.relative_to(ROOT).as_posix() not in files
    ]
    assert missing == []


def test_every_dependency_has_a_lower_bound(built: list[Path]) -> None:
    """Those that nobody bounds are installed at any age, and fail at run time."""
    for name, wheel in wheels(built):
        metadata = email.message_from_bytes(wheel.read(f"{name}-0.1.0.dist-info/METADATA"))
        for requirement in metadata.get_all("Requires-Dist") or []:
            stated = requirement.partition(";")[0].strip()
            assert (
                stated.startswith("ambientkit")
                or any(sign in stated for sign in (">=", "=="))
                or ("dev" in requirement.partition(";")[2] or stated.startswith("numpy<"))
            ), f"{name}: {requirement}"


def test_the_plug_in_of_k_diffusion_names_the_pythons_that_its_library_can_be_built_for(built: list[Path]) -> None:
    wheel = dict(wheels(built))["ambientkit_kdiffusion"]
    metadata = email.message_from_bytes(wheel.read("ambientkit_kdiffusion-0.1.0.dist-info/METADATA"))
    assert metadata["Requires-Python"] == "<3.13,>=3.11"
