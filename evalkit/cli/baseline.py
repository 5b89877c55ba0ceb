"""`evalkit baseline`: a run's scores as a small file that a team commits."""

from __future__ import annotations

import click

from evalkit.cli.options import JSON

FOLDER = click.option("--dir", "folder", default="baselines", help="Folder of baselines.  [default: baselines]")


@click.group("baseline")
def command() -> None:
    """Keep a run's scores, sums and matched gold entries as a small file for git; compare and gate take it as BASE."""


@command.command("set")
@click.argument("run")
@click.option("--name", default="main", help="What the baseline is called.  [default: main]")
@FOLDER
@click.option("--force", is_flag=True, help="Replace a baseline of that name that holds another run.")
def set_command(run: str, name: str, folder: str, force: bool) -> None:
    """Write RUN as the baseline NAME; with --force in place of another run, which git keeps."""
    from evalkit.comparison import read_snapshot, set_baseline
    from evalkit.report import comparison_text, console

    side = read_snapshot(run, folder)
    outcome = set_baseline(side, name, folder, force=force)
    console.show([*comparison_text.baseline(side), console.whole(outcome)])


@command.command("show")
@click.argument("name", default="main")
@FOLDER
@JSON
def show_baseline(name: str, folder: str, as_json: bool) -> None:
    """Print a baseline's scores and signature. NAME is a name or a file.  [default: main]"""
    from evalkit.comparison import read_snapshot
    from evalkit.report import comparison_text, console, json_output

    side = read_snapshot(name, folder)
    if as_json:
        click.echo(json_output.baseline(side))
    else:
        console.show(comparison_text.baseline(side))


@command.command("list")
@FOLDER
@JSON
def list_baselines(folder: str, as_json: bool) -> None:
    """List the baselines of a folder with the best planner of each."""
    from evalkit.comparison import read_baselines
    from evalkit.report import comparison_text, console, json_output

    baselines = read_baselines(folder)
    if as_json:
        click.echo(json_output.baselines(baselines))
    else:
        console.show([comparison_text.baselines(baselines)])
