"""Takes two scorings (runs or kept baselines), gives what changed between them, and a gate's verdict on it.

Modules: `sides` (what a comparison knows of one scoring), `baselines` (a side as a small file for git), `comparable`
(whether two sides may be compared, and what belongs together), `testing` (differences and their tests), `correcting`
(the same, corrected by labels), `changes` (gained and lost), `comparing` (all of it), `rules` and `gate`.
"""

from evalkit.comparison.baseline import baseline_path, baseline_text, kept_baselines, read_baseline, read_side
from evalkit.comparison.comparison import TARGET, Comparison, compare
from evalkit.comparison.differences import Change
from evalkit.comparison.gate import Check, GateReport, judge
from evalkit.comparison.gate_rules import Gate, Rule, parse_gate
from evalkit.comparison.paired_papers import BESIDE
from evalkit.comparison.snapshot import Side, side_of

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
