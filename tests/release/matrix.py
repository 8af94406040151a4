"""Install what is released into empty environments, and use it: the table of docs/install.md.

    python tests/release/matrix.py --work FOLDER [--only WORD ...]

For each interpreter, and for the newest and the least versions that the packages allow, an environment is made by uv
from the wheels of `build.py`, with nothing of this checkout in it. In it, in an empty folder: the import, `verify
--quick`, 20 steps of `train`, `sample` and `report` by each model of the plug-in. One environment exists at a time.
Results are kept in FOLDER/results.json, so that a run that was stopped goes on; `--write` puts them into the page.

Needs git, uv and the interpreters; about 15 GB for uv's cache and three minutes per environment. Not part of CI.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.release.build import PACKAGES, ROOT, build

PAGE = ROOT / "docs" / "install.md"
BEGIN, END = "<!-- environments: written by tests/release/matrix.py -->", "<!-- end of environments -->"
SHOWN = ("torch", "numpy", "pydantic", "accelerate", "huggingface-hub", "scikit-image", "diffusers", "k-diffusion")
RESOLUTION = {"newest": "highest", "least": "lowest-direct"}
MODELS = {"core": ("mlp",), "diffusers": ("mlp", "unet2d"), "kdiffusion": ("mlp", "image_v1")}
SETTINGS = {
    "mlp": ["--set", "model.width=32"],
    "unet2d": ["--set", "model.channels=[32, 32]"],
    "image_v1": ["--set", "model.channels=[8, 8]", "--set", "model.depths=[1, 1]"],
}
"""Small networks: what is tested is that they run at all."""


@dataclass(frozen=True)
class Case:
    """One environment."""

    python: str
    """Such as "3.11"."""
    versions: str
    """"newest" or "least"."""
    packages: str
    """"core", or a plug-in with it."""

    @property
    def name(self) -> str:
        """Such as "3.11-least-core"."""
        return f"{self.python}-{self.versions}-{self.packages}"


CASES = [
    Case(python, versions, packages)
    for packages in ("core", "diffusers", "kdiffusion")
    for python in ("3.11", "3.12", "3.13")
    for versions in RESOLUTION
]


EXAMPLES = {
    "plugin-objective": "eps-tweedie",
    "plugin-contrast": "contrast-tweedie",
    "plugin-microscope": "microscope",
    "plugin-azula": "azula-unet",
}
"""Example plug-ins, and the part of each that `verify` is asked about; beside the newest versions of the core alone."""


class Failed(Exception):
    """A step of a case that failed: what, and the end of what it printed."""


def requirements(packages: str) -> list[str]:
    """The direct dependencies of the core and, where it is named, of the plug-in: those that `lowest-direct` means."""
    found = []
    for package in ["."] + [one for one in PACKAGES if one.endswith(f"/{packages}")]:
        project = tomllib.loads((ROOT / package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        found += [one for one in project["dependencies"] if one != "ambientkit"]
    return found


def install(case: Case, folder: Path, dist: Path, uv: str, python: str) -> dict[str, str]:
    """Make the environment; the versions of `SHOWN` in it. Raises Failed."""
    wanted, found = folder / "wanted.in", folder / "found.txt"
    wanted.write_text("\n".join(requirements(case.packages)), encoding="utf-8")
    # some of k-diffusion's dependencies have no wheels; of the others nothing is ever built
    only = [] if case.packages == "kdiffusion" else ["--only-binary", ":all:"]
    options = ["--resolution", RESOLUTION[case.versions], "--no-annotate", "--no-header", *only]
    _run([uv, "pip", "compile", "-q", "--python", python, *options, str(wanted), "-o", str(found)])
    _run([uv, "venv", "-q", "--python", python, str(folder / "env")])
    inside = str(folder / "env" / "bin" / "python")
    _run([uv, "pip", "install", "-q", "--python", inside, *only, "-r", str(found)])
    names = ["ambientkit"] + ([] if case.packages == "core" else [f"ambientkit_{case.packages}"])
    wheels = [str(next(dist.glob(f"{name}-*.whl"))) for name in names]
    _run([uv, "pip", "install", "-q", "--python", inside, "--no-deps", *wheels])
    _run([uv, "pip", "check", "-q", "--python", inside])
    listed = json.loads(_run([uv, "pip", "list", "--python", inside, "--format", "json"]))
    return {one["name"]: one["version"] for one in listed if one["name"] in SHOWN}


def use(case: Case, folder: Path, verify: bool = True) -> list[str]:
    """Use it as a reader of the tour would; the steps that passed. Raises Failed for the first that does not."""
    command = str(folder / "env" / "bin" / "ambientkit")
    python, at = str(folder / "env" / "bin" / "python"), folder / "empty"
    at.mkdir()
    _run([python, "-c", "import ambientkit as ak; assert ak.parts().entries; import ambientkit.testing"], at)
    listed = _run([command, "plugins"], at)
    if case.packages != "core" and f"ambientkit-{case.packages}" not in listed:
        raise Failed(f"`ambientkit plugins` lists nothing of the plug-in:\n{listed}")
    passed = ["import"]
    if verify:
        _run([command, "verify", "--quick"], at)
        passed.append("verify --quick")
    for model in MODELS[case.packages]:
        run = ["--data", "digits", "--model", model, *SETTINGS[model], "--end-step", "20", "--batch-size", "16"]
        _run([command, "train", *run, "--skip-preflight", "--output-dir", model], at)
        _run([command, "sample", model, "-n", "4", "--steps", "4", "--out", f"{model}-drawn"], at)
        _run([command, "report", model, "-n", "4", "--steps", "4", "--rows", "8", "--out", f"{model}.html"], at)
        passed += [f"{model}: train, sample, report"]
    return passed


def use_examples(folder: Path, uv: str) -> list[str]:
    """Install each example plug-in with what it needs, and verify its part; the steps that passed. Raises Failed."""
    python, command, passed = folder / "env" / "bin" / "python", folder / "env" / "bin" / "ambientkit", []
    for name, part in EXAMPLES.items():
        source = folder / name
        shutil.copytree(
            ROOT / "examples" / name, source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
        )
        _run([uv, "pip", "install", "-q", "--python", str(python), str(source)])
        _run([str(command), "verify", part, "--quick"], folder / "empty")
        passed.append(f"{name}: verify")
    return passed


def refused(case: Case, dist: Path, uv: str, python: str, folder: Path) -> str:
    """The line by which pip refuses a plug-in that this interpreter cannot have, and how soon. Raises Failed."""
    _run([uv, "venv", "-q", "--seed", "--python", python, str(folder / "env")])
    started = time.monotonic()
    done = subprocess.run(
        [folder / "env" / "bin" / "python", "-m", "pip", "install", *dist.glob("*.whl")], capture_output=True, text=True
    )
    lines = [line for line in done.stderr.splitlines() if "requires a different Python" in line]
    if done.returncode == 0 or not lines:
        raise Failed(f"pip was expected to refuse it:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return f"refused by pip after {time.monotonic() - started:.0f} s, before anything is built"


def interpreter(uv: str, python: str) -> str:
    """The path of an interpreter that is installed already. Raises Failed."""
    return _run([uv, "python", "find", "--no-python-downloads", "--system", python]).strip()


def run_case(case: Case, dist: Path, uv: str, work: Path, verify: bool) -> dict[str, object]:
    """The result of one case, as it is kept."""
    started = time.monotonic()
    result: dict[str, object] = {**asdict(case), "versions_found": {}, "passed": [], "failed": None}
    folder = Path(tempfile.mkdtemp(prefix=f"{case.name}-", dir=work))
    try:
        python = interpreter(uv, case.python)
        if case.packages == "kdiffusion" and case.python == "3.13":
            result["passed"] = [refused(case, dist, uv, python, folder)]
        else:
            result["versions_found"] = install(case, folder, dist, uv, python)
            result["passed"] = use(case, folder, verify)
            if (case.packages, case.versions) == ("core", "newest"):
                result["passed"] += use_examples(folder, uv)
    except Failed as failure:
        result["failed"] = str(failure)
    finally:
        shutil.rmtree(folder)
    return result | {"seconds": round(time.monotonic() - started)}


def table(results: dict[str, dict]) -> str:
    """The results as a table of the page."""
    lines = ["| Python | packages | versions | installed | result |", "|---|---|---|---|---|"]
    for case in CASES:
        if (found := results.get(case.name)) is None:
            continue
        versions = ", ".join(f"{name} {version}" for name, version in found["versions_found"].items())
        outcome = "FAILED" if found["failed"] else "; ".join(found["passed"])
        packages = "core" if case.packages == "core" else f"core, {case.packages}"
        lines.append(f"| {case.python} | {packages} | {case.versions} | {versions or '-'} | {outcome} |")
    return "\n".join(lines)


def put(page: str, text: str) -> str:
    """The page with the table between its two marks."""
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}"


def _run(words: list[str], at: Path | None = None) -> str:
    """What a command prints. Raises Failed where it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        words, cwd=at, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=3000
    )
    if done.returncode:
        raise Failed(f"`{' '.join(words)}` ended with status {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def main() -> None:
    """Run the cases that are asked for and not done; exit status 1 where one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for wheels, environments and results")
    parser.add_argument("--only", nargs="*", default=[], help="words that the name of a case holds: 3.12 least core")
    parser.add_argument("--again", action="store_true", help="repeat cases that passed before")
    parser.add_argument("--uv", default="uv", help="the program [uv]")
    parser.add_argument("--skip-verify", action="store_true", help="leave out the longest step; the table shows it")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    arguments = parser.parse_args()
    work, kept = arguments.work.resolve(), arguments.work.resolve() / "results.json"
    work.mkdir(parents=True, exist_ok=True)
    results = json.loads(kept.read_text()) if kept.is_file() else {}
    build(work / "dist")
    for case in CASES:
        parts = case.name.split("-")
        done = case.name in results and not results[case.name]["failed"] and not arguments.again
        if done or not all(word in parts for word in arguments.only):
            continue
        results[case.name] = found = run_case(case, work / "dist", arguments.uv, work, not arguments.skip_verify)
        kept.write_text(json.dumps(results, indent=1) + "\n")
        print(f"{case.name}: {found['failed'] or 'passed'} ({found['seconds']} s)", flush=True)
    print(table(results))
    if arguments.write:
        PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), table(results)), encoding="utf-8")
    sys.exit(any(found["failed"] for found in results.values()))


if __name__ == "__main__":
    main()
