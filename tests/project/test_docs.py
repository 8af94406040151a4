"""The documentation is true: its code runs, its commands work, and what it must name it names."""

from __future__ import annotations

import doctest
import importlib
import inspect
import io
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any
from unittest import SkipTest, mock

import pytest
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

import ambientkit
from ambientkit import hookspecs
from ambientkit.cli import main
from ambientkit.interfaces import Part
from ambientkit.plugins import KINDS, MUTANTS
from ambientkit.registry import Entry, Registry, load
from ambientkit.verification import Result, preflight
from ambientkit.verification.plan import Plan
from ambientkit.verification.trained import consistency_residual, seed_sensitivity
from tests.support import ROOT

PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts)]
OURS = [
    entry
    for entry in load().entries()
    if entry.package == "ambientkit" or (ROOT / "plugins" / entry.package.removeprefix("ambientkit-")).is_dir()
]
HISTORY = {"0027-rooms-of-the-package.md"}
"""Pages that name modules that are gone, on purpose."""
STEPS = 20
"""Of training, on pages whose commands train for minutes."""
JUDGED: dict[Any, tuple[Plan, list[Result]]] = {}
FUNCTIONS = (FunctionType, property, staticmethod, classmethod)
SKIP = re.compile(r"<!---* *skip: *(next|start)(.*?)-->", re.DOTALL)

sys.path.insert(0, str(ROOT / "docs" / "_ext"))
import check_list  # noqa: E402  (writes the list of checks into docs/verify.md)
import hook_list  # noqa: E402  (the extension of the documentation that lists the hooks)
import layer_list  # noqa: E402  (writes the layers into docs/contracts.md)
import part_list  # noqa: E402  (the extension of the documentation that lists the parts; docs/_ext is no package)


def run_command(words: list[str]) -> tuple[int, str, str]:
    """(exit status, stdout, stderr) of a command; `ambientkit` runs in this process, which has imported torch
    already."""
    if words[0] == "ambientkit":
        out, err = io.StringIO(), io.StringIO()
        with (
            redirect_stdout(out),
            redirect_stderr(err),
            mock.patch.object(sys, "argv", words),
            mock.patch.dict(os.environ, {"COLUMNS": "120"}),
        ):
            try:
                main()
                status = 0
            except SystemExit as stop:
                status = int(stop.code or 0)
        return status, out.getvalue(), err.getvalue()
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": programs, "COLUMNS": "120"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, env=environment)
    return done.returncode, done.stdout, done.stderr


def shortened(words: list[str]) -> list[str]:
    """A command of the tutorial or of a how-to page, which trains for a few steps only here."""
    return [
        str(min(int(word), STEPS)) if before == "--end-step" else word
        for before, word in zip(["", *words], words, strict=False)
    ]


def run_console_block(example: Example) -> str | None:
    """Run the lines that begin with `$ ` one by one; where output is shown below one, it must match (`...` stands for
    anything)."""
    for block in re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)[1:]:
        command, _, shown = block.replace("\\\n", " ").partition("\n")
        words = shlex.split(command)
        taught = {"how-to", "tutorial.md"} & {Path(example.path).parent.name, Path(example.path).name}
        status, out, err = run_command(shortened(words) if taught else words)
        if status != 0:
            return f"`{command}` ended with status {status}:\n{out}{err}"
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        if shown.strip() and not doctest.OutputChecker().check_output(shown.strip(), out.strip(), options):
            return f"`{command}` shows\n{shown}\nbut printed\n{out}"
    return None


def write_yaml_block(example: Example) -> None:
    """Write a block that begins with a line such as `# run.yaml` to that file, for the commands after it."""
    if name := re.match(r"# (\w+\.yaml)\n", example.parsed):
        Path(name[1]).write_text(example.parsed)


def run_python_block(example: Example) -> None:
    """Run a block of Python; one that begins with a line such as `# part.py` is written to that file too, for the
    commands after it."""
    if name := re.match(r"# (\w+\.py)\n", example.parsed):
        Path(name[1]).write_text(example.parsed)
    PythonEvaluator()(example)


SYBIL = Sybil(
    parsers=[
        CodeBlockParser("python", run_python_block),
        CodeBlockParser("console", run_console_block),
        CodeBlockParser("yaml", write_yaml_block),
        SkipParser(),
    ]
)


@pytest.fixture(scope="module")
def of_the_tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`noisy` and `runs/digits` of the tutorial, trained for a few steps: what how-to pages begin with."""
    folder = tmp_path_factory.mktemp("tutorial")
    ambientkit.corrupt("digits", folder / "noisy", sigma=0.3)
    model = {"name": "mlp", "width": 32}
    run = folder / "runs" / "digits"
    ambientkit.train(folder / "noisy", model=model, end_step=STEPS, output_dir=run, skip_preflight=True)
    return folder


@pytest.fixture
def judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same parts are measured before the first run of all pages that trains with them, and not again before the
    others."""

    def once(parts: Sequence[Part], registry: Registry, without: Collection[str] = ()) -> tuple[Plan, list[Result]]:
        asked = (tuple((type(part), part.model_dump_json()) for part in parts), frozenset(without))
        if asked not in JUDGED:
            plan, results = preflight(parts, registry, without)
            JUDGED[asked] = plan, [*results]
        return JUDGED[asked]

    monkeypatch.setattr("ambientkit.run.preflight.preflight", once)


@pytest.fixture
def short_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a report measures of its run, on fewer points: it takes hundreds of calls of the network."""
    monkeypatch.setitem(inspect.unwrap(consistency_residual).__kwdefaults__, "points", 2)
    monkeypatch.setitem(inspect.unwrap(seed_sensitivity).__kwdefaults__, "steps", 2)


@pytest.mark.slow
@pytest.mark.usefixtures("judged_once", "short_reports")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_python_console_and_yaml_block_of_a_page_runs_in_the_order_written(
    page: Path, tmp_path: Path, monkeypatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    if page.parent.name == "how-to":
        shutil.copytree(request.getfixturevalue("of_the_tutorial"), tmp_path, dirs_exist_ok=True)
    for example in SYBIL.parse(page).examples():
        with suppress(SkipTest):  # a marked block; that each mark has a reason is the next test
            example.evaluate()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_skipped_block_gives_its_reason(page: Path) -> None:
    for action, reason in SKIP.findall(page.read_text()):
        assert re.fullmatch(r'\s+".{20,}"\s*', reason, re.DOTALL), f"{page.name}: skip: {action}{reason}"


def test_a_block_that_fails_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    blocks = {"python": ("print(no_such_name)", "no_such_name"), "console": ("$ false", "status 1")}
    for language, (code, complaint) in [*blocks.items(), ("console", ("$ echo one\ntwo", "but printed"))]:
        page.write_text(f"```{language}\n{code}\n```\n")
        (example,) = SYBIL.parse(page).examples()
        with pytest.raises(Exception, match=complaint):
            example.evaluate()


def test_every_hook_is_explained_on_the_page_of_contracts() -> None:
    hooks = {name for name, value in vars(hookspecs).items() if hasattr(value, "ambientkit_spec")}
    assert hooks == {MUTANTS, *(hook for _, hook in KINDS.values())}
    text = (ROOT / "docs" / "contracts.md").read_text()
    assert {hook for hook in hooks if f"`{hook}`" not in text} == set()


def test_every_hook_contract_member_and_claim_has_a_text_on_the_generated_page() -> None:
    found = hook_list.hooks()
    assert {hook.name for hook in found} == {MUTANTS, *(hook for _, hook in KINDS.values())}
    assert {"degrade", "carries"} <= {member.name for hook in found for member in hook.members}
    assert sum(len(hook.claims) for hook in found) > 30
    assert hook_list.undocumented(found) == []


def test_a_hook_or_member_without_a_text_is_noticed() -> None:
    class Silent:
        pass

    member, claims = hook_list.Member("f", True, "f()", ""), (("blind", ""),)
    found = [hook_list.Hook("register_silence", "", "attack", Silent, (member,), claims)]
    assert hook_list.undocumented(found) == ["register_silence", "Silent", "Silent.f", "claim blind"]


def test_every_contract_and_each_of_its_methods_is_explained_on_the_page_of_contracts() -> None:
    text = (ROOT / "docs" / "contracts.md").read_text()
    for contract, _ in KINDS.values():
        for method in sorted(contract.__abstractmethods__):
            assert f"`{method}`" in text, f"{contract.__name__}.{method}"


@pytest.mark.parametrize("kind", KINDS)
def test_the_pages_list_the_parts_of_every_kind(kind: str) -> None:
    if load().names(kind):
        assert f"```{{parts}} {kind}\n" in (ROOT / "docs" / "parts.md").read_text()


def test_the_page_of_verify_lists_every_check_as_the_code_has_it() -> None:
    page = check_list.PAGE.read_text()
    assert all(f"**`{check}`**" in page for check in ("stationarity", "final-law", "noise-law"))
    assert check_list.put(page, check_list.listing(load())) == page, "run python docs/_ext/check_list.py"


def test_the_page_of_contracts_lists_the_layers_as_import_linter_checks_them() -> None:
    page, project = layer_list.PAGE.read_text(), layer_list.PROJECT.read_text()
    assert {"cli", "interfaces", "errors"} <= set(layer_list.layers(project))
    assert layer_list.put(page, layer_list.listing(project)) == page, "run python docs/_ext/layer_list.py"


def test_a_stale_list_of_layers_is_noticed() -> None:
    project = layer_list.PROJECT.read_text().replace('"ambientkit.registry",', '"ambientkit.registrar",')
    page = layer_list.PAGE.read_text()
    assert layer_list.put(page, layer_list.listing(project)) != page


NAMED = re.compile(r"(?<![\w./-])ambientkit(?:\.[a-zA-Z_]\w*)+")
FILED = re.compile(r"`((?:ambientkit|docs|examples|plugins|tests)/[\w./*-]+|[a-z_]+/[\w/]+\.py)`")
NO_MODULES = {"ambientkit.folder"}  # a tag of mlflow


def unimportable(text: str) -> set[str]:
    """Dotted names of ambientkit in a page that are neither a module nor an attribute of one."""
    return {name for name in NAMED.findall(text) if name not in NO_MODULES and not found(name)}


def found(name: str) -> bool:
    """Whether a dotted name leads to a module or to something in one."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        with suppress(ModuleNotFoundError):
            value = importlib.import_module(".".join(parts[:cut]))
            for attribute in parts[cut:]:
                if not hasattr(value, attribute):
                    return False
                value = getattr(value, attribute)
            return True
    return False


def test_every_module_and_name_of_ambientkit_in_a_page_exists() -> None:
    texts = {page: page.read_text() for page in PAGES if page.name not in HISTORY}
    assert sum(len(NAMED.findall(text)) for text in texts.values()) > 50
    assert {str(page.relative_to(ROOT)): names for page, text in texts.items() if (names := unimportable(text))} == {}


def test_every_file_of_the_repository_in_a_page_exists() -> None:
    texts = {page: page.read_text() for page in PAGES if page.name not in HISTORY}
    named = {name for text in texts.values() for name in FILED.findall(text)}
    assert len(named) > 10
    assert {name for name in named if not (any(ROOT.glob(name)) or any((ROOT / "ambientkit").glob(name)))} == set()


def absent(text: str) -> set[str]:
    """Tests that a page names, as `FILE.py::NAME`, and that are not there; FILE from the root or of the plug-in
    diffusers."""
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", text)
    places = {file: [ROOT / file, ROOT / "plugins" / "diffusers" / "tests" / file] for file, _ in named}
    written = {
        file: "".join(path.read_text(encoding="utf-8") for path in paths if path.is_file())
        for file, paths in places.items()
    }
    return {f"{file}::{name}" for file, name in named if f"def {name}(" not in written[file]}


def test_every_test_that_a_page_names_is_there() -> None:
    texts = {page.name: page.read_text() for page in PAGES}
    assert texts["sdxl.md"].count(".py::test_") > 20
    assert {name: gone for name, text in texts.items() if (gone := absent(text))} == {}
    assert absent("`test_edge.py::test_gone`, `tests/gone.py::test_it`") == {
        "test_edge.py::test_gone",
        "tests/gone.py::test_it",
    }


def test_a_module_or_file_that_is_gone_is_noticed() -> None:
    assert unimportable(
        "`ambientkit.stored.Stored`, `ambientkit.maths.noise.per_row`, ambientkit.maths.noise.no_such"
    ) == {
        "ambientkit.stored.Stored",
        "ambientkit.maths.noise.no_such",
    }
    assert FILED.findall("`inspection/noise.py` and `tests/gone.py`") == ["inspection/noise.py", "tests/gone.py"]


def modules() -> Iterator[str]:
    yield "ambientkit"
    yield from (
        module.name
        for module in pkgutil.walk_packages(ambientkit.__path__, "ambientkit.")
        if not module.name.endswith("__main__")
    )


def undocumented(module_name: str) -> Iterator[str]:
    """Public functions, classes and methods written in a module that explain themselves nowhere, inherited docstrings
    counting."""
    module = importlib.import_module(module_name)
    if not module.__doc__:
        yield module_name
    for name, value in vars(module).items():
        own = getattr(value, "__module__", None) == module_name and (inspect.isclass(value) or inspect.isroutine(value))
        if (
            not own or name.startswith("_") or hasattr(value, "ambientkit_impl")
        ):  # a hook is explained where it is specified
            continue
        if not inspect.getdoc(value):
            yield f"{module_name}.{name}"
        if inspect.isclass(value):
            for member, function in vars(value).items():
                if (
                    not member.startswith("_")
                    and isinstance(function, FUNCTIONS)
                    and not inspect.getdoc(getattr(value, member))
                ):
                    yield f"{module_name}.{name}.{member}"


@pytest.mark.parametrize("module_name", list(modules()))
def test_everything_public_has_a_docstring(module_name: str) -> None:
    assert list(undocumented(module_name)) == []


def test_a_missing_docstring_is_noticed(monkeypatch) -> None:
    module = ModuleType("silent", "A module.")
    source = (
        "def f(): ...\nclass C:\n    'A class.'\n    def m(self): ...\n    @property\n    def p(self): "
        "...\ndef _hidden(): ..."
    )
    exec(source, vars(module))
    monkeypatch.setitem(sys.modules, "silent", module)
    assert list(undocumented("silent")) == ["silent.f", "silent.C.m", "silent.C.p"]


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: f"{entry.kind}-{entry.part.name}")
def test_a_part_of_this_repository_says_in_one_short_sentence_what_it_is(entry: Entry) -> None:
    assert "__doc__" in vars(entry.part), "its docstring must be its own"
    assert 10 < len(entry.line) <= 150, entry.line
    assert entry.line.endswith("."), entry.line


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: f"{entry.kind}-{entry.part.name}")
def test_a_part_of_this_repository_names_its_source(entry: Entry) -> None:
    if entry.kind in ("objective", "sampler", "corruption", "model"):
        assert entry.part.source.strip()


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: f"{entry.kind}-{entry.part.name}")
def test_every_field_of_a_part_of_this_repository_is_explained_below_it(entry: Entry) -> None:
    explained = {name for name, text in part_list.field_docs(entry.part).items() if text}
    if entry.kind == "recipe":
        explained.add("terms")  # by the contract
    assert set(entry.part.model_fields) - explained == set()
