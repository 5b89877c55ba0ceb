"""Takes two scorings (runs or kept baselines), gives what changed between them, and a gate's verdict on it.

Modules: `sides` (what a comparison knows of one scoring), `baselines` (a side as a small file for git), `comparable`
(whether two sides may be compared, and what belongs together), `testing` (differences and their tests), `correcting`
(the same, corrected by labels), `changes` (gained and lost), `comparing` (all of it), `rules` and `gate`.
"""

from evalkit.compare.baseline import baseline_path, baseline_text, kept_baselines, read_baseline, read_side
from evalkit.compare.comparison import TARGET, Comparison, compare
from evalkit.compare.differences import Change
from evalkit.compare.gate import Check, GateReport, judge
from evalkit.compare.gate_rules import Gate, Rule, parse_gate
from evalkit.compare.paired_papers import BESIDE
from evalkit.compare.snapshot import Side, side_of

__all__ = [
    "BESIDE",
    "TARGET",
    "Change",
    "Check",
    "Comparison",
    "Gate",
    "GateReport",
    "Rule",
    "Side",
    "baseline_path",
    "baseline_text",
    "compare",
    "judge",
    "kept_baselines",
    "parse_gate",
    "read_baseline",
    "read_side",
    "side_of",
]
