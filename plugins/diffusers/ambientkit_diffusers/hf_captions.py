"""Captioned pictures of a Hugging Face data set on this machine, by the package `datasets`. Nothing is fetched."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ambientkit.builtin.data.hf_dataset import open_table
from ambientkit.errors import InputError
from ambientkit.readers import cause_of, needs
from ambientkit.text import listed
from ambientkit_diffusers.captions import METADATA, SUFFIXES, Captioned

Kind = Literal["saved", "imagefolder"]
SAVED = ("dataset_info.json", "dataset_dict.json")
TABLES = ("metadata.csv", "metadata.parquet")


def kind_of(path: Path) -> Kind | None:
    """What `datasets` reads a path as: "saved", written by save_to_disk or .parquet files; "imagefolder", pictures with
    metadata.csv or .parquet, or in a folder per split. None for a plain folder of pictures."""
    if path.is_file() and path.suffix == ".parquet":
        return "saved"
    if any((path / name).is_file() for name in SAVED):
        return "saved"
    if any(file.name in (*TABLES, METADATA) for file in path.glob("*/*")):
        return "imagefolder"
    if any((path / name).is_file() for name in TABLES):
        return "imagefolder"
    plain = any(file.suffix.lower() in SUFFIXES for file in path.rglob("*"))
    return "saved" if not plain and any(path.rglob("*.parquet")) else None


def of_dataset(path: Path, kind: Kind, split: str, key: str, image_key: str | None) -> list[Captioned]:
    """The rows of a data set, in its order, with the text of column `key` as caption (None where it is null).

    image_key: the column of the pictures, by default the only one of images. Raises InputError where a column is not
    there, a caption is no text, or the data set cannot be read.
    """
    needs("datasets", "datasets", "A Hugging Face data set of captions")
    table = open_table(path, split) if kind == "saved" else _imagefolder(path, split)
    import datasets

    images = [name for name, feature in table.features.items() if isinstance(feature, datasets.Image)]
    chosen = [image_key] if image_key is not None else images
    has = listed([f"{name} ({type(feature).__name__})" for name, feature in table.features.items()])
    if len(chosen) != 1 or chosen[0] not in images:
        raise InputError(f"{path}: say which column holds the pictures, as image_key: its columns are {has}")
    if key not in table.features:
        raise InputError(f"{path}: has no column {key!r} of captions; give caption_key: its columns are {has}")
    found = []
    texts = table.select_columns([key])[:][key]
    for index, text in enumerate(texts):
        if text is not None and not isinstance(text, str):
            raise InputError(f"{path}, row {index}: should hold its caption as text in {key!r}, but holds {text!r}")
        caption = None if text is None else " ".join(text.split())
        content = partial(_content, table, index, chosen[0], path)
        found.append(Captioned(path, f"row {index}", caption, content))
    return found


def _content(table: Any, index: int, column: str, path: Path) -> bytes:
    """The picture of a row as the file that it was. Raises OSError where it has none."""
    value = table[index][column]
    if value is None:
        raise OSError("it is missing (null)")
    if value.get("bytes") is not None:
        return bytes(value["bytes"])
    return Path(value["path"]).read_bytes()


def _imagefolder(path: Path, split: str) -> Any:
    """The table of a folder in the layout `imagefolder`, its pictures as files."""
    import datasets

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        found = datasets.load_dataset("imagefolder", data_dir=str(path.resolve()))
        if split not in found:
            raise InputError(f"{path}: there is no split {split!r}, only {', '.join(found)}")
        table = found[split]
        for name, feature in table.features.items():
            if isinstance(feature, datasets.Image):
                table = table.cast_column(name, datasets.Image(decode=False))
        return table
    except InputError:
        raise
    except Exception as error:  # the library's and Arrow's errors
        cause = error.__cause__ or error
        raise InputError(f"{path}: cannot be read as a folder of pictures by datasets ({cause_of(cause)})") from None  # type: ignore[arg-type]
