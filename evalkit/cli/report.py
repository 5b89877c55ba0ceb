"""`evalkit report`: a run as a page to open, read and send."""

import click

from evalkit.cli.options import BY, holds_runs, say


def _have_the_extra(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    """Refuse before the work is done, not after it, where a report cannot be made."""
    if value:
        from evalkit.report import chart_style

        chart_style.require()
    return value


REPORT = click.option("--report", is_flag=True, callback=_have_the_extra, help="Write report.html into the run folder.")


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="RUN [NEW]...")
@click.option("--out", default="report.html", show_default=True, metavar="FILE", help="Page to write.")
@BY
@click.option("--force", is_flag=True, help="Compare two runs although more than their plans differ.")
def command(runs: tuple[str, ...], out: str, by: str | None, force: bool) -> None:
    """Write one run, a comparison of two (BASE NEW), or of many over time, as one HTML page that needs no network.

    A folder of runs stands for all of them. A page whose alignments take more than 12 MiB keeps them in a folder
    beside it; send both together.
    """
    from evalkit.report import comparison_page, history_charts, run_page, runs_page
    from evalkit.storage.runs import load_runs

    if len(runs) > 2 or (len(runs) == 1 and holds_runs(runs[0])):
        if by:
            raise click.UsageError("--by takes one run, or two to compare (BASE NEW)")
        written = runs_page.write_runs(history_charts.history_of(runs), out)
    elif len(runs) == 2:
        written = comparison_page.write_comparison(load_runs(runs), out, force=force, by=by)
    else:
        written = run_page.write_report(next(iter(load_runs(runs).values())), out, by=by)
    more = f" and {len(written) - 1} files in the folder beside it" if len(written) > 1 else ""
    say(f"written to {out}{more}")
