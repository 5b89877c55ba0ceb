"""EXP-Bench's designs: factors with their options, and what is measured, one design a research question.

Each factor is a REPLACE of a part by its options; what is measured is every entry's metrics. A task is a paper here, as
each question has a design of its own: `<paper_id>_<task>`, with tasks counted from 0 as in the benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.formats import json
from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.tree import Members, Node, as_text, members_of, text_under

FACTORS, MEASURED = "independent_variables", "dependent_variables"
DESIGNS = ("design_complexity", "design")


def recognises(text: str) -> bool:
    """Is this JSON with the benchmark's name for factors, perhaps inside a text of a table's cell?"""
    return FACTORS in text and json.is_json(text)


def plans(row: Members, line: int, context: ParseContext) -> Iterator[Node]:
    """Yield a plan for each task: of a paper's file with its questions, of a table's row, or of one design."""
    questions = row["questions"].value if "questions" in row else None
    if isinstance(questions, tuple):
        paper = (context.document.paper or "").partition("_complete")[0]
        designs = [_design(members_of(question), context) for question in questions]
        if any(designs):  # a task without factors is a list without entries, which is reported
            for number, (question, design) in enumerate(zip(questions, designs, strict=True)):
                yield _plan(design, question.line, f"{paper}_{number}")
    elif design := _design(row, context):
        owner = [text_under(row, name) for name in ("paper_id", "task_index")]
        yield _plan(design, line, "_".join(as_text(node) for node in owner if node is not None))


def _design(row: Members, context: ParseContext) -> Members:
    """Return the design in a task, an object or a text that is one; nothing where it names no factors."""
    found = [row]
    for node in (row[key] for key in DESIGNS if key in row):
        texts = json.read_values(node.value, context.report, node.line) if isinstance(node.value, str) else [node]
        found += [members_of(item) for item in texts]
    return next((members for members in found if members_of(members.get(FACTORS))), {})


def _plan(design: Members, line: int, paper: str) -> Node:
    measured = members_of(design.get(MEASURED))
    metrics = tuple(Node(node.line, name.replace("_", " ")) for name, node in measured.items())
    entries = []
    for name, options in members_of(design.get(FACTORS)).items():
        part = Node(options.line, name.replace("_", " "))
        values = options.value if isinstance(options.value, tuple) else (options,)
        entry = {"name": part, "ablated_part": part, "action": Node(options.line, "REPLACE"),
                 "replacement": Node(options.line, tuple(Node(item.line, as_text(item)) for item in values)),
                 "metrics": Node(options.line, metrics)}  # fmt: skip
        entries.append(Node(options.line, entry))
    plan = {"ablations": Node(line, tuple(entries))}
    return Node(line, plan | ({"paper": Node(line, paper)} if paper else {}))
