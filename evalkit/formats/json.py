"""JSON and JSONL: recognise, read and write plans."""

from __future__ import annotations

import json
from collections.abc import Sequence

from evalkit.formats import json_parser
from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.json_strings import unambiguous
from evalkit.formats.layouts import plan_rows, plan_tree, read_plans
from evalkit.types import Plan


def is_json(text: str) -> bool:
    """Does the text begin with an object, or with a list of something?"""
    return json_parser.begins(text.lstrip())


def is_jsonl(text: str) -> bool:
    """Does the text begin with an object that ends on its line or before the next one begins?"""
    first, _, rest = text.lstrip().partition("\n")
    rows = first.startswith("{") and first.rstrip(" ,").endswith("}") and rest.lstrip().startswith("{")
    return rows and is_json(text)


def read(text: str, context: ParseContext) -> list[Plan]:
    """Return the plans in one JSON value or in many."""
    return read_plans(json_parser.read_values(text, context.report), context)


def write(plans: Sequence[Plan]) -> str:
    """Write one object for one plan, a list of objects for several."""
    trees = [plan_tree(plan) for plan in plans]
    return unambiguous(json.dumps(trees[0] if len(trees) == 1 else trees, ensure_ascii=False, indent=2)) + "\n"


def write_jsonl(plans: Sequence[Plan]) -> str:
    """Write one row an entry, each naming its paper."""
    rows = (row for plan in plans for row in plan_rows(plan))
    return "".join(unambiguous(json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)
