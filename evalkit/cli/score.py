"""`evalkit score`: the main job."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.options import (
    BY,
    JSON,
    JUDGEMENTS,
    VERBOSE,
    WIDE,
    engine_options,
    judgements_from,
    labels_from,
    made_options,
    panel_for,
    panel_options,
    scoring_options,
    settings_from,
    show_estimate,
    take_made,
    take_work,
    workplace,
)
from evalkit.cli.report import REPORT
from evalkit.errors import InputError
from evalkit.storage.tables import FORMS

if TYPE_CHECKING:
    from evalkit.settings import Settings
    from evalkit.types import ScoredPlan


STDIN = "-"


@contextmanager
def _plans(
    pred: str, gold: str, settings: Settings, place: dict[str, Any], *, early: bool
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Open the plans of a run, and its cache: those of standard input, scored as they come where the matcher decides.

    The decisions on them are cached, so that the run at the end of the input finds them.
    """
    if pred != STDIN:
        yield pred, place
        return
    from evalkit.report.values import number
    from evalkit.scoring.scorer import figures_of
    from evalkit.scoring.stream import read_stream, scored_stream
    from evalkit.text import safe_terminal

    def tell(count: int, scored: ScoredPlan) -> None:
        value = number(figures_of(scored)["match_f1"])
        name = f"{scored.plan.planner} · {scored.gold.paper}"
        click.echo(f"{count:>6}  {safe_terminal(name)}: match F1 {value}", err=True)

    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        raise InputError("--pred -: standard input is closed")
    if not early:
        yield read_stream(stream, settings), place
        return
    with scored_stream(stream, gold, settings, place["cache"], tell) as (plans, cache):
        yield plans, {**place, "cache": cache}


class _Score(click.Command):
    """The command, which says where folders belong when they come without options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and not any(word.startswith("-") for word in args):
            ctx.fail(f"expected options, found {' '.join(args)!r}; did you mean: evalkit score --pred DIR --gold DIR")
        return super().parse_args(ctx, args)


@click.command("score", cls=_Score)
@click.option("--pred", required=True, metavar="DIR",
              help="Plans: <planner…>/<paper>.<ext>, in any format; - for JSON lines as they come.")  # fmt: skip
@click.option("--gold", required=True, metavar="DIR", help="Gold: one file a paper, or one file with many.")
@click.option("--out", metavar="DIR", help="Run folder to write.  [default: runs/<time>]")
@click.option("--force", is_flag=True, help="Replace the run that --out holds already.")
@click.option("--format", "form", type=click.Choice(FORMS), default="csv", show_default=True,
              help="Form of papers, pairs and plans.")  # fmt: skip
@REPORT
@JUDGEMENTS
@click.option("--labels", multiple=True, metavar="FILE", help="Labels of a random sample of papers; they correct all.")
@BY
@made_options
@panel_options
@scoring_options
@engine_options
@WIDE
@VERBOSE
@JSON
def command(
    pred: str, gold: str, out: str | None, force: bool, form: str, report: bool, judgements: tuple[str, ...],
    config: str | None, as_json: bool, dry_run: bool, cache: str | None, labels: tuple[str, ...],
    by: str | None, wide: bool, verbose: bool, **options: Any,
) -> None:  # fmt: skip
    """Score the plans of one or more planners against gold.

    Writes leaderboard.csv, papers.csv, pairs.csv, diagnostics.csv and run.json into a run folder, and prints the
    leaderboard. Every gold paper counts for every planner: a missing or unreadable plan is an empty plan. With --strict
    it ends in 2 if anything had to be repaired or left out.

    Plans and gold may lie on the Hugging Face hub: hf://datasets/OWNER/NAME[/CONFIG]@REVISION (extra `hub`). The
    run holds the commit.

    With --pred - it reads JSON lines from standard input, one record a plan with its planner and paper, and scores each
    plan when it comes; the run is written at the end of the input.
    """
    from evalkit.report import progress
    from evalkit.storage.folders import fresh_run_folder

    work, made = take_work(options), take_made(options, pred)
    settings = settings_from(config, options)
    if dry_run and pred == STDIN:
        raise click.UsageError("--dry-run reads the plans of a folder: those of --pred - can be read once")
    if dry_run:
        show_estimate(pred, gold, settings, work, cache, as_json=as_json)
        return
    folder = out or fresh_run_folder()
    judges, truth = judgements_from(judgements), labels_from(labels)
    with progress.bar() as advance, panel_for(settings, cache, advance) as panel, workplace(work, cache) as place:
        from evalkit.scoring.pipeline import score_run

        with _plans(pred, gold, settings, place, early=judges is None and panel is None) as (plans, place):
            run = score_run(
                plans, gold, settings, progress=advance, judgements=judges, panel=panel, labels=truth, **place,
                out=folder, force=force, form=form, by=by, made=made,
            )  # fmt: skip
    from evalkit.report import agreement_text, console, json_output

    if report:
        from evalkit.report import run_page

        run_page.write_report(run, f"{folder}/report.html", by=by)
    if as_json:
        click.echo(json_output.run(run, by))
    else:
        decisions = agreement_text.decisions(run, panel.spent() if panel else "", panel.trouble() if panel else "")
        agreement = agreement_text.judges(run.meta["judges"]) if run.meta.get("judges") else ()
        compat = agreement_text.compat(run)
        leaderboard = console.summary(run, wide=wide, verbose=verbose, by=by)
        console.show([*leaderboard, *decisions, *agreement, *compat, console.after_score(str(folder))], wide=wide)
    if settings.strict and "error" in run.columns("diagnostics")["severity"]:
        click.echo("evalkit: --strict: something had to be repaired or left out; the run says what", err=True)
        sys.exit(2)
