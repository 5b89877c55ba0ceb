"""`evalkit compare`: what changed between two runs."""

from __future__ import annotations

from typing import Any

import click

from evalkit.cli.options import (
    BY,
    JSON,
    MARKDOWN,
    Number,
    cache_options,
    pairing_options,
    renamed_planners,
    scoring_options,
    sides_of,
)


@click.command("compare")
@click.argument("places", nargs=-1, metavar="[BASE NEW]")
@click.option("--pred-base", metavar="DIR", help="Plans to score now as BASE.")
@click.option("--pred-new", metavar="DIR", help="Plans to score now as NEW.")
@click.option("--gold", metavar="DIR", help="Gold for --pred-base and --pred-new.")
@click.option("--metric", default="match_f1", help="The figure that decides; add _micro for sums.  [default: match_f1]")
@click.option("--target", type=Number(float, 0, 1), default=0.05, help="The difference worth seeing.  [default: 0.05]")
@click.option("--corrected", is_flag=True, help="Correct the metric by the labels that both runs were scored with.")
@BY
@pairing_options
@scoring_options
@cache_options
@JSON
@MARKDOWN
def command(
    places: tuple[str, ...], pred_base: str | None, pred_new: str | None, gold: str | None, metric: str, target: float,
    corrected: bool, by: str | None, renamed: tuple[str, ...], force: bool, rescore_base: str | None, as_json: bool,
    markdown_file: str | None, **options: Any,
) -> None:  # fmt: skip
    """Compare two runs on the papers that both have: BASE and NEW are run folders, or baselines by file or by name.

    Says for each planner how much changed, how sure that is, and what could have been seen; then which gold entries
    were gained and lost, which papers moved, and what can no longer be read.
    """
    from evalkit.comparison import compare
    from evalkit.report import ci, comparison_text, console, json_output
    from evalkit.storage.files import write_text

    base, new, doubts = sides_of(places, (pred_base, pred_new, gold), rescore_base, options)
    comparison = compare(
        base, new, metric=metric, target=target, renamed=renamed_planners(renamed), force=force,
        corrected=(metric,) if corrected else (), resamples=options["resamples"] or None, seed=options["seed"],
        doubts=doubts, correction=options["correction"], by=(by,) if by else (),
    )  # fmt: skip
    if markdown_file:
        write_text(markdown_file, ci.comparison_markdown(comparison))
    if as_json:
        click.echo(json_output.comparison(comparison))
    else:
        console.show(comparison_text.comparison(comparison))
