"""The script of what only a GPU can show: its walk on the CPU, and its word where there is no card."""

from __future__ import annotations

import json

import pytest
import torch

from tests.support import ROOT, forked

pytestmark = pytest.mark.slow

SCRIPT = ROOT / "examples" / "benchmarks" / "gpu.py"


@pytest.mark.thorough
def test_the_walk_on_the_cpu_measures_every_line(tmp_path):
    pytest.importorskip("ambientkit_kdiffusion")
    sizes = ["--preset", "tiny", "--pixels", "8", "--batch-size", "4", "--steps", "8"]
    flags = ["--device", "cpu", "--only", "training", "sampling", "resume", "--json", str(tmp_path / "gpu.json")]
    done = forked.run([SCRIPT, *sizes, *flags], timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = json.loads((tmp_path / "gpu.json").read_text())["lines"]
    assert [(line["what"], line["case"]) for line in lines] == [
        ("training", "float32"),
        ("training", "bf16"),
        ("sampling", "heun"),
        ("resume", "half way"),
    ]
    assert lines[3]["figures"] == {"largest difference of weights": 0.0}
    assert all(value > 0 for line in lines[:3] for name, value in line["figures"].items() if "second" in name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_says_so_and_measures_nothing():
    done = forked.run([SCRIPT])
    assert (done.returncode, done.stdout) == (
        0,
        "no GPU here: nothing was measured (--device cpu tries the script itself)\n",
    )
