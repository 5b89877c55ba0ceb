"""`evalkit table`: the leaderboard as people paste it."""

import click

from evalkit.cli.options import BY, Registered


@click.command("table")
@click.argument("runs", nargs=-1, required=True)
@click.option("--format", "form", type=Registered("evalkit.report.leaderboard_tables", "RENDERERS"), default="markdown",
              show_default=True, help="How to write it.")  # fmt: skip
@click.option("--columns", metavar="A,B,…", help="Columns of leaderboard.csv.  [default: the headline figures]")
@BY
@click.option("--intervals/--no-intervals", default=True, show_default=True, help="Intervals behind the figures.")
@click.option("--long/--side-by-side", "long", default=None, help="One row a run and planner, or a group of columns "
              "a run.  [default: long for more than three runs]")  # fmt: skip
@click.option("--standalone", is_flag=True, help="LaTeX and HTML: a whole document rather than a table to paste.")
@click.option("--out", metavar="FILE", help="File to write.  [default: -, standard output]")
def command(
    runs: tuple[str, ...], form: str, columns: str | None, by: str | None, intervals: bool, long: bool | None,
    standalone: bool, out: str | None,
) -> None:  # fmt: skip
    """Print the leaderboard of one run, or of several, for a paper, a README or a pull request.

    The best of each column is bold; a dagger marks what is not significantly worse than the best. LaTeX needs the
    packages booktabs and graphicx. With --by there is a row for each slice and planner, and nothing is tested.
    """
    from evalkit.report import leaderboard_tables
    from evalkit.storage.files import write_text
    from evalkit.storage.runs import load_runs
    from evalkit.text import safe_terminal

    if by and len(runs) > 1:
        raise click.UsageError("--by takes one run")
    chosen, loaded = tuple(columns.replace(" ", "").split(",")) if columns else (), load_runs(runs)
    if by:
        board = leaderboard_tables.slice_table(*next(iter(loaded.items())), by, chosen, intervals=intervals)
    else:
        board = leaderboard_tables.table(loaded, chosen, intervals=intervals, long=long)
    text = leaderboard_tables.RENDERERS[form](board, standalone)
    if out and out != "-":
        write_text(out, text)
    else:
        click.echo(safe_terminal(text), nl=False)
