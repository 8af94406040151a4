"""The conditions that samples are drawn under."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ambientkit.errors import InputError, nearest
from ambientkit.interfaces import Model
from ambientkit.sample.load import Trained

Conds = Callable[[Sequence[int]], dict[str, Tensor]]
"""Indices to name -> (len(indices), ...)."""
ClassLike = str | int | Sequence[int] | None
"""One class, or several that samples take in turn."""
CondsLike = Sequence[str] | Mapping[str, Any] | None
"""Other conditions: texts "NAME=VALUE", or name -> a number, a list of numbers or a tensor."""


PromptLike = str | Sequence[str] | None
"""One text, or several that samples take in turn; "" stands for none."""


class Prompts(NamedTuple):
    """Texts that samples are drawn under, and what the model makes of them."""

    given: tuple[str, ...] = ()
    negative: str | None = None
    cond: Mapping[str, Tensor] = {}
    """name -> (len(given), ...)."""
    against: Mapping[str, Tensor] = {}
    """name -> what stands for no condition under guidance, where a negative prompt was given."""

    def plain(self) -> dict[str, Any]:
        """As a manifest holds it; nothing where no text was given."""
        if not self.given:
            return {}
        return {"prompt": list(self.given), **({} if self.negative is None else {"negative_prompt": self.negative})}


def prompts_of(trained: Trained, prompt: PromptLike, negative: str | None, guidance: float) -> Prompts:
    """What the model makes of texts, asked once for all of them. Raises InputError where it takes none, or a negative
    one would count for nothing."""
    given = () if prompt is None else (prompt,) if isinstance(prompt, str) else tuple(prompt)
    if negative is not None and (not given or guidance == 1):
        lacks = "a --prompt" if not given else "guidance: --guidance 5, for one"
        raise InputError(f"--negative-prompt: is what a prompt is guided away from; give {lacks} too")
    if not given:
        return Prompts()
    model = trained.config.model
    found = model.prompted([*given, *(() if negative is None else (negative,))], trained.signal)
    for name, value in found.items():
        wanted = (len(given) + (negative is not None), *trained.signal.conds.get(name, ()))
        if name not in trained.signal.conds or tuple(value.shape) != wanted:
            raise InputError(
                f"--prompt: model {model.name!r} makes {name} of shape {tuple(value.shape[1:])} of it, but the run "
                "was trained on "
                f"{dict(trained.signal.conds).get(name, 'none of that name')}"
            )
    against = {} if negative is None else {name: value[-1] for name, value in found.items() if name not in model.always}
    return Prompts(given, negative, {name: value[: len(given)] for name, value in found.items()}, against)


def class_text(classes: ClassLike) -> str | None:
    """Classes as "N,N,...". Raises InputError for an empty text."""
    text = classes if classes is None or isinstance(classes, str) else _text(classes)
    if text is not None and not text.strip():  # of a shell variable that is not set
        raise InputError("--class: is empty; give a value, or leave the flag out")
    return text


def cond_texts(conds: CondsLike) -> tuple[str, ...]:
    """Conditions as texts "NAME=VALUE"."""
    if isinstance(conds, Mapping):
        return tuple(f"{name}={_text(value)}" for name, value in conds.items())
    return tuple(conds or ())


def _text(value: Any) -> str:
    numbers = torch.as_tensor(value).flatten().tolist()
    return ",".join(map(repr, numbers))


def conditions(
    trained: Trained,
    classes: str | None,
    conds: tuple[str, ...],
    carried: Sequence[str] = (),
    prompts: Prompts = Prompts(),  # noqa: B008  (a tuple, and never changed)
) -> Conds:
    """The conditions that --class, --cond and --prompt give. carried: names that the rows bring themselves. What --cond
    names stands before what a prompt means.

    A single number of a condition of shape () may be a list N,N,...: index i has the i-th, again from the first. A
    number with a point is floating point, one without is an integer label. Raises InputError for a condition that the
    model does not take, or lacks.
    """
    takes = trained.signal.conds
    given: dict[str, str] = {}
    pairs = [item.partition("=")[::2] for item in conds]
    for name, text in [*pairs, *([] if classes is None else [(_class_name(takes), classes)])]:
        if name in given:
            raise InputError(f"{name} is given twice: {given[name]} and {text}; give it once, by --class or by --cond")
        given[name] = text
    for name in given:
        if name not in takes:
            known = f"; it takes {', '.join(takes)}" if takes else "; it takes none"
            raise InputError(
                f"--cond {name}: the model of this run takes no such condition{nearest(name, takes)}{known}"
            )
    brought = {*carried, *prompts.cond, *trained.config.corruption.carries}  # masks come with rows, or are drawn
    if lacking := [name for name in takes if name not in given and name not in brought]:
        if type(trained.config.model).prompted is not Model.prompted and not prompts.given and len(takes) > 1:
            raise InputError(f"the model of this run takes {', '.join(lacking)}: give --prompt TEXT")
        raise InputError(
            f"the model of this run takes {', '.join(f'{name} {tuple(takes[name])}' for name in lacking)}: give "
            f"--class N, or --cond {lacking[0]}=VALUE"
        )
    values = {
        **prompts.cond,
        **{name: _numbers(name, text, tuple(takes[name])) for name, text in given.items()},
    }
    most = trained.config.model.classes
    labels = [
        name
        for name in values
        if (classes is not None and name == _class_name(takes)) or (most is not None and name == "class_cond")
    ]
    for name in labels:
        flag = f"--class {given[name]}" if classes is not None else f"--cond {name}={given[name]}"
        if values[name].is_floating_point():
            raise InputError(f"{flag}: a class is a whole number")
        if most is not None and not bool(((values[name] >= 0) & (values[name] <= most)).all()):
            raise InputError(f"{flag}: the model of this run knows the classes 0 to {most - 1}, and {most} for none")
    _try(trained, values, given)

    def at(indices: Sequence[int]) -> dict[str, Tensor]:
        place = torch.as_tensor(list(indices))
        return {name: value[place % len(value)] for name, value in values.items()}

    return at


def _try(trained: Trained, values: dict[str, Tensor], given: dict[str, str]) -> None:
    """Ask the model once, so that it refuses what it cannot take before anything is written. Only where nothing else is
    needed to ask it."""
    if not values or set(values) != set(trained.signal.conds):
        return
    device = trained.device
    n = max(map(len, values.values()))
    x = torch.zeros(n, *trained.signal.shape, device=device)
    cond = {name: value[torch.arange(n) % len(value)].to(device) for name, value in values.items()}
    try:
        with torch.no_grad():
            trained.denoiser(x, torch.ones(n, device=device), **cond)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        said = ", ".join(f"{name}={text}" for name, text in given.items())
        raise InputError(
            f"--cond {said}: the model of this run does not take this ({' '.join(str(error).split())[:200]})"
        ) from None


def _class_name(takes: Any) -> str:
    names = [name for name, shape in takes.items() if tuple(shape) == ()]
    if "class_cond" in names:
        return "class_cond"
    if len(names) != 1:
        what = (
            f"has several that may be meant: {', '.join(names)}. Name it: --cond {names[0]}=N"
            if names
            else "takes no class"
        )
        raise InputError(f"--class: the model of this run {what}")
    return names[0]


def _numbers(name: str, text: str, shape: tuple[int, ...]) -> Tensor:
    """(m, *shape): m values in turn for shape (), otherwise one for all."""
    words = [word.strip() for word in text.split(",")]
    try:
        whole = all(word.lstrip("+-").isdigit() for word in words)
        value = torch.tensor([int(word) for word in words]) if whole else torch.tensor([float(word) for word in words])
    except ValueError:
        raise InputError(f"--cond {name}={text}: should be a number, or numbers with commas between them") from None
    if not bool(value.isfinite().all()):
        raise InputError(f"--cond {name}={text}: should be finite")
    if shape == ():
        return value
    if value.numel() != torch.Size(shape).numel():
        raise InputError(f"--cond {name}={text}: should be {torch.Size(shape).numel()} numbers, for shape {shape}")
    return value.float().reshape(1, *shape)
