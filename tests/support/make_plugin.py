"""Installed packages made on the spot: a folder with a module and the metadata that `importlib.metadata` reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

OBJECTIVE = '''
from ambientkit.hookspecs import hookimpl
from ambientkit.interfaces import Objective


class Mine(Objective):
    """An objective that is never asked for its loss."""

    name = "{name}"

    strength: float = 1.0

    def loss(self, denoiser, batch, tools):
        return {{}}


@hookimpl
def register_objectives():
    return [Mine]
'''
"""The body of a sound plug-in; `OBJECTIVE.format(name=...)`."""


def make_plugin(
    folder: Path,
    package: str,
    body: str,
    *,
    version: str = "0.1",
    requires: Sequence[str] = (),
    group: str = "ambientkit",
) -> Path:
    """Install package `package` in `folder`, which has to be on the search path: module `body`, and an entry point of
    that module in `group`."""
    module = package.replace("-", "_")
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(body, encoding="utf-8")
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n{needs}", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(f"[{group}]\n{module} = {module}\n", encoding="utf-8")
    return folder
