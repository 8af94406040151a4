"""The directive `{hooks}`: every hook with its contract, the methods and class attributes of that, and the claims that
`ambientkit verify` measures, read from the code."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from ambientkit import hookspecs
from ambientkit.interfaces import Mutant
from ambientkit.plugins import KINDS, MUTANTS
from ambientkit.registry import load
from ambientkit.scaffold import KINDS as TEMPLATES
from ambientkit.verification import registered_checks
from ambientkit.verification.claims import known_claims


@dataclass(frozen=True)
class Member:
    """A method or class attribute that a part of the kind defines, or may override."""

    name: str
    required: bool
    signature: str
    text: str
    """The first paragraph of its documentation."""


@dataclass(frozen=True)
class Hook:
    """One hook, as it is documented."""

    name: str
    text: str
    kind: str
    """Empty for mutants, which are of any kind."""
    contract: type
    members: tuple[Member, ...]
    claims: tuple[tuple[str, str], ...]
    """(name, meaning)."""


def first_paragraph(text: str | None) -> str:
    """In one line."""
    return " ".join((text or "").partition("\n\n")[0].split())


def members(contract: type) -> Iterator[Member]:
    """What a contract itself defines, in the order of its source; what all parts share is left out."""
    comments = ModuleAnalyzer.for_module(contract.__module__).find_attr_docs()
    for name, value in vars(contract).items():
        if name.startswith("_") or name in ("model_config", "model_fields"):
            continue
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if inspect.isfunction(function):
            signature = f"{name}{inspect.signature(function)}".replace("'", "")
            yield Member(name, name in contract.__abstractmethods__, signature, first_paragraph(function.__doc__))
    for name in contract.__annotations__:
        if not name.startswith("_"):
            text = first_paragraph("\n".join(comments.get((contract.__qualname__, name), [])))
            yield Member(name, name not in vars(contract), name, text)


def hooks() -> list[Hook]:
    """All hooks, in the order of the page."""
    kinds = {hook: (kind, contract) for kind, (contract, hook) in KINDS.items()}
    claims = known_claims(registered_checks(load()))
    found = []
    for name, spec in vars(hookspecs).items():
        if hasattr(spec, "ambientkit_spec"):
            kind, contract = kinds[name] if name != MUTANTS else ("", Mutant)
            own = tuple((claim.name, claim.meaning) for claim in claims if claim.kind == kind)
            found.append(Hook(name, first_paragraph(spec.__doc__), kind, contract, tuple(members(contract)), own))
    return found


def undocumented(found: list[Hook]) -> list[str]:
    """Hooks, contracts, members and claims without a text."""
    silent = []
    for hook in found:
        silent += [hook.name] if not hook.text else []
        silent += [hook.contract.__name__] if not first_paragraph(hook.contract.__doc__) else []
        silent += [f"{hook.contract.__name__}.{member.name}" for member in hook.members if not member.text]
        silent += [f"claim {name}" for name, meaning in hook.claims if not meaning]
    return silent


class HookList(SphinxDirective):
    """Lists all hooks."""

    def run(self) -> list[nodes.Node]:
        """A section for each hook."""
        return [self._section(hook) for hook in hooks()]

    def _section(self, hook: Hook) -> nodes.section:
        section = nodes.section(ids=[nodes.make_id(hook.name)])
        section += nodes.title(text=hook.name)
        section += nodes.paragraph(text=hook.text)
        contract = f"{hook.contract.__module__}.{hook.contract.__name__}"
        section += nodes.paragraph(
            "", "", nodes.Text("Returns a list of subclasses of "), nodes.literal(text=contract), nodes.Text(": ")
        )
        section += nodes.paragraph(text=first_paragraph(hook.contract.__doc__))
        items = []
        for member in hook.members:
            need = "required" if member.required else "optional"
            line = nodes.paragraph(
                "", "", nodes.literal(text=member.signature), nodes.Text(f" ({need}): {member.text}")
            )
            items.append(nodes.list_item("", line))
        if items:
            section += nodes.bullet_list("", *items)
        if hook.claims:
            section += nodes.paragraph(text="Claims that verify measures:")
            claims = [
                nodes.list_item("", nodes.paragraph("", "", nodes.literal(text=name), nodes.Text(f": {meaning}")))
                for name, meaning in hook.claims
            ]
            section += nodes.bullet_list("", *claims)
        if hook.kind in TEMPLATES:
            command = f"ambientkit new-plugin NAME --kind {hook.kind}"
            section += nodes.paragraph("", "", nodes.Text("To begin: "), nodes.literal(text=command))
        return section


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("hooks", HookList)
    return {"parallel_read_safe": True}
