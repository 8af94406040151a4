"""How fast each format is read, and in how much memory: python examples/benchmarks/read_speed.py [--rows 2000] [--side
64]

Each reader runs in a process of its own, at 1 time and 10 times the rows (--times), with 0, 1 and 4 workers. Memory is
the growth of the largest resident size over that of the same process before it opened the data, the format's library
loaded: shared pages of memory-mapped files count in it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from stopped import stoppable

from ambientkit.interfaces import Data

FORMATS = (
    "array",
    "npz",
    "hdf5",
    "zarr",
    "tiff-stack",
    "image-folder",
    "fits",
    "nifti",
    "webdataset",
    "hf-dataset",
    "parquet-streaming",
)
WORKERS = (0, 1, 4)
LIBRARIES = {
    "hdf5": "h5py",
    "zarr": "zarr",
    "tiff-stack": "tifffile",
    "image-folder": "PIL.PngImagePlugin",
    "fits": "astropy.io.fits",
    "nifti": "nibabel",
    "hf-dataset": "datasets",
}


def write(name: str, folder: Path, n: int, side: int) -> dict[str, object] | None:
    """Files of one format with n rows (1, side, side), float32, except PNG; None where the library is missing."""
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((1, side, side)).astype(np.float32) for _ in range(n))
    try:
        if name in ("array", "npz", "hf-dataset", "nifti"):
            x = np.stack(list(rows))
        if name == "array":
            np.save(folder / "x.npy", x)
            return {"name": "array", "path": str(folder / "x.npy")}
        if name == "npz":
            np.savez(folder / "x.npz", rows=x)
            return {"name": "array", "path": str(folder / "x.npz"), "layout": "NCHW"}
        if name == "hdf5":
            import h5py

            with h5py.File(folder / "x.h5", "w") as file:
                array = file.create_dataset("rows", (n, 1, side, side), "f4", chunks=(1, 1, side, side))
                for i, row in enumerate(rows):
                    array[i] = row
            return {"name": "hdf5", "path": str(folder / "x.h5")}
        if name == "zarr":
            import zarr

            array = zarr.create_array(
                str(folder / "z"), shape=(n, 1, side, side), chunks=(16, 1, side, side), dtype="f4"
            )
            for start in range(0, n, 16):
                array[start : start + 16] = np.stack([next(rows) for _ in range(min(16, n - start))])
            return {"name": "zarr", "path": str(folder / "z")}
        if name == "tiff-stack":
            import tifffile

            for k, start in enumerate(range(0, n, 100)):
                pages = np.stack([next(rows)[0] for _ in range(min(100, n - start))])
                tifffile.imwrite(folder / f"{k:06}.tif", pages, photometric="minisblack")
            return {"name": "tiff-stack", "path": str(folder)}
        if name == "image-folder":
            from PIL import Image

            for i, row in enumerate(rows):
                Image.fromarray((row[0] * 30 + 128).clip(1, 254).astype(np.uint8)).save(folder / f"{i:08}.png")
            return {"name": "image-folder", "path": str(folder)}
        if name == "fits":
            from astropy.io import fits

            for i, row in enumerate(rows):
                fits.PrimaryHDU(row[0]).writeto(folder / f"{i:08}.fits")
            return {"name": "fits", "path": str(folder)}
        if name == "nifti":
            import nibabel

            nibabel.save(nibabel.Nifti1Image(np.moveaxis(x[:, 0], 0, -1), np.eye(4)), folder / "x.nii")
            return {"name": "nifti", "path": str(folder), "slices": "z"}
        if name == "webdataset":
            import io

            import webdataset

            for k, start in enumerate(range(0, n, 500)):
                with webdataset.TarWriter(str(folder / f"{k:06}.tar")) as sink:
                    for i in range(start, min(start + 500, n)):
                        data = io.BytesIO()
                        np.save(data, next(rows))
                        sink.write({"__key__": f"{i:09}", "npy": data.getvalue()})
            return {"name": "webdataset", "path": str(folder)}
        if name == "parquet-streaming":
            import pyarrow
            import pyarrow.parquet

            with pyarrow.parquet.ParquetWriter(
                folder / "x.parquet", pyarrow.schema([("x", pyarrow.list_(pyarrow.float32(), side * side))])
            ) as sink:
                for start in range(0, n, 500):
                    part = np.stack([next(rows) for _ in range(min(500, n - start))]).ravel()
                    sink.write_table(
                        pyarrow.table({"x": pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(part), side * side)})
                    )
            return {"name": "hf-dataset", "path": str(folder / "x.parquet"), "layout": "N...", "streaming": True}
        import datasets

        datasets.disable_progress_bars()
        features = datasets.Features({"x": datasets.Array3D((1, side, side), "float32")})
        datasets.Dataset.from_dict({"x": list(x)}, features=features).save_to_disk(str(folder / "d"))
        return {"name": "hf-dataset", "path": str(folder / "d"), "layout": "NCHW"}
    except ImportError:
        return None


def measure(spec: dict[str, object], workers: int, rows: int) -> dict[str, float]:
    """Open, check and read: seconds of the check, rows a second in random order, MiB of growth."""
    import torch
    from torch.utils.data import DataLoader

    from ambientkit.data import KeyedBatches
    from ambientkit.registry import load

    torch.set_num_threads(1)
    registry = load()
    if spec["name"] in LIBRARIES:
        importlib.import_module(LIBRARIES[str(spec["name"])])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    data = registry.build(Data, {**spec, "clean": True}).rows()  # type: ignore[attr-defined]
    checked = time.monotonic() - began
    blocks = data.source.blocks() if hasattr(getattr(data, "source", None), "blocks") else None
    order = KeyedBatches(len(data), 50, 0, blocks=blocks)
    loader = DataLoader(data, batch_sampler=order, num_workers=workers, generator=torch.Generator())
    batches = iter(loader)
    next(batches)  # the workers have started
    began = time.monotonic()
    for _ in range(rows // 50):
        next(batches)
    speed = rows / (time.monotonic() - began)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"check_s": checked, "rows_per_s": speed, "MiB": grown / 1024}


def main() -> None:
    """Measure every format and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000, help="rows of the smallest size")
    parser.add_argument("--times", type=int, nargs="*", default=(1, 10), help="sizes, in units of --rows")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--formats", nargs="*", default=FORMATS, choices=FORMATS)
    parser.add_argument("--workers", type=int, nargs="*", default=WORKERS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(**json.loads(given.one))))
        return
    print(f"rows of 1 x {given.side} x {given.side}; random order (by shards for webdataset); file cache warm")
    speeds = " | ".join(f"rows/s, {n} workers" for n in given.workers)
    print(f"| format | rows | check s | {speeds} | MiB grown |\n|---|---|---|{'---|' * len(given.workers)}---|")
    for name in given.formats:
        for n in (times * given.rows for times in given.times):
            with tempfile.TemporaryDirectory() as folder:
                spec = write(name, Path(folder), n, given.side)
                if spec is None:
                    print(f"| {name} | library not installed | |{' |' * len(given.workers)} |")
                    break
                found = []
                for workers in given.workers:
                    task = json.dumps({"spec": spec, "workers": workers, "rows": min(given.rows, 2000)})
                    done = subprocess.run(
                        [sys.executable, __file__, "--one", task], capture_output=True, text=True, check=True
                    )
                    found.append(json.loads(done.stdout.splitlines()[-1]))
                speeds = " | ".join(f"{one['rows_per_s']:,.0f}" for one in found)
                print(f"| {name} | {n:,} | {found[0]['check_s']:.1f} | {speeds} | {found[0]['MiB']:.0f} |", flush=True)


if __name__ == "__main__":
    stoppable(main)
