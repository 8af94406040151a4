"""The directive `{parts} KIND`: every registered part of one kind, with its equation, source and fields, read from the
code."""

from __future__ import annotations

import inspect

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from ambientkit.interfaces import Part
from ambientkit.registry import Entry, load


def field_docs(part: type[Part]) -> dict[str, str]:
    """What is written below (or beside) each field of a part, in its class or the classes above it."""
    found: dict[str, str] = {}
    for owner in reversed(part.__mro__):
        if issubclass(owner, Part):
            comments = ModuleAnalyzer.for_module(owner.__module__).find_attr_docs()
            found |= {
                field: " ".join(lines).strip()
                for (name, field), lines in comments.items()
                if name == owner.__qualname__
            }
    described = {name: info.description for name, info in part.model_fields.items() if info.description}
    return {name: text for name, text in {**found, **described}.items() if name in part.model_fields}


class PartList(SphinxDirective):
    """Lists the parts of the kind named by its argument."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """One block a part, by name."""
        return [node for entry in load().entries() if entry.kind == self.arguments[0] for node in self._block(entry)]

    def _block(self, entry: Entry) -> list[nodes.Node]:
        part = entry.part
        block: list[nodes.Node] = [nodes.rubric("", "", nodes.literal(text=part.name))]
        paragraphs = (inspect.getdoc(part) or "").split("\n\n")
        block += [nodes.paragraph(text=" ".join(text.split())) for text in paragraphs]
        facts = [f"Source: {part.source}." if part.source else "", f"From {entry.package}."]
        facts += [f"Claims {', '.join(sorted(part.claims))}."] if part.claims else []
        block.append(nodes.paragraph(text=" ".join(fact for fact in facts if fact)))
        docs = field_docs(part)
        items = []
        for name, info in part.model_fields.items():
            default = "required" if info.is_required() else f"default {info.get_default(call_default_factory=True)!r}"
            text = f" ({default}): {docs.get(name, '')}" if part.model_fields[name].annotation else ""
            items.append(nodes.list_item("", nodes.paragraph("", "", nodes.literal(text=name), nodes.Text(text))))
        return [*block, nodes.bullet_list("", *items)] if items else block


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("parts", PartList)
    return {"parallel_read_safe": True}
