"""`evalkit calibrate`: a matcher fitted to labelled pairs."""

from typing import Any

import click

from evalkit.cli.options import SCORING, Number, cache_options, workplace


@click.command("calibrate")
@click.option("--labels", multiple=True, required=True, metavar="FILE", help="Labelled pairs as JSONL.")
@click.option("--out", required=True, metavar="FILE", help="Calibration to write, as JSON.")
@click.option("--note", default="", metavar="TEXT", help="Who labelled, and what else a user of it must know.")
@click.option("--base", metavar="FILE", help="Move this calibration (or `default`) towards the labels instead.")
@click.option("--even-so", is_flag=True, help="With --base: write it although held-out papers do not gain.")
@click.option(
    "--guarantee", type=Number(float, 0.5, 1), metavar="RATE",
    help="Choose the band of doubt so that decisions outside agree with labels at this rate, with 95% confidence.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Write over a calibration that exists.")
@SCORING["matcher"]
@SCORING["model"]
@cache_options
def command(
    labels: tuple[str, ...], out: str, note: str, base: str | None, even_so: bool, guarantee: float | None, force: bool,
    cache: str | None, no_cache: bool, **options: Any,
) -> None:  # fmt: skip
    """Fit a matcher to labelled pairs, and say what it is worth on papers that it was not fitted on.

    Papers are held out in five folds, thresholds are chosen on held-out predictions, and the file carries its own
    cross-validated figures. Use it with `evalkit score --calibration FILE`. With few labels of your own field (ten
    papers or more), `--base default` moves the shipped calibration towards them, says by cross-validation whether that
    helped, and writes nothing when it did not.
    """
    from evalkit.labels import adapt_on, calibrate_on
    from evalkit.matching.calibration import dump_calibration
    from evalkit.report import agreement_text, console, progress
    from evalkit.settings import Settings
    from evalkit.storage.files import check_new, write_text

    check_new(out, force=force)
    if base and guarantee is not None:
        raise click.UsageError("--guarantee is for a calibration of its own, not for one that is moved by --base")
    own = None if base in (None, "default") else base
    settings = Settings().with_options({**options, "calibration": own})
    with progress.bar() as advance, workplace({"no_cache": no_cache}, cache) as place:
        moved = adapt_on(labels, settings, place["cache"], advance, note) if base else None
        made = moved.calibration if moved else calibrate_on(labels, settings, place["cache"], advance, note, guarantee)
    if moved:
        console.show(agreement_text.adapted(moved, even_so=even_so))
    write_text(out, dump_calibration(made))
    console.show([*agreement_text.calibration(made), console.whole(f"written to {out}")])
