"""`evalkit validate`: diagnostics without scores."""

import sys

import click

from evalkit.cli.options import JSON


@click.command("validate")
@click.argument("paths", nargs=-1, required=True)
@click.option("--gold", is_flag=True, help="Read the documents as gold: one list a paper, no planner.")
@click.option("--strict", is_flag=True, help="Treat repairs as errors.")
@JSON
def command(paths: tuple[str, ...], gold: bool, strict: bool, as_json: bool) -> None:
    """Read plans or gold and print what was repaired, doubtful or left out; exit 2 if anything was left out."""
    from evalkit.report import console, json_output
    from evalkit.scoring.load import read_plans
    from evalkit.settings import Settings

    readings = [read_plans(path, Settings(strict=strict), gold=gold) for path in paths]
    if as_json:
        click.echo(json_output.readings(readings))
    else:
        console.show(console.readings(readings, gold=gold))
    sys.exit(2 if any(reading.errors for reading in readings) else 0)
