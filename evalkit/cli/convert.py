"""`evalkit convert`: any readable format to any that can be written."""

import click


@click.command("convert")
@click.argument("source")
@click.argument("target")
@click.option("--to", "name", required=True, metavar="FORMAT", help="Format to write; `evalkit formats` lists them.")
@click.option("--gold", is_flag=True, help="Read the documents as gold: one list a paper, no planner.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
def command(source: str, target: str, name: str, gold: bool, force: bool) -> None:
    """Rewrite the documents of SOURCE (a file or a folder) below TARGET in another format.

    Lossless where the format can hold it; what was repaired or left out on reading is printed.
    """
    from evalkit.report import console
    from evalkit.scoring.load import convert

    console.show(console.readings([convert(source, target, name, gold=gold, force=force)]))
