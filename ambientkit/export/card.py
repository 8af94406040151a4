"""The model card of a run: README.md in its folder, written when a run finishes, and by `ambientkit card`."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ambientkit.checkpoint.folder import write_file
from ambientkit.checkpoint.status import read_status
from ambientkit.config.portable import last_name
from ambientkit.errors import InputError
from ambientkit.evaluate.document import FORMAT
from ambientkit.export.card_text import card_text
from ambientkit.export.write import forms, trained_of
from ambientkit.registry import Registry, load
from ambientkit.run.folder import read_versions
from ambientkit.run.preflight import read_preflight
from ambientkit.sample import Trained

CARD = "README.md"
MARK = re.compile(r"<!-- written by ambientkit; sha256 of what stands above: ([0-9a-f]{64}) -->\n?\Z")


def run(folder: Path, force: bool) -> None:
    """The whole command. Raises InputError where the folder holds no run, or a README.md of another hand (unless `force`)."""
    if folder.is_file():
        raise InputError(f"{folder}: give the folder of a run; its card is written beside the weights")
    trained = trained_of(folder)
    kept = write_card(folder, trained, load(), force)
    if kept:
        raise InputError(kept)
    print(f"{folder / CARD}: the card of step {trained.step}, with the scores of {len(evaluations(folder))} evaluation(s) found there")


def write_card(folder: Path, trained: Trained, registry: Registry, force: bool = False) -> str:
    """Write README.md, and say "" for that, or why it was left as it is: somebody has changed it, or it never was ours."""
    path = folder / CARD
    if not force and (path.exists() or path.is_symlink()):
        try:
            old = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            old = ""
        if not untouched(old):
            return f"{path}: was written or changed by somebody else, and is left as it is; `ambientkit card --force` replaces it"
    write_file(path, signed(content(folder, trained, registry)).encode())
    return ""


def content(folder: Path, trained: Trained, registry: Registry) -> str:
    """The card, without its mark."""
    status = read_status(folder)
    return card_text(
        trained,
        processes=status.processes if status else 1,
        versions={name: version for name, version in read_versions(folder).items() if name != "platform" and version},
        preflight=_preflight(folder),
        evaluations=evaluations(folder),
        forms=forms(trained.config.model, registry),
    )


def signed(text: str) -> str:
    """The text with a last line by which a change is noticed."""
    text = text.rstrip() + "\n\n"
    return f"{text}<!-- written by ambientkit; sha256 of what stands above: {hashlib.sha256(text.encode()).hexdigest()} -->\n"


def untouched(text: str) -> bool:
    """Whether a card is as it was written."""
    found = MARK.search(text)
    return found is not None and hashlib.sha256(text[: found.start()].encode()).hexdigest() == found[1]


def evaluations(folder: Path) -> list[dict[str, Any]]:
    """What `ambientkit evaluate --json` has left in the run folder, by file name; other JSON files are passed over."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(document, dict) and isinstance(document.get("scores"), list) and "reference_is" in document:
            if document.get("format", FORMAT) != FORMAT:
                print(f"note: {path}: format {document.get('format')!r} is not known, and is left out of the card", file=sys.stderr)
                continue
            found.append({**document, "file": path.name, "reference": _named(document.get("reference"))})
    return found


def _preflight(folder: Path) -> str:
    try:
        return read_preflight(folder).said
    except InputError as error:
        return f"not known ({last_name(str(error))})"


def _named(spec: Any) -> str:
    """A data set by its name and the last name of its path."""
    if not isinstance(spec, Mapping):
        return "other data"
    path = spec.get("path")
    return f"{spec.get('name', 'data')}{f' ({last_name(str(path))})' if path else ''}"
