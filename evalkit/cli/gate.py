"""`evalkit gate`: may this change go in?"""

from __future__ import annotations

import os

import click

from evalkit.cli.options import JSON, MARKDOWN, Number, pairing_options, renamed_planners


@click.command("gate")
@click.argument("base")
@click.argument("new")
@click.option("--config", metavar="FILE", help="The gate's rules in TOML.  [default: the shipped configs/gate.toml]")
@click.option("--margin", type=Number(float, 0, 1), metavar="X",
              help="Allow a drop of X in place of what the rules' margins allow.")  # fmt: skip
@pairing_options
@click.option("--strict", is_flag=True, help="What is inconclusive fails, and so does any drop that is sure.")
@JSON
@click.option("--junit", "junit_file", metavar="FILE", help="Write the checks as JUnit XML.")
@MARKDOWN
@click.option("--annotations", is_flag=True, help="Print GitHub annotations; also when GITHUB_ACTIONS is set.")
def command(
    base: str, new: str, config: str | None, margin: float | None, renamed: tuple[str, ...], force: bool, strict: bool,
    as_json: bool, junit_file: str | None, markdown_file: str | None, annotations: bool,
) -> None:  # fmt: skip
    """Check NEW against BASE by the rules of a file: exit 0 when it may pass, 3 when the gate trips, 2 for bad input.

    BASE and NEW are run folders, or baselines by file or by name. The Markdown is also added to the file that
    GITHUB_STEP_SUMMARY names, when it is set.
    """
    from evalkit.comparison import SECONDARY_FIGURES, TARGET, compare, evaluate_gate, parse_gate, read_snapshot
    from evalkit.errors import GateTripped
    from evalkit.report import ci, comparison_text, console, json_output
    from evalkit.storage.files import read_text, shipped

    path = config or str(shipped("configs/gate.toml"))
    rules = parse_gate(read_text(path), path).with_margin(margin)
    comparison = compare(
        read_snapshot(base), read_snapshot(new), metric=rules.metrics[0], figures=(*SECONDARY_FIGURES, *rules.metrics),
        renamed=renamed_planners(renamed), force=force, target=rules.target or TARGET, corrected=rules.corrected,
    )  # fmt: skip
    report = evaluate_gate(comparison, rules, strict=strict)
    ci.write(report, junit_file, markdown_file, os.environ.get("GITHUB_STEP_SUMMARY"))
    if annotations or os.environ.get("GITHUB_ACTIONS") == "true":
        click.echo("\n".join(ci.workflow_commands(report)), err=True)
    if as_json:
        click.echo(json_output.gate(report))
    else:
        console.show(comparison_text.gate(report))
    if report.tripped:
        raise GateTripped(comparison_text.gate_sentence(report))
