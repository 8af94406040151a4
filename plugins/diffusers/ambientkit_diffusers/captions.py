"""Pictures in a folder, and the caption of each: a `.txt` file beside it, or `metadata.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ambientkit.errors import InputError
from ambientkit.text import listed

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
METADATA = "metadata.jsonl"


@dataclass(frozen=True, slots=True)
class Captioned:
    """A picture of a folder."""

    file: Path
    name: str
    """Relative to the folder, with forward slashes."""
    caption: str | None
    """None where there is none; an empty file is an empty caption, which means none too."""
    stored: Callable[[], bytes] | None = None
    """How its content is read, where it is no file of its own."""

    def content(self) -> bytes:
        """The picture's file."""
        return self.file.read_bytes() if self.stored is None else self.stored()


def captioned(folder: Path, key: str = "text") -> list[Captioned]:
    """The pictures of a folder and of the folders in it, by name, each with its caption.

    metadata.jsonl: a line per picture, {"file_name": ..., key: caption}, as Hugging Face's imagefolder has it. Raises
    InputError for a folder without pictures, a line that cannot be read, a picture that is named twice or is not there,
    and a picture with two captions that differ.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder}: should be a folder of pictures, with captions in .txt files or {METADATA}, or a data set of "
            "Hugging Face"
        )
    files = {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in SUFFIXES and file.is_file() and not any(p.startswith(".") for p in file.parts[-2:])
    }
    if not files:
        raise InputError(f"{folder}: holds no picture ({', '.join(SUFFIXES)})")
    stated = _metadata(folder / METADATA, key) if (folder / METADATA).is_file() else {}
    if missing := sorted(set(stated) - set(files)):
        raise InputError(
            f"{folder / METADATA}: names {listed(missing)}, which {'are' if missing[1:] else 'is'} not there"
        )
    found = []
    for name, file in files.items():
        beside = _beside(file)
        if beside is not None and name in stated and beside != stated[name]:
            raise InputError(f"{file}: has one caption in {METADATA} and another one in {file.stem}.txt")
        found.append(Captioned(file, name, stated.get(name, beside)))
    return found


def _beside(picture: Path) -> str | None:
    """The caption in the .txt file beside a picture."""
    file = picture.with_suffix(".txt")
    if not file.is_file():
        return None
    try:
        return " ".join(file.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as text in UTF-8 ({error})") from None


def _metadata(file: Path, key: str) -> dict[str, str]:
    """File name -> caption."""
    found: dict[str, str] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as text in UTF-8 ({error})") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: cannot be read as JSON ({error})") from None
        if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str):
            raise InputError(f"{where}: should be a mapping with a file_name, but is {line.strip()[:80]!r}")
        name, caption = entry["file_name"], entry.get(key)
        if not isinstance(caption, str):
            held = ", ".join(sorted(set(entry) - {"file_name"})) or "nothing else"
            raise InputError(f"{where}: should hold the caption of {name} as {key!r}, but holds {held}")
        if name in found:
            raise InputError(f"{where}: names {name} a second time")
        found[name] = " ".join(caption.split())
    return found
