"""`evalkit score`: the main job."""

import sys
from typing import Any

import click

from evalkit.cli.options import (
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
from evalkit.storage.tables import FORMS


@click.command("score")
@click.option("--pred", required=True, metavar="DIR", help="Plans: <planner…>/<paper>.<ext>, in any readable format.")
@click.option("--gold", required=True, metavar="DIR", help="Gold: one file a paper, or one file with many.")
@click.option("--out", metavar="DIR", help="Run folder to write.  [default: runs/<time>]")
@click.option("--force", is_flag=True, help="Replace the run that --out holds already.")
@click.option("--format", "form", type=click.Choice(FORMS), default="csv", show_default=True,
              help="Form of papers, pairs and plans.")  # fmt: skip
@REPORT
@JUDGEMENTS
@click.option("--labels", multiple=True, metavar="FILE", help="Labels of a random sample of papers; they correct all.")
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
    wide: bool, verbose: bool, **options: Any,
) -> None:  # fmt: skip
    """Score the plans of one or more planners against gold.

    Writes leaderboard.csv, papers.csv, pairs.csv, diagnostics.csv and run.json into a run folder, and prints the
    leaderboard. Every gold paper counts for every planner: a missing or unreadable plan is an empty plan. With --strict
    it ends in 2 if anything had to be repaired or left out.
    """
    from evalkit.report import progress
    from evalkit.storage.folders import fresh_run_folder

    work, made = take_work(options), take_made(options, pred)
    settings = settings_from(config, options)
    if dry_run:
        show_estimate(pred, gold, settings, work, cache, as_json=as_json)
        return
    folder = out or fresh_run_folder()
    judges, truth = judgements_from(judgements), labels_from(labels)
    with progress.bar() as advance, panel_for(settings, cache, advance) as panel, workplace(work, cache) as place:
        from evalkit.scoring.pipeline import score_run

        run = score_run(
            pred, gold, settings, progress=advance, judgements=judges, panel=panel, labels=truth, **place,
            out=folder, force=force, form=form, made=made,
        )  # fmt: skip
    from evalkit.report import agreement_text, console, json_output, run_page

    if report:
        run_page.write_report(run, f"{folder}/report.html")
    if as_json:
        click.echo(json_output.run(run))
    else:
        decisions = agreement_text.decisions(run, panel.spent() if panel else "", panel.failures if panel else None)
        agreement = agreement_text.judges(run.meta["judges"]) if run.meta.get("judges") else ()
        compat = agreement_text.compat(run)
        leaderboard = console.summary(run, wide=wide, verbose=verbose)
        console.show([*leaderboard, *decisions, *agreement, *compat, console.after_score(str(folder))], wide=wide)
    if settings.strict and (run.diagnostics["severity"] == "error").any():
        click.echo("evalkit: --strict: something had to be repaired or left out; the run says what", err=True)
        sys.exit(2)
