"""What authors of parts test with: cases for pytest whose outcome can be trusted, and strategies that draw what parts
receive."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.randomness import keyed_generator
from ambientkit.testing import BiasFound, NoVerdict, parametrize_with_checks
from ambientkit.testing.strategies import batches, grids, levels_above, mixtures, seeds
from tests.support import ROOT, forked
from tests.support import toy_parts as toys

CHECKS = [toys.Mean(), toys.Exact()]


def cases(*parts, **more):
    return {case.id: case for case in parametrize_with_checks(parts, **{"checks": CHECKS, **more}).args[1]}


@parametrize_with_checks([toys.Toy, toys.Silent], checks=CHECKS)
def test_a_right_part_passes_as_a_user_writes_it(part, check):
    check(part)


def test_every_claim_of_every_part_is_a_case_with_a_readable_name():
    assert list(cases(toys.Toy(), toys.Toy(bias=0.5), toys.Silent)) == [
        "toy-mean",
        "toy-exact",
        "toy(bias=0.5)-mean",
        "toy(bias=0.5)-exact",
        "silent-unchecked",
    ]
    assert list(cases(toys.Toy(), quick=True)) == ["toy-exact"]


def test_a_biased_part_fails_with_the_meaning_and_a_script():
    part, check = cases(toys.Toy(bias=1.0))["toy(bias=1.0)-mean"].values
    with pytest.raises(BiasFound) as caught:
        check(part)
    assert toys.Mean.meaning in str(caught.value)
    assert "To repeat it:" in str(caught.value)


def test_a_control_that_passes_is_a_failure_even_where_a_failure_is_expected():
    case = cases(toys.Toy(), checks=[toys.Blind()], expected_failures={("toy", "blind"): "known to be off"})[
        "toy-blind"
    ]
    part, check = case.values
    with pytest.raises(NoVerdict):
        check(part)
    (mark,) = case.marks
    assert mark.kwargs == {"strict": True, "reason": "known to be off", "raises": BiasFound}
    assert not issubclass(NoVerdict, mark.kwargs["raises"])


@pytest.mark.parametrize("key", [("toy", "maen"), ("tyo", "mean")])
def test_an_expected_failure_of_what_is_not_run_is_refused(key):
    with pytest.raises(ValueError, match="is not run"):
        cases(toys.Toy(), expected_failures={key: "a reason"})


def test_an_expected_failure_without_a_reason_is_refused():
    with pytest.raises(ValueError, match="should be the reason"):
        cases(toys.Toy(), expected_failures={("toy", "mean"): " "})


SUITE = """
from ambientkit.testing import parametrize_with_checks
from tests.support import toy_parts as toys

EXPECTED = {("toy", "mean"): "biased on purpose", ("toy", "exact"): "biased on purpose"}


@parametrize_with_checks([toys.Toy(bias=1.0)], checks=[toys.Mean(), toys.Exact()], expected_failures=EXPECTED)
def test_expected(part, check):
    check(part)


@parametrize_with_checks([toys.Toy()], checks=[toys.Mean()], expected_failures={("toy", "mean"): "wrongly expected"})
def test_mended(part, check):
    check(part)


@parametrize_with_checks([toys.Toy(bias=1.0), toys.Silent()], checks=[toys.Mean()])
def test_wrong(part, check):
    check(part)


@parametrize_with_checks([toys.Toy()], checks=[toys.Blind()], expected_failures={("toy", "blind"): "known"})
def test_blind(part, check):
    check(part)
"""


@pytest.mark.slow
def test_pytest_reports_expected_mended_wrong_and_undecided_parts_as_what_they_are(tmp_path):
    (tmp_path / "test_suite.py").write_text(SUITE)
    root = ROOT
    options = ["-q", "-rA", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "--import-mode=importlib"]
    done = forked.run(["-m", "pytest", *options, tmp_path / "test_suite.py"], cwd=root)
    outcomes = {
        line.split("::")[1].split(" ")[0]: line.split()[0]
        for line in done.stdout.splitlines()
        if "::test_" in line and line[0].isupper()
    }
    assert outcomes == {
        "test_expected[toy(bias=1.0)-mean]": "XFAIL",
        "test_expected[toy(bias=1.0)-exact]": "XFAIL",
        "test_mended[toy-mean]": "FAILED",
        "test_wrong[toy(bias=1.0)-mean]": "FAILED",
        "test_blind[toy-blind]": "FAILED",
    }, done.stdout
    assert "silent: unchecked, it claims no property that a check tests" in done.stdout
    assert "[XPASS(strict)] wrongly expected" in done.stdout


@pytest.mark.parametrize(
    ("module", "use"),
    [
        ("pytest", "ambientkit.testing.parametrize_with_checks([])"),
        ("hypothesis", "import ambientkit.testing.strategies"),
    ],
)
def test_pytest_and_hypothesis_are_needed_only_where_they_are_used_and_a_message_names_them(module, use):
    code = (
        f"import sys; sys.modules[{module!r}] = None; import ambientkit.testing\ntry:\n    {use}\nexcept "
        "ImportError as error:\n    print(error)"
    )
    done = forked.run(["-c", code])
    assert done.returncode == 0, done.stderr
    assert f"pip install {module}" in done.stdout


# ---- strategies


@given(st.data())
def test_batches_are_observations_of_every_kind_of_noise(data):
    law = data.draw(mixtures(max_modes=2, max_dimension=3))
    for noise in ("clean", "row", "pixel", "mixed"):
        batch = data.draw(batches(law, noise=noise))
        rows = len(batch.x_n)
        assert batch.x_n.shape == (rows, law.dimension)
        assert batch.x_n.dtype == batch.sigma_n.dtype == torch.float64
        assert batch.sigma_n.shape == ((rows, law.dimension) if noise == "pixel" else (rows,))
        clean = batch.sigma_n == 0
        assert bool(clean.all()) if noise == "clean" else noise == "mixed" or not bool(clean.any())
        assert bool(((batch.sigma_n >= 0.01 - 1e-12) | clean).all() and (batch.sigma_n <= 1).all())


def test_the_noise_of_a_drawn_batch_has_the_level_it_declares():
    point = GaussianMixture([1.0], [[3.0, -1.0]], [torch.zeros(2, 2).tolist()])
    drawn = []

    @given(batches(point, noise="row"))
    def collect(batch):
        drawn.append((batch.x_n - point.means[0]) / batch.sigma_n.unsqueeze(1))

    collect()
    z = torch.cat(drawn)
    assert abs(float(z.square().mean()) - 1) < 0.5
    assert len(z) > 100


@given(st.data())
def test_drawn_levels_are_ones_at_which_every_row_can_be_seen(data):
    batch = data.draw(batches())
    sigma = data.draw(levels_above(batch))
    Gaussian().degrade(batch, sigma, keyed_generator(0, "test"))
    assert bool((sigma <= 20.0).all())


@given(grids(), seeds())
def test_drawn_grids_are_what_a_sampler_takes(sigmas, seed):
    levels, rows = sigmas.shape
    assert levels >= 2
    assert bool((sigmas[:-1] > sigmas[1:]).all())
    assert bool((sigmas[:-1] > 0).all())
    assert bool((sigmas[-1] >= 0).all())
    x = torch.zeros(rows, 3, dtype=torch.float64)
    end = Ancestral().sample(lambda x, sigma: 0 * x, x, sigmas, keyed_generator(seed, "test"), {})
    assert bool(end.isfinite().all())


@given(grids(rows=2, end_at_zero=True))
def test_a_grid_ends_at_zero_where_that_is_asked_for(sigmas):
    assert sigmas.shape[1] == 2
    assert bool((sigmas[-1] == 0).all())
