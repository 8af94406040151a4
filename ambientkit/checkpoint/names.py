"""The names of the files of a run, all in one place. `folder / NAME` is the file of the run in `folder`."""

from __future__ import annotations

import re

CONFIG = "config.yaml"
"""The configuration, with all its defaults."""
VERSIONS = "versions.json"
"""What the run was made with."""
STATUS = "status.json"
"""The state in which the run last began or ended."""
METRICS = "metrics.jsonl"
"""A line for each `log_every` steps."""
EVALUATIONS = "evaluations.jsonl"
"""A line for each evaluation during training."""
PREFLIGHT = "preflight.json"
"""The checks of the parts of the run before its first step."""
WEIGHTS = "model_ema.safetensors"
"""The newest averaged weights; samples are drawn with them where there is no BEST."""
BEST = "best.safetensors"
"""The averaged weights that are kept by rows held out, which samples are drawn with; also in a checkpoint."""
CARD = "README.md"
"""The model card."""
LOCK = ".lock"
"""Held by the process that trains."""

LOGS = "logs"
"""The folder of what trackers write."""
CHECKPOINTS = "checkpoints"
"""The folder of the checkpoints."""
AVERAGE = "average.safetensors"
"""In a checkpoint: the averaged weights."""
SAMPLES = "samples"
"""The folder of the pictures that are drawn during training."""
LAST_PICTURE = "before_and_after.png"
"""In SAMPLES: noisy rows and samples after the last step."""
VERIFY = "verify"
"""The folder of what `verify --run` measures."""
VERIFIED = "report.json"
"""In VERIFY: the numbers."""
EVALUATE = "evaluate"
"""A folder in which documents of `evaluate --json` are sought, besides the run folder itself."""
EXPORT = "export"
"""The folder of exported networks where no other place is given."""


def checkpoint_name(step: int) -> str:
    """The folder of the checkpoint after `step`, in CHECKPOINTS."""
    return f"checkpoint_{step}"


def step_of_checkpoint(name: str) -> int | None:
    """The step in the name of a checkpoint's folder; None for another name."""
    found = re.fullmatch(r"checkpoint_(\d+)", name)
    return None if found is None else int(found[1])


def demo_name(step: int) -> str:
    """The picture drawn after `step`, in SAMPLES; the names sort as the steps do."""
    return f"demo_{step:08}.png"


DEMOS = "demo_*.png"
"""Matches every `demo_name`."""
