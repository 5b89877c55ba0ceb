"""`evalkit agree`: a matcher against labels, or judges against each other."""

from itertools import chain
from typing import Any

import click

from evalkit.cli.options import (
    BATCH,
    CONFIG,
    JSON,
    JUDGEMENTS,
    SCORING,
    cache_options,
    judgements_from,
    panel_for,
    server_options,
    settings_from,
    workplace,
)


@click.command("agree")
@click.option("--labels", multiple=True, metavar="FILE", help="Labelled pairs as JSONL.")
@JUDGEMENTS
@click.option("--pred", metavar="DIR", help="With --judgements: the plans that were judged.")
@click.option("--gold", metavar="DIR", help="With --judgements: the gold they were judged against.")
@click.option("--run", metavar="RUN", help="With --judge: a run that it decided; its share of matches, corrected.")
@SCORING["matcher"]
@SCORING["calibration"]
@SCORING["model"]
@server_options
@BATCH
@CONFIG
@cache_options
@JSON
def command(
    labels: tuple[str, ...], judgements: tuple[str, ...], pred: str | None, gold: str | None, run: str | None,
    cache: str | None, no_cache: bool, as_json: bool, config: str | None, **options: Any,
) -> None:  # fmt: skip
    """Say how well a matcher agrees with labels or with a judge, or how well judges agree with each other.

    With --labels: precision, recall, F1, average precision, kappa and calibration error of pair decisions, by task,
    the effect on each planner's score, and the worst disagreements. On labels that the calibration was fitted to,
    the figures flatter it. With --judgements, --pred and --gold: the same against what one judge decided, people for
    example; or with several, kappa and alpha between them.

    With --labels and --judge: how often a language model agrees with the labels where they say yes (sensitivity) and
    where they say no (specificity), and whether its answers change when the two sides are swapped. With --run RUN, also
    how many of the pairs that the judge decided in that run are matches, corrected by both, with intervals.
    """
    from evalkit.labels import agree_with, agree_with_judge, measure_judge
    from evalkit.report import agreement_text, console, json_output, progress
    from evalkit.scoring.pipeline import compare_judges

    settings = settings_from(config, options)
    if bool(labels) == bool(judgements) or (judgements and not (pred and gold)):
        raise click.UsageError("give either --labels, or --judgements with --pred and --gold")
    if settings.judge.models and not labels:
        raise click.UsageError("--judge is measured on --labels")
    if run and not settings.judge.models:
        raise click.UsageError("--run is corrected by what a --judge errs")
    judges = judgements_from(judgements)
    if judges and pred and gold:
        result = dict(compare_judges(pred, gold, settings, judges))
        text = agreement_text.judges(result)
        if len(judgements) == 1:
            with progress.bar() as advance, workplace({"no_cache": no_cache}, cache) as place:
                result["matcher"] = agree_with_judge(pred, gold, settings, judges, place["cache"], advance)
            text = chain(text, agreement_text.matcher_and_judge(result["matcher"]))
    elif settings.judge.models:
        with (
            progress.bar() as advance,
            workplace({"no_cache": no_cache}, cache) as place,
            panel_for(settings, cache, advance) as panel,
        ):
            result = measure_judge(labels, settings, panel, place["cache"], advance, run) if panel else {}
        text = agreement_text.measured_judge(result)
    else:
        with progress.bar() as advance, workplace({"no_cache": no_cache}, cache) as place:
            result = agree_with(labels, settings, place["cache"], advance)
        text = agreement_text.labels(result)
    if as_json:
        click.echo(json_output.dump(result))
    else:
        console.show(text)
