"""The page of two runs: lost and gained first, differences, charts, papers, and both alignments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evalkit.comparison import Comparison, FigureChange, compare, snapshot_of
from evalkit.metrics.figures import TITLES
from evalkit.report import browser_data, chart_style
from evalkit.report.comparison_charts import CHARTS
from evalkit.report.comparison_text import gold_entry, interval, plan_entries, planner_name
from evalkit.report.error_classes import CLASSES
from evalkit.report.escaping import address
from evalkit.report.html import LARGEST_INLINE, Page, browser_page, drawn
from evalkit.report.values import brackets, defined
from evalkit.storage.runs import Run
from evalkit.text import normalise_id

View = dict[str, Any]
HEADLINE = "match_f1"
SHOWN = 200  # entries in the page's own list; the browser has all
SECTIONS = (
    ("changes", "Changes"), ("entries", "Gained and lost"), ("charts", "Charts"), ("browser", "Browser"),
    ("details", "Details"),
)  # fmt: skip


def write_comparison(
    runs: dict[str, Run], path: str | Path, *, force: bool = False, largest_inline: int = LARGEST_INLINE
) -> list[Path]:
    """Write the report of two runs, base and new, and the folder beside it when it is large."""
    return comparison_page(runs, f"{Path(path).stem}-data", force, largest_inline).write(path)


def comparison_page(runs: dict[str, Run], folder: str, force: bool, largest_inline: int = LARGEST_INLINE) -> Page:
    """Return the page of two runs under their names, base first."""
    chart_style.require()
    (base_name, base), (new_name, new) = runs.items()
    sides = snapshot_of(base, base_name), snapshot_of(new, new_name)
    both_labelled = all("labelled" in side.papers for side in sides)
    result = compare(*sides, force=force, corrected=(HEADLINE,) if both_labelled else ())
    index, documents = _index(new, result), _documents(base, new, result)
    charts = drawn(CHARTS if len(result.moved_papers) else {}, result)
    content = _view(result) | {"charts": charts, "title": f"{new_name} against {base_name}", "sections": SECTIONS}
    return browser_page("comparison.html.j2", index, documents, folder, largest_inline, **content)


def _view(result: Comparison) -> View:
    """Everything the page's server-made part shows."""
    counts = result.entries["change"].value_counts()
    only = zip((result.base.name, result.new.name), result.only_planners, result.only_papers, strict=True)
    return {
        "verdict": verdict(result),
        "warnings": [*_forced(result), *result.warnings],
        "metric": TITLES.get(result.metric, result.metric),
        "target": result.target,
        "changes": _changes(result.headline),
        "corrected": _changes(result.corrected),
        "lost": int(counts.get("lost", 0)),
        "gained": int(counts.get("gained", 0)),
        "entries": [_entry(row) for row in result.entries.head(SHOWN).to_dict("records")],
        "more": max(0, len(result.entries) - SHOWN),
        "failures": [{str(k): v for k, v in row.items()} for row in result.failures.head(SHOWN).to_dict("records")],
        "only": [{"run": name, "planners": planners, "papers": papers[:SHOWN]} for name, planners, papers in only],
        "signatures": [(side.name, list(asdict(side.signature).items())) for side in (result.base, result.new)],
    }


def _forced(result: Comparison) -> Iterator[str]:
    """What differs beside the plans, where the user said to go on."""
    for name, (base, new) in result.forced.items():
        yield f"Not like with like: {name} is {base} in {result.base.name} and {new} in {result.new.name}."


def verdict(result: Comparison) -> str:
    """What it comes to, in a sentence."""
    headline, name = result.headline, TITLES.get(result.metric, result.metric)
    if len(headline) == 1:
        only = headline[0]
        if only.difference is None:
            return f"{name} of {only.planner} is undefined in one of the two runs."
        ends = brackets(only.low, only.high, 3, signed=True)
        could_see = "" if only.detectable is None else f"; a difference of {only.detectable:.2f} would have been seen"
        moved = f"{name} {only.base:.3f} → {only.new:.3f}, {only.difference:+.3f}{ends}"
        return f"{only.planner}: {moved}: {only.verdict}{could_see}.{_by_labels(result)}"
    counts = f"{_counted(headline)} (paired permutation over papers, Holm, 5%)"
    return f"{name} of {len(headline)} planners: {counts}.{_by_labels(result)}"


def _counted(items: Sequence[FigureChange]) -> str:
    """How many planners are better, worse, or neither."""
    verdicts = [item.verdict for item in items]
    kinds = ("better", "worse", "inconclusive", "no change")
    return ", ".join(f"{verdicts.count(kind)} {kind}" for kind in kinds if kind in verdicts)


def _by_labels(result: Comparison) -> str:
    """What labels make of it, as a sentence more; they can say otherwise."""
    if not result.corrected:
        return ""
    only = result.corrected[0]
    changes = _counted(result.corrected) if len(result.corrected) > 1 else f"{interval(only)}, {only.verdict}"
    return f" Corrected by labels: {changes}."


def _changes(items: Sequence[FigureChange]) -> list[View]:
    """The rows of a table of changes, their intervals drawn to one scale."""
    ends = (abs(end) for item in items for end in (item.low, item.high) if end is not None)
    largest = max(ends, default=0.0) or 1.0
    return [_change(item, largest) for item in items]


def _change(item: FigureChange, largest: float) -> View:
    """A row of the table of changes; the interval's ends as shares of the widest one, for its little picture."""

    def share(value: float | None) -> float | None:
        return None if value is None else (value / largest + 1) / 2

    places = {"at": share(item.difference), "from": share(item.low), "to": share(item.high)}
    own = {"planner": planner_name(item), "link": address(item.planner), "p": item.p_holm, "needed": item.papers_needed}
    return asdict(item) | places | own


def _entry(row: dict[Any, Any]) -> View:
    """A gold entry that was gained or lost."""
    link = f"paper={address(row['paper'])}&planner={address(row['planner'])}"
    shown = {name: row[name] for name in ("change", "planner", "paper")}
    return shown | {"link": link, "gold": gold_entry(row), "plan": plan_entries(row)}


def _index(new: Run, result: Comparison) -> View:
    """The list of plans that both runs have: figures of new, what base had, and what was gained and lost."""
    index = browser_data.index(new)
    papers = {normalise_id(name): number for number, name in enumerate(index["papers"])}
    planners = {name: number for number, name in enumerate(index["planners"])}
    moved = result.entries.groupby(["planner", "paper", "change"]).size().to_dict()
    before = {
        (papers[normalise_id(row["paper"])], planners[row["planner"]]): row for row in result.papers.to_dict("records")
    }
    rows = []
    for paper, planner, status, figures, cases in index["rows"]:
        if (old := before.get((paper, planner))) is None:
            continue
        counts = [int(moved.get((old["planner"], old["paper"], change), 0)) for change in ("gained", "lost")]
        rows.append([paper, planner, status, figures, [*cases, *counts], defined(old["base"])])
    classes = {name: title for name, (title, _) in CLASSES.items()} | {"gained": "Gained", "lost": "Lost"}
    names = {"base": result.base.name, "new": result.new.name}
    return index | {"rows": rows, "classes": classes, "compared": names, "gold": []}


def _documents(base: Run, new: Run, result: Comparison) -> Iterator[View]:
    """The documents of new, each with base's beside it; base's planners are counted as new's are."""
    names = dict(result.pairs)
    order = {name: number for number, name in enumerate(new.leaderboard["planner"])}
    numbers = [order.get(names.get(planner, ""), -1) for planner in base.leaderboard["planner"]]
    papers = [normalise_id(name) for name in sorted(base.papers["paper"].unique())]
    before = dict(zip(papers, browser_data.documents(base), strict=True))
    changes = _entry_changes(result)
    for paper, document in zip(sorted(new.papers["paper"].unique()), browser_data.documents(new), strict=True):
        key = normalise_id(paper)
        old = before.get(key, {"gold": [], "plans": []})
        plans = [plan | {"planner": numbers[plan["planner"]]} for plan in old["plans"]]
        moved = {str(number): changes.get(key, {}).get(name, []) for name, number in order.items()}
        yield document | {"base": {"gold": old["gold"], "plans": plans}, "moved": moved}


def _entry_changes(result: Comparison) -> dict[str, dict[str, list[list[str]]]]:
    """Paper -> planner -> [name, part, change] of the gold entries that were gained or lost."""
    changes: dict[str, dict[str, list[list[str]]]] = {}
    for row in result.entries.to_dict("records"):
        own = changes.setdefault(normalise_id(row["paper"]), {}).setdefault(row["planner"], [])
        own.append([row["gold_name"], row["gold_part"], row["change"]])
    return changes
