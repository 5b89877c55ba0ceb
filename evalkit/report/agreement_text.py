"""Console text about judges, labels, calibrations and AblationBench."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.errors import InputError
from evalkit.metrics.ablationbench import NDCG_REASON
from evalkit.report.console import grid
from evalkit.report.json_output import records
from evalkit.report.planner_table import PlannerTable
from evalkit.report.values import brackets, number
from evalkit.storage.runs import Run
from evalkit.text import safe_terminal

if TYPE_CHECKING:
    from evalkit.labels.adapt import Adaptation
    from evalkit.matching.calibration import Calibration

SHORT = {
    "precision": "P", "recall": "R", "f1": "F1", "average_precision": "AP", "kappa": "kappa", "ece": "ECE"
}  # fmt: skip
COMPAT = ("precision", "recall", "f1")
WORST_SHOWN = 5


def decisions(run: Run, spent: str = "", trouble: str = "") -> Iterator[Text]:
    """Say what labels correct, who decided the borderline pairs, what was left to the matcher, and what it cost."""
    yield from _corrected(run)
    if promise := run.meta.get("guarantee"):
        yield Text(guaranteed(promise))
    facts = run.meta.get("judge")
    if not facts:
        return
    names = safe_terminal(", ".join(facts["judges"]))
    yield Text(f"{names} decided {facts['decided']} of {facts['pairs']} pairs, {facts['matches']} of them as matches")
    if facts["left"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in facts["left"].items())
        yield Text(f"left to the matcher: {reasons}", style="yellow")
    if trouble:
        yield Text(safe_terminal(trouble), style="yellow")
    if "krippendorff_alpha" in facts:
        yield Text(f"agreement of the judges: Krippendorff's alpha {number(facts['krippendorff_alpha'], 2)}")
    if spent:
        yield Text(f"asked just now: {spent}")


def _corrected(run: Run) -> Iterator[Text]:
    name = "match_f1_corrected"
    rows = records(run.columns("leaderboard"))
    if name not in rows[0]:
        return
    total, facts = max(row["papers"] for row in rows), run.meta["labels"]
    whose = " (labels by language models that ship with the references)" if facts.get("ship_with_references") else ""
    yield Text(f"match F1 corrected by the labels of {facts['papers']} of {total} papers{whose}:")
    for row in rows:
        value = number(row[name]) + brackets(row.get(f"{name}_low"), row.get(f"{name}_high"))
        corrected = f"{value} (uncorrected {number(row['match_f1'])})"
        yield Text(f"  {safe_terminal(row['planner'])}: {corrected}, {row['labelled_papers']} papers labelled")
    if (ratio := _width_ratio(rows)) is not None:
        yield Text(
            f"  corrected intervals are {ratio:.2f} times as wide as the others, which leave the matcher's error out"
        )


def _width_ratio(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Return how many times as wide the corrected intervals of match F1 are, on average; None if none."""
    ends = [f"{name}_{end}" for name in ("match_f1_corrected", "match_f1") for end in ("low", "high")]
    cells: list[list[Any]] = [[row.get(end) for end in ends] for row in rows]
    known = [own for own in cells if None not in own]
    ratios = [float((high - low) / (plain_high - plain_low)) for low, high, plain_low, plain_high in known]
    return sum(ratios) / len(ratios) if ratios else None


def judges(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Say who judged, how much, and how far they agree pair by pair."""
    if result["unjudged"]:
        gap = f"{result['unjudged']} of {result['plans']} plans were not judged and count as unmatched"
        yield Text(f"warning: {gap}; this run is incomplete", style="yellow")
    for name, own in result["judges"].items():
        rated = f"rated {own['rated']} of {result['pairs']} pairs, matched {own['matched']}"
        yield Text(f"judge {safe_terminal(name)}: {rated}")
    for pair in result["compared"]:
        names = f"{safe_terminal(pair['judge'])} against {safe_terminal(pair['against'])}"
        yield Text(
            f"{names}: F1 {number(pair['f1'])}, kappa {number(pair['kappa'])} over {pair['pairs']} pairs "
            f"({pair['both']} matched by both, {pair['judge_only']} and {pair['against_only']} by one)"
        )
    if result["compared"]:
        yield Text(f"Krippendorff's alpha of all judges: {number(result['krippendorff_alpha'])}")
    if published := result["published"]:
        same = f"{published['equal']} of {published['compared']} papers have the figures that evaluations.json says"
        yield Text(same, style="" if published["equal"] == published["compared"] else "yellow")
        for item in published["differing"]:
            values = f"{number(item['published'])}, recounted {number(item['counted'])}"
            yield Text(f"  {safe_terminal(item['paper'])}: {safe_terminal(item['figure'])} {values}", style="yellow")


def estimate(rows: Sequence[Mapping[str, Any]], currency: str) -> Iterator[RenderableType]:
    """Show what would be sent to whom."""
    heads = ("judge", "pairs", "kept", "calls", "tokens in", "tokens out", currency)
    counts = ("pairs", "kept", "calls", "tokens_in", "tokens_out")
    yield grid(heads, [(row["judge"], *(str(row[name]) for name in counts), number(row["money"], 4)) for row in rows])
    yield Text("tokens are estimated at four characters each, replies at 60 tokens a pair; nothing was sent")
    if all(row["money"] is None for row in rows):
        yield Text("no money: give prices per million tokens in [judge.prices] of the settings")


def matcher_and_judge(result: Mapping[str, Any] | None) -> Iterator[RenderableType]:
    """Show how the matcher agrees with one judge, or say why it cannot be compared."""
    if result is None:
        yield Text("the matcher is not compared: the judge does not say to which gold entry an entry belongs")
        return
    yield Text("the matcher against this judge; where a judge knows only matches, figures of parts are against these")
    yield from labels(result)


def labels(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Show decisions, tasks, what a look at the doubtful pairs would bring, planners, and the worst disagreements."""
    head = f"{result['rows']} labelled plans of {result['papers']} papers, {result['pairs']} pairs"
    yield Text(f"{head}; calibration {safe_terminal(result['calibration'])}, model {safe_terminal(result['model'])}")
    if result["fitted_on_these_labels"]:
        flattery = "this calibration was fitted on these labels, so the figures flatter it; its file has held-out ones"
        yield Text(f"warning: {flattery}", style="yellow")
    rows = {"match": result["match"], "part": result["part"]}
    for task, both in result["by_task"].items():
        rows |= {f"{safe_terminal(task)}: {what}": both[what] for what in ("match", "part")} if task else {}
    yield _decisions(rows, "Decisions of pairs, before assignment")
    after = result["after_assignment"]
    yield Text("matches after assignment: " + ", ".join(f"{SHORT[name]} {number(after[name])}" for name in after))
    yield _risk_coverage(result["risk_coverage"])
    planners = Table("planner", "plans", "F1 by labels", "F1 by matcher", "difference")
    for row in result["per_planner"]:
        truth, matcher = row["f1_labels"], row["f1_matcher"]
        cells = (str(row["plans"]), number(truth), number(matcher), f"{row['error']:+.3f}")
        planners.add_row(Text(safe_terminal(row["planner"])), *cells)
    yield planners
    yield _planner_errors("planners' F1", result)
    for task, both in result["by_task"].items():
        if task and len(result["by_task"]) > 1:
            yield _planner_errors(f"{safe_terminal(task)} ({both['papers']} papers)", both["planners"])
    for pair in result["worst"][:WORST_SHOWN]:
        label = "match" if pair["label"] else "same part" if pair["same_part"] else "different"
        paper, probability = safe_terminal(pair["paper"]), number(pair["match_probability"], 2)
        yield Text(f"{paper}: labels say {label}, matcher {probability}")
        for side in ("gold", "plan"):
            entry = pair[side]
            action = f"{entry['action']} {'; '.join(entry['replacement'])}"
            yield Text(safe_terminal(f"  {side}: {entry['name']} | {entry['ablated_part']} | {action}"))


def measured_judge(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Show how often a judge agrees with labels, and what swapping the sides changes."""
    names = safe_terminal(", ".join(result["judges"]))
    head = f"{names} on {result['rows']} labelled plans of {result['papers']} papers"
    yield Text(f"{head}: {result['answered']} of {result['pairs']} pairs answered; {result['spent']}")
    if result["trouble"]:
        yield Text(safe_terminal(result["trouble"]), style="yellow")
    heads = ("pairs", "yes", "sensitivity", "no", "specificity")  # what the labels say
    rows = []
    for which, both in result["agreement"].items():
        for what, own in both.items():
            cells = [(str(own[name]["pairs"]), _share(own[name])) for name in ("sensitivity", "specificity")]
            rows.append((f"{which}, {what}", *cells[0], *cells[1]))
    yield grid(heads, rows)
    place = result["position"]
    yield Text(
        f"sides swapped: {place['changed']} of {place['pairs']} answers change; match only with gold first"
        f" {place['gold_first_only']}, only with gold second {place['gold_second_only']}, p {number(place['p'])}"
    )
    if "run" in result:
        yield from _corrected_run(result["run"])


def _corrected_run(run: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Show what a judge decided in a run, and the share of matches there by what it errs."""
    which = "all pairs" if run["pairs"] == "all" else "borderline pairs"
    yield Text(f"{safe_terminal(run['path'])}: {which} that the judge decided, by sensitivity and specificity on such")
    rows = [(safe_terminal(row["planner"]), row) for row in run["planners"]]
    heads = ("planner", "decided", "matches", "share", "corrected share", "matches of it")
    cells = []
    for name, row in [*rows, ("all planners", run["all"])]:
        count = number(None if row["corrected"] is None else row["corrected"] * row["decided"], 1)
        share = number(row["corrected"]) + brackets(row["low"], row["high"])
        cells.append((name, str(row["decided"]), str(row["matches"]), number(row["rate"]), share, count))
    yield grid(heads, cells)
    if run["reason"]:
        yield Text(f"not corrected: {run['reason']}", style="yellow")


def _share(share: Mapping[str, float | None]) -> str:
    """Return a share with its interval."""
    return number(share["value"]) + brackets(share["low"], share["high"])


def calibration(result: Calibration) -> Iterator[RenderableType]:
    """Show a calibration and what it is worth on the papers that were held out."""
    fitted, held_out, limits = result.fitted_on, result.cross_validation, result.thresholds
    yield Text(f"{result.id}: {fitted['pairs']} pairs of {fitted['papers']} papers, {held_out['folds']} folds by paper")
    yield _decisions({what: held_out[what] for what in ("match", "part")}, "Held-out papers")
    yield _risk_coverage(held_out["match"]["risk_coverage"])
    for task, both in held_out.get("by_task", {}).items():
        if task:
            yield Text(
                f"{safe_terminal(task)}: match F1 {number(both['match']['f1'])}, part F1 {number(both['part']['f1'])}"
            )
            yield _planner_errors("  planners", both["planners"])
    if guarantee := held_out.get("guarantee"):
        yield Text(guaranteed(guarantee))
    yield Text(
        f"thresholds: part {limits.part:g}, match {limits.match:g}; band of doubt {limits.low:g} to {limits.high:g}"
    )


def guaranteed(facts: Mapping[str, Any]) -> str:
    """Say what is guaranteed outside the band of doubt, and from which labels."""
    return (
        f"outside the band of doubt {facts['rate']:.0%} of decided matches, and of pairs decided as none, agree "
        f"with the labels, with {facts['confidence']:.0%} confidence ({facts['papers']} held-out papers; "
        f"{facts['inside']:.1%} of the pairs are inside)"
    )


def adapted(result: Adaptation, *, even_so: bool) -> Iterator[RenderableType]:
    """Show what held-out papers say of a move; refuse one that did not help, unless it is wanted even so."""
    facts = result.report
    yield _decisions({"base": facts["before"], "moved": facts["after"]}, "Held-out papers, full matches")
    losses = " to ".join(number(facts[name]["log_loss"], 4) for name in ("before", "after"))
    message = f"log loss {losses} on {facts['papers']} held-out papers (p {number(facts['p'])})"
    yield Text(message)
    if not result.helped and not even_so:
        raise InputError(f"these labels do not mend the base: {message}; nothing written, --even-so writes it")


def _planner_errors(what: str, errors: Mapping[str, Any]) -> Text:
    """Say how far planners' figures are off, and whether the matcher has favourites among them."""
    signed = ", ".join(f"{safe_terminal(row['planner'])} {row['error']:+.3f}" for row in errors["per_planner"])
    return Text(
        f"{what}: mean absolute error {number(errors['mean_absolute_error'])}, "
        f"largest {number(errors['largest_error'])}, rank correlation {number(errors['rank_correlation'])}, "
        f"p that the error depends on the planner {number(errors['p_planner_dependent'])}: {signed}"
    )


def _decisions(rows: Mapping[str, Mapping[str, float | None]], title: str) -> Table:
    table = Table("", title=title, title_justify="left")
    for name in SHORT.values():
        table.add_column(name, justify="right")
    for label, figures in rows.items():
        table.add_row(label, *(number(figures[name]) for name in SHORT))
    return table


def _risk_coverage(points: Sequence[Mapping[str, float | None]]) -> Text:
    """Show what F1 would be if labels decided the pairs nearest the threshold."""
    curve = ", ".join(f"{point['share']:.0%}: {number(point['f1'])}" for point in points)
    return Text(f"match F1 with the nearest pairs decided by the labels: {curve}")


def compat(run: Run) -> Iterator[RenderableType]:
    """Show AblationBench's figures beside ours and what lifting each of its rules adds, for a run with `compat`."""
    planners = run.meta.get("compat")
    if run.meta["settings"].get("compat") != "ablationbench" or not planners:
        return
    ndcg = {row["planner"]: row["ab_ndcg"] for row in records(run.columns("leaderboard"))}
    heads = [text for name in COMPAT for text in (f"ab {SHORT[name]}", SHORT[name])]
    table = PlannerTable("Beside AblationBench (ab: by its rules)", (*heads, "ab nDCG"))
    for row in planners:
        cells = [number(row[side][name]) for name in COMPAT for side in ("ablationbench", "corrected")]
        table.add_row(safe_terminal(row["planner"]), *cells, number(ndcg.get(row["planner"])))
    yield table
    if any(row["steps"] for row in planners):
        shorts = [SHORT[name] for name in COMPAT]
        heads = ["its rule", *shorts, "which is"]
        steps = PlannerTable("What its rules are worth: what lifting each one adds", heads, folded=("which is",))
        for row in planners:
            for step in row["steps"]:
                moves = [f"{step[name]:+.3f}" if step[name] else "" for name in COMPAT]
                steps.add_row(safe_terminal(row["planner"]), step["rule"], *moves, step["reason"])
        yield steps
    yield Text(f"nDCG has no counterpart: {NDCG_REASON}; see ndcg_at_5 for the plan's own order", style="dim")
