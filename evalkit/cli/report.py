"""`evalkit report`: a run as a page to open, read and send."""

import click

from evalkit.cli.options import BY, say


def _have_the_extra(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    """Refuse before the work is done, not after it, where a report cannot be made."""
    if value:
        from evalkit.report import chart_style

        chart_style.require()
    return value


REPORT = click.option("--report", is_flag=True, callback=_have_the_extra, help="Write report.html into the run folder.")


@click.command("report")
@click.argument("runs", nargs=-1, required=True, metavar="RUN [NEW]")
@click.option("--out", default="report.html", show_default=True, metavar="FILE", help="Page to write.")
@BY
@click.option("--force", is_flag=True, help="Compare two runs although more than their plans differ.")
def command(runs: tuple[str, ...], out: str, by: str | None, force: bool) -> None:
    """Write one run, or a comparison of two (BASE NEW), as one HTML page that needs no network.

    A page whose alignments take more than 12 MiB keeps them in a folder beside it; send both together.
    """
    from evalkit.report import comparison_page, run_page
    from evalkit.storage.runs import load_runs

    if len(runs) > 2:
        raise click.UsageError("expected one run, or two to compare (BASE NEW)")
    loaded = load_runs(runs)
    if len(loaded) == 2:
        written = comparison_page.write_comparison(loaded, out, force=force, by=by)
    else:
        written = run_page.write_report(next(iter(loaded.values())), out, by=by)
    more = f" and {len(written) - 1} files in the folder beside it" if len(written) > 1 else ""
    say(f"written to {out}{more}")
