"""Writing a plug-in package from templates: one part that works, a wrong variant of it, and the tests of both."""

from __future__ import annotations

import keyword
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateNotFound

from ambientkit.checkpoint.replace import remove, replacing
from ambientkit.checkpoint.target import check_place, refuse_broken
from ambientkit.errors import InputError, RunError, nearest
from ambientkit.tables import Record

KINDS = ("objective", "corruption", "sampler", "model", "data", "check", "extractor", "attack")
"""Kinds of parts that there is a template for."""
CHECKED = ("objective", "corruption", "sampler", "model", "attack")
"""Those that `ambientkit verify` has checks for, so that a wrong variant comes with them."""
HOOKS = {"data": "register_datasets"}
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class NewPlugin(Record):
    """What `new_plugin` has written."""

    kind: str
    name: str
    """Of the part."""
    folder: Path
    files: tuple[str, ...]
    """Relative to the folder."""

    @property
    def next_steps(self) -> tuple[str, ...]:
        """Commands, in their order, from the folder that holds the new one."""
        install, test = f"pip install -e {self.folder}", f"pytest {self.folder}"
        tried = f"ambientkit verify {self.kind}:{self.name}" if self.kind in CHECKED else "ambientkit plugins"
        return (install, test, tried)

    def blocks(self) -> list[str]:
        """The files, and what to do next."""
        return [
            f"{self.folder}: a package with the {self.kind} {self.name!r}\n  " + "\n  ".join(self.files),
            "next:\n  " + "\n  ".join(self.next_steps),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything, the folder as text."""
        return {
            "kind": self.kind,
            "name": self.name,
            "folder": str(self.folder),
            "files": list(self.files),
            "next": list(self.next_steps),
        }


def new_plugin(name: str, kind: str = "objective", folder: str | Path | None = None) -> NewPlugin:
    """Write a plug-in package with one part: pyproject.toml with its entry point, the part, a wrong variant of it where
    `verify` has checks for its kind, typed, and tests that pass.

    name: of the part, lower case, such as "my-objective"; kind: one of `KINDS`; folder: a new one, or an empty one,
    "ambientkit-NAME" in the current folder where it is not given. The package is written whole or not at all. Raises
    InputError for a name that no part can have, another kind, and a folder that holds something.
    """
    if kind not in KINDS:
        raise InputError(f"kind: should be one of {', '.join(KINDS)}, but is {kind!r}" + nearest(kind, KINDS))
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InputError(f"name: should be lower-case words with hyphens between, such as 'my-{kind}', but is {name!r}")
    target = Path(f"ambientkit-{name}" if folder is None else folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target}: is there already; give a new folder, or an empty one")
    if not target.absolute().parent.is_dir():
        raise InputError(f"{target}: the folder {target.absolute().parent} is not there")
    refuse_broken(target, "--dir")
    check_place(target / "pyproject.toml" if target.is_dir() else target, "--dir")
    files = _files(name, kind)
    if target.is_dir():  # it stays: somebody may stand in it, or it may be a mount
        _fill(target, files)
    else:
        with replacing(target) as unfinished:
            _write(unfinished, files)
    return NewPlugin(kind, name, target, tuple(sorted(files)))


def _fill(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into an empty folder, all or none."""
    aside = folder / f".tmp-{os.getpid()}"
    try:
        _write(aside, files)
        for path in aside.iterdir():
            os.rename(path, folder / path.name)
        aside.rmdir()
    except BaseException as error:
        for name in {aside.name, *(Path(path).parts[0] for path in files)}:
            remove(folder / name)
        if not isinstance(error, OSError):  # such as Ctrl-C
            raise
        raise RunError(f"{folder}: cannot be written ({error.strerror}); it is empty as before") from error


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def _files(name: str, kind: str) -> dict[str, str]:
    """The content of each file of the package, by its path."""
    stem = name.replace("-", "_")
    words = {
        "name": name,
        "kind": kind,
        "article": "an" if kind[0] in "aeiou" else "a",
        "package": f"ambientkit-{name}",
        "module": f"ambientkit_{stem}",
        "stem": stem,
        "part": "".join(word.capitalize() for word in name.split("-")),
        "hook": HOOKS.get(kind, f"register_{kind}s"),
        "checked": kind in CHECKED,
        "home": "ambientkit.memorisation_parts" if kind == "attack" else "ambientkit.interfaces",
    }
    render = Environment(
        loader=_Templates(), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    module = words["module"]
    sources = {
        "pyproject.toml": "package/pyproject.toml",
        "README.md": "package/README.md",
        f"{module}/__init__.py": "package/__init__.py",
        f"{module}/py.typed": "package/py.typed",
        f"{module}/plugin.py": "package/plugin.py",
        f"{module}/{stem}.py": f"kinds/{kind}.py",
        "tests/conftest.py": "package/conftest.py",
        f"tests/test_{stem}.py": f"kinds/test_{kind}.py",
    }
    if kind in CHECKED:
        sources[f"{module}/wrong.py"] = f"kinds/wrong_{kind}.py"
        sources[f"tests/test_{stem}.py"] = "package/test_checked.py"
    return {path: render.get_template(source).render(words) for path, source in sources.items()}


class _Templates(BaseLoader):
    """The templates of this package; `jinja2.PackageLoader` would ask for its loader, which a zipped package lacks."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, None]:
        """The text of a template by its path below `templates`."""
        file = resources.files("ambientkit.scaffold").joinpath("templates", *f"{template}.jinja".split("/"))
        if not file.is_file():
            raise TemplateNotFound(template)
        return file.read_text(encoding="utf-8"), template, None
