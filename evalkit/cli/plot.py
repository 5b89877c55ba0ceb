"""`evalkit plot`: one chart as a file."""

import click

from evalkit.cli.options import Registered, say


@click.command("plot")
@click.argument("run")
@click.argument("kind", type=Registered("evalkit.report.charts", "CHARTS"))
@click.option("--out", required=True, metavar="FILE", help="Figure to write; its ending (.svg, .png, .pdf) says how.")
def command(run: str, kind: str, out: str) -> None:
    """Draw one chart of a run for print: planners with intervals, precision against recall, F1 by paper, and others."""
    from evalkit.report import charts
    from evalkit.storage.runs import load_run

    charts.write(load_run(run), kind, out)
    say(f"written to {out}")
