"""`evalkit export`: a run in the files of other tools."""

from pathlib import Path

import click

from evalkit.cli.options import Registered, say


@click.command("export")
@click.argument("run")
@click.option("--to", "name", required=True, type=Registered("evalkit.report.exports", "EXPORTERS", "exporters"),
              help="Whose files to write.")  # fmt: skip
@click.option("--out", required=True, metavar="DIR", help="Folder to write them into.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
def command(run: str, name: str, out: str, force: bool) -> None:
    """Write RUN as other tools read it.

    AblationBench's plan and judge folders, Inspect AI's logs (one a planner, papers as samples), or one flat JSON
    object of numbers for experiment trackers.
    """
    from evalkit.report.exports import find_exporter
    from evalkit.storage.files import write_texts
    from evalkit.storage.runs import load_run
    from evalkit.text import amount

    files = find_exporter(name)(load_run(run))
    write_texts({Path(out, *path.split("/")): text for path, text in files.items()}, force=force)
    say(f"{amount(len(files), 'file')} written to {out}")
