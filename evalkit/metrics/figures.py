"""The table of figures: each ratio of the scoring contract is declared once, and every output reads it here.

Formulas work on floats and on arrays alike, so that a paper, a planner's total and ten thousand resamples of it go
through the same lines. Undefined is NaN here; tables print it as an empty cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import InputError
from evalkit.plugins import load_plugin, plugin_names, plugin_package
from evalkit.types import RANKS, Action

Values = NDArray[np.float64]
Sums = Mapping[str, Any]
Formula = Callable[[Sums], Values]
Family = Literal["match", "weight", "part", "action", "replacement", "metric", "rank", "coverage", "doubt"]
# CSV, Parquet and the docs show every figure. Who else: intervals and tests of the leaderboard; `compare` and
# baselines; the terminal's leaderboard, and its table of what moved beside the metric; the page's leaderboard and
# charts; its alignment browser; `evalkit table`; Inspect's logs; corrections by labels, which only hits can have.
Output = Literal["intervals", "compare", "console", "beside", "page", "browser", "table", "logs", "corrected"]


def _without(outputs: Sequence[Output], *left_out: Output) -> tuple[Output, ...]:
    """Return the outputs that are not left out."""
    return tuple(output for output in outputs if output not in left_out)


EVERYWHERE = _without(get_args(Output), "corrected")


@dataclass(frozen=True, slots=True)
class Figure:
    """A named ratio: its family, one sentence of meaning, how it is computed, and where and how it is shown."""

    name: str
    family: Family
    meaning: str
    formula: Formula
    macro: bool = True
    """Whether it is averaged over papers."""
    micro: bool = True
    """Whether it is computed from sums over papers."""
    label: str = ""
    """Its name in texts; empty for the name of the figure."""
    column: str = ""
    """The title of its column where the label would be too long."""
    shown: Sequence[Output] = ()
    digits: int = 3

    @property
    def title(self) -> str:
        """The column title in the terminal."""
        return self.column or self.label or self.name

    @property
    def words(self) -> str:
        """The name in words, where it is understood that entries match."""
        return self.name.removeprefix("match_").replace("_", " ").replace("f1", "F1")

    @property
    def capital(self) -> str:
        """The column title on pages and in tables; "nDCG" keeps its small letter."""
        return self.title[0].upper() + self.title[1:] if self.title.split()[0].islower() else self.title


def ratio(numerator: Any, denominator: Any) -> Values:
    """`numerator / denominator`, undefined where there is nothing to divide by."""
    above, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    undefined = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    return np.asarray(np.divide(above, below, out=undefined, where=below > 0))


def harmonic(hits_plan: Any, plan: Any, hits_gold: Any, gold: Any) -> Values:
    """F1 of precision `hits_plan / plan` and recall `hits_gold / gold`; undefined only where both lists are empty.

    Written as 2ab / (a * gold + b * plan), which is the harmonic mean with the divisions taken out: an empty plan
    has no precision, but its F1 is 0, because its recall is.
    """
    a, b = np.asarray(hits_plan, dtype=np.float64), np.asarray(hits_gold, dtype=np.float64)
    below = a * np.asarray(gold, dtype=np.float64) + b * np.asarray(plan, dtype=np.float64)
    entries = np.asarray(gold, dtype=np.float64) + np.asarray(plan, dtype=np.float64)
    value = np.divide(2 * a * b, below, out=np.zeros_like(below), where=below > 0)
    return np.where(entries > 0, value, np.nan)


def kappa(s: Sums) -> Values:
    """Cohen's kappa of the 3x3 action table; undefined without pairs or where chance alone would agree fully."""
    names = [action.value.lower() for action in Action]
    table = np.stack([np.asarray(s[f"{g}_{p}"], dtype=np.float64) for g in names for p in names])
    table = table.reshape(3, 3, *table.shape[1:])
    total = table.sum(axis=(0, 1))
    observed = ratio(table[0, 0] + table[1, 1] + table[2, 2], total)
    chance = ratio((table.sum(axis=0) * table.sum(axis=1)).sum(axis=0), total * total)
    return ratio(observed - chance, 1 - chance)


def _over(above: str, below: str) -> Formula:
    """Return the formula of the ratio of two sums."""
    return lambda s: ratio(s[above], s[below])


def _f1(hits_plan: str, hits_gold: str, plan: str = "plan_entries", gold: str = "gold_entries") -> Formula:
    """Return the formula of the F1 of these sums."""
    return lambda s: harmonic(s[hits_plan], s[plan], s[hits_gold], s[gold])


# fmt: off
def _pair_figures() -> Iterator[Figure]:
    """Yield the figures of entries, and of what aligned pairs have in common."""
    hits: tuple[Output, ...] = ("intervals", "compare", "logs", "corrected")
    main = (*EVERYWHERE, "corrected")
    weighted: tuple[Output, ...] = ("intervals", "compare", "console", "page", "table")
    yield Figure("match_precision", "match", "share of the plan's entries that match fully",
                 _over("match_plan", "plan_entries"), label="match P", column="P", shown=main)
    yield Figure("match_recall", "match", "share of gold's entries that match fully",
                 _over("match_gold", "gold_entries"), label="match R", column="R", shown=main)
    yield Figure("match_f1", "match", "harmonic mean of the two, entries that match fully",
                 _f1("match_plan", "match_gold"), label="match F1", shown=_without(main, "beside"))
    yield Figure("weighted_recall", "weight", "share of the weight of gold's entries that match fully",
                 _over("match_weight", "gold_weight"), micro=False, label="weighted R", shown=weighted)
    yield Figure("weighted_f1", "weight", "harmonic mean of match precision and weighted recall",
                 _f1("match_plan", "match_weight", gold="gold_weight"), micro=False, label="weighted F1",
                 shown=weighted)
    yield Figure("part_precision", "part", "share of the plan's entries whose part is shared",
                 _over("part_plan", "plan_entries"), shown=hits)
    yield Figure("part_recall", "part", "share of gold's entries whose part is shared",
                 _over("part_gold", "gold_entries"), shown=hits)
    yield Figure("part_f1", "part", "harmonic mean of the two, entries whose part is shared",
                 _f1("part_plan", "part_gold"), label="part F1", shown=main)
    yield Figure("action_agreement", "action", "share of aligned pairs with the same action",
                 _over("action_agreed", "action_pairs"), label="action", shown=_without(EVERYWHERE, "browser"))
    yield Figure("action_kappa", "action", "Cohen's kappa of gold's and the plan's actions", kappa, macro=False)
    yield Figure("replacement_precision", "replacement", "share of the plan's options, over aligned pairs with options",
                 _over("replacement_matched", "replacement_plan"))
    yield Figure("replacement_recall", "replacement", "share of gold's options, over aligned pairs with options",
                 _over("replacement_matched", "replacement_gold"))
    yield Figure("replacement_f1", "replacement", "harmonic mean of the two, options, over aligned pairs with options",
                 _f1("replacement_matched", "replacement_matched", "replacement_plan", "replacement_gold"),
                 label="options F1", shown=_without(EVERYWHERE, "browser", "table"))
    yield Figure("metric_precision", "metric", "share of the plan's metrics, over aligned pairs with metrics",
                 _over("metric_matched", "metric_plan"))
    yield Figure("metric_recall", "metric", "share of gold's metrics, over aligned pairs with metrics",
                 _over("metric_matched", "metric_gold"))
    yield Figure("metric_f1", "metric", "harmonic mean of the two, metrics, over aligned pairs with metrics",
                 _f1("metric_matched", "metric_matched", "metric_plan", "metric_gold"),
                 label="metrics F1", shown=_without(EVERYWHERE, "browser"))


def _rank_figures() -> Iterator[Figure]:
    """Yield the figures of a plan taken in its own order."""
    for k in RANKS:
        last = k == max(RANKS)
        yield Figure(f"recall_at_{k}", "rank", f"share of gold entries fully matched by the plan's first {k}",
                     _over(f"covered_at_{k}", "gold_entries"),
                     shown=("intervals", "compare", "logs") if last else ("logs",))
        yield Figure(f"precision_at_{k}", "rank", f"share of the plan's first {k} entries that match fully",
                     _over(f"hits_at_{k}", f"slots_at_{k}"), shown=("logs",))
        yield Figure(f"ndcg_at_{k}", "rank", f"discounted gain of the plan's first {k} against the best possible order",
                     _over(f"ndcg_at_{k}", "papers"), micro=False, label=f"nDCG@{k}" if last else "",
                     shown=("intervals", "compare", "console", "page", "logs") if last else ("logs",))
    yield Figure("average_precision", "rank", "mean precision at the ranks of the matches, over all gold entries",
                 _over("average_precision", "papers"), micro=False, label="AP",
                 shown=("intervals", "compare", "page", "logs"))


def _run_figures() -> Iterator[Figure]:
    """Yield the figures of what was read, and of what is left open."""
    yield Figure("coverage", "coverage", "share of gold papers for which a plan with entries was read",
                 _over("planned", "papers"), micro=False, label="coverage",
                 shown=("compare", "console", "beside", "page", "table"))
    yield Figure("match_f1_if_none", "doubt", "match F1 if no borderline pair were a match",
                 _f1("match_plan_if_none", "match_gold_if_none"))
    yield Figure("match_f1_if_all", "doubt", "match F1 if every borderline pair were a match",
                 _f1("match_plan_if_all", "match_gold_if_all"))
    yield Figure("match_f1_expected", "doubt", "match F1 to be expected if the matcher's probabilities are right",
                 _f1("match_plan_expected", "match_gold_expected"), shown=("logs",))
# fmt: on


def _table() -> dict[str, Figure]:
    """Return all figures by name, in the order of the columns of papers.csv."""
    return {figure.name: figure for figure in (*_pair_figures(), *_rank_figures(), *_run_figures())}


def shown_in(output: Output) -> tuple[str, ...]:
    """Return the figures of an output in its order: family by family, F1 before the two that it is the mean of."""
    families = get_args(Family)
    chosen = [figure for figure in FIGURES.values() if output in figure.shown]
    chosen.sort(key=lambda figure: (families.index(figure.family), not figure.name.endswith("_f1")))
    return tuple(figure.name for figure in chosen)


def figures(sums: Sums, names: Iterable[str] | None = None) -> dict[str, Values]:
    """Return the named figures (all by default) of one row of sums, or of many rows at once."""
    return {name: FIGURES[name].formula(sums) for name in (FIGURES if names is None else names)}


def sums_of(name: str) -> tuple[str, ...]:
    """Return the sums that a figure follows from."""
    read: dict[str, None] = {}

    class Log(dict[str, Any]):
        def __missing__(self, key: str) -> Any:
            read[key] = None
            return np.ones(1)

    FIGURES[name].formula(Log())
    return tuple(read)


def find_figure(name: str) -> Figure | None:
    """Return a figure by its name, one of another package as well, or None."""
    if name in FIGURES or name not in plugin_names("figures"):
        return FIGURES.get(name)
    figure = load_plugin("figures", name)
    if not isinstance(figure, Figure) or figure.name != name:
        raise InputError(f"{name!r} of {plugin_package('figures', name)}: expected a Figure of that name")
    return figure


FIGURES: dict[str, Figure] = _table()
# Shown only where a weight of gold is not 1, and averaged over papers by the weights of papers.
WEIGHTED: tuple[str, ...] = ("weighted_recall", "weighted_f1")
WEIGHT_COUNTS: tuple[str, ...] = ("paper_weight", "gold_weight", "match_weight")
MACRO: list[str] = [name for name, figure in FIGURES.items() if figure.macro]
MICRO: list[str] = [name for name, figure in FIGURES.items() if figure.micro]
HEADLINES: tuple[str, ...] = shown_in("intervals")
TITLES: dict[str, str] = {name: figure.capital for name, figure in FIGURES.items() if figure.label}
