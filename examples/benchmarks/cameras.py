"""A microscopist's job by the three commands of the front page, for cameras that are simulated: how far is a restored
picture from the truth, and is its uncertainty honest?

python examples/benchmarks/cameras.py --out build/cameras --only sharp
python examples/benchmarks/cameras.py --out build/cameras

For each camera 300 pictures of 64 x 64, or 96 x 96, are written as 16-bit TIFFs, and nothing else is said of them. Then

    ambientkit inspect FOLDER --write run.yaml
    ambientkit train -c run.yaml --output-dir RUN
    ambientkit sample RUN --from FOLDER --output-dir RESTORED

With --frames N the first N pictures are restored and judged (`sample --n N`); all are trained on. A line of
cameras.jsonl in --out holds what came of each; one that is there is not run again. Noise by the camera model of EMVA
1288 (`field_sets.camera`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from field_sets import SCENES, camera
from scipy.ndimage import zoom
from stopped import stoppable

PICTURES = 300
INSIDE = 1.645
"""Standard deviations on each side that hold 90 % of a normal law."""


class Camera(NamedTuple):
    """The scene and the camera: photons at brightness 1, file units per photon, offset and read noise."""

    scene: str
    photons: float
    gain: float
    offset: float
    read: float
    size: int = 64
    """Pixels along a side."""
    shift: int = 0
    """Bits that stand empty below the camera's own, as 12 bits are kept in 16."""


CAMERAS = {
    "sharp": Camera("cells", 150, 0.8, 300, 3),
    "coarse": Camera("filaments", 60, 3.5, 50, 12),
    "bright": Camera("tissue", 250, 1.4, 1000, 5),
    "shifted": Camera("filaments", 90, 2.2, 100, 4, size=96, shift=4),
}


def pictures(one: Camera, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(what would be read without noise, what is read), (n, size, size), file units."""
    rng = np.random.default_rng([seed, 7])
    scenes: list[np.ndarray] = []
    while sum(map(len, scenes)) < PICTURES:
        scenes.append(SCENES[one.scene](rng))
    clean = np.concatenate(scenes)[:PICTURES, 0]
    clean = zoom(clean, (1, *[one.size / side for side in clean.shape[1:]]), order=1)
    noisy = camera(clean, rng, one.photons, one.gain, one.offset, one.read)
    step = 2**one.shift
    return step * (one.gain * (clean * one.photons + 2) + one.offset), step * noisy.astype(np.uint16)


def command(*arguments: str | Path) -> float:
    """Run the command line; returns its seconds."""
    began = time.monotonic()
    print("$ ambientkit", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "ambientkit", *map(str, arguments)], check=True)
    return time.monotonic() - began


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def job(name: str, folder: Path, seed: int, more: list[str], frames: int = PICTURES) -> dict[str, object]:
    """The whole job, and its judgement on the first `frames` pictures. more: further flags of `train`."""
    one, source = CAMERAS[name], folder / f"{name}-{seed}"
    clean, noisy = pictures(one, seed)
    files = [f"cell_{number:03}.tif" for number in range(len(noisy))]
    if not source.exists():
        source.mkdir(parents=True)
        for file, picture in zip(files, noisy, strict=True):
            tifffile.imwrite(source / file, picture)
    parts = ("run.yaml", "run", "restored" if frames == PICTURES else f"restored-{frames}")
    proposal, run, restored = (folder / f"{name}-{seed}-{part}" for part in parts)
    seconds = {}
    if not proposal.exists():
        seconds["inspect"] = command("inspect", source, "--write", proposal)
    again = ["--resume", run] if run.exists() else ["-c", proposal, "--output-dir", run, *more]
    seconds["train"] = command("train", *again)
    first = [] if frames == PICTURES else ["--n", str(frames)]
    seconds["sample"] = command("sample", run, "--from", source, *first, "--output-dir", restored)
    clean, noisy, files = clean[:frames], noisy[:frames], files[:frames]
    mean, std = (np.stack([tifffile.imread(restored / part / file) for file in files]) for part in ("mean", "std"))
    error = mean - clean
    inside = np.abs(error) <= INSIDE * std
    status = json.loads((run / "status.json").read_text()) if (run / "status.json").exists() else {}
    return {
        **{"camera": name, "seed": seed, "frames": frames, **one._asdict()},
        **{"error_of_input": rms(noisy - clean), "error": rms(error), "ratio": rms(error) / rms(noisy - clean)},
        **{"inside_90": float(inside.mean()), "std_over_error": rms(std) / rms(error)},
        **{"seconds": seconds, "step": status.get("step"), "proposed": proposal.read_text()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/cameras"), help="folder of pictures, runs and results")
    parser.add_argument("--only", choices=CAMERAS, action="append", help="this camera; by default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=PICTURES, help="pictures that are restored and judged")
    parser.add_argument("--end-step", type=int, help="steps, where those proposed (five minutes) are not wanted")
    asked = parser.parse_args()
    if not 1 <= asked.frames <= PICTURES:
        parser.error(f"--frames: should be from 1 to {PICTURES}")
    asked.out.mkdir(parents=True, exist_ok=True)
    results = asked.out / "cameras.jsonl"
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    for name in asked.only or CAMERAS:
        key = (name, asked.seed, asked.frames)
        judged = [line for line in done if (line["camera"], line["seed"], line.get("frames", PICTURES)) == key]
        found = judged[0] if judged else None
        if found is None:
            more = ["--end-step", str(asked.end_step)] if asked.end_step else []
            found = job(name, asked.out, asked.seed, more, asked.frames)
            with results.open("a") as stream:
                stream.write(json.dumps(found) + "\n")
        share = f"error {found['error']:.3g} of {found['error_of_input']:.3g} file units ({found['ratio']:.2f})"
        print(
            f"{name}, seed {asked.seed}, {asked.frames} pictures: {share}; 90 % intervals hold "
            f"{found['inside_90']:.1%}; std / error {found['std_over_error']:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    stoppable(main, goes_on=True)
