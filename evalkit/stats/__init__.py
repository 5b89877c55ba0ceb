"""Statistics over papers: arrays in, arrays out; intervals, tests, ranks, power and verdicts.

The paper is the sampling unit. A `Measure` holds sums [papers, planners, k] and a metric, a function of sums that is
vectorised over leading axes and NaN where undefined. A micro measure is the metric of the summed papers; a macro
measure is the mean of per-paper ratios, carried as two sums (the ratio or 0, and whether it is defined). So both are
one metric of one weighted sum, and resampling, swapping and linearising treat them alike.
"""

from evalkit.stats.intervals import (
    FEW_PAPERS,
    FEWEST_PAPERS,
    Difference,
    Intervals,
    difference_variances,
    differences,
    few_papers,
    intervals,
    standard_error,
    t_reach,
)
from evalkit.stats.measures import Measure, divide, formula_measure, macro, micro
from evalkit.stats.multiplicity import benjamini_hochberg, correct, holm, rank_intervals, shaffer
from evalkit.stats.permutation import PairTests, against_baseline, all_pairs, chosen_pairs, least_p, paired_test
from evalkit.stats.power import (
    ROUNDING,
    Verdict,
    alarm_rate,
    minimum_detectable,
    papers_needed,
    papers_to_see,
    significant_from,
    variance_components,
    verdict,
)
from evalkit.stats.ppi import corrected_sums
from evalkit.stats.resampling import RESAMPLES, TIE, bootstrap, top_probability
from evalkit.stats.shares import Share, corrected_rate, design_effect, design_effect_of, wilson

__all__ = [
    "FEWEST_PAPERS",
    "FEW_PAPERS",
    "RESAMPLES",
    "ROUNDING",
    "TIE",
    "Difference",
    "Intervals",
    "Measure",
    "PairTests",
    "Share",
    "Verdict",
    "against_baseline",
    "alarm_rate",
    "all_pairs",
    "benjamini_hochberg",
    "bootstrap",
    "chosen_pairs",
    "correct",
    "corrected_rate",
    "corrected_sums",
    "design_effect",
    "design_effect_of",
    "difference_variances",
    "differences",
    "divide",
    "few_papers",
    "formula_measure",
    "holm",
    "intervals",
    "least_p",
    "macro",
    "micro",
    "minimum_detectable",
    "paired_test",
    "papers_needed",
    "papers_to_see",
    "rank_intervals",
    "shaffer",
    "significant_from",
    "standard_error",
    "t_reach",
    "top_probability",
    "variance_components",
    "verdict",
    "wilson",
]
