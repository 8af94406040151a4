"""How long the first answer takes: `import ambientkit` (at most 50 ms) and the help of the commands (at most 0.4 s).

    python examples/benchmarks/start_time.py [--times 5]

Each is a process of its own, started --times times; the least and the median of its computing time (user and system,
which other work on the machine hardly lengthens) and of its wall time are printed, less what an empty interpreter
takes for the import. A ratio or a limit is judged by whoever reads it: no test depends on it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

from stopped import stoppable

COMMANDS = ("train", "sample", "inspect", "verify")


def measured(times: int, *arguments: str) -> tuple[list[float], list[float]]:
    """(computing times, wall times) of `python arguments`, s."""
    computing, wall = [], []
    for _ in range(times):
        before, began = os.times(), time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        wall.append(time.perf_counter() - began)
        after = os.times()
        computing.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return computing, wall


def line(name: str, computing: list[float], wall: list[float], less: tuple[float, float] = (0.0, 0.0)) -> str:
    """A line of the table, in milliseconds; less: computing and wall time that are taken away."""
    figures = [f(times) - away for times, away in zip((computing, wall), less) for f in (min, statistics.median)]
    return f"{name:32}" + "".join(f"{1e3 * figure:12.0f}" for figure in figures)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="processes of each kind")
    times = parser.parse_args().times
    if times < 1:
        parser.error(f"--times {times}: should be at least 1")
    print(f"{'ms':32}{'CPU, least':>12}{'median':>12}{'wall, least':>12}{'median':>12}")
    empty = measured(times, "-c", "pass")
    print(line("an empty interpreter", *empty))
    print(line("import ambientkit", *measured(times, "-c", "import ambientkit"), less=(min(empty[0]), min(empty[1]))))
    print(line("ambientkit --help", *measured(times, "-m", "ambientkit", "--help")))
    for command in COMMANDS:
        print(line(f"ambientkit {command} --help", *measured(times, "-m", "ambientkit", command, "--help")))


if __name__ == "__main__":
    stoppable(main)
