"""The benchmark of a step: it writes its figures, its arms are what it says they are, and its memory is that of the arm
alone."""

from __future__ import annotations

import importlib.util
import json
import sys
from argparse import Namespace

import pytest
import torch

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.interfaces import Signal, Tools
from ambientkit.maths.randomness import keyed_generator
from tests.support import ROOT, forked

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "examples" / "benchmarks" / "step.py"
CPU = Namespace(device="cpu", period=4)


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("step_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.thorough
def test_a_tiny_run_writes_every_measure_of_every_arm(tmp_path):
    pytest.importorskip("ambientkit_kdiffusion")
    flags = [
        "--device",
        "cpu",
        "--batch-size",
        "2",
        "--size",
        "8",
        "--rounds",
        "2",
        "--json",
        str(tmp_path / "step.json"),
    ]
    done = forked.run([SCRIPT, *flags])
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "step.json").read_text())
    assert all(list(row) == ["data", "sigma_n", "arm", "seed", "measure", "value"] for row in rows)
    found = {(row["arm"], row["measure"]): row["value"] for row in rows}
    arms = ["k-diffusion", "tweedie", "tweedie-consistency", "published form"]
    measures = ["step seconds", "ratio to k-diffusion", "peak bytes", "peak memory ratio"]
    assert list(found) == [(arm, measure) for arm in arms for measure in measures]
    assert {row["sigma_n"] for row in rows if row["arm"] == "k-diffusion"} == {0.0}
    assert all(value > 0 for value in found.values())
    assert found["k-diffusion", "ratio to k-diffusion"] == found["k-diffusion", "peak memory ratio"] == 1
    for arm in arms:  # memory is counted in bytes, so these bounds hold on any machine; those of time do not
        assert found[arm, "peak memory ratio"] == found[arm, "peak bytes"] / found["k-diffusion", "peak bytes"]
    assert 0.9 < found["tweedie", "peak memory ratio"] < 1.15
    assert found["published form", "peak memory ratio"] > found["tweedie-consistency", "peak memory ratio"]
    assert found["published form", "peak memory ratio"] > 1.5
    assert "published form" in done.stdout


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--recipe", "nothing"], "there is no objective 'nothing'"),
        (["--rounds", "1"], "--rounds must be at least 2, but is 1"),
        (["--json", "no-such-folder/step.json"], "there is no folder no-such-folder"),
        (["--device", "abacus"], "--device abacus: should be auto, cpu, cuda"),
    ],
)
def test_bad_flags_are_refused_before_anything_is_measured(benchmark, monkeypatch, capsys, flags, message):
    monkeypatch.setattr(sys, "argv", ["step.py", *flags])
    monkeypatch.setattr(benchmark, "time_arms", lambda *_: pytest.fail("it began"))
    monkeypatch.setattr(benchmark.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as stop:
        benchmark.main()
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_the_peak_is_what_an_arm_holds_and_what_a_later_round_adds(benchmark):
    megabyte = 1_000_000
    mine_before = torch.zeros(5 * megabyte, dtype=torch.uint8)
    taken = []

    def make():
        own = torch.zeros(2 * megabyte, dtype=torch.uint8)

        def step():
            taken.append(len(taken))
            if len(taken) == 1:
                torch.zeros(20 * megabyte, dtype=torch.uint8)  # the first step of all: warm-up
            if len(taken) == 7:
                return [torch.zeros(3 * megabyte, dtype=torch.uint8), torch.zeros(megabyte, dtype=torch.uint8)]
            return own[:1]

        return step

    assert benchmark.peak_bytes(make, CPU) == 6 * megabyte
    assert len(taken) == 2 * CPU.period
    assert len(mine_before) == 5 * megabyte


def test_the_published_form_asks_the_network_four_times_for_every_row_and_keeps_three_gradients(benchmark):
    asked = []

    def denoiser(x, sigma):
        asked.append((x, sigma, torch.is_grad_enabled()))
        return scale * x

    scale = torch.tensor(0.5, requires_grad=True)
    x = torch.randn(16, 3, generator=keyed_generator(0, "x"))
    batch = Batch(x, torch.full((16,), 0.2), torch.arange(16), {})
    tools = Tools(Gaussian(sigma_n=0.2), Ancestral(), denoiser, Signal((3,), 0.5), keyed_generator(0, "loss"))
    terms = benchmark.PublishedForm().loss(denoiser, batch, tools)
    assert [grad for _, _, grad in asked] == [True, False, True, True]
    (anchor, sigma, _), (again, _, _), (first, sigma_s, _), (second, _, _) = asked
    assert torch.equal(anchor, again)
    assert not torch.equal(first, second)
    assert bool((sigma_s < sigma).all() and (sigma > 0.2).all())
    assert {name: term.value.shape for name, term in terms.items()} == {"tweedie": (16,), "consistency": (16,)}
    product = (0.5 * first - 0.5 * anchor) * (0.5 * second - 0.5 * anchor)
    torch.testing.assert_close(
        terms["consistency"].value, 0.1 * (sigma_s**2 + 0.25) / (sigma_s * 0.5) ** 2 * product.mean(1)
    )
    # Through both ends and through the anchor: d/dscale of the product of (scale e' - scale a) and (scale e'' - scale
    # a).
    (slope,) = torch.autograd.grad(product_of(scale, first, second, anchor).mean(), scale, retain_graph=True)
    (found,) = torch.autograd.grad(
        (terms["consistency"].value / (0.1 * (sigma_s**2 + 0.25) / (sigma_s * 0.5) ** 2)).mean(), scale
    )
    torch.testing.assert_close(found, slope)


def product_of(scale, first, second, anchor):
    return (scale * first - scale * anchor) * (scale * second - scale * anchor)
