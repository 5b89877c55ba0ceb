"""`evalkit agree`: a matcher beside labels, or judges beside each other."""

from itertools import chain
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
    """Say how well a matcher agrees with labels or with a judge, or how well judges agree with each other.

    With --labels: precision, recall, F1, average precision, kappa and calibration error of pair decisions, by task,
    the effect on each planner's score, and the worst disagreements. On labels that the calibration was fitted to,
    the figures flatter it. With --judgements, --pred and --gold: the same against what one judge decided, people for
    example; or with several, kappa and alpha between them.
    """
    from evalkit.labels import agree_with, agree_with_judge
    from evalkit.report import agreement_text, console, json_output, progress
    from evalkit.scoring.pipeline import compare_judges
    from evalkit.settings import Settings

    settings = Settings().with_options(options)
    if bool(labels) == bool(judgements) or (judgements and not (pred and gold)):
        raise click.UsageError("give either --labels, or --judgements with --pred and --gold")
    judges = judgements_from(judgements)
    if judges and pred and gold:
        result = dict(compare_judges(pred, gold, settings, judges))
        text = agreement_text.judges(result)
        if len(judgements) == 1:
            with progress.bar() as advance, workplace({"no_cache": no_cache}, cache) as place:
                result["matcher"] = agree_with_judge(pred, gold, settings, judges, place["cache"], advance)
            text = chain(text, agreement_text.matcher_and_judge(result["matcher"]))
    else:
        with progress.bar() as advance, workplace({"no_cache": no_cache}, cache) as place:
            result = agree_with(labels, settings, place["cache"], advance)
        text = agreement_text.labels(result)
    if as_json:
        click.echo(json_output.dump(result))
    else:
        console.show(text)
