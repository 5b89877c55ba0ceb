"""`evalkit formats`: the table of formats."""

import click

from evalkit.cli.options import JSON


@click.command("formats")
@JSON
def command(as_json: bool) -> None:
    """List the formats that can be read and written. Files are recognised by content, not by extension."""
    from evalkit.formats import FORMATS, added_formats
    from evalkit.report import console, json_output

    rows = [
        (name, "yes", "yes" if item.write else "no", item.description)
        for name, item in {**FORMATS, **added_formats()}.items()
    ]
    heads = ("format", "read", "write", "what it is")
    if as_json:
        click.echo(json_output.dump({"formats": [dict(zip(heads, row, strict=True)) for row in rows]}))
    else:
        console.show([console.grid(heads, rows)])
