"""Paths of data: which data set one stands for, and that nothing else is written there."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
from pydantic import ValidationError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from ambientkit.builtin.data.dataset import Given
from ambientkit.builtin.data.in_memory import InMemory
from ambientkit.builtin.data.tiff_stack import TiffStack
from ambientkit.config.inline import is_there, split_fields
from ambientkit.errors import InputError, nearest, unfit
from ambientkit.interfaces import Data
from ambientkit.readers.folders import MEDIUM, begins
from ambientkit.readers.foreign import way_round
from ambientkit.readers.image import SUFFIXES
from ambientkit.registry import Registry

KINDS = (
    "a folder of images, FITS, NIfTI, DICOM or MRC files, tar shards, a Zarr or Hugging Face dataset folder, or "
    "one image, .npy, .npz or .h5 file"
)
IN_PYTHON = {
    "--from": "noisy",
    "--evaluate-data": "evaluate_data",
    "SUBJECT": "subject",
    "SRC": "source",
    "DATA": "data",
}
"""Flag -> the argument for the same data from Python, where it has another name."""
LOOKED_AT = 10_000
"""Files of a folder whose names decide its kind, at most."""


DataLike = Any
"""What stands for data: a name, 'NAME{field: value}', a path, {"name": ..., **fields}, a `Data` part, an array, a
tensor, or a `Dataset`."""


def data_argument(
    data: DataLike, registry: Registry, flag: str = "--data", *, sigma_n: Any = None, clean: bool = False, **fields: Any
) -> dict[str, Any] | Data:
    """The spec or part that data given from Python or the command line stand for, with further fields.

    sigma_n: the declared level, for data that carry one; clean: that the rows are clean. Raises InputError where it is
    no data, or has no such field.
    """
    if clean and sigma_n is not None:
        raise InputError(f"{flag}: clean rows have no sigma_n; leave one of the two out")
    called = IN_PYTHON.get(flag, flag.removeprefix("--"))
    if isinstance(data, np.ndarray | Tensor | list):
        return InMemory.of(data, sigma_n, called=called, clean=clean, **fields)
    if numbered(data):
        if fields:
            raise InputError(f"{flag}: a torch Dataset has no field {next(iter(fields))!r}")
        return Given.of(data, sigma_n)
    if isinstance(data, Data):
        spec = {field: getattr(data, field) for field in type(data).model_fields}
        held = isinstance(data, InMemory | Given)
    elif not isinstance(data, str | os.PathLike | Mapping):
        way = "its dataset" if isinstance(data, DataLoader) else "its rows as an array or a tensor (N, ...)"
        raise InputError(
            f"{called}: of type {type(data).__name__}, which stands for no data; give {way}, or a path, a name, a "
            "part, or a map-style torch Dataset"
        )
    else:
        if isinstance(data, Mapping) and "name" not in data:
            raise InputError(
                f"{flag}: a mapping of fields needs the name of the data set too, as in {{'name': 'array', 'path': "
                f"...}}"
            )
        found = data if isinstance(data, Mapping) else data_spec(str(data), registry, flag)
        spec, held = dict(found) if isinstance(found, Mapping) else {"name": found}, False
    changes = {**fields, **({} if sigma_n is None else {"sigma_n": sigma_n}), **({"clean": True} if clean else {})}
    if isinstance(data, Data):
        if not changes:
            return data
        if held or (unknown := [name for name in changes if name not in type(data).model_fields]):
            raise InputError(
                f"{flag}: the data set {data.name!r} takes no {', '.join(changes if held else unknown)} beside "
                "what it has"
            )
        try:
            return registry.build(Data, type(data)(**{**spec, **changes}))
        except ValidationError as error:
            raise unfit(error, type(data).model_fields) from None
    known = registry.find("data", str(spec.get("name"))).part.model_fields
    if unknown := [name for name in changes if name not in known]:
        raise InputError(f"{flag}: the data set {spec['name']!r} takes no {', '.join(unknown)}")
    return {**spec, **changes}


def numbered(data: DataLike) -> bool:
    """Whether these are a torch `Dataset` whose rows can be asked for one by one, by their numbers."""
    return isinstance(data, Dataset) and not isinstance(data, IterableDataset) and hasattr(data, "__len__")


def data_spec(text: str, registry: Registry, flag: str = "--data") -> Any:
    """What the registry builds from a name, 'NAME{field: value}', or a path. Raises InputError where it is none of
    them.

    Which data set a path stands for is what the data sets themselves say: their `files`, `folders`, `marks` and
    `begins`.
    """
    if text in registry.names("data"):
        return text
    path = Path(text)
    there = is_there(path)
    if not there and re.fullmatch(r"([a-z0-9][\w.-]*)\{.*\}", text.strip(), re.DOTALL):
        name, fields = split_fields(text)
        return {"name": name, **fields}
    if there and path.is_dir():
        return {"name": _folder(path, registry, flag), "path": text}
    if found := _claimed(path.name, {name: part.files for name, part in _parts(registry).items()}):
        return {"name": _one(found, f"{flag} {text}", registry), "path": text}
    if there and (found := _begun(path, registry)):
        return {"name": _one(found, f"{flag} {text}", registry), "path": text}
    known = ", ".join(registry.names("data"))
    hint = nearest(text, registry.names("data"))
    what = "is a file of a kind that is not read" if there else f"is neither a data set nor an existing path{hint}"
    told = f"{flag} {text}: {what}. Give {KINDS}, or one of: {known}{way_round([path]) if there else ''}"
    raise InputError("\n".join([told, *registry.failures()]))


def _parts(registry: Registry) -> dict[str, type[Data]]:
    return {name: cast(type[Data], registry.find("data", name).part) for name in registry.names("data")}


def _claimed(name: str, ends: Mapping[str, Sequence[str]]) -> list[str]:
    """The data sets that claim a file name, by the longest of their ends that fits: .nii.gz counts before .gz."""
    fits = {part: max((len(end) for end in own if name.lower().endswith(end)), default=0) for part, own in ends.items()}
    most = max(fits.values(), default=0)
    return sorted(part for part, length in fits.items() if length == most > 0)


def _begun(path: Path, registry: Registry) -> list[str]:
    """The data sets that claim a file of any other name by its content."""
    return sorted(name for name, part in _parts(registry).items() if begins(path, part.begins))


def _one(found: Sequence[str], where: str, registry: Registry) -> str:
    """The only data set that claims a path. Raises InputError naming all where there are several."""
    if len(found) > 1:
        whose = " and ".join(f"{name!r} of {registry.find('data', name).package}" for name in found)
        raise InputError(f"{where}: is read by {whose}; say which: '{found[0]}{{path: ...}}'")
    return found[0]


def _folder(folder: Path, registry: Registry, flag: str) -> str:
    """The data set of a folder: by its marks, of which the one of most files counts, then by the names that most of its
    files have, then by the content of the first one, otherwise pictures."""
    parts = _parts(registry)
    marked = {name: max((_there(folder, mark) for mark in part.marks), default=0) for name, part in parts.items()}
    if most := max(marked.values(), default=0):
        return _one([name for name, files in marked.items() if files == most], f"{flag} {folder}", registry)
    ends = {name: part.folders for name, part in parts.items()}
    counts: Counter[tuple[str, ...]] = Counter()
    for path in islice(folder.rglob("*"), LOOKED_AT):
        if not path.name.startswith(".") and (found := _claimed(path.name, ends)):
            counts[tuple(found)] += 1
    if counts:
        return _one(counts.most_common(1)[0][0], f"{flag} {folder}", registry)
    if first := _nameless(folder, registry):
        return _one(first, f"{flag} {folder}", registry)
    return TiffStack.name if _named_pages(folder) else "image-folder"


def _nameless(folder: Path, registry: Registry) -> list[str]:
    """The data sets of folders that claim the first file by its content, where no file is named as one of theirs or as
    a picture."""
    files = [path for path in islice(folder.rglob("*"), LOOKED_AT) if path.is_file() and path.name[0] != "."]
    if any(path.name.lower().endswith(SUFFIXES) for path in files):
        return []
    first = next((path for path in sorted(files) if path.name != MEDIUM), folder)
    return [name for name in _begun(first, registry) if _parts(registry)[name].folders]


def _named_pages(folder: Path) -> bool:
    """Whether a folder of pictures holds TIFF files of several pages that say what these are: its first one does.

    Of files that name no axes it is a choice whether pages are rows or channels, which is left to the user.
    """
    named = (path for path in islice(folder.rglob("*"), LOOKED_AT) if path.name.lower().endswith(TiffStack.suffixes))
    first = min((path for path in named if not path.name.startswith(".")), default=None)
    return first is not None and bool(TiffStack.named_axes(first))


def _there(folder: Path, mark: str) -> int:
    """How many files a mark "a+b" names; 0 where one of them is not in the folder."""
    names = mark.split("+")
    return len(names) if all((folder / name).is_file() for name in names) else 0


def with_bad_files(fields: dict[str, Any], on_bad_file: str | None, registry: Registry) -> dict[str, Any]:
    """The fields of a data set with what --on-bad-file says. Raises InputError where the data set has no files."""
    if on_bad_file is None:
        return fields
    if on_bad_file not in ("fail", "skip"):
        raise InputError(f"--on-bad-file {on_bad_file}: should be fail or skip")
    if "on_bad_file" not in registry.find("data", fields["name"]).part.model_fields:
        raise InputError(
            f"--on-bad-file {on_bad_file}: the data set {fields['name']!r} has no files of its own that could be bad"
        )
    return {**fields, "on_bad_file": on_bad_file}


def refuse_inside(flag: str, folder: Path, data: Data) -> None:
    """Raise InputError where the files would lie in a folder of data, and be read as rows of it from then on."""
    path = getattr(data, "path", None)
    if (
        path is not None
        and Path(path).is_dir()
        and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(path))
    ):
        raise InputError(
            f"{flag} {folder}: lies inside the data {path}, and what is written there would be read as rows of "
            "them; give a folder elsewhere"
        )
