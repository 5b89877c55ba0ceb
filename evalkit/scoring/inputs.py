"""The two sides of a scoring as a whole: swapped, inside each other, without a common paper, drafts, lost samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import InputError
from evalkit.scoring.load import is_draft
from evalkit.scoring.pair import PlanRef, PlanTable, Work
from evalkit.text import normalise_id, readable
from evalkit.types import Diagnostic, Plan

NAMED = 8  # ids that a message names
NAMED_LOST = 5  # lost samples, or planners, that a warning names
GOLD_NAMES = {"gold", "golds", "reference", "references", "refs", "truth"}  # folders that hold gold, by their names
PLAN_NAMES = {"plan", "plans", "pred", "preds", "prediction", "predictions"}
NEAR = 3  # pairs of near ids that a message names


def check_sides(pred: object, gold: object) -> None:
    """Refuse folders that are one, or gold inside the plans, with the command that was likely meant."""
    if not (isinstance(pred, str | Path) and isinstance(gold, str | Path)) or not Path(gold).exists():
        return
    plans, references = Path(pred).resolve(), Path(gold).resolve()
    if not plans.is_dir() or plans not in (references, *references.parents):
        return
    if plans == references:
        raise InputError(f"{pred}: --pred and --gold are the same folder; expected plans in one, gold in another")
    inside = plans / references.relative_to(plans).parts[0]
    others = [path.name for path in sorted(plans.iterdir()) if _may_hold_plans(path) and path != inside]
    likely = f"{pred}/{others[0]}" if len(others) == 1 else f"{pred}/PLANS"
    raise InputError(
        f"{gold}: gold lies inside --pred {pred} and would be read as plans; did you mean:\n"
        f"  evalkit score --pred {Path(likely).as_posix()} --gold {gold}"
    )


def _may_hold_plans(path: Path) -> bool:
    """Return whether a folder of a project may be the one with its plans: no run, nothing hidden."""
    return path.is_dir() and not path.name.startswith((".", "runs")) and not (path / "run.json").exists()


def nothing_meets(
    pred: object, gold_source: object, refs: Sequence[PlanRef], gold: Mapping[str, Plan], problems: Iterable[Diagnostic]
) -> InputError:
    """Return the error of plans of which none is of a gold paper: both sides' ids, and the nearest of them."""
    theirs, ours = sorted({ref.paper for ref in refs}), sorted(plan.paper for plan in gold.values())
    lines = [
        f"no plan of {len(refs)} is of a paper that gold knows",
        f"  papers of the plans ({len(theirs)}): {_named(theirs)}",
        f"  papers of gold ({len(ours)}): {_named(ours)}",
    ]
    if near := _nearest(theirs, ours):
        lines.append(f"  nearest: {'; '.join(f'{one} ~ {other}' for one, other in near)}")
    if _swapped(pred, refs, problems):
        lines.append(f"  --pred and --gold look swapped; try: evalkit score --pred {gold_source} --gold {pred}")
    else:
        lines.append('  name the files alike, or name them in the settings: [papers] "name of the plan\'s" = "gold\'s"')
    return InputError("\n".join(lines))


def swapped_error(
    pred: object, gold_source: object, refs: Sequence[PlanRef], problems: Iterable[Diagnostic]
) -> InputError | None:
    """Return the error of sides that are swapped: gold gives papers several times, and the plans are a flat folder."""
    if not _swapped(pred, refs, problems):
        return None
    return InputError(
        f"--pred {pred} and --gold {gold_source} look swapped: gold gives papers several times and"
        f" the plans are one flat list; did you mean:\n  evalkit score --pred {gold_source} --gold {pred}"
    )


def swapped_warning(pred: object, gold_source: object, refs: Sequence[PlanRef], gold: Iterable[Plan]) -> list[str]:
    """Return a warning where the plans are a flat list, gold lies in folders, and a folder's name says that it is the
    other's: gold of one paper each can then be the plans of a single planner."""
    if not (isinstance(pred, str | Path) and isinstance(gold_source, str | Path)):
        return []
    (pred_name, gold_name), top = (Path(place).resolve().name for place in (pred, gold_source)), Path(str(gold_source))
    nested = all(Path(one.path).parent not in (top, top.parent) for one in gold)
    named = pred_name.casefold() in GOLD_NAMES or gold_name.casefold() in PLAN_NAMES
    if not (named and nested and _is_flat(pred, refs)):
        return []
    return [
        f"--pred {pred} and --gold {gold_source} look swapped: the plans are one flat list, and gold lies in folders"
    ]


def _is_flat(pred: str | Path, refs: Sequence[PlanRef]) -> bool:
    """Say whether all plans lie in the folder itself, or are the one file."""
    top = Path(readable(str(pred)))
    return all(top in (Path(ref.path), Path(ref.path).parent) for ref in refs)


def _swapped(pred: object, refs: Sequence[PlanRef], problems: Iterable[Diagnostic]) -> bool:
    """Say whether gold looks like the plans of several planners, and the plans like one list a paper."""
    if not isinstance(pred, str | Path):
        return False
    flat = _is_flat(pred, refs)
    again = [problem for problem in problems if problem.code == "duplicate-gold"]
    return flat and 2 * len(again) >= len({normalise_id(ref.paper) for ref in refs}) > 0


def all_refused(table: PlanTable) -> InputError | None:
    """Return the error of plans that are all refused because another file claims their place; None where one counts."""
    refs = [ref for papers in table.values() for found in papers.values() for ref in found]
    reasons = [[item for item in ref.diagnostics if item.code == "duplicate-plan"] for ref in refs]
    if not reasons or not all(reasons):
        return None
    first = reasons[0][0]
    return InputError(f"not one plan can be scored: {first.path}: {first.message}")


def gold_warnings(problems: Iterable[Diagnostic]) -> list[str]:
    """Return a warning where something of gold was lost, which makes every denominator too small."""
    lost = (item for item in problems if item.severity == "error" and item.code != "draft-gold")
    files = sorted({item.path for item in lost if item.path})
    if not files:
        return []
    return [f"gold: not everything in {_named(files)} could be read; what is lost is missing from every figure"]


def share_warning(refs: Sequence[PlanRef], unplaced: Iterable[Diagnostic]) -> tuple[dict[str, Any], list[str]]:
    """Return which plans were not scored because gold does not know their papers, as facts and as a warning."""
    unknown = {item.path for item in unplaced if item.code == "unknown-paper"}
    papers = sorted({ref.paper for ref in refs if ref.path in unknown})
    if not papers:
        return {}, []
    left_out = sum(item.code == "unknown-paper" for item in unplaced)
    facts = {"plans": left_out, "of": len(refs), "papers": papers[:100]}
    whose = "1 is of a paper" if left_out == 1 else f"{left_out:,} are of papers"
    text = f"{len(refs) - left_out:,} of {len(refs):,} plans scored: {whose} that gold does not know"
    return {"not_scored": facts}, [f"{text} ({_named(papers)})"]


def _named(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _nearest(theirs: Sequence[str], ours: Sequence[str]) -> list[tuple[str, str]]:
    """Return the nearest pairs of names that do not meet, best first."""
    from rapidfuzz import fuzz, process

    known = {normalise_id(name): name for name in ours}
    candidates = []
    for name in theirs[:500]:
        best = process.extractOne(normalise_id(name), list(known), scorer=fuzz.WRatio, score_cutoff=60)
        if best:
            candidates.append((-best[1], name, known[best[0]]))
    return [(name, other) for _, name, other in sorted(candidates)[:NEAR]]


def draft_warnings(work: Work) -> list[str]:
    """Say how much of gold is a draft, when drafts were allowed."""
    papers = {gold.paper: is_draft(gold) for gold, _ in work.pairs}
    drafts = sum(papers.values())
    return [f"gold of {drafts} of {len(papers)} papers is a draft that nobody has confirmed"] if drafts else []


def skipped_warning(work: Work, papers: int) -> list[str]:
    """Say which planners are scored on fewer papers than gold has, which only --missing skip does."""
    counts = Counter(planner for planner, _ in {(ref.planner or "", gold.paper) for gold, ref in work.pairs})
    fewer = [f"{planner} on {counts[planner]}" for planner in sorted(counts) if counts[planner] < papers]
    if not fewer:
        return []
    more = f" and {len(fewer) - NAMED_LOST} more planners" if len(fewer) > NAMED_LOST else ""
    return [
        f"--missing skip leaves out papers without a plan, and coverage is of the others: of {papers} papers of gold, "
        f"scored are {', '.join(fewer[:NAMED_LOST])}{more}"
    ]


def lost_warning(lost: Mapping[str, Any]) -> str:
    """Say which samples a planner lacks, and what to do where none were expected."""
    papers = lost["lost"]
    count = sum(map(len, papers.values()))
    named = [f"{name} of {paper}" for paper, names in papers.items() for name in names][:NAMED_LOST]
    more = f" and {count - len(named)} more" if count > len(named) else ""
    return (
        f"{lost['planner']}: {count} of {lost['samples']} samples are lost and count as empty plans ({', '.join(named)}"
        f"{more}); {lost['expected']} a paper are expected, unless --samples says how many"
    )
