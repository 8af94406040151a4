"""What only a GPU can show, in at most ten minutes on one card: a table, and the same as JSON.

    python examples/benchmarks/gpu.py [--json FILE] [--device cuda] [--steps 200] [--pixels 64] [--batch-size 256]

    training    steps per second, peak memory and steps left out, in float32, bf16 and fp16, and with --compile
    sampling    samples per second, and whether they are finite
    resume      the largest difference of the averaged weights between a run and the same run stopped half way
    step        the ratios of examples/benchmarks/step.py at the size given
    cards       a run under torchrun on one card, and on two where there are two (NCCL)

Without a card it says so in one line, and ends with status 0. The status is 1 where a line failed. `--device cpu` runs
the same walk on the CPU, without fp16 and the cards, to try the script itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from stopped import stoppable

import ambientkit as ak
from ambientkit.checkpoint.names import METRICS, WEIGHTS
from ambientkit.maths.randomness import keyed_generator

SIGMA_N, ROWS = 0.2, 2048


class Line(NamedTuple):
    """One line of the table."""

    what: str
    case: str
    figures: dict[str, float]
    failed: str = ""


def rows(args: argparse.Namespace) -> torch.Tensor:
    """Smooth random pictures with noise of the level that is declared."""
    generator = keyed_generator(0, "gpu.rows")
    coarse = 0.7 * torch.randn(ROWS, 3, 4, 4, generator=generator).clamp(-1.4, 1.4)
    x_0 = torch.nn.functional.interpolate(coarse, size=(args.pixels, args.pixels), mode="bilinear")
    return x_0 + SIGMA_N * torch.randn(x_0.shape, generator=generator)


def settings(args: argparse.Namespace, folder: Path, **changes: Any) -> dict[str, Any]:
    """A run as `ak.train` takes it."""
    common = {"sigma_n": SIGMA_N, "model": {"name": args.model, **args.fields}, "device": args.device, "seed": 0}
    common |= {"end_step": args.steps, "batch_size": args.batch_size, "log_every": args.steps, "hold_out": 0.0}
    return common | {"output_dir": folder, "skip_preflight": True} | changes


def training(args: argparse.Namespace, folder: Path) -> Iterator[Line]:
    """A run of each precision, and one that is compiled."""
    cuda = args.device != "cpu"
    cases: dict[str, dict[str, Any]] = {"float32": {}, "bf16": {"mixed_precision": "bf16"}}
    cases |= {"fp16": {"mixed_precision": "fp16"}, "bf16, --compile": {"mixed_precision": "bf16", "compile": True}}
    for case, changes in cases.items():
        if not cuda and case not in ("float32", "bf16"):
            continue
        if cuda:
            torch.cuda.reset_peak_memory_stats(args.device)
        warm = settings(args, folder / case, **changes)
        ak.train(rows(args), **(warm | {"end_step": args.steps // 4}))  # kernels are chosen, graphs are compiled
        began = time.perf_counter()
        run = ak.train(rows(args), **warm)  # the same call goes on
        seconds = time.perf_counter() - began
        log = [json.loads(line) for line in (run.path / METRICS).read_text().splitlines()]
        figures = {"steps per second": (args.steps - args.steps // 4) / seconds, "loss": log[-1]["loss"]}
        if cuda:
            figures["peak GiB"] = torch.cuda.max_memory_allocated(args.device) / 2**30
        finite = all(value.isfinite().all() for value in load_file(run.path / WEIGHTS).values())
        yield Line("training", case, figures, "" if finite else "weights that are not finite")


def sampling(args: argparse.Namespace, folder: Path) -> Iterator[Line]:
    """Samples of the first run."""
    run = ak.load(folder / "float32")
    run.sample(args.batch_size, seed=1)
    began = time.perf_counter()
    samples = run.sample(args.batch_size, seed=0)
    seconds = time.perf_counter() - began
    finite = bool(samples.isfinite().all())
    yield Line("sampling", "heun", {"samples per second": len(samples) / seconds}, "" if finite else "not finite")


def resume(args: argparse.Namespace, folder: Path) -> Iterator[Line]:
    """A run in one piece and in two. Kernels of a GPU are not deterministic by default, so a difference is a figure."""
    # Not the default recipe: consistency begins at a share of the run, and so earlier in half a run.
    whole = ak.train(rows(args), **settings(args, folder / "whole", objective="tweedie"))
    asked = settings(args, folder / "halves", objective="tweedie")
    ak.train(rows(args), **(asked | {"end_step": args.steps // 2}))
    halves = ak.train(rows(args), **asked)  # the same call goes on
    one, other = (load_file(run.path / WEIGHTS) for run in (whole, halves))
    largest = max(float((one[name] - other[name]).abs().max()) for name in one)
    wrong = "the CPU should give the same bits" if args.device == "cpu" and largest else ""
    yield Line("resume", "half way", {"largest difference of weights": largest}, wrong)


def step(args: argparse.Namespace, folder: Path) -> Iterator[Line]:
    """The ratios to k-diffusion's own step."""
    file = folder / "step.json"
    inline = "{" + ", ".join(f"{name}: {value}" for name, value in args.fields.items()) + "}"
    flags = [
        "--model",
        args.model + inline,
        "--size",
        args.pixels,
        "--batch-size",
        args.batch_size,
        "--rounds",
        args.rounds,
    ]
    command = [sys.executable, Path(__file__).with_name("step.py"), "--device", args.device, "--json", file, *flags]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if done.returncode:
        yield Line("step", "k-diffusion", {}, last_line(done))
        return
    by_arm: dict[str, dict[str, float]] = {}
    for row in json.loads(file.read_text()):
        by_arm.setdefault(row["arm"], {})[row["measure"]] = row["value"]
    for arm, figures in by_arm.items():
        yield Line("step", arm, figures)


def cards(args: argparse.Namespace, folder: Path) -> Iterator[Line]:
    """A run under torchrun, on one card and on two."""
    if args.device == "cpu":
        return
    data = folder / "rows.npy"
    np.save(data, rows(args).numpy())
    for count in range(1, min(torch.cuda.device_count(), 2) + 1):
        flags = ["--data", data, "--sigma-n", SIGMA_N, "--model", args.model, "--end-step", 20, "--skip-preflight"]
        launch = [Path(sys.executable).with_name("torchrun"), "--nproc-per-node", count, "-m", "ambientkit", "train"]
        command = [*launch, *flags, "--output-dir", folder / f"cards-{count}"]
        began = time.perf_counter()
        done = subprocess.run([*map(str, command)], capture_output=True, text=True)
        failed = "" if done.returncode == 0 else last_line(done)
        yield Line("cards", f"{count} card(s), NCCL", {"seconds": time.perf_counter() - began}, failed)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that failed says last."""
    return (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]


PARTS: tuple[Callable[[argparse.Namespace, Path], Iterator[Line]], ...] = (training, sampling, resume, step, cards)


def measure(args: argparse.Namespace, folder: Path) -> list[Line]:
    """All lines; an error of one part is its line, and the others go on."""
    lines: list[Line] = []
    for part in PARTS:
        if args.only and part.__name__ not in args.only:
            continue
        try:
            lines += part(args, folder)
        except Exception as error:  # a card that runs out of memory must not hide what was measured before
            lines.append(Line(part.__name__, "-", {}, f"{type(error).__name__}: {error}"))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to try the script itself")
    parser.add_argument("--model", default="image_v1", help="a network of k-diffusion")
    parser.add_argument("--preset", default="base", help="its size: base has about 40 million parameters")
    parser.add_argument("--steps", type=int, default=200, help="steps of each run, at least 8")
    parser.add_argument("--pixels", type=int, default=64, help="height and width of the pictures")
    parser.add_argument("--batch-size", type=int, default=256, help="rows of a step")
    parser.add_argument("--rounds", type=int, default=5, help="of examples/benchmarks/step.py")
    names = [part.__name__ for part in PARTS]
    parser.add_argument("--only", nargs="+", choices=names, help="these parts alone; sampling needs training")
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    args.fields = {"preset": args.preset}
    if args.device != "cpu" and not torch.cuda.is_available():
        print("no GPU here: nothing was measured (--device cpu tries the script itself)")
        return
    with tempfile.TemporaryDirectory() as folder:
        lines = measure(args, Path(folder))
    where = "cpu" if args.device == "cpu" else torch.cuda.get_device_name(args.device)
    table = Table(
        title=f"{where}, torch {torch.__version__}, 3 x {args.pixels} x {args.pixels}, batch {args.batch_size}"
    )
    for heading in ("what", "case", "figures"):
        table.add_column(heading)
    for line in lines:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in line.figures.items())
        table.add_row(line.what, line.case, f"FAILED: {line.failed}" if line.failed else figures)
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    if args.json:
        found = {"device": where, "torch": torch.__version__, "lines": [line._asdict() for line in lines]}
        args.json.write_text(json.dumps(found, indent=1))
    sys.exit(any(line.failed for line in lines))


if __name__ == "__main__":
    stoppable(main)
