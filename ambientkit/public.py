"""What every public function does for its caller: arguments that do not fit are refused by name, and messages name
arguments."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, TypeVar

from ambientkit.errors import AmbientError, InputError, nearest
from ambientkit.spelling import in_python

F = TypeVar("F", bound=Callable[..., Any])
Options = Callable[..., Any] | Mapping[str, Any]
"""Where the options of a function are from: a function that takes them by name, or name -> default."""

_PLAIN: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((Integral,), "a whole number"),
    "float": ((Real,), "a number"),
    "bool": ((bool,), "True or False"),
    "str": ((str,), "a text"),
    "str | Path": ((str, os.PathLike), "a path"),
}
"""Annotation -> the types that fit it, and what messages call them."""
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def public(called: str, *options: Options, own: Iterable[str] = ()) -> Callable[[F], F]:
    """Makes a function public under the name `called`, as `Run.sample`.

    Arguments that do not fit raise InputError, which names the function, the argument and the nearest right one, and in
    errors that leave the function flags of commands become the names of arguments. Numbers of numpy and torch become
    Python's, so that they can be written down. options: what its `**options` are handed to; the signature that a
    notebook shows has them one by one. own: names of those that the function sets itself.
    """

    def make(function: F) -> F:
        signature = _signature(function, options, {"registry", *own} if options else set())

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise InputError(_misfit(called, signature, args, kwargs) or f"{called}: {error}") from None
            _refuse_other_defaults()
            for name, value in bound.arguments.items():
                bound.arguments[name] = _fitting(called, signature.parameters[name], value)
            try:
                return function(*bound.args, **bound.kwargs)
            except AmbientError as error:
                error.name_arguments(lambda text: in_python(text, signature.parameters))
                raise

        call.__signature__ = signature  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return make


def is_public(function: Any) -> bool:
    """Whether `public` made it so."""
    return hasattr(function, "__signature__") and hasattr(function, "__wrapped__")


def only(function: Callable[..., Any], options: Mapping[str, Any], called: str, needs: str) -> Mapping[str, Any]:
    """Options that a function takes. Raises InputError for one that it does not, which another call with `needs` would
    take."""
    takes = inspect.signature(function).parameters
    if others := [name for name in options if name not in takes]:
        raise InputError(f"{called}: {others[0]} goes with {needs}; give that too, or leave {others[0]} out")
    return options


def with_defaults(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Options, and the defaults of the function for those that are not given."""
    known = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in known if one.kind is one.KEYWORD_ONLY} | dict(options)


def _signature(function: Callable[..., Any], options: Iterable[Options], own: set[str]) -> inspect.Signature:
    """The function's own, with its options in place of `**options`."""
    signature = inspect.signature(function)
    if not options:
        return signature
    kept = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    known = {one.name for one in kept} | own
    for source in options:
        if isinstance(source, Mapping):
            more = [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
                for name, default in source.items()
            ]
        else:
            found = inspect.signature(source).parameters.values()
            more = [one for one in found if one.kind is inspect.Parameter.KEYWORD_ONLY]
        kept += [one for one in more if one.name not in known]
        known |= {one.name for one in more}
    return signature.replace(parameters=kept)


def _refuse_other_defaults() -> None:
    """Raise InputError where tensors of torch are not of float32 on the CPU unless something else is said, as networks
    and keyed generators need."""
    if (torch := sys.modules.get("torch")) is None:
        return
    told = "; here networks and noise are made of float32 on the CPU first: torch.set_default_"
    if (dtype := torch.get_default_dtype()) != torch.float32:
        raise InputError(f"torch's default number type is {dtype}{told}dtype(torch.float32) before this call")
    if (device := torch.get_default_device()).type != "cpu":
        raise InputError(f"torch's default device is {device}{told}device('cpu') before this call; name it as device=")


def _fitting(called: str, argument: inspect.Parameter, value: Any) -> Any:
    """The value of an argument as Python's own number. Raises InputError for one of another type than it says."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    wanted = str(argument.annotation)
    fitting = _PLAIN.get(wanted.removesuffix(" | None"))
    if fitting is None or (value is None and wanted.endswith(" | None")):
        return value
    types, what = fitting
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise InputError(f"{called}: {argument.name} should be {what}, but is {value!r:.80}")
    return value


def _misfit(called: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """What does not fit, in words."""
    takes = [name for name in signature.parameters if name != "self"]
    if unknown := [name for name in kwargs if name not in takes]:
        word = unknown[0]
        hint = nearest(word, takes) or f". It takes {', '.join(takes)}"
        return f"{called}: there is no argument {word!r}{hint}"
    places = [one.name for one in signature.parameters.values() if one.kind in _POSITIONAL]
    if len(args) > len(places):
        free = [name for name in places if name != "self"]
        given = len(args) - len(places) + len(free)
        rest = [name for name in takes if name not in places]
        what = f"{given} arguments were given without a name" if given > 1 else "an argument was given without a name"
        may = f", but {', '.join(free)} alone may be" if free else ", but it takes none" if not rest else ""
        return f"{called}: {what}{may}" + (f"; name the others, such as {rest[0]}=..." if rest else "")
    if twice := [name for name in places[: len(args)] if name in kwargs]:
        return f"{called}: {twice[0]} is given twice: by its place and by its name"
    bound = {*places[: len(args)], *kwargs}
    needed = [
        one.name
        for one in signature.parameters.values()
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    lacking = [name for name in needed if name not in bound]
    if not lacking:
        return None
    what = f"argument {lacking[0]!r} is" if len(lacking) == 1 else f"arguments {', '.join(map(repr, lacking))} are"
    return f"{called}: the {what} missing"
