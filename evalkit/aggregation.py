"""Takes PaperScores and alignments, gives the frames that become tables: papers, leaderboard, pairs, diagnostics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalkit import statistics
from evalkit.ablationbench import differences
from evalkit.errors import InputError
from evalkit.figures import FIGURES, HEADLINES, figures
from evalkit.frames import in_cell
from evalkit.overlap import metrics_in_common, options_in_common
from evalkit.records import (
    COUNT_NAMES,
    Ablation,
    CompatScore,
    Diagnostic,
    Pair,
    PaperScore,
    ScoredPlan,
    Tally,
)

Compat = tuple[PaperScore, CompatScore]
MACRO = [name for name, figure in FIGURES.items() if figure.macro]
MICRO = [name for name, figure in FIGURES.items() if figure.micro]
COUNTED = [name for name in COUNT_NAMES if name not in ("papers", "ndcg_at_1", "ndcg_at_3", "ndcg_at_5")]
COUNTED.remove("average_precision")
COMPAT_FIGURES = ["ab_precision", "ab_recall", "ab_f1", "ab_ndcg"]
PLAN_COLUMNS = ["planner", "paper", "sample", "status", "path", "trace"]
COMPAT_COUNTS = ["ab_true_positives", "ab_false_positives", "ab_false_negatives"]
TEXT_COLUMNS = {
    "gold": ("gold_name", "gold_part", "gold_action", "gold_replacements", "gold_metrics"),
    "plan": ("plan_name", "plan_part", "plan_action", "plan_replacements", "plan_metrics"),
}


def paper_frame(scores: Sequence[PaperScore]) -> pd.DataFrame:
    """One row a planner and paper. Several samples are one row: counts and ratios averaged, best and spread beside."""
    sums = np.array([score.counts.values() for score in scores]).reshape(len(scores), len(COUNT_NAMES))
    columns = dict(zip(COUNT_NAMES, sums.T, strict=True))
    keys = {
        "planner": [score.planner for score in scores],
        "paper": [score.paper for score in scores],
        "status": [score.status for score in scores],
    }
    ratios = {name: value for name, value in figures(columns).items() if name in MACRO}
    plans = pd.DataFrame(keys | {f"sum {name}": values for name, values in columns.items()} | ratios)
    by_paper = plans.groupby(["planner", "paper"], sort=True)
    frame = by_paper[[f"sum {name}" for name in COUNT_NAMES] + MACRO].mean()
    frame.insert(0, "status", by_paper["status"].agg(_status))
    frame.insert(1, "samples", by_paper.size())
    repeated = frame["samples"] > 1
    frame["match_f1_best"] = by_paper["match_f1"].max().where(repeated)
    frame["match_f1_spread"] = by_paper["match_f1"].std().where(repeated)
    return frame.reset_index()


def _status(states: Iterable[str]) -> str:
    """The best of several samples' states."""
    return min(states, key=("planned", "empty", "unreadable", "missing").index)


def paper_table(papers: pd.DataFrame) -> pd.DataFrame:
    """papers.csv: status, counts under their own names, then the ratios."""
    ends = ["match_f1_best", "match_f1_spread"]
    ratios = [name for name in MACRO if name != "coverage"]
    table = papers[["planner", "paper", "status", "samples", *(f"sum {name}" for name in COUNTED), *ratios, *ends]]
    return table.rename(columns={f"sum {name}": name for name in COUNTED})


def leaderboard(papers: pd.DataFrame) -> pd.DataFrame:
    """One row a planner, best macro match F1 first: macro figures, micro figures, the papers behind each, and sums."""
    by_planner = papers.groupby("planner", sort=True)
    sums = by_planner[[f"sum {name}" for name in COUNT_NAMES]].sum()
    columns = {name: sums[f"sum {name}"].to_numpy() for name in COUNT_NAMES}
    totals = figures(columns, tuple(MICRO))
    macro, n = by_planner[MACRO].mean(), by_planner[MACRO].count()
    table: dict[str, object] = {"papers": sums["sum papers"].round().astype(int)}
    for name in FIGURES:
        if name in MACRO:
            table[name] = macro[name]
        if name in MICRO:
            table[name if name not in MACRO else f"{name}_micro"] = totals[name]
        if name in MACRO and name != "coverage":
            table[f"{name}_n"] = n[name]
    for status in ("missing", "empty", "unreadable"):
        table[f"{status}_plans"] = (papers["status"] == status).groupby(papers["planner"], sort=True).sum()
    table |= _repeats(papers) | {name: columns[name] for name in COUNTED}
    frame = pd.DataFrame(table, index=sums.index).reset_index()
    order = frame.sort_values(["match_f1", "planner"], ascending=[False, True], kind="stable")
    return order.reset_index(drop=True)


def _repeats(papers: pd.DataFrame) -> dict[str, object]:
    """Where papers have several samples: the mean over papers of the best of them, and of their spread."""
    best = papers["match_f1_best"].fillna(papers["match_f1"])
    columns = {"match_f1_best": best, "match_f1_spread": papers["match_f1_spread"]}
    means = papers[["planner"]].assign(**columns).groupby("planner", sort=True).mean()
    samples = papers.groupby("planner", sort=True)["samples"].max()
    repeated = samples > 1
    return {"samples": samples} | {name: means[name].where(repeated) for name in columns}


def with_uncertainty(
    table: pd.DataFrame, papers: pd.DataFrame, *, seed: int, resamples: int, baseline: str
) -> pd.DataFrame:
    """The leaderboard with intervals of the headline figures, ranks with theirs, and p against best and baseline."""
    planners = table["planner"].tolist()
    columns = {name: _square(papers, name, planners) for name in HEADLINES}
    measures = [statistics.macro(values) for values in columns.values()]
    found = statistics.intervals(measures, seed=seed, resamples=resamples)
    extra: dict[str, Any] = {}
    for name, interval in zip(columns, found, strict=True):
        extra |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    tests = statistics.all_pairs(measures[0], seed=seed, resamples=resamples)
    ranks = statistics.rank_intervals(measures[0].values, tests.adjusted)
    extra |= {
        "rank": table["match_f1"].rank(ascending=False, method="min").to_numpy(),
        "rank_low": [rank and rank[0] for rank in ranks],
        "rank_high": [rank and rank[1] for rank in ranks],
        "p_best": tests.raw[0],
        "p_best_holm": tests.adjusted[0],
    }
    if baseline:
        place = _place(baseline, planners)
        tests = statistics.against(measures[0], place, seed=seed, resamples=resamples)
        extra |= {"p_baseline": tests.raw[place], "p_baseline_holm": tests.adjusted[place]}
    wide = table.assign(**extra).astype(dict.fromkeys(("rank", "rank_low", "rank_high"), "Int64"))
    return wide.loc[:, _ordered(list(wide.columns))]


def _square(papers: pd.DataFrame, name: str, planners: Sequence[str]) -> NDArray[np.float64]:
    """One per-paper figure as [papers, planners], papers sorted; a paper that was left out is undefined."""
    wide = papers.pivot_table(index="paper", columns="planner", values=name, dropna=False, sort=True)
    return np.asarray(wide.reindex(columns=list(planners)).to_numpy(dtype=np.float64))


def _place(baseline: str, planners: Sequence[str]) -> int:
    """Where the baseline stands among the planners."""
    if baseline not in planners:
        raise InputError(f"no planner {baseline!r} to compare with; there are {', '.join(planners)}")
    return planners.index(baseline)


def _ordered(columns: Sequence[str]) -> list[str]:
    """Planner and rank first, then every figure with its interval behind it, then the rest as it came."""
    first = ["planner", "rank", "rank_low", "rank_high", "p_best", "p_best_holm", "p_baseline", "p_baseline_holm"]
    order = [name for name in first if name in columns]
    for name in columns:
        beside = [f"{name}_low", f"{name}_high"] if name in HEADLINES else []
        order.extend(item for item in (name, *beside) if item not in order)
    return order


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker found of a batch of plans: their counts, and the rows of the long tables, as bytes when written."""

    scores: list[PaperScore]
    pairs: list[dict[str, object]] | bytes
    plans: list[tuple[str, ...]] | bytes
    compat: list[Compat]


def compat_frame(found: Iterable[Compat]) -> pd.DataFrame:
    """AblationBench's counts and figures of each planner and paper, undefined as 0 as it is there; samples averaged."""
    rows = [
        {
            "planner": score.planner,
            "paper": score.paper,
            "ab_precision": compat.tally.precision or 0.0,
            "ab_recall": compat.tally.recall or 0.0,
            "ab_f1": compat.tally.f1 or 0.0,
            "ab_ndcg": np.nan if compat.ndcg is None else compat.ndcg,
            "ab_true_positives": compat.tally.gold_hits,
            "ab_false_positives": compat.tally.plan - compat.tally.plan_hits,
            "ab_false_negatives": compat.tally.gold - compat.tally.gold_hits,
        }
        for score, compat in found
    ]
    frame = pd.DataFrame(rows, columns=["planner", "paper", *COMPAT_FIGURES, *COMPAT_COUNTS])
    return frame.groupby(["planner", "paper"], sort=True, as_index=False).mean()


def with_compat(board: pd.DataFrame, papers: pd.DataFrame, compat: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leaderboard and papers with the `ab_` family at their end: unweighted means over papers, and sums of counts."""
    by_planner = compat.groupby("planner", sort=True)
    means = by_planner[COMPAT_FIGURES].mean().join(by_planner[COMPAT_COUNTS].sum())
    return board.merge(means, on="planner", how="left"), papers.merge(compat, on=["planner", "paper"], how="left")


def compat_report(found: Iterable[Compat]) -> list[dict[str, object]]:
    """Per planner, AblationBench's figures beside the run's own, and which rule makes which difference."""
    planners: dict[str, dict[str, list[tuple[CompatScore, Tally]]]] = {}
    for score, compat in found:
        counts = score.counts
        ours = Tally(*(int(n) for n in (counts.match_plan, counts.plan_entries, counts.match_gold,
                                        counts.gold_entries)))  # fmt: skip
        planners.setdefault(score.planner, {}).setdefault(score.paper, []).append((compat, ours))
    return [
        {"planner": name, "papers": len(papers), **differences(papers)} for name, papers in sorted(planners.items())
    ]


def diagnostic_frame(diagnostics: Iterable[Diagnostic]) -> pd.DataFrame:
    """One row a diagnostic, by path and line."""
    rows = [asdict(item) for item in diagnostics]
    frame = pd.DataFrame(rows, columns=["severity", "code", "path", "line", "message"])
    return frame.astype({"line": "Int64"}).sort_values(["path", "line", "code"], kind="stable", ignore_index=True)


def plan_row(item: ScoredPlan) -> tuple[str, ...]:
    """A plan, missing ones too: where it came from, how it was read, and the reasoning that came with it."""
    score, plan = item.score, item.plan
    return score.planner, score.paper, score.sample, score.status, plan.path, plan.trace


def plan_frame(rows: Sequence[tuple[str, ...]]) -> pd.DataFrame:
    """One row a plan."""
    return pd.DataFrame(rows, columns=PLAN_COLUMNS)


def pair_frame(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """One row for every aligned pair, missed entry, spurious entry and other pair worth a look, with the evidence."""
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)


PAIR_COLUMNS = [
    "planner", "paper", "sample", "status", "gold_entry", "plan_entry", "part_probability", "match_probability",
    "borderline", "decided_by", "same_action", "shared_options", "shared_metrics", "speaks_for", "speaks_against",
    *TEXT_COLUMNS["gold"], *TEXT_COLUMNS["plan"],
]  # fmt: skip


def pair_rows(item: ScoredPlan) -> list[dict[str, object]]:
    """The rows of one plan: match, part, missed, spurious, candidate (a pair not aligned). Entries count from 1."""
    alignment = item.alignment
    head = {"planner": item.score.planner, "paper": item.gold.paper, "sample": item.plan.sample}
    rows: list[dict[str, object]] = []
    for pair in alignment.pairs:
        rows.append(head | {"status": "match" if pair.matched else "part"} | _pair(item, pair))
    rows.extend(head | {"status": "missed"} | _entry("gold", g, item.gold.ablations[g]) for g in alignment.missed)
    rows.extend(head | {"status": "spurious"} | _entry("plan", p, item.plan.ablations[p]) for p in alignment.spurious)
    rows.extend(head | {"status": "candidate"} | _pair(item, pair) for pair in alignment.candidates)
    return rows


def _entry(side: str, index: int, entry: Ablation) -> dict[str, object]:
    """One entry's number and texts as columns of its side."""
    texts = (entry.name, entry.part, entry.action, in_cell(entry.replacements), in_cell(entry.metrics))
    return {f"{side}_entry": index + 1} | dict(zip(TEXT_COLUMNS[side], texts, strict=True))


def _pair(item: ScoredPlan, pair: Pair) -> dict[str, object]:
    """A pair's probabilities, sub-scores and reasons, and the texts of both sides."""
    gold, plan = item.gold.ablations[pair.gold], item.plan.ablations[pair.plan]
    both_options, both_metrics = gold.replacements and plan.replacements, gold.metrics and plan.metrics
    return {
        "part_probability": pair.part_probability,
        "match_probability": pair.match_probability,
        "borderline": pair.borderline,
        "decided_by": pair.decided_by,
        "same_action": None if gold.action is None else gold.action is plan.action,
        "shared_options": options_in_common(gold.replacements, plan.replacements) if both_options else None,
        "shared_metrics": metrics_in_common(gold.metrics, plan.metrics) if both_metrics else None,
        "speaks_for": "; ".join(words for words, weight in pair.evidence if weight > 0),
        "speaks_against": "; ".join(words for words, weight in pair.evidence if weight < 0),
        **_entry("gold", pair.gold, gold),
        **_entry("plan", pair.plan, plan),
    }
