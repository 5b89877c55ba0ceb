"""`evalkit agree`: a matcher beside labels, or judges beside each other."""

from typing import Any

import click

from evalkit.cli.options import JSON, JUDGEMENTS, SCORING, cache_options, judgements_from, workplace


@click.command("agree")
@click.option("--labels", multiple=True, metavar="FILE", help="Labelled pairs as JSONL.")
@JUDGEMENTS
@click.option("--pred", metavar="DIR", help="With --judgements: the plans that were judged.")
@click.option("--gold", metavar="DIR", help="With --judgements: the gold they were judged against.")
@SCORING["matcher"]
@SCORING["calibration"]
@SCORING["model"]
@cache_options
@JSON
def command(
    labels: tuple[str, ...], judgements: tuple[str, ...], pred: str | None, gold: str | None, cache: str | None,
    no_cache: bool, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Say how well a matcher agrees with labels, or how well judges agree with each other.

    With --labels: precision, recall, F1, average precision, kappa and calibration error of pair decisions, by task,
    the effect on each planner's score, and the worst disagreements. On labels that the calibration was fitted to,
    the figures flatter it. With two or more --judgements, and --pred and --gold: kappa and alpha between the judges.
    """
    from evalkit.labels import agree_with
    from evalkit.report import agreement_text, console, json_output, progress
    from evalkit.scoring.pipeline import compare_judges
    from evalkit.settings import Settings

    settings = Settings().with_options(options)
    if bool(labels) == bool(judgements) or (judgements and not (pred and gold)):
        raise click.UsageError("give either --labels, or --judgements with --pred and --gold")
    judges = judgements_from(judgements)
    if judges and pred and gold:
        result = compare_judges(pred, gold, settings, judges)
        text = agreement_text.judges(result)
    else:
        with progress.bar() as advance, workplace({"no_cache": no_cache}, cache) as place:
            result = agree_with(labels, settings, place["cache"], advance)
        text = agreement_text.labels(result)
    if as_json:
        click.echo(json_output.dump(result))
    else:
        console.show(text)
