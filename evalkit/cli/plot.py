"""`evalkit plot`: one chart as a file."""

import click

from evalkit.cli.options import Registered, holds_runs, say


@click.command("plot")
@click.argument("runs", nargs=-1, required=True)
@click.argument("kind", type=Registered("evalkit.report.history_charts", "EVERY"))
@click.option("--out", required=True, metavar="FILE", help="Figure to write; its ending (.svg, .png, .pdf) says how.")
def command(runs: tuple[str, ...], kind: str, out: str) -> None:
    """Draw one chart of a run for print: planners with intervals, precision against recall, F1 by paper, and others.

    Of several runs, or a folder of them: the trend, the runs by their figure, or F1 by run and paper.
    """
    from evalkit.report import charts, history_charts
    from evalkit.storage.runs import load_run

    if len(runs) > 1 or holds_runs(runs[0]):
        charts.write_chart(lambda: history_charts.chart(history_charts.history_of(runs), kind), out)
    else:
        charts.write(load_run(runs[0]), kind, out)
    say(f"written to {out}")
