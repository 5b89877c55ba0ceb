"""What `compare` and `gate` share: their options, and the two sides that these name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.options import settings_from
from evalkit.cli.work_options import combined, take_work, workplace
from evalkit.errors import InputError

if TYPE_CHECKING:
    from evalkit.comparison import Snapshot

MARKDOWN = click.option("--markdown", "markdown_file", metavar="FILE", help="Write it as Markdown too, below 1 MiB.")
pairing_options = combined(
    click.option("--map", "renamed", multiple=True, metavar="OLD=NEW", help="A planner that was renamed; repeatable."),
    click.option("--force", is_flag=True, help="Compare although more than the plans differs; the output says so."),
)


def renamed_planners(pairs: Sequence[str]) -> dict[str, str]:
    """Return the table that several --map OLD=NEW make."""
    table: dict[str, str] = {}
    for pair in pairs:
        old, sign, new = pair.partition("=")
        if not (old and sign and new) or old in table:
            raise InputError(f"--map {pair}: expected OLD=NEW, and each old name once")
        table[old] = new
    return table


def sides_of(
    places: Sequence[str], plans: Sequence[str | None], options: Mapping[str, Any]
) -> tuple[Snapshot, Snapshot]:
    """Read BASE and NEW, or score two folders of plans now, both the same way."""
    from evalkit.comparison import read_snapshot

    choices = {name: value for name, value in options.items() if value is not None and value is not False}
    if any(plans):
        base, new, gold = plans
        if places or not (base and new and gold):
            raise click.UsageError("give BASE and NEW, or all of --pred-base, --pred-new and --gold")
        return _scored(base, gold, choices), _scored(new, gold, choices)
    if len(places) != 2:
        raise click.UsageError("expected two runs or baselines, BASE and NEW")
    if idle := sorted(set(choices) - {"resamples", "seed"}):
        names = ", ".join("--" + name.replace("_", "-") for name in idle)
        raise click.UsageError(
            f"{names}: for plans that are scored now (--pred-base, --pred-new); runs are as they are"
        )
    return read_snapshot(places[0]), read_snapshot(places[1])


def _scored(plans: str, gold: str, choices: Mapping[str, Any]) -> Snapshot:
    """Score a folder of plans with these choices; progress goes to standard error."""
    from evalkit.comparison import snapshot_of
    from evalkit.report import progress
    from evalkit.scoring.pipeline import score_run

    rest = dict(choices)
    work, cache, config = take_work(rest), rest.pop("cache", None), rest.pop("config", None)
    with progress.bar() as advance, workplace(work, cache) as place:
        return snapshot_of(score_run(plans, gold, settings_from(config, rest), progress=advance, **place), plans)
