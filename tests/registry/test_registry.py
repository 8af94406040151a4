"""The registry: every part is found, and a plug-in that is broken, old or in another's way is named and harms nobody
else."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ambientkit import registry
from ambientkit.errors import InputError
from ambientkit.plugins import KINDS
from ambientkit.registry import Registry, spec_of
from ambientkit.verification.select import select
from tests.support.make_plugin import OBJECTIVE, make_plugin

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put packages on the search path, each in a folder of its own; the later comes first."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def install(package: str, body: str, **more) -> Path:
        folder = make_plugin(tmp_path / package, package, body, **more)
        monkeypatch.syspath_prepend(folder)
        return folder

    yield install
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def load() -> Registry:
    """The registry of this environment, not that of the cache."""
    return registry.environment.__wrapped__()


def problems(package: str) -> Sequence[registry.Problem]:
    return [problem for problem in load().problems if problem.package == package]


def hooks(name: str, returned: str, before: str = "") -> str:
    return (
        "from ambientkit.hookspecs import hookimpl\nfrom ambientkit import "
        f"interfaces\n{before}\n\n@hookimpl\ndef {name}():\n    return {returned}\n"
    )


def test_a_part_of_an_installed_package_stands_beside_the_built_in_ones_with_its_package_and_version(install):
    install("aktest-sound", OBJECTIVE.format(name="aktest-mine"), version="2.7")
    entry = load().find("objective", "aktest-mine")
    assert (entry.kind, entry.package, entry.version) == ("objective", "aktest-sound", "2.7")
    assert entry.line == "An objective that is never asked for its loss."
    assert {"tweedie", "aktest-mine"} <= set(load().names("objective"))
    assert problems("aktest-sound") == []


def test_a_package_of_another_group_is_none_of_our_business(install):
    install("aktest-elsewhere", "raise RuntimeError('must not be imported')", group="another")
    assert problems("aktest-elsewhere") == []
    assert "aktest_elsewhere" not in sys.modules


# ---- F-01: a plug-in that fails


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("import a_module_that_does_not_exist", "ModuleNotFoundError: No module named 'a_module_that_does_not_exist'"),
        ("def f(:", "SyntaxError"),
        ("raise RuntimeError('boom at import')", "RuntimeError: boom at import"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        (hooks("register_objectives", "1 / 0"), "ZeroDivisionError"),
        (hooks("register_objectives", "__import__('sys').exit('bye')"), "SystemExit: bye"),
    ],
    ids=["import", "syntax", "raises", "exits", "hook-raises", "hook-exits"],
)
def test_a_plug_in_that_fails_is_set_aside_with_its_cause_and_the_others_go_on(install, body, cause):
    install("aktest-broken", body, version="1.2")
    install("aktest-sound", OBJECTIVE.format(name="aktest-mine"))
    (problem,) = problems("aktest-broken")
    assert problem.fatal
    assert str(problem).startswith("plug-in 'aktest_broken' of aktest-broken 1.2 was not loaded: ")
    assert cause in str(problem)
    assert "\n" not in str(problem)
    assert {"tweedie", "aktest-mine"} <= set(load().names("objective"))


def test_a_plug_in_that_fails_half_way_leaves_none_of_its_parts(install):
    install(
        "aktest-half",
        OBJECTIVE.format(name="aktest-mine")
        + "\n\n@hookimpl\ndef register_samplers():\n    raise OSError('no disk')\n",
    )
    (problem,) = problems("aktest-half")
    assert "OSError: no disk" in problem.cause
    assert "aktest-mine" not in load().names("objective")


def test_asking_for_a_part_of_a_plug_in_that_failed_says_so(install):
    install("aktest-broken", "raise RuntimeError('boom at import')")
    with pytest.raises(
        InputError,
        match=r"there is no objective 'theirs'\. Known: .*\n(.*\n)*plug-in 'aktest_broken' of aktest-broken 0\.1 "
        r"was not loaded",
    ):
        load().build("objective", "theirs")


def test_control_c_while_a_plug_in_loads_ends_the_program(install):
    install("aktest-interrupted", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load()


def test_what_an_interrupted_uninstall_leaves_behind_is_reported_and_not_more(install):
    folder = install("aktest-leftover", "")
    install("aktest-sound", OBJECTIVE.format(name="aktest-mine"))
    (folder / "aktest_leftover.py").unlink()
    (folder / "aktest_leftover-0.1.dist-info" / "METADATA").unlink()
    (problem,) = [problem for problem in load().problems if "aktest_leftover" in problem.plugin]
    assert problem.fatal
    assert "None" not in str(problem)
    assert "aktest-mine" in load().names("objective")


# ---- F-03: two packages, one name


@pytest.mark.parametrize(
    "order",
    [("aktest-dup-one", "aktest-dup-two"), ("aktest-dup-two", "aktest-dup-one")],
    ids=["one-first", "two-first"],
)
def test_two_packages_of_one_name_are_set_aside_and_both_named_whatever_the_order(install, order):
    for package in order:
        install(package, OBJECTIVE.format(name="my-objective"))
    install("aktest-third", OBJECTIVE.format(name="another"))
    found = load()
    said = r"objective name 'my-objective' is registered twice: by aktest-dup-one 0\.1 and by aktest-dup-two 0\.1"
    with pytest.raises(InputError, match=said):
        found.build("objective", "my-objective")
    assert any(re.search(said, str(problem)) for problem in found.problems)
    assert "my-objective" not in found.names("objective")
    assert {"another", "tweedie"} <= set(found.names("objective")), "everything else works"


def test_a_built_in_name_cannot_be_replaced(install):
    install("a-usurper", OBJECTIVE.format(name="tweedie"))  # sorts before "ambientkit"
    with pytest.raises(InputError, match=r"'tweedie' is registered twice: by ambientkit [\d.]+ and by a-usurper 0\.1"):
        load().build("objective", "tweedie")


def test_a_recipe_and_an_objective_share_their_names_as_the_flag_takes_either(install):
    install("aktest-clash", OBJECTIVE.format(name="tweedie-consistency"))
    with pytest.raises(InputError, match="'tweedie-consistency' is registered twice"):
        load().find("objective", "tweedie-consistency")


def test_a_name_that_two_packages_claim_stays_unusable_beside_parts_of_a_session(install):
    for package in ("aktest-dup-one", "aktest-dup-two"):
        install(package, OBJECTIVE.format(name="my-objective"))
    (entry,) = [entry for entry in load().entries() if (entry.kind, entry.part.name) == ("objective", "tweedie")]
    mine = type("Mine", (entry.part,), {"__doc__": "One of a notebook.", "name": "my-own"})
    found = load().including([mine])
    assert "my-own" in found.names("objective")
    with pytest.raises(InputError, match="'my-objective' is registered twice"):
        found.build("objective", "my-objective")
    assert [str(problem) for problem in found.problems] == [str(problem) for problem in load().problems]


@pytest.mark.parametrize("asked", ["objective:my-objective", "my-objective"])
def test_verifying_a_name_that_two_packages_claim_names_both(install, asked):
    for package in ("aktest-dup-one", "aktest-dup-two"):
        install(package, OBJECTIVE.format(name="my-objective"))
    with pytest.raises(InputError, match="'my-objective' is registered twice: by aktest-dup-one"):
        select([asked], load())


def test_the_same_name_under_two_kinds_is_no_clash(install):
    install("aktest-kinds", OBJECTIVE.format(name="heun"))
    assert {"objective", "sampler"} <= {entry.kind for entry in load().entries() if entry.part.name == "heun"}


# ---- F-05: written for another version


def test_a_hook_with_an_argument_is_set_aside_with_the_hook_and_what_is_allowed(install):
    install(
        "aktest-badhook",
        OBJECTIVE.format(name="aktest-mine").replace("register_objectives()", "register_objectives(config)"),
        version="3.1",
    )
    (problem,) = problems("aktest-badhook")
    assert problem.fatal
    assert "aktest-badhook 3.1" in str(problem)
    assert "\n" not in str(problem)  # pluggy's own message has four lines
    for word in ("register_objectives", "config", "none takes arguments"):
        assert word in problem.cause


def test_an_unknown_hook_is_set_aside_with_the_names_of_all_hooks(install):
    install("aktest-badhook", hooks("register_objektives", "[]"))
    (problem,) = problems("aktest-badhook")
    assert problem.fatal
    for word in ("register_objektives", *(hook for _, hook in KINDS.values())):
        assert word in problem.cause


def test_a_hook_without_its_mark_is_reported_rather_than_overlooked(install):
    install("aktest-unmarked", OBJECTIVE.format(name="aktest-mine").replace("@hookimpl\n", ""))
    (problem,) = problems("aktest-unmarked")
    assert problem.fatal
    assert "register_objectives is not marked @hookimpl" in problem.cause


ABSTRACT = "class Part(interfaces.Objective):\n    name = 'aktest-part'"
NAMED = "class Part(interfaces.Objective):\n    name = {name}\n    def loss(self, denoiser, batch, tools): return {{}}"


@pytest.mark.parametrize(
    ("returned", "before", "cause"),
    [
        ("[int]", "", r"must return subclasses of Objective, not <class 'int'>"),
        ("[Part()]", NAMED.format(name="'aktest-part'"), r"must return subclasses of Objective, not Part\(\)"),
        ("[Part]", "class Part(interfaces.Sampler): name = 'aktest-part'", "must return subclasses of Objective"),
        ("[Part]", ABSTRACT, "Part leaves loss abstract"),
        ("Part", NAMED.format(name="'aktest-part'"), "must return a list of classes, not"),
        (
            "[Part]",
            NAMED.format(name="'My Part'"),
            "Part.name must be a lower-case word such as 'my-part', not 'My Part'",
        ),
        ("[Part]", NAMED.format(name="3"), "Part.name must be a lower-case word"),
        (
            "[Part]",
            NAMED.format(name="''").replace("name = ''", "pass"),
            "Part.name must be a lower-case word .* not None",
        ),
    ],
    ids=[
        "no-part",
        "an-instance",
        "another-kind",
        "abstract",
        "no-list",
        "name-with-capitals",
        "name-no-word",
        "no-name",
    ],
)
def test_a_hook_must_return_concrete_named_classes_of_its_kind(install, returned, before, cause):
    install("aktest-wrong", hooks("register_objectives", returned, before))
    (problem,) = problems("aktest-wrong")
    assert problem.fatal
    assert re.search(cause, problem.cause)
    assert "aktest-part" not in load().names("objective")


@pytest.mark.parametrize("returned", ["[]", "None"])
def test_a_hook_may_have_nothing_to_register(install, returned):
    install("aktest-empty", hooks("register_objectives", returned))
    assert problems("aktest-empty") == []


# ---- F-07: requirements


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("numpy<1.0", r"it requires numpy<1.0, and numpy [\d.]+ is installed"),
        ("aktest-nowhere>=2", "it requires aktest-nowhere>=2, which is not installed"),
        ("?? not a requirement", "its requirement '\\?\\? not a requirement' cannot be read"),
    ],
)
def test_a_requirement_that_is_not_met_is_a_warning_and_the_plug_in_is_loaded(install, line, cause):
    install("aktest-conflict", OBJECTIVE.format(name="aktest-mine"), requires=[line])
    (problem,) = problems("aktest-conflict")
    assert not problem.fatal
    assert "was loaded, but" in str(problem)
    assert re.search(cause, problem.cause)
    assert "aktest-mine" in load().names("objective")


@pytest.mark.parametrize(
    "line", ["torch", "torch>=2", "aktest-nowhere; python_version < '3'", "aktest-nowhere; extra == 'dev'"]
)
def test_a_requirement_that_is_met_or_does_not_apply_is_no_problem(install, line):
    install("aktest-conflict", OBJECTIVE.format(name="aktest-mine"), requires=[line])
    assert problems("aktest-conflict") == []


def test_a_required_package_whose_version_cannot_be_read_is_a_warning(install):
    install("aktest-oddly-versioned", "", version="two-and-a-bit", group="another")
    install("aktest-conflict", OBJECTIVE.format(name="aktest-mine"), requires=["aktest-oddly-versioned>=2"])
    (problem,) = problems("aktest-conflict")
    assert not problem.fatal
    assert "aktest-oddly-versioned two-and-a-bit is installed" in problem.cause


# ---- F-08: names that merely look like hooks


def test_names_that_begin_like_ours_are_no_hooks(install):
    install("ambientkit-helper", "import os as ambientkit_os\nambientkit_impl = 3\n\ndef ambientkit_register(): ...\n")
    assert problems("ambientkit-helper") == []


def test_a_part_is_built_from_its_name_or_from_a_mapping_and_rebuilt_from_its_specification(install):
    install("aktest-sound", OBJECTIVE.format(name="aktest-mine"))
    found = load()
    plain, strong = (
        found.build("objective", "aktest-mine"),
        found.build("objective", {"name": "aktest-mine", "strength": 2}),
    )
    assert (plain.strength, strong.strength) == (1.0, 2.0)
    assert spec_of(strong) == {"name": "aktest-mine", "strength": 2.0}
    assert found.build("objective", spec_of(strong)) == strong


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "aktest-mien",
            r"objective: there is no objective 'aktest-mien'; did you mean 'aktest-mine'\? Known: "
            r".*aktest-mine.*tweedie",
        ),
        ({"name": "zzz"}, r"objective\.name: there is no objective 'zzz'\. Known: .*naive"),
        (
            {"name": "aktest-mine", "strenght": 2},
            r"objective\.strenght: unknown key .*; did you mean 'strength'\? .*takes: strength",
        ),
        ({"name": "aktest-mine", "strength": "much"}, r"objective\.strength: should be a valid number.*'much'"),
        ({"name": "aktest-mine", "strength": float("nan")}, r"objective\.strength: should be a finite number"),
        ({"strength": 2}, "objective: should be the name of an objective, or a mapping with a 'name'"),
        (7, "objective: should be the name"),
        ({"name": ["a"]}, "objective: should be the name"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_place_and_what_there_is(install, spec, message):
    install("aktest-sound", OBJECTIVE.format(name="aktest-mine"))
    with pytest.raises(InputError, match=message):
        load().build("objective", spec)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "recipe"])
def test_every_kind_lists_what_exists_for_an_unknown_name(kind):
    with pytest.raises(InputError, match=rf"there is no {kind} 'zzz'\. Known: {', '.join(load().names(kind))}$"):
        load().find(kind, "zzz")


def test_a_part_that_cannot_be_made_is_refused_with_its_reason(install):
    broken = (
        "    @pydantic.model_validator(mode='after')\n    def check(self):\n        raise TypeError('no two "
        "alike')\n\n    def loss"
    )
    install("aktest-sound", "import pydantic\n" + OBJECTIVE.format(name="aktest-mine").replace("    def loss", broken))
    with pytest.raises(InputError, match="objective: objective 'aktest-mine' cannot be made: no two alike"):
        load().build("objective", "aktest-mine")
