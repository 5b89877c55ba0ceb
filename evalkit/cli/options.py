"""Options that several commands share, and how they become Settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import click

from evalkit.cli.judge_options import with_judge
from evalkit.cli.work_options import Decorator, combined
from evalkit.settings import Settings, parse_settings
from evalkit.storage.files import read_text

if TYPE_CHECKING:
    from evalkit.judges.recorded import Judgements
    from evalkit.storage.label_files import Labels


class Registered(click.Choice[str]):
    """One of the names in a registry, whose module is imported only when the names are needed."""

    def __init__(self, module: str, registry: str) -> None:
        super().__init__(())
        self._registry = module, registry

    @property
    def choices(self) -> tuple[str, ...]:
        """The names in their order."""
        module, registry = self._registry
        return tuple(getattr(import_module(module), registry))

    @choices.setter
    def choices(self, names: Sequence[str]) -> None:
        """Ignore the names that click hands over; the registry has them."""


CONFIG = click.option("--config", metavar="FILE", help="Settings in TOML; options on the command line win.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
JUDGEMENTS = click.option(
    "--judgements",
    multiple=True,
    metavar="DIR",
    help="Decide by what a judge wrote instead: its folder, labels, or an earlier run. Several judges vote.",
)
# The order of the help; an option of a new setting follows at the end.
FIRST = ("matcher", "alignment", "missing", "top_k", "model", "calibration", "baseline", "compat", "resamples", "seed",
         "allow_drafts", "offline", "strict")  # fmt: skip


def _option(item: Field[Any], kind: object) -> Decorator:
    """Return the option of a setting; what its field says is all that it needs."""
    facts, name = item.metadata, f"--{item.name.replace('_', '-')}"
    if kind is bool:
        return click.option(name, is_flag=True, default=None, help=facts["help"])
    shown = facts.get("shown", item.default)
    help = facts["help"] + (f"  [default: {shown}]" if shown != "" else "")
    number = int if int in (kind, *get_args(kind)) else str
    value_type = click.Choice(facts["choices"]) if "choices" in facts else number
    return click.option(name, type=value_type, metavar=facts.get("metavar"), help=help)


def _options() -> dict[str, Decorator]:
    """Return the options of all settings that have help, by the names of the settings."""
    kinds = get_type_hints(Settings)
    options = {item.name: _option(item, kinds[item.name]) for item in fields(Settings) if item.metadata["help"]}
    return {name: options[name] for name in dict.fromkeys((*FIRST, *options))}


SCORING = _options()
scoring_options = combined(CONFIG, *SCORING.values())


def settings_from(config: str | None, options: dict[str, Any]) -> Settings:
    """Return the settings of a file, if one is given, with the command line's choices on top."""
    base = parse_settings(read_text(config), config) if config else Settings()
    return with_judge(base, options).with_options(options)


def labels_from(paths: Sequence[str]) -> Labels | None:
    """Return the labels of --labels, if any are named."""
    from evalkit.storage.label_files import Labels, read_labels

    return Labels(read_labels(paths)) if paths else None


def judgements_from(paths: Sequence[str]) -> Judgements | None:
    """Return the judges of --judgements, if any are named."""
    from evalkit.judges.recorded import Judgements, read_judge

    return Judgements([read_judge(path) for path in paths]) if paths else None
