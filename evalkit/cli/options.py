"""Options that several commands share, and how they become Settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from evalkit.cli.judge_options import with_judge
from evalkit.settings import ALIGNMENTS, COMPAT, MATCHERS, MISSING, Settings, parse_settings
from evalkit.storage.files import read_text

if TYPE_CHECKING:
    from evalkit.judges.recorded import Judgements
    from evalkit.storage.label_files import Labels

Command = TypeVar("Command", bound=Callable[..., Any])

CONFIG = click.option("--config", metavar="FILE", help="Settings in TOML; options on the command line win.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
JUDGEMENTS = click.option(
    "--judgements",
    multiple=True,
    metavar="DIR",
    help="Decide by what a judge wrote instead: its folder, labels, or an earlier run. Several judges vote.",
)
SCORING = {
    "matcher": click.option(
        "--matcher", type=click.Choice(MATCHERS), help="Which similarities decide.  [default: hybrid]"
    ),
    "alignment": click.option(
        "--alignment", type=click.Choice(ALIGNMENTS), help="Pairs, or groups.  [default: one-to-one]"
    ),
    "missing": click.option(
        "--missing", type=click.Choice(MISSING), help="A missing plan is zero, or skipped.  [default: zero]"
    ),
    "top_k": click.option(
        "--top-k", type=int, metavar="K", help="Score only the first K entries of each plan.  [default: all]"
    ),
    "model": click.option("--model", metavar="PATH|NAME", help="Embedding model.  [default: all-MiniLM-L6-v2]"),
    "calibration": click.option(
        "--calibration", metavar="FILE", help="Calibration to decide by.  [default: the matcher's own]"
    ),
    "baseline": click.option("--baseline", metavar="PLANNER", help="Planner that all others are tested against."),
    "compat": click.option(
        "--compat", type=click.Choice(COMPAT), help="Another benchmark's figures beside ours.  [default: none]"
    ),
    "resamples": click.option(
        "--resamples", type=int, help="Resamples of intervals and tests; 0 for none.  [default: 9999]"
    ),
    "seed": click.option("--seed", type=int, help="Seed of everything random.  [default: 0]"),
    "allow_drafts": click.option(
        "--allow-drafts", is_flag=True, default=None, help="Score draft gold that nobody has confirmed."
    ),
    "offline": click.option(
        "--offline", is_flag=True, default=None, help="Fetch no model and ask no judge beyond this machine."
    ),
    "strict": click.option("--strict", is_flag=True, default=None, help="Treat repairs of a document as errors."),
}


def scoring(command: Command) -> Command:
    """Add --config and every scoring option to a command."""
    for option in reversed((CONFIG, *SCORING.values())):
        command = option(command)
    return command


def settings_from(config: str | None, options: dict[str, Any]) -> Settings:
    """Settings from a file, if one is given, with the command line's choices on top."""
    base = parse_settings(read_text(config), config) if config else Settings()
    return with_judge(base, options).with_options(options)


def labels_from(paths: Sequence[str]) -> Labels | None:
    """The labels of --labels, if any are named."""
    from evalkit.storage.label_files import Labels, read_labels

    return Labels(read_labels(paths)) if paths else None


def judgements_from(paths: Sequence[str]) -> Judgements | None:
    """The judges of --judgements, if any are named."""
    from evalkit.judges.recorded import Judgements, read_judge

    return Judgements([read_judge(path) for path in paths]) if paths else None
