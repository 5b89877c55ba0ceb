"""Takes arrays of sums or ratios, one row a paper; gives intervals, tests, ranks and verdicts. Pure.

The paper is the sampling unit. A `Measure` holds sums [papers, planners, k] and a metric, a function of sums that is
vectorised over leading axes and NaN where undefined. A micro measure is the metric of the summed papers; a macro
measure is the mean of per-paper ratios, carried as two sums (the ratio or 0, and whether it is defined). So both are
one metric of one weighted sum, and resampling, swapping and linearising treat them alike.

Modules: `measures` (what is estimated), `resampling` (intervals), `testing` (p, Holm, ranks), `deciding` (verdicts).
"""

from evalkit.stats.measures import Measure, Repeats, divide, macro, micro, named, repeats
from evalkit.stats.permutation import PairTests, against, all_pairs, holm, paired_test, rank_intervals
from evalkit.stats.power import Verdict, minimum_detectable, papers_needed, verdict
from evalkit.stats.resampling import (
    FEW_PAPERS,
    RESAMPLES,
    Difference,
    Intervals,
    bootstrap,
    corrected_sums,
    differences,
    expanded_interval,
    expanded_levels,
    few_papers,
    intervals,
    standard_error,
)

__all__ = [
    "FEW_PAPERS",
    "RESAMPLES",
    "Difference",
    "Intervals",
    "Measure",
    "PairTests",
    "Repeats",
    "Verdict",
    "against",
    "all_pairs",
    "bootstrap",
    "corrected_sums",
    "differences",
    "divide",
    "expanded_interval",
    "expanded_levels",
    "few_papers",
    "holm",
    "intervals",
    "macro",
    "micro",
    "minimum_detectable",
    "named",
    "paired_test",
    "papers_needed",
    "rank_intervals",
    "repeats",
    "standard_error",
    "verdict",
]
