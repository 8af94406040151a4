"""Training as the benchmarks do it: with its messages in a file, and again from where it was stopped."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import ambientkit as ak


def train_run(home: Path, tree: dict[str, Any]) -> ak.Run:
    """Train the run folder `home` to its end, from its last checkpoint where it was begun; a finished one is returned
    as it is.

    tree: the configuration of a run that is begun, which HOME.json keeps; HOME.log keeps what is reported.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    home.with_suffix(".json").write_text(json.dumps(tree))
    logger, handler = logging.getLogger("ambientkit"), logging.FileHandler(home.with_suffix(".log"))
    level, propagates = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        begun = (home / "config.yaml").exists()
        return ak.train(config=() if begun else tree, output_dir=home, skip_preflight=True)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagates
        handler.close()
