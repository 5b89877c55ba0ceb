"""`evalkit schema`: the JSON Schema of a file or of what `--json` prints."""

import click


@click.command("schema")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """Print the JSON Schema called NAME, for editors and programs; without NAME, list the schemas that there are."""
    from evalkit.report import console
    from evalkit.report.schemas import SCHEMAS, shipped_schema

    if name is None:
        console.show([console.grid(("schema", "of what"), [(key, title) for key, (title, _) in SCHEMAS.items()])])
    else:
        click.echo(shipped_schema(name), nl=False)
