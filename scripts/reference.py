"""Write the pages of docs/reference from the code: commands, settings, columns, JSON documents, diagnostics, Python.

docs/conf.py calls it; the pages are not kept in git.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

import evalkit
from evalkit.cli import COMMANDS, group
from evalkit.formats import CODES
from evalkit.report.columns import meaning
from evalkit.report.escaping import markdown
from evalkit.report.schemas import SCHEMAS, make_schema
from evalkit.storage.label_files import Labels, read_labels

SHOWN = ("leaderboard", "papers", "pairs", "plans", "diagnostics")


def run_with_every_column() -> evalkit.Run:
    """Return a small run with all that adds columns: a baseline, labels, and AblationBench's figures."""
    work = Path(tempfile.mkdtemp())
    try:
        papers = {
            f"paper-{n}": [{"name": f"No gate {n}", "ablated_part": "gate", "action": "REMOVE"}] for n in (1, 2, 3)
        }
        rows = [{"paper": name, "planner": "a", "gold": entries, "plan": entries, "match": [[0, 0]], "same_part": []}
                for name, entries in papers.items()]  # fmt: skip
        labels = work / "labels.jsonl"
        labels.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        settings = evalkit.Settings(matcher="lexical", resamples=9, baseline="a", compat="ablationbench")
        return evalkit.score(
            {"a": papers, "b": papers}, papers, settings, labels=Labels(read_labels([labels])), cache=None
        )
    finally:
        shutil.rmtree(work)


def sentence(text: str) -> str:
    """Return a help text for a line of Markdown: code stays code, everything else is plain text."""
    parts = re.split(r"(`[^`]+`|\s+)", text.strip())
    return "".join(_part(part) for part in parts)


def _part(part: str) -> str:
    if part.isspace():
        return " "
    if part.startswith("--"):
        part = f"`{part}`" if part[-1].isalnum() else f"`{part[:-1]}`{part[-1]}"
    return part.replace("|", "\\|") if part.startswith("`") else markdown(part)


def walk(command: click.Command, words: str) -> Iterator[tuple[str, click.Command]]:
    """Yield commands with their full names, those of groups behind them."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if child := command.get_command(context, name):
                yield from walk(child, f"{words} {name}")


def command_section(name: str, command: click.Command) -> Iterator[str]:
    """Yield the lines about one command."""
    context = click.Context(command, info_name=name)
    yield from (f"## {name}", "", "```text", command.get_usage(context).removeprefix("Usage: "), "```", "")
    for paragraph in (command.help or "").split("\n\n"):
        yield from (sentence(paragraph.replace("\b", "")), "")
    options = [item for item in command.get_params(context) if isinstance(item, click.Option)]
    if options:
        yield from ("| option | what it does |", "|---|---|")
    for option in options:
        if record := option.get_help_record(context):
            names = record[0].replace("|", "\\|")
            yield f"| `{names}` | {sentence(record[1])} |"
    yield ""


def commands() -> str:
    """Return the page of all commands and options."""
    lines = ["# Commands and options", "", "What `evalkit COMMAND --help` says, for all commands.", ""]
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        for words, one in walk(command, f"evalkit {name}") if command else ():
            lines += command_section(words, one)
    return "\n".join(lines)


def columns() -> str:
    """Return the page of all columns of all tables."""
    figures = "[What the numbers mean](../numbers.md#the-figures) explains the figures."
    lines = ["# Columns of the tables", "", "Every column of every table in a run folder, in order.", figures, ""]
    run = run_with_every_column()
    for table in SHOWN:
        names = [*map(str, getattr(run, table).columns), "signature"]
        lines += [f"## {table}.csv", "", "| column | what it says |", "|---|---|"]
        lines += [f"| `{name}` | {sentence(meaning(name))} |" for name in names]
        lines.append("")
    return "\n".join(lines)


def python() -> str:
    """Return the page of the public names, for autodoc."""
    lines = [
        "# The Python interface",
        "",
        "Everything that `import evalkit` offers. [In Python](../python.md) shows it at work.",
        "",
    ]
    for name in evalkit.__all__:
        item = getattr(evalkit, name)
        kind = (
            "autofunction"
            if not isinstance(item, type)
            else "autoexception"
            if issubclass(item, Exception)
            else "autoclass"
        )
        members = "   :members:\n   :undoc-members:\n" if kind == "autoclass" else ""
        lines += [f"## {name}", "", "```{eval-rst}", f".. {kind}:: evalkit.{name}\n{members}```", ""]
    return "\n".join(lines)


def settings() -> str:
    """Return the page of all settings and of all keys of a gate's file."""
    table, gate = make_schema("settings")["properties"], make_schema("gate")["properties"]
    judge = table.pop("judge")["properties"]
    files = "[settings file](../settings.md#the-settings-file)", "[gate's file](../comparing-and-ci.md#a-gate)"
    lines = ["# Settings and rules", "", f"Every key of a {files[0]} and of a {files[1]}.", ""]
    parts = {"Settings": table, "[judge]": judge, "[gate]": gate["gate"]["properties"],
             "[[rule]]": gate["rule"]["items"]["properties"]}  # fmt: skip
    for title, keys in parts.items():
        lines += [f"## {title}", "", "| key | value | default | what it is |", "|---|---|---|---|"]
        for name, schema in keys.items():
            default = f"`{json.dumps(schema['default'])}`" if "default" in schema else ""
            about = sentence(schema.get("description", ""))
            lines.append(f"| `{name}` | {sentence(_value(schema))} | {default} | {about} |")
        lines.append("")
    return "\n".join(lines)


def _value(schema: Mapping[str, Any]) -> str:
    """Return in words what a value may be."""
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return f"{_value(schema['anyOf'][0])} or the name of a plug-in"
    if "exclusiveMinimum" in schema:
        return f"number between {schema['exclusiveMinimum']} and {schema['exclusiveMaximum']}"
    words = {
        "string": "text",
        "integer": "whole number",
        "array": "list",
        "object": "table",
        "boolean": "true or false",
    }
    least, most = schema.get("minimum"), schema.get("maximum")
    bounds = "" if least is None else f", from {least}" + (f" to {most}" if most is not None and most < 2**62 else "")
    return f"{words.get(schema['type'], schema['type'])}{bounds}"


def key_rows(schema: Mapping[str, Any], place: str = "", deepest: int = 9) -> Iterator[str]:
    """Yield a table's row for each key of a document; those of rows of a table are columns, and not listed again."""
    for key, inner in schema.get("properties", {}).items():
        yield f"| `{place}{key}` | {sentence(_kind(inner))} | {sentence(inner['description'])} |"
        yield from key_rows(inner, f"{place}{key}.", deepest - 1) if deepest else ()
    if "patternProperties" not in schema and "items" in schema:
        item = schema["items"]
        if "patternProperties" not in item:
            yield from key_rows(item, f"{place.removesuffix('.')}[].", deepest)
    for part in schema.get("anyOf", ()):
        yield from key_rows(part, place, deepest)


def _kind(schema: Mapping[str, Any]) -> str:
    """Return in words what JSON holds there."""
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_kind, schema["anyOf"])))
    words = {"string": "text", "integer": "number", "array": "list", "boolean": "true or false"}
    kinds = schema.get("type", "anything")
    return " or ".join(words.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def documents() -> str:
    """Return the page of all documents that `--json` prints, of run.json and of baselines."""
    example = "[One of them is shown](../reports.md#for-programs-of-your-own) with the guides."
    lines = ["# JSON documents", "", "Every key of every document that `--json` prints, of run.json and of baselines.",
             f"`evalkit schema NAME` prints the same as a JSON Schema. {example}", "",
             "What is not known is null. Rows of a table have its [columns](columns.md) as keys.", ""]  # fmt: skip
    for name, (title, _) in SCHEMAS.items():
        if name.startswith("json-") or name in ("run", "baseline"):
            lines += [f"## {name}", "", f"{sentence(title[0].upper() + title[1:])}.", ""]
            lines += [
                "| key | value | what it says |",
                "|---|---|---|",
                *dict.fromkeys(key_rows(make_schema(name))),
                "",
            ]
    return "\n".join(lines)


def diagnostics() -> str:
    """Return the page of all diagnostics."""
    what = "What `evalkit validate`, `evalkit score` and `diagnostics.csv` say of documents and judgements: all codes."
    severities = "An error is something left out, a warning a doubt, a note a repair; `--strict` makes errors of notes."
    lines = ["# Diagnostics", "", what, severities, ""]
    lines += ["| code | severity | what it means |", "|---|---|---|"]
    lines += [f"| `{name}` | {code.severity} | {sentence(code.meaning)} |" for name, code in sorted(CODES.items())]
    return "\n".join(lines) + "\n"


def titles(folder: Path) -> dict[str, str]:
    """Return the title of each page, which stands in its first line."""
    return {name: (folder / f"{name}.md").read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for name in PAGES}


def llms(index: str) -> str:
    """Return llms.txt, the list of pages for language models: the first page with links to the pages as Markdown."""
    head, _, rest = index.partition("\n## ")
    title, summary = head.split("\n\n")[:2]
    made = "".join(f"\n- [{name}](reference/{name}.md)" for name in PAGES)
    lists = f"## {rest.partition('<!-- in the repository -->')[0].strip()}\n{made}\n"
    linked = re.sub(r"\]\(([\w/-]+\.md)\)", r"](_sources/\1.txt)", lists)
    return f"{title}\n\n> {' '.join(summary.split())}\n\n{linked}"


PAGES = {
    "commands": commands, "settings": settings, "columns": columns, "documents": documents, "diagnostics": diagnostics,
    "python": python,
}  # fmt: skip


def write(folder: Path) -> None:
    """Write the pages that are not what they were, so that an unchanged page is not built again."""
    folder.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        path, text = folder / f"{name}.md", make()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    (folder / "llms.txt").write_text(llms((folder.parent / "index.md").read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).resolve().parent.parent / "docs" / "reference")
