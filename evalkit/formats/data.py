"""JSON, JSONL and YAML: takes a document's text, gives its Plans, and can write Plans in all three."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from evalkit.formats import json_values, yaml_values
from evalkit.formats.findings import Reading
from evalkit.formats.json_strings import unambiguous
from evalkit.formats.layouts import read_plans
from evalkit.formats.reply import read_text
from evalkit.types import Ablation, Plan, entry_tree

_COUNT = re.compile("0|[1-9][0-9]{0,3}")
_YAML_START = re.compile(r"(?:- )*+(?:[\w.\"'/-]{1,200}+|[Aa]blated [Pp]art):(?:[ \t]|$)|- \{|- &\w{1,80}$|---$|%YAML")


def is_json(text: str) -> bool:
    """Does the text begin with an object, or with a list of something?"""
    return json_values.begins(text.lstrip())


def is_jsonl(text: str) -> bool:
    """Does the text begin with an object that ends on its line or before the next one begins?"""
    text = text.lstrip()
    return text.startswith("{") and is_json(text) and _several(text)


def _several(text: str) -> bool:
    first, _, rest = text.partition("\n")
    return first.rstrip(" ,").endswith("}") and rest.lstrip().startswith("{")


def is_yaml(text: str) -> bool:
    """Does the text begin with a key or an item, and hold neither markdown headings nor JSON?"""
    lines = [line for line in text.split("\n") if line.strip() and not line.startswith(("# ", "#!"))]
    return (
        bool(lines)
        and _YAML_START.match(lines[0].rstrip()) is not None
        and not any(line.startswith(("##", "{", "[", "```")) for line in lines)
    )


def read_json(text: str, reading: Reading) -> list[Plan]:
    """The plans in one JSON value or in many."""
    return read_plans(json_values.read_values(text, reading.add), reading, read_text)


def read_yaml(text: str, reading: Reading) -> list[Plan]:
    """The plans in a YAML stream."""
    return read_plans(yaml_values.read_values(text, reading.add), reading, read_text)


def write_json(plans: Sequence[Plan]) -> str:
    """One object for one plan, a list of objects for several."""
    tree = [_plan_tree(plan) for plan in plans]
    return unambiguous(json.dumps(tree[0] if len(tree) == 1 else tree, ensure_ascii=False, indent=2)) + "\n"


def write_jsonl(plans: Sequence[Plan]) -> str:
    """One row an entry, each naming its paper; a row without entries holds what belongs to the plan as a whole."""
    rows = (row for plan in plans for row in _rows(plan))
    return "".join(unambiguous(json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)


def write_yaml(plans: Sequence[Plan]) -> str:
    """The tree of JSON as YAML."""
    import yaml

    tree = [_plan_tree(plan) for plan in plans]
    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    whole = tree[0] if len(tree) == 1 else tree
    return str(yaml.dump(whole, Dumper=dumper, allow_unicode=True, sort_keys=False, width=120))


def _rows(plan: Plan) -> Iterator[dict[str, Any]]:
    owner, whole = _owner(plan), _whole(plan)
    if whole or not plan.ablations:
        yield {**owner, **whole, "ablations": []}
    for entry in plan.ablations:
        yield {**owner, **_entry(entry)}


def _plan_tree(plan: Plan) -> dict[str, Any]:
    return {**_owner(plan), **_whole(plan), "ablations": [_entry(entry) for entry in plan.ablations]}


def _entry(entry: Ablation) -> dict[str, Any]:
    """An entry with the sentence that it was taken from."""
    return entry_tree(entry) | ({"source": entry.source} if entry.source else {})


def _whole(plan: Plan) -> dict[str, Any]:
    """What belongs to a plan as a whole; a count is a number again."""
    about: dict[str, Any] = {
        key: int(text) if key == "num_ablation_suggestions" and _COUNT.fullmatch(text) else text
        for key, text in plan.about
    }
    return about | ({"trace": plan.trace} if plan.trace else {})


def _owner(plan: Plan) -> dict[str, str]:
    fields = {"paper": plan.paper, "planner": plan.planner or "", "sample": plan.sample}
    return {key: value for key, value in fields.items() if value}
