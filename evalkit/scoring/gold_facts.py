"""What gold says about its papers and entries, as run.json holds it: weights, and metadata to make slices by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from evalkit.errors import InputError
from evalkit.formats.metadata import facts_tree
from evalkit.text import nearest
from evalkit.types import Ablation, Plan

Facts = Mapping[str, Any]
"""Paper -> its `weight`, its `meta`, and `entries`: number -> weight and meta; only what gold says."""


def gold_facts(gold: Iterable[Plan]) -> dict[str, Any]:
    """Return what gold says about its papers and entries, as run.json holds it."""
    facts = {}
    for plan in gold:
        entries = {str(n): tree for n, entry in enumerate(plan.ablations, 1) if (tree := facts_tree(entry))}
        if own := facts_tree(plan) | ({"entries": entries} if entries else {}):
            facts[plan.paper] = own
    return facts


def with_facts(plan: Plan, facts: Facts) -> Plan:
    """Return a gold list with what run.json says about it."""
    own = facts.get(plan.paper, {})
    entries = own.get("entries", {})
    ablations = tuple(_with_own(entry, entries.get(str(n), {})) for n, entry in enumerate(plan.ablations, 1))
    weight, meta = float(own.get("weight", 1.0)), tuple(own.get("meta", {}).items())
    return replace(plan, weight=weight, meta=meta, ablations=ablations)


def _with_own(entry: Ablation, own: Facts) -> Ablation:
    return replace(entry, weight=float(own.get("weight", 1.0)), meta=tuple(own.get("meta", {}).items()))


def entry_fields(facts: Facts, paper: str, number: int) -> dict[str, str]:
    """Return the metadata of a gold entry, which counts from 1: its own, and that of its paper."""
    own = facts.get(paper, {})
    return {**own.get("meta", {}), **own.get("entries", {}).get(str(number), {}).get("meta", {})}


def entry_weights(facts: Facts, paper: str, number: int) -> tuple[float, float]:
    """Return the weight of a gold entry's paper, and its own."""
    own = facts.get(paper, {})
    return own.get("weight", 1.0), own.get("entries", {}).get(str(number), {}).get("weight", 1.0)


def check_field(known: Iterable[str], field: str, name: str = "gold") -> None:
    """Refuse a field that gold says nothing about."""
    known = sorted(set(known))
    if field not in known:
        hint = nearest(field, known) if known else ", and no metadata at all; docs/slices.md says how it gives some"
        raise InputError(f"{name} has no field {field!r}{hint}")


def known_fields(facts: Facts) -> list[str]:
    """Return every field that gold gives a paper or an entry."""
    trees = [tree for own in facts.values() for tree in (own, *own.get("entries", {}).values())]
    return sorted({name for tree in trees for name in tree.get("meta", {})})


def in_order(values: Iterable[str]) -> list[str]:
    """Return the values of a field, numbers by size before texts; what gold leaves out comes last."""
    return sorted(set(values), key=lambda value: (not value, *_number(value), value))


def _number(value: str) -> tuple[bool, float]:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    return (False, number) if math.isfinite(number) else (True, 0.0)
