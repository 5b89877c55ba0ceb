"""The JSON documents that `--json` prints: of runs, readings, comparisons, gates and baselines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evalkit.report.escaping import json_text
from evalkit.report.values import missing
from evalkit.scoring.load import LoadedPlans
from evalkit.stats import FEWEST_PAPERS
from evalkit.storage.runs import SCHEMA_VERSION, Run
from evalkit.storage.tables import Table, cells_of, table_of

if TYPE_CHECKING:
    import pandas as pd  # not loaded to print a run

    from evalkit.comparison import Check, Comparison, GateReport, GateStudy, Snapshot


def dump(content: Mapping[str, Any]) -> str:
    """Return JSON with its schema version first; undefined numbers are null."""
    return json_text(json.dumps({"schema_version": SCHEMA_VERSION} | _plain(content), indent=1, ensure_ascii=False))


def run(result: Run, by: str | None = None) -> str:
    """Return a run's facts, leaderboard, slices and errors; papers and pairs stay in the run folder."""
    errors = [row for row in records(result.columns("diagnostics")) if row["severity"] == "error"]
    slices = {"slices": {"by": by, "rows": records(result.by(by))}} if by else {}
    return dump({**result.meta, "leaderboard": records(result.columns("leaderboard")), **slices, "errors": errors})


def evidence(result: Run, plans: Sequence[tuple[str, str]]) -> str:
    """Return the scores and the pairs of some plans, by (paper, planner)."""
    shown = []
    for paper, planner in plans:
        scores, pairs = (frame[(frame["paper"] == paper) & (frame["planner"] == planner)]
                         for frame in (result.papers, result.pairs))  # fmt: skip
        shown.append({"paper": paper, "planner": planner, "scores": records(scores)[0], "entries": records(pairs)})
    return dump({"plans": shown})


def readings(results: Sequence[LoadedPlans]) -> str:
    """Return what was read and every diagnostic."""
    plans = [plan for reading in results for plan in reading.plans]
    return dump(
        {
            "plans": len(plans),
            "entries": sum(len(plan.ablations) for plan in plans),
            "errors": sum(reading.errors for reading in results),
            "diagnostics": [asdict(item) for reading in results for item in reading.diagnostics],
        }
    )


def comparison(result: Comparison) -> str:
    """Return every figure, paper, gained or lost entry and failure of a comparison."""
    return dump(_comparison(result))


def gate(report: GateReport) -> str:
    """Return the verdict, every check, and the comparison that they rest on."""
    checks = [_check(check) | {"fails": report.fails(check)} for check in report.checks]
    outlook = [asdict(item) | {"catches": _catches(item.catches)} for item in report.outlook]
    head = {"verdict": report.verdict, "tripped": report.tripped, "outlook": outlook, "checks": checks}
    return dump(head | {"comparison": _comparison(report.comparison)})


def gate_study(study: GateStudy) -> str:
    """Return what one run says of a gate, and of the papers and samples that it takes."""
    expectations = [asdict(item) | {"catches": _catches(item.catches)} for item in study.expectations]
    return dump(asdict(study) | {"expectations": expectations})


def _catches(rates: Sequence[tuple[float, float]]) -> list[dict[str, float]]:
    return [{"drop": drop, "rate": rate} for drop, rate in rates]


def baseline(side: Snapshot) -> str:
    """Return a baseline's scores and signature."""
    from evalkit.comparison import scores

    return dump(_side(side) | {"scores": scores(side)})


def baselines(sides: Mapping[str, Snapshot]) -> str:
    """Return all baselines by path."""
    from evalkit.comparison import scores

    return dump(
        {"baselines": [{"path": path} | _side(side) | {"scores": scores(side)} for path, side in sides.items()]}
    )


def records(table: pd.DataFrame | Table) -> list[dict[str, Any]]:
    """Return a table's rows; missing cells are None."""
    columns = cells_of(table) if isinstance(table, Mapping) else table_of(table)
    return [dict(zip(columns, map(_plain, row), strict=True)) for row in zip(*columns.values(), strict=True)]


def _check(check: Check) -> dict[str, Any]:
    """Return a check under the names that readers of the document know."""
    return {"said" if name == "message" else name: value for name, value in asdict(check).items()}


def _comparison(result: Comparison) -> dict[str, Any]:
    moved = result.moved_papers
    sides = ("base", "new")
    return {
        "base": _side(result.base),
        "new": _side(result.new),
        "metric": result.metric,
        "target": result.target,
        "seed": result.seed,
        "resamples": result.resamples,
        "correction": result.correction,
        "forced": {name: dict(zip(sides, values, strict=True)) for name, values in result.forced.items()},
        "warnings": list(result.warnings),
        "planners": [asdict(change) for change in result.headline],
        "figures": [asdict(change) for change in result.changes if change.figure != result.metric],
        "corrected": [asdict(change) for change in result.corrected],
        "slices": [
            {"by": field, "slice": value, "small": change.papers < FEWEST_PAPERS, **asdict(change)}
            for field, slices in result.slices.items()
            for value, changes in slices.items()
            for change in changes
        ],
        "entries": records(result.entries),
        "papers": records(moved),
        "unchanged_papers": len(result.papers) - len(moved),
        "failures": records(result.failures),
        "only_planners": dict(zip(sides, map(list, result.only_planners), strict=True)),
        "only_papers": {
            side: [{"planner": planner, "paper": paper} for planner, paper in papers]
            for side, papers in zip(sides, result.only_papers, strict=True)
        },
    }


def _side(side: Snapshot) -> dict[str, Any]:
    return {"name": side.name, "signature": side.signature.table}


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold: numpy's numbers become Python's, NaN and NA become None."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if missing(value):
        return None
    return value.item() if hasattr(value, "item") else value
