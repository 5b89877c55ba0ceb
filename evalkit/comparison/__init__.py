"""Compare two runs or baselines: what changed, how sure that is, and whether a gate lets it through."""

from evalkit.comparison.baseline import (
    baseline_path,
    baseline_text,
    parse_baseline,
    read_baselines,
    read_snapshot,
    scores,
    set_baseline,
)
from evalkit.comparison.comparison import TARGET, Comparison, compare
from evalkit.comparison.differences import SECONDARY_FIGURES, FigureChange
from evalkit.comparison.gate import Check, GateReport, compare_for_gate, evaluate_gate
from evalkit.comparison.gate_rules import Gate, Rule, parse_gate
from evalkit.comparison.outlook import Outlook
from evalkit.comparison.rescore import rescored_base
from evalkit.comparison.snapshot import Snapshot, snapshot_of
from evalkit.comparison.study import Design, Expectation, GateStudy, study_gate

__all__ = [
    "SECONDARY_FIGURES",
    "TARGET",
    "Check",
    "Comparison",
    "Design",
    "Expectation",
    "FigureChange",
    "Gate",
    "GateReport",
    "GateStudy",
    "Outlook",
    "Rule",
    "Snapshot",
    "baseline_path",
    "baseline_text",
    "compare",
    "compare_for_gate",
    "evaluate_gate",
    "parse_baseline",
    "parse_gate",
    "read_baselines",
    "read_snapshot",
    "rescored_base",
    "scores",
    "set_baseline",
    "snapshot_of",
    "study_gate",
]
