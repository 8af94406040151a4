"""A small run with pictures, trained once for the tests of the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ambientkit.cli import main

SIZE = [
    "--set",
    "model.width=16",
    "--set",
    "model.depth=1",
    "--batch-size",
    "16",
    "--device",
    "cpu",
    "--skip-preflight",
]
OBJECTIVE = [{"objective": "tweedie"}, {"objective": {"name": "consistency", "fraction": 0.5}, "weight": 0.1}]
QUICK = ["--n", "8", "--steps", "3", "--rows", "8", "--device", "cpu"]
"""Flags of a report that takes a second."""


def train(folder: Path, *flags: str) -> Path:
    """Six steps on noisy digits, with a picture and two checkpoints."""
    saving = ["--end-step", "6", "--save-every", "3", "--demo-every", "3", "--log-every", "1"]
    config = folder.parent / "objective.json"
    config.write_text(json.dumps({"objective": OBJECTIVE}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "sys.argv",
            [
                "ambientkit",
                "train",
                "-c",
                str(config),
                "--data",
                "digits",
                "--output-dir",
                str(folder),
                *SIZE,
                *saving,
                *flags,
            ],
        )
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code
    return folder
