"""`evalkit history`: many runs in the order of their time."""

import click

from evalkit.cli.options import JSON, WIDE, Registered, say


@click.command("history")
@click.argument("runs", nargs=-1)
@click.option("--planner", default="", metavar="NAME", help="Planner to follow, a name or a pattern.  "
              "[default: the best of the newest run]")  # fmt: skip
@click.option("--tag", "tags", multiple=True, metavar="KEY[=VALUE]", help="Only runs with this tag; repeat for more.")
@click.option("--since", default="", metavar="DATE", help="Only runs made at or after this date, as in 2026-01-31.")
@click.option("--metric", default="match_f1", help="The figure; add _micro for sums.  [default: match_f1]")
@click.option("--entries", is_flag=True, help="When each gold entry was found, lost and found again.")
@click.option("--plot", metavar="FILE", help="Draw the trend; the ending (.svg, .png, .pdf) says how.")
@click.option("--format", "form", type=Registered("evalkit.report.history_text", "RENDERERS"),
              help="Print rows for other programs.")  # fmt: skip
@WIDE
@JSON
def command(
    runs: tuple[str, ...], planner: str, tags: tuple[str, ...], since: str, metric: str, entries: bool,
    plot: str | None, form: str | None, wide: bool, as_json: bool,
) -> None:  # fmt: skip
    """List runs in the order of their time: what changed since the one before, since the best, and how sure that is.

    RUNS are run folders, folders of runs, or patterns; without any, the folder runs. Runs that were not made alike
    (other gold, settings or matcher) stand apart with the reason. Verdicts are corrected for looking so often.
    """
    from evalkit.comparison.history import history
    from evalkit.report import console, history_text
    from evalkit.storage.run_list import chosen_runs, list_runs
    from evalkit.text import safe_terminal

    found = list_runs(runs or ("runs",), metric)
    result = history(list(chosen_runs(found.runs, tags, since)), metric, planner=planner, unread=found.unread)
    if plot:
        from evalkit.report import charts, history_charts

        charts.write_chart(lambda: history_charts.chart(result, "trend"), plot)
    rows = history_text.entry_rows if entries else history_text.run_rows
    if as_json:
        click.echo(history_text.json(result, rows))
    elif form:
        click.echo(safe_terminal(history_text.RENDERERS[form](result, entries)), nl=False)
    else:
        console.show((history_text.entries if entries else history_text.history)(result, wide=wide), wide=wide)
        if plot:
            say(f"written to {plot}")
