"""Takes two Runs, gives one HTML page of what changed: lost and gained first, differences, papers, both alignments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evalkit.comparison import Change, Comparison, compare, side_of
from evalkit.metrics.figures import TITLES
from evalkit.report import browser_data, chart_style, comparison_charts
from evalkit.report.chart_style import address
from evalkit.report.comparison_text import gold_entry, interval, plan_entries
from evalkit.report.error_classes import CLASSES
from evalkit.report.html import LARGEST_INLINE, SCRIPTS, Page, drawn, render, written
from evalkit.report.summary import value
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
    place = Path(path)
    return written(comparison_page(runs, f"{place.stem}-data", force, largest_inline), place)


def comparison_page(runs: dict[str, Run], folder: str, force: bool, largest_inline: int = LARGEST_INLINE) -> Page:
    """The page of two runs under their names, base first."""
    chart_style.require()
    (base_name, base), (new_name, new) = runs.items()
    sides = side_of(base, base_name), side_of(new, new_name)
    both_labelled = all("labelled" in side.papers for side in sides)
    found = compare(*sides, force=force, corrected=(HEADLINE,) if both_labelled else ())
    documents = [browser_data.embed(document) for document in _documents(base, new, found)]
    split = sum(map(len, documents)) > largest_inline
    index = _index(new, found) | {"folder": folder if split else ""}
    charts = comparison_charts.CHARTS if len(_moved(found)) else {}
    text = render(
        "comparison.html.j2",
        SCRIPTS,
        title=f"{new_name} against {base_name}",
        sections=SECTIONS,
        **view(found),
        charts=drawn(charts, lambda kind: comparison_charts.chart(found, kind)),
        index=browser_data.embed(index),
        documents=[] if split else documents,
    )
    return Page.of(text, folder, documents if split else [])


def _moved(found: Comparison) -> Any:
    """The papers that changed at all."""
    return found.papers[found.papers["difference"].fillna(0.0) != 0]


def view(found: Comparison) -> View:
    """Everything the page's server-made part shows."""
    counts = found.entries["change"].value_counts()
    only = zip((found.base.name, found.new.name), found.only_planners, found.only_papers, strict=True)
    return {
        "verdict": verdict(found),
        "warnings": [*_forced(found), *found.warnings],
        "metric": TITLES.get(found.metric, found.metric),
        "target": found.target,
        "changes": _changes(found.headline),
        "corrected": _changes(found.corrected),
        "lost": int(counts.get("lost", 0)),
        "gained": int(counts.get("gained", 0)),
        "entries": [_entry(row) for row in found.entries.head(SHOWN).to_dict("records")],
        "more": max(0, len(found.entries) - SHOWN),
        "failures": [{str(k): v for k, v in row.items()} for row in found.failures.head(SHOWN).to_dict("records")],
        "only": [{"run": name, "planners": planners, "papers": papers[:SHOWN]} for name, planners, papers in only],
        "signatures": [(side.name, list(asdict(side.signature).items())) for side in (found.base, found.new)],
    }


def _forced(found: Comparison) -> Iterator[str]:
    """What differs beside the plans, where the user said to go on."""
    for name, (base, new) in found.forced.items():
        yield f"Not like with like: {name} is {base} in {found.base.name} and {new} in {found.new.name}."


def verdict(found: Comparison) -> str:
    """What it comes to, in a sentence."""
    headline, name = found.headline, TITLES.get(found.metric, found.metric)
    if len(headline) == 1:
        only = headline[0]
        if only.difference is None:
            return f"{name} of {only.planner} is undefined in one of the two runs."
        ends = "" if only.low is None else f" [{only.low:+.3f}, {only.high:+.3f}]"
        seen = "" if only.detectable is None else f"; a difference of {only.detectable:.2f} would have been seen"
        moved = f"{name} {only.base:.3f} → {only.new:.3f}, {only.difference:+.3f}{ends}"
        return f"{only.planner}: {moved}: {only.verdict}{seen}.{_by_labels(found)}"
    counts = f"{_counted(headline)} (paired permutation over papers, Holm, 5%)"
    return f"{name} of {len(headline)} planners: {counts}.{_by_labels(found)}"


def _counted(items: Sequence[Change]) -> str:
    """How many planners are better, worse, or neither."""
    said = [item.verdict for item in items]
    return ", ".join(
        f"{said.count(kind)} {kind}" for kind in ("better", "worse", "inconclusive", "no change") if kind in said
    )


def _by_labels(found: Comparison) -> str:
    """What labels make of it, as a sentence more; they can say otherwise."""
    if not found.corrected:
        return ""
    only = found.corrected[0]
    said = _counted(found.corrected) if len(found.corrected) > 1 else f"{interval(only)}, {only.verdict}"
    return f" Corrected by labels: {said}."


def _changes(items: Sequence[Change]) -> list[View]:
    """The rows of a table of changes, their intervals drawn to one scale."""
    ends = (abs(end) for item in items for end in (item.low, item.high) if end is not None)
    largest = max(ends, default=0.0) or 1.0
    return [_change(item, largest) for item in items]


def _change(item: Change, largest: float) -> View:
    """A row of the table of changes; the interval's ends as shares of the widest one, for its little picture."""
    return {
        "planner": item.planner if item.planner == item.was else f"{item.was} → {item.planner}",
        "link": address(item.planner),
        "papers": item.papers,
        "base": item.base,
        "new": item.new,
        "difference": item.difference,
        "low": item.low,
        "high": item.high,
        "at": None if item.difference is None else (item.difference / largest + 1) / 2,
        "from": None if item.low is None else (item.low / largest + 1) / 2,
        "to": None if item.high is None else (item.high / largest + 1) / 2,
        "p": item.p_holm,
        "verdict": item.verdict,
        "detectable": item.detectable,
        "needed": item.papers_needed,
    }


def _entry(row: dict[Any, Any]) -> View:
    """A gold entry that was gained or lost."""
    return {
        "change": row["change"],
        "link": f"paper={address(row['paper'])}&planner={address(row['planner'])}",
        "planner": row["planner"],
        "paper": row["paper"],
        "gold": gold_entry(row),
        "plan": plan_entries(row),
    }


def _index(new: Run, found: Comparison) -> View:
    """The list of plans that both runs have: figures of new, what base had, and what was gained and lost."""
    index = browser_data.index(new)
    papers = {normalise_id(name): at for at, name in enumerate(index["papers"])}
    planners = {name: at for at, name in enumerate(index["planners"])}
    moved = found.entries.groupby(["planner", "paper", "change"]).size().to_dict()
    before = {
        (papers[normalise_id(row["paper"])], planners[row["planner"]]): row for row in found.papers.to_dict("records")
    }
    rows = []
    for row in index["rows"]:
        if (was := before.get((row[0], row[1]))) is None:
            continue
        counts = [int(moved.get((was["planner"], was["paper"], change), 0)) for change in ("gained", "lost")]
        rows.append([*row[:4], [*row[4], *counts], value(was["base"])])
    classes = {kind: title for kind, (title, _) in CLASSES.items()} | {"gained": "Gained", "lost": "Lost"}
    names = {"base": found.base.name, "new": found.new.name}
    return index | {"rows": rows, "classes": classes, "compared": names, "gold": []}


def _documents(base: Run, new: Run, found: Comparison) -> Iterator[View]:
    """The documents of new, each with base's beside it; base's planners are counted as new's are."""
    names = dict(found.pairs)
    order = {name: at for at, name in enumerate(new.leaderboard["planner"])}
    places = [order.get(names.get(planner, ""), -1) for planner in base.leaderboard["planner"]]
    papers = [normalise_id(name) for name in sorted(base.papers["paper"].unique())]
    before = dict(zip(papers, browser_data.documents(base), strict=True))
    marks = _marks(found)
    for paper, document in zip(sorted(new.papers["paper"].unique()), browser_data.documents(new), strict=True):
        old = before.get(normalise_id(paper), {"gold": [], "plans": []})
        plans = [plan | {"planner": places[plan["planner"]]} for plan in old["plans"]]
        moved = {str(at): marks.get(normalise_id(paper), {}).get(name, []) for name, at in order.items()}
        yield document | {"base": {"gold": old["gold"], "plans": plans}, "moved": moved}


def _marks(found: Comparison) -> dict[str, dict[str, list[list[str]]]]:
    """Paper -> planner -> [name, part, change] of the gold entries that were gained or lost."""
    marks: dict[str, dict[str, list[list[str]]]] = {}
    for row in found.entries.to_dict("records"):
        place = marks.setdefault(normalise_id(row["paper"]), {}).setdefault(row["planner"], [])
        place.append([row["gold_name"], row["gold_part"], row["change"]])
    return marks
