"""The scientist's job, end to end, on files of ten instruments (`instrument_jobs.py`): three commands as a stranger
gives them, with nothing said of the files, and what came of them against the truth.

python examples/benchmarks/instruments.py --out build/instruments --only stars
python examples/benchmarks/instruments.py --out build/instruments --inspect

    ambientkit inspect FILES --write run.yaml
    ambientkit train -c run.yaml --output-dir RUN
    ambientkit sample RUN --from FILES --out RESTORED

A line of instruments.jsonl in --out holds what came of each; one that is there is not run again. What the commands
print is in NAME-SEED/*.log. --inspect stops after the first command. Beside the error of the input stands that of a
Gaussian filter whose width was chosen by the truth, which nobody has.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from instrument_jobs import JOBS, Job
from scipy.ndimage import gaussian_filter
from stopped import stoppable

NORMAL, STUDENT = 1.645, 1.895
"""Half widths of 90 % intervals in stds: of a normal law, and where the std is that of eight draws (Student's t with 7
degrees of freedom: with 1.645 an exact posterior holds 85.6 %)."""
WIDTHS = (0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0)
KINDS = ("warning", "note", "error", "doubt", "violated")


def command(log: Path, *arguments: str | Path) -> tuple[int, float]:
    """Run the command line; returns (exit status, seconds)."""
    began = time.monotonic()
    print("$ ambientkit", *arguments, flush=True)
    with log.open("w") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "ambientkit", *map(str, arguments)], stdout=stream, stderr=stream, check=False
        )
    return done.returncode, time.monotonic() - began


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def said(log: Path) -> list[str]:
    """The lines of a log that warn."""
    lines = log.read_text(errors="replace").replace("\r", "\n").splitlines()
    return [line[:240] for line in lines if line.lower().startswith(KINDS)]


def filtered(job: Job, seen: np.ndarray) -> float:
    """rms error at seen values of the Gaussian filter, normalised over those, whose width is best for it."""
    axes = (1, 2)
    best = np.inf
    for width in WIDTHS:
        weight = gaussian_filter(seen.astype(float), width, axes=axes)
        blurred = gaussian_filter(np.where(seen, job.noisy, 0.0).astype(float), width, axes=axes)
        best = min(best, rms((blurred / np.maximum(weight, 1e-9) - job.truth)[seen]))
    return best


def judged(job: Job, restored: Path) -> dict[str, Any]:
    """Errors and intervals of the mean, at values that were seen and at those that were not. `inside_factor`: where std
    is multiplied by the factor that the noisy rows give."""
    sure = json.loads((restored / "restored.json").read_text()).get("uncertainty") or {}
    factor = sure.get("factor", float("nan"))
    truth = job.truth
    gone = np.zeros(truth.shape, bool) if job.missing is None else job.missing
    mean, std = (job.read(restored / part).astype(float).reshape(truth.shape) for part in ("mean", "std"))
    there = np.isfinite(mean) & np.isfinite(std)
    out: dict[str, Any] = {"not_restored": float((~there).mean()), "uncertainty": sure}
    for name, where in (("", ~gone & there), ("missing_", gone & there)):
        if not where.any():
            continue
        error = (mean - truth)[where]
        if not name:
            before = rms((job.noisy - truth)[where])
            out |= {"input": before, "ratio": rms(error) / before, "filter": filtered(job, ~gone) / before}
        out[f"{name}error"] = rms(error)
        for kind, half in (("normal", NORMAL), ("student", STUDENT), ("factor", NORMAL * factor)):
            out[f"{name}inside_{kind}"] = float((np.abs(error) <= half * std[where]).mean())
        out[f"{name}std_over_error"] = rms(std[where]) / rms(error)
    return out


def run(name: str, out: Path, seed: int, inspect_only: bool) -> dict[str, Any]:
    """One job from its files to its judgement."""
    folder = out / f"{name}-{seed}"
    made = folder / "files"
    fresh = not made.exists()
    rng = np.random.default_rng([seed, 11, sorted(JOBS).index(name)])
    if fresh:
        made.mkdir(parents=True)
        job = JOBS[name](made, rng)
    else:  # the same files again, for the truth
        again = folder / f"again-{os.getpid()}"
        again.mkdir()
        job = JOBS[name](again, rng)
    source, proposal, ran = made / job.source, folder / "run.yaml", folder / "run"
    found: dict[str, Any] = {"job": name, "seed": seed, "rows": job.truth.shape, "told": job.told, "seconds": {}}

    def step(what: str, *arguments: str | Path) -> bool:
        status, seconds = command(folder / f"{what}.log", *arguments)
        found["seconds"][what] = round(seconds)
        found.setdefault("said", {})[what] = said(folder / f"{what}.log")
        if status:
            found["failed"] = f"{what}: exit status {status}"
        return status == 0

    if not proposal.exists() and not step("inspect", "inspect", source, "--write", proposal):
        return found
    text = proposal.read_text()
    found["proposed"] = yaml.safe_load(text)
    if inspect_only:
        return found
    how = ["--resume", ran] if ran.exists() else ["-c", proposal, "--output-dir", ran]
    if not step("train", "train", *how):
        return found
    if not step("sample", "sample", ran, "--from", source, "--out", folder / "restored"):
        return found
    return found | judged(job, folder / "restored")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/instruments"), help="folder of files and results")
    parser.add_argument("--only", choices=JOBS, action="append", help="this job; by default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inspect", action="store_true", help="the first command alone; no line is kept")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    results = asked.out / "instruments.jsonl"
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    for name in asked.only or JOBS:
        before = [line for line in done if (line["job"], line["seed"]) == (name, asked.seed)]
        found = before[0] if before else run(name, asked.out, asked.seed, asked.inspect)
        if not before and not asked.inspect:
            with results.open("a") as stream:
                stream.write(json.dumps(found) + "\n")
        shown = {k: v for k, v in found.items() if asked.inspect or k not in ("proposed", "said")}
        print(json.dumps(shown, indent=1 if asked.inspect else None), flush=True)


if __name__ == "__main__":
    stoppable(main, goes_on=True)
