"""What stands in a model card, in the form of the Hugging Face hub: YAML for machines, and plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from ambientkit.config.portable import portable
from ambientkit.config.run import ScheduledObjective, to_yaml
from ambientkit.sample import Trained
from ambientkit.units.counts import in_file_units

DETAIL = 3
"""Noise of more than so many times the spread of a detail hides it."""

TEMPLATE = """\
---
{{ card_data }}
---

# A diffusion model of {{ data }}, trained on {{ kind }} rows

{{ summary }}

## Data

- **Data set:** {{ data }}; rows of shape {{ shape }}, values in [-1, 1]{% if units %} (in the files: {{ units }}){% endif %}.
- **Noise:** {{ noise }}
- **Std of the clean data:** {{ sigma_data }}, {{ sigma_data_known }}.

## Training

- **Objective:**
{%- for line in objectives %}
  - {{ line }}
{%- endfor %}
- **Length:** step {{ step }} of {{ end_step }}; {{ rows }} rows seen (batches of {{ batch }}){% if unfinished %}. **The run is not finished**{% endif %}.
{%- if kept_after %}
- **Weights:** its best on rows held out of training, after {{ kept_after }} steps taken.
{%- endif %}
- **Model:** {{ model }}, {{ parameters }} parameters; the weights are the moving average over the run.
- **Levels:** {{ sigma_min }} to {{ sigma_max }}.
- **Checks before step 1:** {{ preflight }}
- **Seed:** {{ seed }}, of all that is random; precision: {{ precision }}.
- **Versions:** {{ versions }}

<details><summary>The whole configuration</summary>

```yaml
{{ config }}```

</details>

## Scores
{% for table in tables %}
{{ table }}
{% endfor %}
## How to sample

In the folder above that of the run, here called `RUN`:

```text
ambientkit sample RUN -n 64
{%- if noisy %}
ambientkit sample RUN --from NOISY    # restore noisy rows that you have
{%- endif %}
{%- for form in forms %}
ambientkit export RUN --format {{ form }}
{%- endfor %}
```

## Limits
{% for limit in limits %}
- {{ limit }}
{%- endfor %}
"""


def card_text(
    trained: Trained,
    *,
    processes: int,
    versions: Mapping[str, str],
    preflight: str,
    evaluations: Sequence[Mapping[str, Any]],
    forms: Sequence[str],
) -> str:
    """The card of a trained network. preflight: what became of the checks before step 1, in a sentence; evaluations:
    documents of `ambientkit evaluate --json`; forms: those that `export` can write it in."""
    config, signal = trained.config, trained.signal
    picture = len(signal.shape) == 3
    noisy = trained.sigma_n is None or trained.sigma_n[1] > 0
    together = config.batch_size * config.grad_accum_steps * processes
    assert trained.network is not None
    data = ModelCardData(
        library_name="ambientkit",
        pipeline_tag="unconditional-image-generation" if picture and not signal.conds else None,
        tags=["diffusion", "denoising", *(["ambient-diffusion", "trained-on-noisy-data"] if noisy else [])],
    )
    card = ModelCard.from_template(
        data,
        template_str=TEMPLATE,
        data=f"`{config.data.name}`",
        kind="noisy" if noisy else "clean",
        summary=_summary(noisy),
        shape=tuple(signal.shape),
        units=None if trained.units.mapping is None else str(trained.units.mapping),
        noise=_noise(trained),
        sigma_data=f"{signal.sigma_data:.4g}",
        sigma_data_known="estimated from the noisy rows" if config.sigma_data is None else "given by who trained it",
        objectives=[_objective(entry) for entry in config.objective],
        step=f"{trained.step:,}",
        end_step=f"{config.end_step:,}",
        unfinished=trained.step < config.end_step and not trained.kept_after,
        kept_after=f"{trained.kept_after:,}" if trained.kept_after > trained.step else "",
        rows=f"{trained.step * together:,}",
        batch=f"{together:,}" + (f", over {processes} processes" if processes > 1 else ""),
        model=f"`{config.model.name}`",
        parameters=f"{sum(parameter.numel() for parameter in trained.network.parameters()):,}",
        sigma_min=f"{config.levels.sigma_min:g}",
        sigma_max=f"{config.levels.sigma_max:g}",
        preflight=preflight,
        seed=config.seed,
        precision={"no": "float32"}.get(config.mixed_precision, config.mixed_precision),
        versions=", ".join(f"{name} {version}" for name, version in versions.items()) or "not kept",
        config=to_yaml(portable(config)),
        tables=[_table(document, trained.step) for document in evaluations] or [NO_SCORES],
        noisy=noisy,
        forms=forms,
        limits=_limits(trained, noisy),
    )
    return str(card)


NO_SCORES = (
    "None were found in the run folder. `ambientkit evaluate RUN --json RUN/evaluation.json` measures "
    "them, and `ambientkit card RUN` puts them here."
)


def _summary(noisy: bool) -> str:
    what = (
        "D(x, sigma) = E[x_0 | x_0 + sigma z = x], the mean of what may lie under noise of level sigma, and so "
        "a sampler of x_0."
    )
    if noisy:
        return (
            "The network has seen noisy rows only, x_n = x_0 + sigma_n z, and never x_0. From them it has "
            f"learned {what}"
        )
    return f"The network has learned {what}"


def _noise(trained: Trained) -> str:
    if trained.sigma_n is None:
        return "not kept: the run is of an early version."
    low, high = trained.sigma_n
    if high == 0:
        return "none (sigma_n 0)."
    level = f"{high:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
    known = {
        "simulated": "simulated: white Gaussian noise was added to each clean row, once and for all, before training",
        "declared": "declared by who trained it, with the data. Where that is wrong, so is all that was learned",
        "estimated": "estimated from the rows themselves. Where that is off, so is all that was learned",
        "unknown": "how it is known was not kept",
    }[trained.noise]
    own = in_file_units(trained.units.mapping, trained.latents, low, high)
    return f"white and Gaussian, std sigma_n {level} in units of [-1, 1]{own}; {known}."


def _objective(entry: ScheduledObjective) -> str:
    part = entry.objective
    words = [f"`{part.name}`, weight {entry.weight:g}"]
    if entry.start:
        words.append(f"from {_when(entry.start)} on" + (f", risen within {_when(entry.ramp)}" if entry.ramp else ""))
    if entry.every > 1:
        words.append(f"in every {entry.every}th step" if entry.every > 3 else f"in one of {entry.every} steps")
    if entry.stop is not None:
        words.append(f"until {_when(entry.stop)}")
    return ", ".join(words) + (f" ({part.source})" if part.source else "")


def _when(value: int | float) -> str:
    return f"{value:,} steps" if isinstance(value, int) else f"{value:.0%} of the run"


def _table(document: Mapping[str, Any], step: int) -> str:
    at = document.get("step")
    of = f"step {at}" if at is not None else "samples drawn before"
    lines = [
        f"`{document['file']}`, {of}, {document.get('n')} samples, against {document['reference_is']} rows of "
        f"{document['reference']}:",
        "",
        "| measure | value | spread | the data against themselves |",
        "|---|---|---|---|",
    ]
    if at not in (None, step):
        lines[0] += f" **these are not the weights here, which are of step {step}.**"
    for score in document["scores"]:
        name = f"{score['name']}[{score['extractor']}]" if score.get("extractor") else score["name"]
        cells = (_number(score.get(key)) for key in ("value", "spread", "floor"))
        lines.append(f"| {name} ({score['group']}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}"


def _limits(trained: Trained, noisy: bool) -> list[str]:
    found = []
    if trained.sigma_n is not None and noisy:
        low = trained.sigma_n[0]
        ways = list(
            dict.fromkeys(entry.objective.below_sigma_n for entry in trained.config.objective if entry.trains_below)
        )
        below = (
            f"No row shows what happens at levels below sigma_n = {low:.3g}. "
            if low
            else "Only clean rows show what happens below sigma_n. "
        )
        if ways:
            below += (
                f"There the network is extrapolated, {' and '.join(ways)}: what lies below that scale is "
                "less sure than the rest."
            )
        else:
            below += (
                "No objective of the run is known to fill them in; `ambientkit sample RUN --sigma-min "
                "sigma-n` stops above them."
            )
        found.append(below)
        if low:
            found.append(
                f"Details whose own spread is below about {low / DETAIL:.2g} (sigma_n / {DETAIL}) are hidden by "
                "the noise: expect them to be "
                "smoothed over or invented."
            )
        found.append(
            "It rests on noise that is white, Gaussian, independent of the rows and of the level stated above; "
            "noise that is correlated, cut off or of "
            "another level is learned as if it were data. `ambientkit inspect` tests that."
        )
    found.append(
        "It knows rows like those it was trained on, and may repeat some of them; what they lack, and how they are "
        "biased, it has too."
    )
    found.append(
        "A sample or a restored row is a plausible picture, not a measurement. Do not base medical, legal or "
        "safety decisions, or scientific "
        "findings about a single row, on one."
    )
    return found
