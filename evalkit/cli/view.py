"""`evalkit view`: a folder of runs in the browser."""

import click

from evalkit.cli.options import PORT, say


@click.command("view")
@click.argument("folder", default="runs", metavar="[DIR]")
@click.option("--metric", default="match_f1", help="The figure of the list.  [default: match_f1]")
@click.option("--port", type=PORT, default=0, help="Port of the page.  [default: any that is free]")
@click.option("--open", "opened", is_flag=True, help="Open the page in the browser.")
@click.option("--export", "out", metavar="OUT", help="Write the pages into a folder instead of serving them.")
@click.option("--force", is_flag=True, help="Write over an earlier export.")
def command(folder: str, metric: str, port: int, opened: bool, out: str | None, force: bool) -> None:
    """Show a folder of runs on a page at 127.0.0.1 that only you can open: search, tags, reports, comparisons, trends.

    DIR is a folder of runs, `runs` without one. New runs appear by themselves; notes and tags can be edited. With
    --export the same pages go into a folder that opens from disk and that any static host can serve.
    """
    from pathlib import Path

    from evalkit import local_server
    from evalkit.comparison.differences import checked_figures
    from evalkit.errors import InputError
    from evalkit.report import chart_style, runs_export, runs_server

    chart_style.require()
    checked_figures((metric,))
    if out:
        count = runs_export.export(folder, out, metric, force=force)
        say(f"{count} pages written to {out}; open {out}/index.html")
        return
    local_server.require("the page of runs")
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder of runs")

    def announce(address: str) -> None:
        click.echo(f"view at {address}\nstop with Ctrl-C")
        if opened:
            click.launch(address)

    runs_server.serve(runs_server.RunFolderView(Path(folder), metric), port=port, announce=announce)
