"""Options about judges, and how they become settings, a panel, or an estimate of what it would cost."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.work_options import CACHE, combined, workplace
from evalkit.errors import SettingsError
from evalkit.settings import JudgeSettings, Settings
from evalkit.storage.files import cache_folder

if TYPE_CHECKING:
    from evalkit.judges.llm import Panel
    from evalkit.judges.llm.panel import Progress

SERVER = (
    click.option("--judge", multiple=True, metavar="MODEL",
                 help="Language model that decides borderline pairs; of several, the majority does."),
    click.option("--judge-url", metavar="URL", help="Any OpenAI-compatible server.  [default: OpenAI's]"),
    click.option("--judge-key-env", metavar="NAME", help="Variable that holds the key.  [default: OPENAI_API_KEY]"),
    click.option("--judge-budget", metavar="CALLS|MONEY", help="Most calls (500), or most money ($2.50)."),
)  # fmt: skip
server_options = combined(*SERVER)
panel_options = combined(
    *SERVER,
    click.option("--judge-all", is_flag=True, default=None, help="Send every pair, not only borderline ones."),
    click.option("--dry-run", is_flag=True, help="Say what judges would be sent and what it would cost; send nothing."),
    CACHE,
)
_FIELDS = {"judge_url": "url", "judge_key_env": "key_env", "judge_all": "everything"}


def with_judge(settings: Settings, options: dict[str, Any]) -> Settings:
    """Return the settings with what the options say about judges; these options are taken out."""
    models, budget = tuple(options.pop("judge", ())), options.pop("judge_budget", None)
    chosen = {_FIELDS[name]: options.pop(name, None) for name in _FIELDS}
    changes = {name: value for name, value in chosen.items() if value is not None}
    if budget is not None:
        changes |= _budget(budget)
    return replace(settings, judge=replace(settings.judge, models=models or settings.judge.models, **changes))


def _budget(text: str) -> dict[str, Any]:
    """Read a budget: calls, or money when there is a sign, a currency or a decimal point."""
    match = re.fullmatch(r"\s*([^\d\s.]*)\s*(\d+(?:\.\d+)?)\s*([^\d\s.]*)\s*", text)
    if match is None:
        raise SettingsError(f"--judge-budget {text!r}: expected calls, as in 500, or money, as in $2.50")
    sign = (match[1] or match[3]).casefold()
    if sign in ("", "call", "calls") and "." not in match[2]:
        return {"budget_calls": int(match[2])}
    return {"budget_money": float(match[2])}


@contextmanager
def panel_for(settings: Settings, cache: str | None, progress: Progress | None = None) -> Iterator[Panel | None]:
    """Open the panel of judges that the settings name, with their earlier answers; None when no judge is named."""
    if not settings.judge.models:
        yield None
        return
    from evalkit.judges.llm import Panel, ReplyCache, key_from, require

    require()
    with ReplyCache(cache_folder(cache)) as replies:
        key = partial(key_from, settings.judge, os.environ)
        yield Panel(
            settings.judge, pairs_prompt(settings.judge), replies, seed=settings.seed, key=key, progress=progress
        )


def pairs_prompt(settings: JudgeSettings) -> Any:
    """Return the wording that the settings name, else the one that ships."""
    from evalkit.judges.llm import parse_prompt
    from evalkit.storage.files import read_text, shipped

    path = settings.prompt or shipped("configs/judge/pairs.toml")
    return parse_prompt(read_text(path), str(path), ("fence", "pairs", "ids"))


def show_estimate(
    pred: str, gold: str, settings: Settings, work: dict[str, Any], cache: str | None, *, as_json: bool
) -> None:
    """Print what the judges would be sent; nothing is sent and nothing is written."""
    from evalkit.report import console, json_output, judge_text, progress
    from evalkit.scoring.pipeline import open_questions

    with panel_for(settings, cache) as panel, progress.bar() as advance, workplace(work, cache) as place:
        if panel is None:
            raise SettingsError("--dry-run says what judges would cost: name one with --judge MODEL")
        rows = panel.estimate(open_questions(pred, gold, settings, progress=advance, **place))
    if as_json:
        click.echo(json_output.dump({"judges": rows, "currency": settings.judge.currency}))
    else:
        console.show(judge_text.estimate(rows, settings.judge.currency))
