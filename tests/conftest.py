"""Builders of small entries, plans and alignments."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from evalkit.types import Ablation, Action, Alignment, Pair, Plan

# Hundreds of tests start processes; where the environment forbids bytecode, each would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# The same examples on every machine and run; `make fuzz` looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
requires_shared_data = pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="requires shared data")


@pytest.fixture(autouse=True)
def _as_wide_as_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Print as into a pipe, whatever width the terminal that runs the tests has told its children."""
    monkeypatch.delenv("COLUMNS", raising=False)


def few(names: Iterable[Any], *, every: int = 1, slow: Collection[Any] = ()) -> list[Any]:
    """Return parameters of which each so-many-th is tried in `make test`, but for those named slow; `make slow` tries
    all others."""
    return [
        pytest.param(name, marks=pytest.mark.slow) if place % every or name in slow else name
        for place, name in enumerate(names)
    ]


def entry(
    part: str,
    action: str | None = "REMOVE",
    options: Sequence[str] = (),
    metrics: Sequence[str] = (),
    name: str = "",
) -> Ablation:
    return Ablation(name or part, part, Action(action) if action else None, tuple(options), tuple(metrics))


def gold(*entries: Ablation, paper: str = "paper") -> Plan:
    return Plan(paper, None, entries)


def plan(*entries: Ablation, paper: str = "paper", planner: str = "planner", sample: str = "") -> Plan:
    return Plan(paper, planner, entries, sample=sample)


def aligned(
    matched: Sequence[tuple[int, int]], part_only: Sequence[tuple[int, int]], sizes: tuple[int, int]
) -> Alignment:
    """Return an alignment with these full matches and part matches, over lists of sizes [gold, plan]."""
    pairs = [Pair(g, p, 0.9, 0.8, True) for g, p in matched] + [Pair(g, p, 0.7, 0.1, False) for g, p in part_only]
    missed = set(range(sizes[0])) - {pair.gold for pair in pairs}
    spurious = set(range(sizes[1])) - {pair.plan for pair in pairs}
    return Alignment(tuple(pairs), tuple(sorted(missed)), tuple(sorted(spurious)))
