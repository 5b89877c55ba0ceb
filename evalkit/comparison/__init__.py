"""Compare two runs or baselines: what changed, how sure that is, and whether a gate lets it through."""

from evalkit.comparison.baseline import (
    baseline_path,
    baseline_text,
    parse_baseline,
    read_baselines,
    read_snapshot,
    scores,
)
from evalkit.comparison.comparison import TARGET, Comparison, compare
from evalkit.comparison.differences import SECONDARY_FIGURES, FigureChange
from evalkit.comparison.gate import Check, GateReport, Outlook, evaluate_gate
from evalkit.comparison.gate_rules import Gate, Rule, parse_gate
from evalkit.comparison.snapshot import Snapshot, snapshot_of

__all__ = [
    "SECONDARY_FIGURES",
    "TARGET",
    "Check",
    "Comparison",
    "FigureChange",
    "Gate",
    "GateReport",
    "Outlook",
    "Rule",
    "Snapshot",
    "baseline_path",
    "baseline_text",
    "compare",
    "evaluate_gate",
    "parse_baseline",
    "parse_gate",
    "read_baselines",
    "read_snapshot",
    "scores",
    "snapshot_of",
]
