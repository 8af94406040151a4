"""`ambientkit corrupt`: a faithful noisy copy of clean data."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from tqdm import tqdm

from ambientkit.cli.output import progress_wanted
from ambientkit.config.datapath import data_spec, with_bad_files
from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption, Data
from ambientkit.noisy_copy import KIND, MANIFEST, corrupt, file_hashes, own_level
from ambientkit.registry import load, spec_of
from ambientkit.rows import as_rows
from ambientkit.versions import versions


def run(
    source: str,
    target: Path,
    sigma: str,
    seed: int,
    workers: int,
    again: bool,
    force_8_bit: bool,
    on_bad_file: str | None = None,
) -> None:
    """The whole command. Raises InputError where the source is noisy already, or the target is taken."""
    registry = load()
    level = _level(sigma)
    fields = data_spec(source, registry, "SRC")
    fields = with_bad_files(dict(fields) if isinstance(fields, dict) else {"name": fields}, on_bad_file, registry)
    if not again:
        _refuse_copies(Path(source))
        if "clean" in registry.find("data", fields["name"]).part.model_fields and "sigma_n" not in fields and "counts" not in fields:
            fields["clean"] = True
    part = registry.build(Data, fields)
    corruption = registry.build(Corruption, {"name": "gaussian", "sigma_n": level})
    rows = part.rows()
    if len(rows) == 0:  # type: ignore[arg-type]
        raise InputError(f"{source}: the data set has no rows")
    if own_level(rows[0]) > 0 and not again:
        raise InputError(f"{source}: these rows are noisy already (sigma_n {own_level(rows[0]):.4g}). To add noise to noise say --again")
    path = Path(source)
    about = {
        "source": spec_of(part),
        "source_files_sha256": file_hashes(path) if path.exists() else {},
        "source_mapping": str(as_rows(rows).mapping),
        "source_left_out": list(as_rows(rows).left_out),
        "made_by": {"ambientkit": versions()["ambientkit"]} if "ambientkit" in versions() else {},
    }
    steps = corrupt(rows, corruption, target, seed, about, workers=workers, eight_bit=force_8_bit, again=again)
    with tqdm(desc="corrupting", unit="piece", leave=False, disable=not progress_wanted()) as bar:
        for done, pieces in steps:
            bar.total = pieces
            bar.update(done - bar.n)
    if force_8_bit:
        print(f"warning: {target}: 8-bit pictures clip and round the noise; they are for the eye, and `train` refuses them")
        return
    print(f"{target}: {len(rows):,} noisy rows with their manifest")  # type: ignore[arg-type]
    print(f"next: ambientkit train --data {shlex.quote(str(target))}")


def _level(text: str) -> float | list[float]:
    words = text.split(",")
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) not in (1, 2) or not all(0 < value < 1e6 for value in values) or values != sorted(values):
        raise InputError(f"--sigma {text}: should be a number above 0, or LOW,HIGH, in units of [-1, 1]")
    return values[0] if len(values) == 1 else values


def _refuse_copies(path: Path) -> None:
    """What this command made is not taken for clean, whichever file of it is named."""
    for folder in (path, path.parent):
        manifest = folder / MANIFEST
        if path.exists() and manifest.is_file():
            try:
                kind = json.loads(manifest.read_text(encoding="utf-8")).get("kind")
            except (ValueError, AttributeError):
                continue
            if kind == KIND:
                raise InputError(f"{path}: was made by `ambientkit corrupt` and is noisy already. To add noise to noise say --again")
