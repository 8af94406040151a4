"""What a training run is made of, and how the written configuration becomes it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError, model_validator
from ruamel.yaml import YAML

from ambientkit.batch import Batch, Term
from ambientkit.config.files import KeyPath, Source, is_secret, merge
from ambientkit.errors import InputError, explain
from ambientkit.interfaces import (
    Corruption,
    Data,
    Denoiser,
    Fields,
    Levels,
    Model,
    Objective,
    Part,
    Recipe,
    Sampler,
    Tools,
    WeightedObjective,
)
from ambientkit.maths.levels import GREATEST, LEAST
from ambientkit.registry import Registry, spec_of

Complaint = Callable[[KeyPath, str], InputError]

Steps = Annotated[int, Field(ge=1)]


class LevelsConfig(Fields):
    """The range of noise levels trained and sampled, data units."""

    sigma_min: float = Field(0.002, ge=LEAST)
    sigma_max: float = Field(80.0, gt=0, le=GREATEST)

    @model_validator(mode="after")
    def _ordered(self) -> LevelsConfig:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min {self.sigma_min:g} must be below sigma_max {self.sigma_max:g}")
        return self

    def as_levels(self) -> Levels:
        """The same, as the tuple that objectives see."""
        return Levels(self.sigma_min, self.sigma_max)


class OptimizerConfig(Fields):
    """The optimiser, by name, and its learning rate: a linear warm-up, then a schedule by name."""

    name: Literal["adamw", "sgd", "adamw-8bit", "prodigy", "adamw-schedule-free"] = "adamw"
    """The last three are those of the packages bitsandbytes, prodigyopt and schedulefree: the extra `optimizers`."""
    lr: float = Field(5e-4, gt=0)
    """Of prodigy, which finds the rate itself, a multiple of it: 1 is usual."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Of all but sgd."""
    eps: float = Field(1e-8, gt=0)
    """Of all but sgd."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """Of sgd."""
    weight_decay: float = Field(1e-3, ge=0)
    schedule: Literal["constant", "cosine", "inverse-sqrt"] = "constant"
    """What follows the warm-up. cosine falls to 0 at end_step."""
    warmup_steps: int = Field(100, ge=0)
    decay_start: int | None = Field(None, ge=1)
    """Of inverse-sqrt: the step at which the rate begins to fall; warmup_steps where it is not given."""
    max_grad_norm: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _fields_of_another(self) -> OptimizerConfig:
        # A field that would have no effect is a mistake, unless it holds its default, as in a stored configuration.
        fields = type(self).model_fields
        adamw = "adamw" if self.name == "sgd" else self.name
        for name, owner, chosen in (
            ("betas", adamw, self.name),
            ("eps", adamw, self.name),
            ("momentum", "sgd", self.name),
            ("decay_start", "inverse-sqrt", self.schedule),
        ):
            if chosen != owner and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} belongs to {owner}, but {chosen} was chosen")
        if self.name == "prodigy" and self.lr == fields["lr"].default:
            raise ValueError("prodigy finds the rate itself, and lr is a multiple of it: give lr 1")
        return self


class EMAConfig(Fields):
    """Average of the weights with k-diffusion's warm-up: decay = min(max_decay, 1 - (1 + updates /
    inv_gamma)^-power)."""

    power: float = Field(2 / 3, gt=0)
    inv_gamma: float = Field(1.0, gt=0)
    max_decay: float = Field(0.9999, ge=0, lt=1)


class ScheduledObjective(Fields):
    """An objective of a run with its weight over time; see `interfaces.WeightedObjective`."""

    objective: InstanceOf[Objective]
    weight: float = Field(1.0, ge=0)
    start: int | float = Field(0, ge=0)
    ramp: int | float = Field(0, ge=0)
    every: int = Field(1, ge=1)
    stop: int | float | None = Field(None, ge=0)

    @property
    def trains_below(self) -> bool:
        """Whether it trains levels below the noise of the data, with a weight above 0."""
        return self.weight > 0 and bool(self.objective.below_sigma_n)

    def weight_at(self, step: int, end_step: int) -> float:
        """The weight in optimiser step `step` (from 0) of `end_step`: a linear rise within `ramp` from `start` on; 0 in
        steps left out, and from `stop` on."""
        start, ramp = (
            value if isinstance(value, int) else round(value * end_step) for value in (self.start, self.ramp)
        )
        stop = (
            end_step if self.stop is None else self.stop if isinstance(self.stop, int) else round(self.stop * end_step)
        )
        if step < start or step >= stop or step % self.every:
            return 0.0
        return self.weight * min(1.0, (step - start + 1) / (ramp + 1))


class RunConfig(Fields):
    """Everything that fixes a run. Units of the data are [-1, 1]."""

    data: InstanceOf[Data]
    corruption: InstanceOf[Corruption]
    model: InstanceOf[Model]
    objective: tuple[ScheduledObjective, ...]
    sampler: InstanceOf[Sampler]
    """The one that objectives use; `ambientkit sample` has its own."""
    augment: tuple[str, ...] = ()
    """Poses in which rows are seen: flip-horizontal, flip-vertical, quarter-turns, crop=HxW. Others would change the
    law of the noise."""
    cond_dropout: float = Field(0.0, ge=0, lt=1)
    """Probability with which a row is seen without its conditions in a step, for classifier-free guidance (0.1 is
    usual)."""
    levels: LevelsConfig = LevelsConfig()
    sigma_data: float | None = Field(None, gt=0)
    """Std of the clean data; estimated from the observations where it is not given."""
    end_step: Steps = 10_000
    batch_size: Steps = 64
    """Rows in each process and micro-step."""
    grad_accum_steps: Steps = 1
    optimizer: OptimizerConfig = OptimizerConfig()
    ema: EMAConfig = EMAConfig()
    seed: int = 0
    device: str = "auto"
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    fingerprint: Literal["sampled", "full"] = "sampled"
    """What a run knows its data by, to notice a change: a hash of 256 rows, evenly spaced, or of all of them."""
    num_workers: int = Field(0, ge=0)
    checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, more time."""
    compile: bool = False
    """Compile the network with torch.compile."""
    hold_out: float | None = Field(None, ge=0, lt=1)
    """Share of the rows that are not trained on: their Tweedie loss says which averaged weights to keep. By number
    of rows where it is not given; 0 for none."""
    stop_early: bool = True
    """Stop where the loss on the rows held out has risen for good."""
    max_bad_steps: Steps = 20
    """Steps in a row with a loss or gradient that is not finite, after which the run stops. Each of them is skipped."""
    init_from: str | None = None
    """Weights to begin with: a run folder, a checkpoint, or a weights file."""
    trackers: tuple[Literal["tensorboard", "wandb", "trackio", "mlflow"], ...] = ()
    """Where the log lines go besides metrics.jsonl."""
    save_every: Steps = 1000
    keep_last: Steps = 3
    log_every: Steps = 50
    demo_every: int = Field(0, ge=0)
    """Steps between sample grids; 0 for none."""
    sample_n: Steps = 64
    """Samples in each grid."""
    evaluate_every: int = Field(0, ge=0)
    """Steps between evaluations of the averaged weights, into evaluations.jsonl; 0 for none. Training is the same to
    the bit."""
    evaluate_n: int = Field(256, ge=8)
    """Rows and samples of an evaluation."""
    evaluate_data: InstanceOf[Data] | None = None
    """Rows to evaluate on that the run does not train on; its own rows where it is not given."""


FORMAT_VERSION = 1
"""Of a configuration; a file need not state it."""

DEFAULTS: dict[str, Any] = {
    "data": "digits",
    "corruption": "gaussian",
    "model": "mlp",
    "objective": "tweedie-consistency",
    "sampler": "stochastic-heun",
}


class Absent(Objective):
    """Stands for an objective of a stored run that no installed package registers: its fields are kept, and it cannot
    train."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name = "absent"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """Raises InputError."""
        raise InputError(f"the objective {self.name!r} is not installed")


def resolve(source: Source, registry: Registry, *, absent: bool = False) -> RunConfig:
    """A checked `RunConfig` from a merged source. Raises InputError with the place, the key, what was read and what was
    expected.

    absent: allow objectives that no installed package registers, which are not needed to sample; `Absent` stands for
    each.
    """

    def complain(path: KeyPath, sentence: str) -> InputError:
        place = source.place(path)
        if is_secret(path):
            sentence = sentence.partition(", but is ")[0]
        key = ".".join(map(str, path))
        return InputError(f"{place}: {key}: {sentence}" if place not in ("", key) else f"{key}: {sentence}")

    tree = dict(merge([Source(DEFAULTS), source]).tree)
    if (version := tree.pop("format_version", FORMAT_VERSION)) != FORMAT_VERSION:
        raise complain(
            ("format_version",), f"{version!r} is not known to this version of ambientkit, which reads {FORMAT_VERSION}"
        )
    parts: dict[str, Any] = {}
    for kind in ("data", "corruption", "model", "sampler"):
        parts[kind] = registry.build(kind, tree[kind], partial(_below, complain, (kind,)))
    parts["objective"] = _objectives(
        _with_absent(tree["objective"], registry) if absent else tree["objective"], registry, complain
    )
    if tree.get("evaluate_data") is not None:
        parts["evaluate_data"] = registry.build(
            Data, tree["evaluate_data"], partial(_below, complain, ("evaluate_data",))
        )
    plain = {key: value for key, value in tree.items() if key not in parts}
    try:
        return RunConfig(**parts, **plain)
    except ValidationError as error:
        path, sentence = explain(error, (), RunConfig.model_fields)[0]
        section = RunConfig.model_fields.get(str(path[0]))
        if "unknown key" in sentence and len(path) > 1 and section is not None:
            path, sentence = explain(error, (), section.annotation.model_fields)[0]  # type: ignore[union-attr]
        raise complain(path, sentence) from None


def _objectives(spec: Any, registry: Registry, complain: Complaint) -> tuple[ScheduledObjective, ...]:
    """The weighted objectives that a name, a mapping or a list of weighted objectives stands for."""
    at: KeyPath = ("objective",)
    if isinstance(spec, list | tuple):
        items = list(spec)
        if not items:
            raise complain(at, "should name at least one objective, but is an empty list")
    else:
        spec = _with_default_terms(spec, registry)
        part = registry.build("objective", spec, partial(_below, complain, at))
        if isinstance(part, Objective):
            return (ScheduledObjective(objective=part),)
        assert isinstance(part, Recipe)  # the registry keeps nothing else under this kind
        items, at = [term.model_dump() for term in part.terms], (*at, "terms")
    scheduled = []
    for index, item in enumerate(items):
        try:
            given = item.get("objective") if isinstance(item, Mapping) else item
            given_part = given if isinstance(given, Part) else None  # of an object its name stands here
            fields = {
                **(item if isinstance(item, Mapping) else {}),
                **({} if given_part is None else {"objective": given_part.name}),
            }
            entry = WeightedObjective.model_validate(fields if fields else item)
        except ValidationError as error:
            path, sentence = explain(error, (*at, index), WeightedObjective.model_fields)[0]
            raise complain(path, sentence) from None
        spec = entry.objective if given_part is None else given_part
        objective = registry.build("objective", spec, partial(_below, complain, (*at, index, "objective")))
        if not isinstance(objective, Objective):
            raise complain((*at, index, "objective"), f"{objective.name!r} is a recipe; a recipe lists objectives only")
        scheduled.append(ScheduledObjective(objective=objective, **entry.model_dump(exclude={"objective"})))
    return tuple(scheduled)


def scheduled(spec: Any, registry: Registry) -> tuple[ScheduledObjective, ...]:
    """The weighted objectives that a name, a mapping, a part or a list of them stands for, as in a run's `objective`.

    For those who compute the loss of a recipe in a loop of their own. Raises InputError naming the key.
    """

    def complain(path: KeyPath, sentence: str) -> InputError:
        return InputError(f"{'.'.join(str(key) for key in path)} {sentence}")

    return _objectives(spec, registry, complain)


def _with_absent(spec: Any, registry: Registry) -> Any:
    """A stored list of objectives in which an `Absent` stands for each one that is not registered."""

    def known(item: Any) -> Any:
        fields = item.get("objective") if isinstance(item, Mapping) else None
        fields = {"name": fields} if isinstance(fields, str) else fields
        if not isinstance(fields, Mapping) or fields.get("name") in registry.names("objective"):
            return item
        kind = type("Absent", (Absent,), {"name": str(fields.get("name")), "__doc__": Absent.__doc__})
        return {**item, "objective": kind(**{name: value for name, value in fields.items() if name != "name"})}

    return [known(item) for item in spec] if isinstance(spec, list | tuple) else spec


def _with_default_terms(spec: Any, registry: Registry) -> Any:
    """Numbered changes to a recipe's terms ({"name": ..., "terms": {1: {"weight": 0.3}}}), applied to its defaults."""
    if not (isinstance(spec, Mapping) and isinstance(spec.get("terms"), Mapping) and isinstance(spec.get("name"), str)):
        return spec
    part = registry.find("objective", spec["name"]).part
    default = part.model_fields["terms"].default if issubclass(part, Recipe) else None
    if not default:
        return spec
    terms = merge([Source({"terms": [term.model_dump() for term in default]}), Source({"terms": spec["terms"]})]).tree[
        "terms"
    ]
    return {**spec, "terms": terms}


def _below(complain: Complaint, at: KeyPath, path: KeyPath, sentence: str) -> InputError:
    return complain((*at, *path), sentence)


def dump(config: RunConfig) -> dict[str, Any]:
    """The plain mapping that `resolve` turns back into the same configuration."""
    plain: dict[str, Any] = {}
    for name in RunConfig.model_fields:
        value = getattr(config, name)
        if name == "objective":
            plain[name] = [
                {**term.model_dump(exclude={"objective"}), "objective": spec_of(term.objective)} for term in value
            ]
        elif isinstance(value, Part):
            plain[name] = spec_of(value)
        else:
            plain[name] = (
                value.model_dump(mode="json")
                if isinstance(value, BaseModel)
                else list(value)
                if isinstance(value, tuple)
                else value
            )
    return plain


def to_yaml(plain: Mapping[str, Any]) -> str:
    """A plain mapping as YAML text."""
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 4096  # a long path stays on one line, where it can be searched for
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(dict(plain), stream)
    return stream.getvalue()


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in which two configurations differ."""

    path: str
    old: Any
    new: Any


def differences(old: Any, new: Any, at: str = "") -> list[Difference]:
    """The fields in which two plain configurations differ, by dotted path."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = list(dict.fromkeys([*old, *new]))
        return [d for key in keys for d in differences(old.get(key), new.get(key), f"{at}.{key}" if at else str(key))]
    if isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        return [
            d for index, (a, b) in enumerate(zip(old, new, strict=True)) for d in differences(a, b, f"{at}.{index}")
        ]
    return [] if old == new else [Difference(at, old, new)]
