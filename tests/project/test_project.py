"""Promises about the project as a whole: what importing it loads, what it leaves alone, and what its files hold."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.data.mixture import Mixture
from ambientkit.builtin.models.mlp import MLP
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.interfaces import Levels, Signal, Tools
from ambientkit.maths.noise import standard_normal, uniform
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator
from ambientkit.registry import load
from tests.support import ROOT

HELP = """
from ambientkit.cli import main
sys.argv = ["ambientkit", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def loaded_by(code: str) -> set[str]:
    """The top-level modules in `sys.modules` after running code in a fresh interpreter."""
    done = run(sys.executable, "-c", f"import sys\n{code}\nprint('\\n' + ' '.join(sorted(sys.modules)))")
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = {"torch", "torchvision", "k_diffusion", "accelerate", "typer", "numpy", "scipy", "sklearn", "pydantic"}
    assert loaded_by("import ambientkit") & heavy == set()


@pytest.mark.slow
def test_the_contracts_and_the_registry_load_neither_a_trainer_nor_a_command_line() -> None:
    heavy = {"k_diffusion", "diffusers", "accelerate", "typer", "scipy", "sklearn"}
    assert loaded_by("import ambientkit.interfaces, ambientkit.hookspecs, ambientkit.builtin.plugin") & heavy == set()


@pytest.mark.slow
def test_what_trains_and_samples_loads_no_library_of_pictures_and_no_compiler() -> None:
    """torchvision takes two thirds of the start of a command, as its import brings torch._dynamo."""
    assert loaded_by("import ambientkit.api.training, ambientkit.cli.train") & {"torchvision", "timm"} == set()


def test_asking_for_help_loads_no_torch() -> None:
    assert loaded_by(HELP) & {"torch", "numpy", "k_diffusion", "accelerate"} == set()


def test_help_works_as_a_module() -> None:
    done = run(sys.executable, "-m", "ambientkit", "--help")
    assert done.returncode == 0, done.stderr
    assert {"train", "sample"} <= set(done.stdout.split())


def test_every_module_keeps_to_its_layer() -> None:
    done = run(str(Path(sys.executable).parent / "lint-imports"), "--no-cache")
    assert done.returncode == 0, done.stdout


# --- randomness -----------------------------------------------------------------------------------------------------

DRAWS = {
    "rand",
    "randn",
    "randint",
    "randperm",
    "rand_like",
    "randn_like",
    "normal",
    "poisson",
    "multinomial",
    "bernoulli",
}
DRAWS |= {
    f"{name}_"
    for name in ("normal", "uniform", "random", "bernoulli", "exponential", "cauchy", "geometric", "log_normal")
}

SEEDS = {"torch.manual_seed", "torch.seed", "np.random.seed", "random.seed"}


def unkeyed_draws(source: str) -> Iterator[int]:
    """Lines that draw random numbers without `generator=`, or seed a global generator; the initialisers of networks may
    (see there), and so may a name that `np.random.default_rng` was assigned to."""
    tree = ast.parse(source)
    generators = {
        ast.unparse(node.targets[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("np.random.default_rng(")
    }
    initialisers = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name in ("__init__", "reset_parameters")
    ]
    exempt = {id(inner) for node in initialisers for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            keyed = (
                any(keyword.arg == "generator" for keyword in node.keywords)
                or ast.unparse(node.func.value) in generators
            )
            draws = node.func.attr in DRAWS and not keyed and id(node) not in exempt
            seeds = ast.unparse(node.func) in SEEDS
            if draws or seeds:
                yield node.lineno


def test_an_unkeyed_draw_is_noticed() -> None:
    assert list(
        unkeyed_draws("x = torch.randn(3)\ny = torch.randn(3, generator=g)\nz.normal_()\ntorch.manual_seed(0)")
    ) == [1, 3, 4]
    assert list(unkeyed_draws("r = np.random.default_rng(0)\nr.poisson(3)\nnp.random.poisson(3)")) == [3]


@pytest.mark.slow
def test_no_code_draws_from_a_global_generator() -> None:
    files = [*(ROOT / "ambientkit").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    library = [file for file in files if "tests" not in file.parts]
    found = {f"{file.relative_to(ROOT)}:{line}" for file in library for line in unkeyed_draws(file.read_text())}
    assert len(library) > 20
    assert found == set()


def test_a_whole_walk_leaves_the_global_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    g = keyed_generator(0, "test")
    data = Mixture(n=64)
    x_0 = torch.stack([data.rows()[i].x_0 for i in range(64)])
    corruption, sampler, exact = Gaussian(sigma_n=0.2), Ancestral(), data.law().denoiser()
    batch = corruption.observe(x_0, torch.arange(64), g)
    signal = Signal((2,), 1.06)
    tools = Tools(corruption, sampler, exact, signal, g, Levels())
    for name in load().names("objective"):
        part = load().build("objective", name)
        if hasattr(part, "loss"):
            clean = Batch(x_0, torch.zeros(64), torch.arange(64), {})
            part.loss(exact, clean if "needs-clean-data" in part.claims else batch, tools)
    sigmas = torch.tensor([1.0, 0.5, 0.1]).unsqueeze(1).expand(3, 64)
    for way in (sampler, Heun()):
        way.sample(exact, standard_normal(x_0, g), sigmas, g, {})
    uniform(x_0, [keyed_generator(0, "test", row=i) for i in range(64)])
    with isolated_global_generator(0, "test"):
        MLP(width=4, depth=1).network(signal)
    assert torch.equal(before, torch.get_rng_state())


# --- files ----------------------------------------------------------------------------------------------------------


def tracked() -> list[Path]:
    """Files that git tracks or would track; the test is skipped outside a checkout."""
    done = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_tracked_file_names_a_place_on_somebodys_machine() -> None:
    place = re.compile(r"(?<![\w.:~$}*)-])/(?:" + "|".join(["work", "tmp", "root"]) + r")(?![\w-])")
    found = []
    for path in tracked():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # not text
        found += [
            f"{path.relative_to(ROOT)}:{number}" for number, line in enumerate(lines, start=1) if place.search(line)
        ]
    assert found == []


def test_the_lock_pins_everything_and_names_no_index() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[a-z0-9.!+]+", line) for line in lines)


def test_the_lock_satisfies_the_core_and_every_plug_in() -> None:
    lock = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line)
    for file in [ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]:
        project = tomllib.loads(file.read_text())["project"]
        optional = project.get("optional-dependencies", {})
        for text in [*project.get("dependencies", []), *optional.get("dev", [])]:
            requirement = Requirement(text)
            name = re.sub(r"[-_.]+", "-", requirement.name).lower()
            if name != "ambientkit":
                assert name in lock, f"{file.relative_to(ROOT)}: {text}; run `make lock`"
                assert requirement.specifier.contains(lock[name], prereleases=True), (
                    f"{file.relative_to(ROOT)}: {text}; run `make lock`"
                )


def test_decision_records_exist_and_are_short() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    assert len(records) >= 3
    too_long = {record.name: lines for record in records if (lines := len(record.read_text().splitlines())) > 40}
    assert too_long == {}


def test_every_module_can_be_read_in_one_sitting() -> None:
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in (ROOT / "ambientkit").rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length > 420} == {}


def test_examples_and_docs_use_the_library_and_no_command() -> None:
    files = [
        *(ROOT / "examples").rglob("*.py"),
        *(ROOT / "examples").rglob("*.ipynb"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "README.md",
    ]
    own = [file for file in files if not {"_build", "decisions", "tests"} & set(file.parts)]
    imports = re.compile(r"(from|import) ambientkit\.cli\b")
    assert len(own) > 20
    assert [str(file.relative_to(ROOT)) for file in own if imports.search(file.read_text())] == []


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_lets_python_store_bytecode() -> None:
    """Case: a machine that forbids it. Each of the hundreds of processes of the tests compiled torch anew."""
    found = subprocess.run(
        ["make", "--no-print-directory", "--eval", 'shown: ; @echo "[$$PYTHONDONTWRITEBYTECODE]"', "shown"],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "[]\n"
