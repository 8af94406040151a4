"""The model card of a run: README.md in its folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambientkit.checkpoint.folder import write_file
from ambientkit.checkpoint.names import CARD
from ambientkit.checkpoint.status import read_status
from ambientkit.config.portable import last_name
from ambientkit.errors import InputError
from ambientkit.evaluation.document import FORMAT
from ambientkit.export.card_text import card_text
from ambientkit.export.write import forms
from ambientkit.messages import note
from ambientkit.registry import Registry, load
from ambientkit.run.folder import read_versions
from ambientkit.run.preflight import read_preflight
from ambientkit.sample import Trained, load_run
from ambientkit.tables import Record

MARK = re.compile(r"<!-- written by ambientkit; sha256 of what stands above: ([0-9a-f]{64}) -->\n?\Z")


@dataclass(frozen=True, slots=True)
class Card(Record):
    """The model card of a run: model, data, scores and limits of use."""

    text: str
    """Markdown with YAML at its head, as on the Hugging Face hub."""
    step: int
    """Of the weights."""
    evaluations: int
    """Documents of `evaluate --json` whose scores it shows."""

    def blocks(self) -> list[str]:
        """The text."""
        return [self.text]

    def to_dict(self) -> dict[str, Any]:
        """Everything."""
        return {"text": self.text, "step": self.step, "evaluations": self.evaluations}


@dataclass(frozen=True, slots=True)
class WrittenCard(Record):
    """A card that was written into its run's folder."""

    path: Path
    card: Card

    def blocks(self) -> list[str]:
        """Where it is, and what it holds."""
        found = self.card.evaluations
        return [f"{self.path}: the card of step {self.card.step}, with the scores of {found} evaluation(s) found there"]

    def to_dict(self) -> dict[str, Any]:
        """The path, and everything of the card."""
        return {"path": str(self.path), **self.card.to_dict()}


def card(run: str | Path, *, registry: Registry | None = None) -> Card:
    """The model card of the run in a folder, with the scores of all documents of `evaluate --json` there. Nothing is
    written.

    Raises InputError where the folder holds no run.
    """
    registry = load() if registry is None else registry
    folder = _folder(run)
    return _card(folder, load_run(folder, registry), registry)


def renew_card(run: str | Path, *, force: bool = False, registry: Registry | None = None) -> WrittenCard:
    """Write the model card of a run anew, into its folder. force: replace even a card that was changed, or that is not
    ours.

    Raises InputError where the folder holds no run, or, without `force`, a README.md of another hand, and RunError
    where the disk refuses.
    """
    registry = load() if registry is None else registry
    folder = _folder(run)
    written = _card(folder, load_run(folder, registry), registry)
    if kept := _write(folder, written, force):
        raise InputError(kept)
    return WrittenCard(folder / CARD, written)


def write_card(folder: Path, trained: Trained, registry: Registry, force: bool = False) -> str:
    """Write README.md into the folder of a run. The reason where it was left as it is: it was changed, or never was
    ours; otherwise "".

    Raises RunError where the disk refuses.
    """
    return _write(folder, _card(folder, trained, registry), force)


def _folder(run: str | Path) -> Path:
    folder = Path(run)
    if folder.is_file():
        raise InputError(f"{folder}: give the folder of a run; its card is written beside the weights")
    return folder


def _write(folder: Path, card: Card, force: bool) -> str:
    path = folder / CARD
    if not force and (path.exists() or path.is_symlink()):
        try:
            old = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            old = ""
        if not untouched(old):
            return (
                f"{path}: was written or changed by somebody else, and is left as it is; `ambientkit card "
                "--force` replaces it"
            )
    write_file(path, signed(card.text).encode())
    return ""


def _card(folder: Path, trained: Trained, registry: Registry) -> Card:
    status, found = read_status(folder), evaluations(folder)
    text = card_text(
        trained,
        processes=status.processes if status else 1,
        versions={name: version for name, version in read_versions(folder).items() if name != "platform" and version},
        preflight=_preflight(folder),
        evaluations=found,
        forms=forms(trained.config.model, registry),
    )
    return Card(text, trained.step, len(found))


def signed(text: str) -> str:
    """The text with a last line by which a change is noticed."""
    text = text.rstrip() + "\n\n"
    return (
        f"{text}<!-- written by ambientkit; sha256 of what stands above: "
        f"{hashlib.sha256(text.encode()).hexdigest()} -->\n"
    )


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
                note(f"{path}: format {document.get('format')!r} is not known, and is left out of the card")
                continue
            found.append({**document, "file": path.name, "reference": _reference(document)})
    return found


def _preflight(folder: Path) -> str:
    try:
        return read_preflight(folder).said
    except InputError as error:
        return f"not known ({last_name(str(error))})"


def _reference(document: Mapping[str, Any]) -> str:
    """What samples were compared with, and of a run's own rows which."""
    named, which = _named(document.get("reference")), document.get("reference_rows")
    return f"{named}, which the run {which}" if which else named


def _named(spec: Any) -> str:
    """A data set by its name and the last name of its path."""
    if not isinstance(spec, Mapping):
        return "other data"
    path = spec.get("path")
    return f"{spec.get('name', 'data')}{f' ({last_name(str(path))})' if path else ''}"
