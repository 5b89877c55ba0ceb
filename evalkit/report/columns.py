"""What each column of a run's tables says: figures from their table, everything else from here."""

from __future__ import annotations

import re
from collections.abc import Mapping

from evalkit.errors import InputError
from evalkit.metrics.figures import FIGURES
from evalkit.types import RANKS, Action

COLUMNS: Mapping[str, str] = {
    "planner": "who made the plans",
    "paper": "the paper's id, as gold writes it",
    "sample": "which of several plans of one planner for one paper",
    "samples": "plans of this planner for a paper; on the leaderboard the most of any paper",
    "status": "of a plan: planned, missing, empty or unreadable; of a pair: match, part, missed, spurious or candidate",
    "papers": "gold papers that were scored",
    "rank": "place by match F1",
    "p_best": "p of the test against the best planner, corrected for all pairs of planners",
    "best_probability": "share of resamples in which the planner is the best",
    "p_baseline": "p of the test against the planner that `--baseline` names",
    "p_baseline_holm": "the same, corrected over all planners",
    "p_baseline_bh": "the same, corrected by Benjamini and Hochberg, with `--correction bh`",
    **{f"{status}_plans": f"gold papers whose plan is {status}" for status in ("missing", "empty", "unreadable")},
    "planned": "gold papers with a plan that has entries",
    **{f"{side}_entries": f"entries of {owner}" for side, owner in (("gold", "gold"), ("plan", "the plan"))},
    "aligned_pairs": "pairs of a gold and a plan entry that share their part",
    "action_pairs": "aligned pairs whose gold entry names an action",
    "action_agreed": "of these, pairs with the same action",
    **{f"{g.lower()}_{p.lower()}": f"aligned pairs where gold says {g} and the plan {p}"
       for g in Action for p in Action},
    "replacement_pairs": "aligned pairs with options on both sides",
    "metric_pairs": "aligned pairs whose gold entry names metrics",
    **{f"{kind}_gold": f"{words} of gold in these pairs" for kind, words in
       (("replacement", "options"), ("metric", "metrics"))},
    **{f"{kind}_plan": f"{words} of the plan in these pairs" for kind, words in
       (("replacement", "options"), ("metric", "metrics"))},
    **{f"{kind}_matched": f"{words} that both sides have" for kind, words in
       (("replacement", "options"), ("metric", "metrics"))},
    **{f"covered_at_{k}": f"gold entries fully matched by the plan's first {k}" for k in RANKS},
    **{f"hits_at_{k}": f"entries among the plan's first {k} that match fully" for k in RANKS},
    **{f"slots_at_{k}": f"entries that the plan's first {k} are, fewer in a shorter plan" for k in RANKS},
    "paper_weight": "weight of the paper, where gold has weights",
    "gold_weight": "weight of all gold entries",
    "match_weight": "weight of the gold entries that match fully",
    "borderline_pairs": "pairs nearest to the threshold, which a judge would be asked about",
    "labelled_papers": "papers of this planner that labels were given for",
    "labelled": "whether labels of this paper were given",
    "gold_entry": "number of the gold entry in its list, from 1",
    "plan_entry": "number of the plan entry in its list, from 1",
    "part_probability": "how probable it is that the two entries share their part",
    "match_probability": "how probable it is that they match fully",
    "borderline": "whether the pair is one of those nearest to the threshold",
    "decided_by": "who decided the pair: the matcher, a judge, or how many judges",
    "same_action": "whether the actions are the same; empty where gold names none",
    "shared_options": "options that both entries have; empty where one has none",
    "shared_metrics": "metrics that both entries have; empty where one has none",
    "speaks_for": "reasons for a match, the strongest first",
    "speaks_against": "reasons against a match, the strongest first",
    **{f"{side}_{field}": f"{words} of the {side} entry" for side in ("gold", "plan") for field, words in
       (("name", "name"), ("part", "ablated part"), ("action", "action"), ("replacements", "options"),
        ("metrics", "metrics"))},
    "path": "the document it was read from",
    "trace": "the reasoning that came with the plan",
    "severity": "error (left out), warning (doubtful) or note (repaired)",
    "code": "which kind of thing it is",
    "line": "line of the document",
    "message": "what was expected, and what was found",
    "ab_true_positives": "gold entries that are hit, as AblationBench counts",
    "ab_false_positives": "plan entries that hit nothing, as AblationBench counts",
    "ab_false_negatives": "gold entries that are not hit, as AblationBench counts",
    **{f"ab_{name}": f"{words} as AblationBench computes it, undefined as 0" for name, words in
       (("precision", "precision"), ("recall", "recall"), ("f1", "F1"), ("ndcg", "nDCG"))},
    "signature": "what the numbers depend on; digest, on the leaderboard the whole line",
}  # fmt: skip
_HITS = {"part": "share a part", "match": "match fully"}
_DOUBTS = {"": "", "_if_none": ", if no borderline pair matched", "_if_all": ", if every borderline pair matched",
           "_expected": ", to be expected under the matcher's probabilities"}  # fmt: skip
ENDS = {
    "_n": "papers on which it is defined: {}",
    "_micro": "{}, over sums of papers",
    "_low": "lower end of the 95% interval: {}",
    "_high": "upper end of the 95% interval: {}",
    "_best": "best of several samples: {}",
    "_spread": "standard deviation over several samples: {}",
    "_corrected": "{}, corrected by labels",
}


def meaning(column: str) -> str:
    """Return one sentence about a column of a run's tables."""
    if column in COLUMNS:
        return COLUMNS[column]
    if column in FIGURES:
        return FIGURES[column].meaning
    if hit := re.fullmatch(r"(part|match)_(gold|plan)(|_if_none|_if_all|_expected)", column):
        return f"{hit[2]} entries that {_HITS[hit[1]]}{_DOUBTS[hit[3]]}"
    if column.startswith("label_"):
        return f"by labels: {meaning(column.removeprefix('label_'))}"
    for end, words in ENDS.items():
        if column.endswith(end):
            return words.format(meaning(column.removesuffix(end)))
    raise InputError(f"no column of a run's tables is called {column!r}")
