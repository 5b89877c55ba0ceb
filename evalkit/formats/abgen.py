"""AbGen's examples: one module of a paper each, with the objective and the setup of its ablation study in prose.

The module is the part; what is done to it stands in prose only, so action, replacement and metrics are unspecified.
"""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.formats import json
from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.tree import Members, Node, members_of, text_under


def recognises(text: str) -> bool:
    """Is this JSON with AbGen's names for a study and for its module?"""
    return '"ablation_study"' in text and '"module_name"' in text and json.is_json(text)


def plans(row: Members, line: int, context: ParseContext) -> Iterator[Node]:
    """Yield an example's study as a plan of one entry; examples of one paper have the same owner."""
    study = members_of(row.get("ablation_study"))
    module = text_under(study, "module_name")
    if module is None:
        return
    entry = {"name": module, "ablated_part": module}
    if (objective := text_under(study, "research_objective")) is not None:
        entry["source"] = objective
    plan = {"ablations": Node(line, (Node(module.line, entry),))}
    owner = text_under(row, "arxiv_id") or text_under(row, "example_id")
    about = {"paper": owner, "title": text_under(row, "title")}
    yield Node(line, plan | {name: node for name, node in about.items() if node is not None})
