"""YAML: recognise, read and write plans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from evalkit.formats import yaml_parser
from evalkit.formats.diagnostics import ParseContext
from evalkit.formats.layouts import plan_tree, read_plans
from evalkit.types import Plan

_START = re.compile(r"(?:- )*+(?:[\w.\"'/-]{1,200}+|[Aa]blated [Pp]art):(?:[ \t]|$)|- \{|- &\w{1,80}$|---$|%YAML")


def recognises(text: str) -> bool:
    """Does the text begin with a key or an item, and hold neither markdown headings nor JSON?"""
    lines = [line for line in text.split("\n") if line.strip() and not line.startswith(("# ", "#!"))]
    return (
        bool(lines)
        and _START.match(lines[0].rstrip()) is not None
        and not any(line.startswith(("##", "{", "[", "```")) for line in lines)
    )


def read(text: str, context: ParseContext) -> list[Plan]:
    """Return the plans in a YAML stream."""
    return read_plans(yaml_parser.read_values(text, context.report), context)


def write(plans: Sequence[Plan]) -> str:
    """Write the trees of JSON as YAML."""
    import yaml

    trees = [plan_tree(plan) for plan in plans]
    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    tree = trees[0] if len(trees) == 1 else trees
    return str(yaml.dump(tree, Dumper=dumper, allow_unicode=True, sort_keys=False, width=120))
