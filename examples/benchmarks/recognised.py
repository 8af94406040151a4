"""How many of the demo's samples does an independent classifier recognise, and does each digit come as often as it
should?

    python examples/benchmarks/recognised.py [--seeds 0] [--arms default,clean] [--sigma-n 0.3] [--end-step N]
                                             [--samples 1000] [--folder build/recognised] [--json FILE]
                                             [--markdown FILE]

Trains and samples as examples/demo.py does, without a setting of training, and the arm `clean` on the clean scans with
the same network, budget and seed. The classifier is a support vector machine on half of the clean scans (scikit-learn's
SVC with probabilities by pairwise coupling, everything else by default); it is sure of a picture where its likeliest
digit has more than 0.9. The other half of the scans says what it makes of right pictures, and `noise` what of pure
noise.
"rarest" and "commonest" are ten times the least and the largest share of a digit. Runs go on where they were stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import warnings
from pathlib import Path
from typing import Any

from stopped import stoppable

os.environ.setdefault("OMP_NUM_THREADS", "1")

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from demo import SAMPLER, scans, with_noise

ARMS = ("default", "clean")
SURE = 0.9
DIGITS = 10
SAMPLER_STEPS = 32


class Recogniser:
    """The classifier, taught by one half of the clean scans."""

    def __init__(self) -> None:
        import numpy as np
        from sklearn.datasets import load_digits
        from sklearn.svm import SVC

        x, digit = scans().reshape(-1, 64), load_digits().target
        order = np.random.default_rng(0).permutation(len(x))
        taught, self.others = order[: len(x) // 2], order[len(x) // 2 :]
        with warnings.catch_warnings():
            # scikit-learn 1.9 advises one sigmoid per class, scaled to sum 1, which is sure of half of pure noise.
            warnings.simplefilter("ignore", FutureWarning)
            self._classifier = SVC(probability=True, random_state=0).fit(x[taught], digit[taught])

    def judge(self, rows: Any) -> dict[str, float]:
        """Shares of rows (N, 1, 8, 8), an array in [-1, 1]."""
        import numpy as np

        likely = self._classifier.predict_proba(rows.reshape(len(rows), -1))
        shares = np.bincount(likely.argmax(1), minlength=DIGITS) / len(rows) * DIGITS
        return {
            "sure": float((likely.max(1) > SURE).mean()),
            "rarest": float(shares.min()),
            "commonest": float(shares.max()),
        }


def perform(arm: str, seed: int, args: argparse.Namespace, recogniser: Recogniser) -> dict[str, float]:
    """Train one run to its end, or take it over, and judge its samples."""
    import ambientkit as ak
    from ambientkit.checkpoint.folder import write_file

    level = "any" if arm == "clean" else f"{args.sigma_n:g}"
    home = args.folder / f"{arm}-{level}-{args.end_step or 'default'}-seed{seed}"
    figures = home.with_name(f"{home.name}-{args.samples}.json")
    if figures.exists():
        return json.loads(figures.read_text())
    length = {} if args.end_step is None else {"end_step": args.end_step}
    how: dict[str, Any] = {"seed": seed, "output_dir": home, "device": "cpu", "skip_preflight": True, **length}
    clean = scans()
    if arm == "clean":
        run = ak.train(clean, clean=True, sigma_n=0.0, objective="denoising", **how)
    else:
        run = ak.train(with_noise(clean, args.sigma_n, seed), sigma_n=args.sigma_n, **how)
    rows = run.sample(args.samples, seed=seed, sampler=SAMPLER, steps=SAMPLER_STEPS, batch_size=250).numpy()
    found = {**recogniser.judge(rows), "step": run.step}
    write_file(figures, json.dumps(found).encode())
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0", help="separated by commas: of noise, weights, batches and samples")
    parser.add_argument("--arms", default=",".join(ARMS), help="separated by commas")
    parser.add_argument("--sigma-n", type=float, default=0.3)
    parser.add_argument("--end-step", type=int, help="by default that of the model chosen, as in the demo")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=Path("build/recognised"))
    parser.add_argument("--json", type=Path, help="write a list of rows: arm, seed, sure, rarest, commonest, step")
    parser.add_argument("--markdown", type=Path, help="write the table")
    args = parser.parse_args(arguments)
    arms = args.arms.split(",")
    if unknown := [arm for arm in arms if arm not in ARMS]:
        parser.error(f"--arms {unknown[0]}: known are {', '.join(ARMS)}")
    import numpy as np

    recogniser = Recogniser()
    noise = np.random.default_rng(0).standard_normal((1000, 1, 8, 8)).clip(-1, 1)
    rows = [
        {"arm": "held-out scans", "seed": 0, **recogniser.judge(scans()[recogniser.others])},
        {"arm": "noise", "seed": 0, **recogniser.judge(noise)},
    ]
    for seed in map(int, args.seeds.split(",")):
        for arm in arms:
            rows.append({"arm": arm, "seed": seed, **perform(arm, seed, args, recogniser)})
            print(rows[-1], flush=True)
    text = table(rows)
    print(text)
    if args.markdown:
        args.markdown.write_text(text)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: mean over the seeds, and range."""
    lines = ["| | seeds | sure of | rarest digit | commonest digit |", "|---|---|---:|---:|---:|"]
    for arm in dict.fromkeys(row["arm"] for row in rows):
        mine = [row for row in rows if row["arm"] == arm]
        cells = [_cell([100 * row["sure"] for row in mine], "{:.0f} %")]
        cells += [_cell([row[name] for row in mine], "{:.2f}") for name in ("rarest", "commonest")]
        lines.append(f"| {arm} | {', '.join(str(row['seed']) for row in mine)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(values: list[float], form: str) -> str:
    low, high = form.format(min(values)), form.format(max(values))
    return form.format(statistics.mean(values)) + (f" ({low} to {high})" if low != high else "")


if __name__ == "__main__":
    stoppable(main, goes_on=True)
