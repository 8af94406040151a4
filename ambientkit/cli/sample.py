"""`ambientkit sample`."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ambientkit.checkpoint.folder import write_file
from ambientkit.cli.output import progress_wanted
from ambientkit.errors import InputError
from ambientkit.interfaces import Sampler
from ambientkit.registry import load
from ambientkit.sample import draw, load_run, step_grid
from ambientkit.sample.picture import grid, png


def run(path: Path, n: int, steps: int, seed: int, out: Path | None, sampler: str, batch_size: int, device: str) -> None:
    """Write samples.npy, samples.png and samples.json to `out`."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    registry = load()
    trained = load_run(path, registry, device)
    part = registry.build("sampler", sampler)
    assert isinstance(part, Sampler)
    folder = out or (path if path.is_dir() else path.parent) / "samples" / f"seed-{seed}"
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: is a file, not a folder")

    began = time.monotonic()
    batches = draw(
        trained.denoiser,
        part,
        trained.signal.shape,
        n,
        sigmas=step_grid(steps, trained.config.levels.as_levels()),
        seed=seed,
        batch_size=batch_size,
        device=device,
    )
    drawn = []
    with tqdm(total=n, unit="sample", desc="sampling", disable=not progress_wanted()) as bar:
        for batch in batches:
            drawn.append(batch.cpu())
            bar.update(len(batch))
    samples = torch.cat(drawn)
    if not samples.isfinite().all():
        raise InputError(
            f"{path}: the samples are not finite; the run has diverged, or --sampler {sampler} with --steps {steps} does not suit it"
        )

    folder.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    np.save(stream, samples.numpy().astype(np.float32), allow_pickle=False)
    write_file(folder / "samples.npy", stream.getvalue())
    facts = {
        "run": str(path),
        "step": trained.step,
        "n": n,
        "steps": steps,
        "seed": seed,
        "sampler": sampler,
        "units": "[-1, 1], unclipped",
    }
    write_file(folder / "samples.json", json.dumps(facts, indent=1).encode())
    picture = grid(samples)
    if picture is not None:
        write_file(folder / "samples.png", png(picture))
    reach = float(samples.abs().max())
    if reach > 5:
        print(f"warning: samples reach {reach:.3g}, far beyond the data's [-1, 1]: train longer, or take more --steps")
    print(f"{n} samples of shape {trained.signal.shape} in {time.monotonic() - began:.1f} s: {folder / 'samples.npy'}")
    print(
        f"picture: {folder / 'samples.png'}"
        if picture is not None
        else "no picture: rows of this shape are neither images nor points of a plane"
    )
