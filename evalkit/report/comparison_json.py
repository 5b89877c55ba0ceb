"""Takes a Comparison, a GateReport or baselines, gives the one JSON document that `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from evalkit.comparison import Comparison, GateReport, Side
from evalkit.comparison.baseline import scores
from evalkit.report.json_output import dump, records


def comparison(found: Comparison) -> str:
    """Every figure, paper, gained or lost entry and failure of a comparison."""
    return dump(_facts(found))


def _facts(found: Comparison) -> dict[str, Any]:
    changed = found.papers[found.papers["difference"].fillna(0.0) != 0]
    sides = ("base", "new")
    return {
        "base": _side(found.base),
        "new": _side(found.new),
        "metric": found.metric,
        "target": found.target,
        "seed": found.seed,
        "resamples": found.resamples,
        "forced": {name: dict(zip(sides, values, strict=True)) for name, values in found.forced.items()},
        "warnings": list(found.warnings),
        "planners": [asdict(change) for change in found.headline],
        "figures": [asdict(change) for change in found.changes if change.figure != found.metric],
        "corrected": [asdict(change) for change in found.corrected],
        "entries": records(found.entries),
        "papers": records(changed),
        "unchanged_papers": len(found.papers) - len(changed),
        "failures": records(found.failures),
        "only_planners": dict(zip(sides, map(list, found.only_planners), strict=True)),
        "only_papers": {
            side: [{"planner": planner, "paper": paper} for planner, paper in papers]
            for side, papers in zip(sides, found.only_papers, strict=True)
        },
    }


def _side(side: Side) -> dict[str, Any]:
    """What a side is called, and what pins it."""
    return {"name": side.name, "signature": asdict(side.signature)}


def gate(report: GateReport) -> str:
    """The verdict, every check, and the comparison that they rest on."""
    checks = [asdict(check) | {"fails": report.fails(check)} for check in report.checks]
    head = {"verdict": report.verdict, "tripped": report.tripped, "checks": checks}
    return dump(head | {"comparison": _facts(report.comparison)})


def baseline(side: Side) -> str:
    """A baseline's scores and signature."""
    return dump(_side(side) | {"scores": scores(side)})


def baselines(found: Mapping[str, Side]) -> str:
    """All baselines by path."""
    return dump(
        {"baselines": [{"path": path} | _side(side) | {"scores": scores(side)} for path, side in found.items()]}
    )
