"""`evalkit gate`: may this change go in?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from evalkit.cli import streams
from evalkit.cli.options import JSON, MARKDOWN, Number, cache_options, pairing_options, renamed_planners, runs_of

if TYPE_CHECKING:
    from evalkit.comparison import Gate


@click.command("gate")
@click.argument("places", nargs=-1, metavar="[BASE NEW]")
@click.option("--config", metavar="FILE", help="The gate's rules in TOML.  [default: the shipped configs/gate.toml]")
@click.option("--margin", type=Number(float, 0, 1), metavar="X",
              help="Allow a drop of X in place of what the rules' margins allow.")  # fmt: skip
@click.option("--plan", "planned", metavar="RUN", help="Say what the rules can do on this run's papers; check nothing.")
@click.option("--target", type=Number(float, 0, 1), metavar="X",
              help="With --plan: the difference worth seeing.  [default: 0.03]")  # fmt: skip
@pairing_options
@cache_options
@click.option("--strict", is_flag=True,
              help="Trip on inconclusive checks too, and on a drop within the margin if its whole interval is below 0.",
              )  # fmt: skip
@JSON
@click.option("--junit", "junit_file", metavar="FILE", help="Write the checks as JUnit XML.")
@MARKDOWN
@click.option("--annotations", is_flag=True, help="Print GitHub annotations; also when GITHUB_ACTIONS is set.")
def command(
    places: tuple[str, ...], config: str | None, margin: float | None, planned: str | None, target: float | None,
    renamed: tuple[str, ...], force: bool, rescore_base: str | None, cache: str | None, no_cache: bool, strict: bool,
    as_json: bool, junit_file: str | None, markdown_file: str | None, annotations: bool,
) -> None:  # fmt: skip
    """Check NEW against BASE by the rules of a file: exit 0 when it may pass, 3 when the gate trips, 2 for bad input.

    BASE and NEW are run folders, or baselines by file or by name. The Markdown is also added to the file that
    GITHUB_STEP_SUMMARY names, when it is set. Where nothing could be checked, the files say why. When gold changed,
    --rescore-base scores the plans of BASE on it.

    With --plan RUN there is no verdict: it says how often the rules would trip on such papers without a change and with
    one, and how many papers and samples a difference of --target needs.
    """
    from evalkit.comparison import compare_for_gate, evaluate_gate
    from evalkit.errors import EvalkitError, GateTripped, OutputError
    from evalkit.report import ci, comparison_text, console, json_output
    from evalkit.text import safe_terminal

    if planned is not None:
        if places or renamed or force or rescore_base or strict or junit_file or markdown_file:
            raise click.UsageError("--plan RUN goes with --config, --margin, --target and --json alone")
        _study(planned, _rules(config, margin), target, as_json=as_json)
        return
    if target is not None:
        raise click.UsageError("--target goes with --plan RUN")
    if len(places) != 2:
        raise click.UsageError("expected two runs or baselines, BASE and NEW")
    if (cache or no_cache) and not rescore_base:
        raise click.UsageError("--cache and --no-cache go with --rescore-base: runs are as they are")
    files = (junit_file, markdown_file, os.environ.get("GITHUB_STEP_SUMMARY"))
    annotated = annotations or os.environ.get("GITHUB_ACTIONS") == "true"
    try:
        rules = _rules(config, margin)
        base, new, doubts = runs_of(places, rescore_base, {"cache": cache, "no_cache": no_cache})
        choices = {"renamed": renamed_planners(renamed), "force": force, "doubts": doubts}
        report = evaluate_gate(compare_for_gate(base, new, rules, **choices), rules, strict=strict)
    except EvalkitError as error:
        if annotated:
            streams.workflow_commands(ci.error_command(error))
        try:
            ci.write_error(error, *files)
        except OutputError as unwritten:
            click.echo(f"evalkit: warning: {safe_terminal(str(unwritten))}", err=True)
        raise
    ci.write(report, *files)
    if annotated:
        streams.workflow_commands("\n".join(ci.workflow_commands(report)))
    if as_json:
        click.echo(json_output.gate(report))
    else:
        console.show(comparison_text.gate(report))
    if report.tripped:
        raise GateTripped(comparison_text.gate_sentence(report))


def _rules(config: str | None, margin: float | None) -> Gate:
    """Return the rules of a file, or those that ship."""
    from evalkit.comparison import parse_gate
    from evalkit.storage.files import read_text, shipped

    path = config or str(shipped("configs/gate.toml"))
    return parse_gate(read_text(path), path).with_margin(margin)


def _study(place: str, rules: Gate, target: float | None, *, as_json: bool) -> None:
    """Print what a run says of the rules, and of the papers and samples that they take."""
    from evalkit.comparison import study_gate
    from evalkit.comparison.study import TARGET
    from evalkit.report import console, json_output, study_text
    from evalkit.storage.runs import load_run

    study = study_gate(load_run(place), place, rules, TARGET if target is None else target)
    if as_json:
        click.echo(json_output.gate_study(study))
    else:
        console.show(study_text.gate_study(study))
