"""A folder of samples that is written piece by piece, so that a killed command goes on where it was and ends in the
same files."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ambientkit.checkpoint.folder import clean, write_part
from ambientkit.checkpoint.lock import at_work
from ambientkit.checkpoint.space import GOES_ON, NpyOnDisk
from ambientkit.config.run import differences
from ambientkit.errors import InputError, RunError
from ambientkit.readers.files import needs
from ambientkit.sample.formats import FORMATS, Format
from ambientkit.sample.like_files import LikeFiles, Place
from ambientkit.sample.own_units import OwnUnits
from ambientkit.sample.table import RowInfo, restored_table, uncertainty_of
from ambientkit.sample.uncertainty import Uncertainty

FORMAT_VERSION = 1
PARTS = "parts"
PICTURES = "pictures"
"""The folder of what rows that are latents decode to."""
LOCK = ".sample.lock"
FOUND = ("finished", "piece", "uncertainty")
"""Keys of a manifest that say what came of a request."""
SHOWN = 64
"""Rows kept for the picture."""


class Store:
    """The files of one request.

    name: "samples" or "restored", of the manifest NAME.json. arrays: what a row consists of, such as ("samples",). A
    piece is a range of `piece` rows, the unit of work and of resumption, drawn in the same batches however often the
    command is killed. Each of its files is written whole or not at all; formats that hold all rows in one file are put
    together at the end. about: for the reader, compared with nothing. like: who writes files like those of the input.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        arrays: tuple[str, ...],
        n: int,
        piece: int,
        request: Mapping[str, Any],
        about: Mapping[str, Any] | None = None,
        like: LikeFiles | None = None,
    ) -> None:
        self.folder, self.name, self.arrays, self.n, self.like = folder, name, arrays, n, like
        self.request = json.loads(json.dumps({"format_version": FORMAT_VERSION, "n": n, **request}, allow_nan=False))
        self.format = FORMATS[self.request["format"]]
        self.units = OwnUnits.from_plain(self.request["units"])
        self._piece, self._about = piece, dict(about or {})

    @property
    def manifest(self) -> Path:
        """The file that says what was asked, and whether it is done."""
        return self.folder / f"{self.name}.json"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Make the folder and keep other commands out of it. Raises InputError where it cannot be made, or one is at
        work there."""
        with at_work(self.folder, LOCK, "sampling", "--out"):
            yield

    def begin(self) -> bool:
        """Begin in the folder, or go on in it; True where everything is there already. Only for who holds it.

        Raises InputError where it holds another request (field by field), or files of unknown origin.
        """
        for path in (self.folder / f"{self.name}.png", *self._whole()):
            if path.is_dir():  # found now, and not when all is drawn
                raise InputError(
                    f"{path}: is a folder, where a file is to be written; give another --out, or remove it"
                )
        if self.manifest.exists():
            before = self._read()
            changed = differences(
                {key: before[key] for key in before if key not in (*FOUND, *self._about)}, self.request
            )
            if changed:
                lines = [f"  {d.path}: {d.old!r} there, {d.new!r} now" for d in changed[:10]]
                raise InputError(
                    "\n".join(
                        [
                            f"{self.folder}: holds the files of another request",
                            *lines,
                            "give another --out, or remove it",
                        ]
                    )
                )
            self._piece = int(before["piece"])
            for folder in (
                self.folder,
                self.folder / PARTS,
                self.folder / PICTURES,
                *(self.folder / a for a in self.arrays),
            ):
                clean(folder)
            if before["finished"] and all(path.exists() for path in self._results()):
                shutil.rmtree(self.folder / PARTS, ignore_errors=True)
                return True
            self._start()  # killed before its first piece; or finished, and files were removed since
            return False
        targets = [self.folder / PARTS, *(self._whole() or (self.folder / name for name in self.arrays))]
        if found := [path.name for path in targets if path.exists()]:
            raise InputError(
                f"{self.folder}: holds {', '.join(found)} of unknown origin; give another --out, or remove it"
            )
        self._start()
        return False

    def _start(self) -> None:
        self._note(finished=False)
        (self.folder / PARTS).mkdir(exist_ok=True)

    def join(self) -> bool:
        """Go on with what another process has begun; True where everything is there already."""
        before = self._read()
        self._piece = int(before["piece"])
        return bool(before["finished"])

    def missing(self) -> list[range]:
        """The pieces that are not there yet."""
        return [piece for piece in self._pieces() if not self._done(piece)]

    def write(
        self,
        piece: range,
        arrays: Mapping[str, Tensor],
        shown: Mapping[str, Tensor],
        rows: Sequence[RowInfo] = (),
        pictures: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Write a piece. arrays: name -> (len(piece), ...), data units; shown: what the picture is made of; rows: for
        the table; pictures: what rows that are latents decode to, each a PNG file beside them. Raises RunError where
        the disk refuses."""
        if piece.start < SHOWN:
            write_part(self._shown(piece), _npz({name: value.cpu().numpy() for name, value in shown.items()}))
        if rows:
            write_part(self._rows(piece), json.dumps(rows).encode())
        self._write_pictures(piece, pictures or {})
        values = self._values(arrays)
        if self.format.encode is None:
            write_part(self._part(piece), _npz({name: self.units.laid_out(value) for name, value in values.items()}))
            return
        files = []
        for name in self.arrays:
            (self.folder / name).mkdir(exist_ok=True)
            for place, index in enumerate(piece):
                for file, row in _rows_of(self.folder / name, self.format, name, index, values[name][place]):
                    _write_unflushed(file, self.format.encode(row))
                    files.append(file)
        _flush(files)  # all at once: a flush for each costs a disk far more
        write_part(self._part(piece), b"")

    def _write_pictures(self, piece: range, pictures: Mapping[str, Tensor]) -> None:
        files, png = [], FORMATS["png"]
        assert png.encode is not None
        for name, values in pictures.items():
            (self.folder / PICTURES).mkdir(exist_ok=True)
            for place, index in enumerate(piece):
                for file, row in _rows_of(self.folder / PICTURES, png, name, index, values[place].cpu().numpy()):
                    _write_unflushed(file, png.encode(row))
                    files.append(file)
        _flush(files)

    def finish(self, picture: Callable[[dict[str, NDArray[Any]]], bytes | None]) -> Path:
        """Put the pieces together and say that they are complete; returns the file or folder of the first array.

        picture: PNG bytes from what was `shown` of the first rows, or None for rows without a picture.
        """
        shown = [np.load(self._shown(piece), allow_pickle=False) for piece in self._pieces() if piece.start < SHOWN]
        content = picture({name: np.concatenate([part[name] for part in shown])[:SHOWN] for name in shown[0].files})
        if content is not None:
            write_part(self.folder / f"{self.name}.png", content)
        if self.format.encode is None:
            try:
                self._put_together()
            except OSError as error:
                clean(self.folder)
                raise RunError(f"{self.folder}: cannot be written ({error.strerror}); {GOES_ON}") from None
            except RunError:
                clean(self.folder)
                raise
        infos = [RowInfo(*row) for piece in self._pieces() for row in self._read_rows(piece)]
        if infos:
            write_part(self.folder / f"{self.name}.csv", restored_table(infos, self._places(), self.like))
        self._note(finished=True, uncertainty=uncertainty_of(infos))
        shutil.rmtree(self.folder / PARTS)
        return self.result

    @property
    def uncertainty(self) -> Uncertainty | None:
        """Whether the spread of restored rows is their error, as the finished manifest has it."""
        return Uncertainty.from_dict(self._read().get("uncertainty"))

    @property
    def result(self) -> Path:
        """The file or folder of the first array."""
        return (self._whole() or [self.folder / self.arrays[0]])[0]

    def _values(self, arrays: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
        if self.format.clipped:
            return {name: arrays[name].cpu().numpy() for name in self.arrays}
        values = {name: self.units.values(arrays[name]) for name in self.arrays if name != "std"}
        if "std" in self.arrays:  # a spread has no offset, and that of counts depends on where they are
            values["std"] = values["draws"].std(axis=1, ddof=1, dtype=np.float64).astype(values["draws"].dtype)
        return values

    def _pieces(self) -> list[range]:
        return [range(start, min(start + self._piece, self.n)) for start in range(0, self.n, self._piece)]

    def _part(self, piece: range) -> Path:
        return (
            self.folder / PARTS / (f"{piece.start:08}.npz" if self.format.encode is None else f"{piece.start:08}.done")
        )

    def _shown(self, piece: range) -> Path:
        return self.folder / PARTS / f"{piece.start:08}.shown.npz"

    def _rows(self, piece: range) -> Path:
        return self.folder / PARTS / f"{piece.start:08}.rows.json"

    def _read_rows(self, piece: range) -> list[list[Any]]:
        file = self._rows(piece)
        return list(json.loads(file.read_text())) if file.exists() else []

    def _places(self) -> dict[str, list[Place]]:
        """Series -> where each row of it is."""
        draws = int(self.request.get("draws", 0))
        if self.like is not None:
            return self.like.places(self.arrays, draws)
        if whole := self._whole():
            files = dict(zip(self.arrays, [path.name for path in whole] * len(self.arrays)))
            return {name: [Place(files[name], i, False) for i in range(self.n)] for name in self.arrays}
        found: dict[str, list[Place]] = {}
        for name in self.arrays:
            for index in range(self.n):
                paths = [path for path, _ in _rows_of(self.folder / name, self.format, name, index, np.zeros(draws))]
                for k, path in enumerate(paths):
                    series = name if name != "draws" else f"draws/{k:03}"
                    found.setdefault(series, []).append(Place(path.relative_to(self.folder).as_posix(), 0, True))
        return found

    def _done(self, piece: range) -> bool:
        return self._part(piece).exists() and (piece.start >= SHOWN or self._shown(piece).exists())

    def _whole(self) -> list[Path]:
        """The files that hold all rows; none where rows have files of their own."""
        if self.format.encode is not None or self.like is not None:
            return []
        if self.request["format"] == "npy":
            return [self.folder / f"{name}.npy" for name in self.arrays]
        return [self.folder / f"{self.name}{self.format.suffix}"]

    def _results(self) -> Iterator[Path]:
        """Every file that is there in the end."""
        if self.like is not None:
            yield from (self.folder / name for name in self.like.targets(self.arrays, int(self.request["draws"])))
            return
        if self.format.encode is None:
            yield from self._whole()
            return
        for name in self.arrays:
            draws = np.zeros(int(self.request["draws"]) if name == "draws" else 0)
            for index in range(self.n):
                yield from (path for path, _ in _rows_of(self.folder / name, self.format, name, index, draws))

    def _put_together(self) -> None:
        """Join the parts, of which one at a time is in memory."""
        asides = {name: self.folder / f".{name}.tmp-{os.getpid()}" for name in self.arrays}
        joined: dict[str, NpyOnDisk] = {}
        for piece in self._pieces():
            with np.load(self._part(piece), allow_pickle=False) as part:
                for name in self.arrays:
                    rows = part[name]
                    if name not in joined:
                        shape = (self.n, *rows.shape[1:])
                        joined[name] = NpyOnDisk.create(asides[name], rows.dtype, shape)
                    joined[name].write(piece.start, rows)
        for array in joined.values():
            array.flush()
        if self.like is not None:
            self.like.write(self.folder, {name: np.load(path, mmap_mode="r") for name, path in asides.items()})
            for path in asides.values():
                path.unlink()
            return
        if self.request["format"] == "npy":
            for name, path in zip(self.arrays, self._whole(), strict=True):
                os.replace(asides[name], path)
            return
        (path,) = self._whole()
        aside = path.with_name(f".{path.name}.tmp-{os.getpid()}")
        if self.request["format"] == "npz":
            with open(aside, "wb") as stream:
                np.savez(stream, **{name: array.read() for name, array in joined.items()})  # type: ignore[arg-type]
        else:
            with needs("h5py", "science", "HDF5").File(aside, "w") as file:
                for name, array in joined.items():
                    file.create_dataset(name, data=array.read())
        os.replace(aside, path)
        for unused in asides.values():
            unused.unlink()

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self.manifest.read_text(encoding="utf-8"))
            return {**content, "finished": bool(content.get("finished", True)), "piece": int(content.get("piece", 1))}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise InputError(f"{self.manifest}: cannot be read ({error}); give another --out, or remove it") from None

    def _note(self, finished: bool, uncertainty: Uncertainty | None = None) -> None:
        content = {**self._about, **self.request, "piece": self._piece, "finished": finished}
        if uncertainty is not None:
            content["uncertainty"] = uncertainty.to_dict()
        write_part(self.manifest, (json.dumps(content, indent=1) + "\n").encode())


def read_samples(folder: Path, rows: Sequence[int] | None = None) -> Tensor:
    """Samples that `ambientkit sample` wrote as samples.npy, in data units, channels first: (n, *S), float32. rows:
    which; None for all.

    Raises InputError where they are not there, not complete, or in counts, which cannot be taken back.
    """
    manifest, file = folder / "samples.json", folder / "samples.npy"
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        units, finished = OwnUnits.from_plain(content["units"]), content["finished"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{manifest}: cannot be read as what `ambientkit sample` writes ({error})") from None
    if not finished or not file.is_file():
        raise InputError(
            f"{file}: "
            + ("is not there; draw with --format npy" if finished else "is not complete: run the same command again")
        )
    values = np.load(file, mmap_mode="r", allow_pickle=False)
    return units.to_unit(np.asarray(values if rows is None else values[list(rows)]))


def pieces_of(n: int, batch: int) -> int:
    """A size of pieces: one batch, or several where n is so large that all processes still find enough pieces."""
    return batch * max(1, min(256 // batch, n // (16 * batch)))


def _rows_of(
    folder: Path, form: Format, name: str, index: int, row: NDArray[Any]
) -> Iterator[tuple[Path, NDArray[Any]]]:
    """The file of a row of an array, and what it holds; the draws of a row have one each."""
    stem = folder / f"{index:08}"
    if name != "draws":
        yield stem.with_suffix(form.suffix), row
    else:
        for number, draw in enumerate(row):
            yield stem.with_name(f"{stem.name}-{number:03}{form.suffix}"), draw


def _write_unflushed(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise RunError(f"{path}: cannot be written ({error.strerror}); the same command goes on from here") from error


def _flush(files: list[Path]) -> None:
    for file in files:
        with open(file, "rb+") as stream:
            os.fsync(stream.fileno())


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()
