"""The errors a user meets. Each says what happened, where, what was read and what to do; the command line prints it
without a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class AmbientError(Exception):
    """Base of every error that is printed as one short message instead of a traceback; `exit_status` is what the
    process returns."""

    exit_status: int = 1
    as_command: str | None = None
    """The message with the flags of commands, where it names arguments instead."""

    def name_arguments(self, spelling: Callable[[str], str]) -> None:
        """Have the message name arguments in place of flags; a second time changes nothing."""
        if self.as_command is None:
            self.as_command = str(self)
            self.args = (spelling(self.as_command),)

    def for_command(self) -> str:
        """The message as a command prints it."""
        return str(self) if self.as_command is None else self.as_command


class InputError(AmbientError):
    """Something the user gave cannot be used: a flag, a config key, a file, a row of data. Exit status 2."""

    exit_status = 2


class PluginError(InputError):
    """A plug-in is broken, or two of them claim one name. Exit status 2."""


class RunError(AmbientError):
    """A run cannot go on (non-finite loss, a damaged checkpoint, a full disk). Exit status 1."""


class CheckFailed(AmbientError):
    """A statistical check rejected a part. Exit status 1."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint "; did you mean 'x'?" for a misspelt word, or nothing where no known word is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def _is_field(word: str) -> bool:
    """Pydantic names the members of a union in the path ("float", "constrained-float", "tuple[...]"); those are no
    fields of ours."""
    return word.isidentifier() and word not in ("float", "int", "str", "bool", "dict", "tuple", "list")


CHANGES_THE_LAW = (
    "noise_offset",
    "offset_noise",
    "multires_noise",
    "pyramid_noise",
    "input_perturbation",
    "ip_noise_gamma",
    "adaptive_noise_scale",
    "immiscible_noise",
)
"""How names of options begin that other trainers have, and that are refused here."""


CALLED_HERE = {
    "noisy_ambient": "the key data.noise_timestep, or --sigma-n",
    "timestep_nature": "the key data.noise_timestep, or --sigma-n",
    "x0_pred": "nothing to be said: what the network answers with is read from its scheduler",
    "consistency_coeff": "the weight of consistency in a recipe, objective.terms.1.weight",
    "max_steps_diff": "the field max_hop of the objective consistency, in units of log sigma",
    "num_consistency_steps": "the field chain_steps of the objective consistency",
    "run_consistency_everywhere": "no option: the anchors of consistency lie at sigma_n and below",
    "with_grad": "no option: the gradient of consistency goes into the lower level alone",
    "pretrained_model_name_or_path": "the keys model.path and data.pipeline, a folder on this machine",
    "train_data_dir": "the key data.path",
    "dataset_name": "the key data.path, a folder on this machine",
    "resolution": "the key data.size",
    "center_crop": "the key data.crop",
    "random_flip": "the key data.flip",
    "train_batch_size": "--batch-size",
    "gradient_accumulation_steps": "--grad-accum-steps",
    "gradient_checkpointing": "--checkpointing",
    "max_train_steps": "--end-step",
    "num_train_epochs": "--end-step",
    "learning_rate": "--lr",
    "lr_scheduler": "--lr-schedule",
    "lr_warmup_steps": "--warmup-steps",
    "checkpointing_steps": "--save-every",
    "checkpoints_total_limit": "--keep-last",
    "resume_from_checkpoint": "--resume",
    "dataloader_num_workers": "--num-workers",
    "use_8bit_adam": "the key optimizer.name, adamw-8bit",
    "snr_gamma": "the field weighting of the objective tweedie, min-snr",
    "prediction_type": "the key model.predicts, where the scheduler does not say it",
    "report_to": "--tracker",
}
"""Options of diffusers' script for SDXL, and of the one that was published with arXiv 2404.10177: what they are
here."""


def refused(key: str) -> str:
    """Why an option of other trainers is not taken, or what it is called here, to follow its name; empty for any other
    name."""
    key = key.replace("-", "_").lower()
    if key in CALLED_HERE:
        return f": here it is {CALLED_HERE[key]}"
    if not key.startswith(CHANGES_THE_LAW):
        return ""
    return (
        ": it would change the law of x_t given x_n. x_t is x_n with the Gaussian noise that is missing up to "
        "sigma_t, white and independent of "
        "x_n; on any other noise E[x_n | x_t] = a E[x_0 | x_t] + b x_t does not hold, and what is learned is not "
        "the clean distribution"
    )


def explain(
    error: ValidationError, prefix: Sequence[str | int], fields: Iterable[str]
) -> list[tuple[tuple[str | int, ...], str]]:
    """Each problem of a pydantic error as (path, sentence). prefix: the path of the validated object; fields: its known
    fields."""
    problems = []
    for item in error.errors(include_url=False, include_context=False):
        path = (*prefix, *(word for word in item["loc"] if isinstance(word, int) or _is_field(word)))
        if item["type"] == "extra_forbidden":
            key = str(item["loc"][-1])
            sentence = f"unknown key {key!r}" + (refused(key) or nearest(key, fields))
        else:
            sentence = item["msg"].removeprefix("Value error, ").replace("Input should", "should", 1)
            if not isinstance(item["input"], dict | list | tuple):
                sentence += f", but is {item['input']!r}"
        problems.append((path, sentence))
    return problems


def unfit(error: ValidationError, fields: Iterable[str]) -> InputError:
    """The first problem of a pydantic error, as "field: sentence"."""
    path, sentence = explain(error, (), fields)[0]
    return InputError(": ".join(map(str, (*path, sentence))))
