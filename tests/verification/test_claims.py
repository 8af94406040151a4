"""The claims that there are: known, listed in the documentation, and refused where they are misspelt."""

from __future__ import annotations

import sys

import pytest

from ambientkit.errors import InputError
from ambientkit.interfaces import CONTRACT
from ambientkit.registry import load
from ambientkit.verification import make_plan, preflight, registered_checks, registered_parts
from ambientkit.verification.claims import known_claims, refuse_misspelt
from tests.support import ROOT
from tests.support import toy_parts as toys

sys.path.insert(0, str(ROOT / "docs" / "_ext"))
import check_list

CHECKS = registered_checks(load())


def test_the_list_of_claims_in_the_documentation_is_that_of_the_code():
    page = check_list.CLAIMS_PAGE.read_text()
    text = check_list.claims_listing(load())
    assert check_list.put(page, text, check_list.BEGIN_CLAIMS, check_list.END_CLAIMS) == page, (
        "run python docs/_ext/check_list.py"
    )


def test_every_part_of_this_environment_claims_only_what_is_known():
    known = {(claim.kind, claim.name) for claim in known_claims(CHECKS)}
    for entry in load().entries():
        if entry.kind in {check.kind for check in CHECKS}:
            assert {(entry.kind, name) for name in entry.part.claims} <= known, entry.part.name


def test_a_misspelt_claim_is_refused_before_a_run_too():
    class Misspelt(toys.Toy):
        name = "misspelt"
        claims = frozenset({"stationary-at-orcale"})

    with pytest.raises(
        InputError, match=r"claims 'stationary-at-orcale', which no check tests; did you mean 'stationary-at-oracle'\?"
    ):
        refuse_misspelt([Misspelt()], CHECKS)
    with pytest.raises(InputError, match="did you mean"):
        preflight([Misspelt()], load())


def test_the_contract_of_its_kind_is_checked_for_a_part_that_claims_nothing():
    planned = make_plan([toys.Silent()], CHECKS)
    assert {pair.check.claim for pair in planned.pairs} == {CONTRACT}
    assert not planned.unchecked


@pytest.mark.slow
def test_checks_and_mutants_are_loaded_when_they_are_asked_for():
    import subprocess

    code = (
        "import sys\nfrom ambientkit.registry import load\nfound = "
        "load()\nfound.names('objective')\nfound.find('sampler', 'heun')\n"
        "late = lambda: any('builtin.checks' in name or 'builtin.mutants' in name for name in sys.modules)\n"
        "assert not late()\nassert found.names('check') and late()\nassert found.mutants()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_registered_parts_can_all_be_planned():
    parts, _ = registered_parts(load(), CHECKS)
    assert {pair.part.name for pair in make_plan(parts, CHECKS).pairs} == {part.name for part in parts}
