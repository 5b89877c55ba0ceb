"""Options that several commands share, and what they become: settings, cache and executor, judges, two snapshots."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import Field, fields, replace
from difflib import get_close_matches
from functools import partial, reduce
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import click

from evalkit.cli import WORDS
from evalkit.errors import InputError, SettingsError
from evalkit.plugins import Kind, plugin_names
from evalkit.scoring.executors import ENGINES, open_executor
from evalkit.settings import JudgeSettings, Settings, check_value, parse_settings, shown
from evalkit.storage.files import cache_folder, is_there, read_text, shipped

if TYPE_CHECKING:
    from evalkit.comparison import Snapshot
    from evalkit.judges.llm import Panel
    from evalkit.judges.llm.panel import Progress
    from evalkit.judges.recorded import Judgements
    from evalkit.storage.cache import Store
    from evalkit.storage.label_files import Labels

Decorator = Callable[[Any], Any]


def combined(*options: Decorator) -> Decorator:
    """Return one decorator that adds these options to a command, in this order."""
    return lambda command: reduce(lambda decorated, option: option(decorated), reversed(options), command)


CACHE = click.option(
    "--cache", metavar="DIR", help="Where vectors, readings, decisions and replies are kept.  [default: yours]"
)
NO_CACHE = click.option(
    "--no-cache", is_flag=True, help="Keep no vectors, readings and decisions, and use none that are kept."
)
cache_options = combined(CACHE, NO_CACHE)
engine_options = combined(
    NO_CACHE,
    click.option("--engine", type=click.Choice(list(ENGINES)), default="auto", show_default=True,
                 help="Where the work is done: auto starts processes once work is long."),
    click.option("--workers", type=click.IntRange(min=0), default=0,
                 help="How many processes or workers.  [default: one a processor, with auto four at most]"),
    click.option("--address", default="", metavar="ADDRESS", help="The scheduler of a running Dask or Ray cluster."),
)  # fmt: skip


def take_work(options: dict[str, Any]) -> dict[str, Any]:
    """Take the choices about work out of all options and return them."""
    return {name: options.pop(name) for name in ("no_cache", "engine", "workers", "address") if name in options}


@contextmanager
def workplace(choices: dict[str, Any], cache: str | None) -> Iterator[dict[str, Any]]:
    """Open the executor and the cache of these choices for the length of a block, as arguments of `score_run`."""
    with ExitStack() as stack:
        store = None if choices.get("no_cache") else open_cache(cache)
        if store is not None:
            stack.callback(store.close)
        chosen = {name: choices[name] for name in ("workers", "address") if name in choices}
        executor = stack.enter_context(open_executor(choices.get("engine", "auto"), **chosen))
        yield {"executor": executor, "cache": store}


def say(text: str) -> None:
    """Print a line on standard output in which no name steers a terminal."""
    from evalkit.text import safe_terminal

    click.echo(safe_terminal(text))


def open_cache(cache: str | None) -> Store:
    """Open the cache of vectors, readings and decisions; what is wrong with it is a warning on standard error."""
    from evalkit.storage.cache import CACHE_FILE, Store
    from evalkit.text import safe_terminal

    def warn(message: str) -> None:
        click.echo(f"evalkit: warning: {safe_terminal(message)}", err=True)

    return Store(cache_folder(cache) / CACHE_FILE, warn)


SERVER = (
    click.option("--judge", multiple=True, metavar="MODEL",
                 help="Language model that decides borderline pairs (or anthropic:MODEL); of several, the majority."),
    click.option("--judge-url", metavar="URL", help="Any server of that protocol.  [default: OpenAI's or Anthropic's]"),
    click.option("--judge-key-env", metavar="NAME",
                 help="Variable that holds the key.  [default: OPENAI_API_KEY or ANTHROPIC_API_KEY]"),
    click.option("--judge-budget", metavar="CALLS|MONEY", help="Most calls (500), or most money ($2.50)."),
)  # fmt: skip
server_options = combined(*SERVER)
BATCH = click.option("--judge-batch", is_flag=True, default=None,
                     help="Ask by batches: half the price, an answer within a day.")  # fmt: skip
panel_options = combined(
    *SERVER,
    BATCH,
    click.option("--judge-all", is_flag=True, default=None, help="Send every pair, not only borderline ones."),
    click.option("--dry-run", is_flag=True, help="Say what judges would be sent and what it would cost; send nothing."),
    CACHE,
)
_CURRENCY = r"[A-Za-z$¢£¤¥฿₠-⃀]{0,5}"  # "calls" too
_FIELDS = {"judge_url": "url", "judge_key_env": "key_env", "judge_all": "everything", "judge_batch": "batch"}


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
    match = re.fullmatch(rf"\s*({_CURRENCY})\s*(\d{{1,15}}(?:\.\d{{1,15}})?)\s*({_CURRENCY})\s*", text, re.ASCII)
    if match is None or (match[1] and match[3]):
        raise SettingsError(f"--judge-budget {shown(text)}: expected calls, as in 500, or money, as in $2.50")
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
    from evalkit.text import safe_terminal

    def tell(message: str) -> None:
        click.echo(f"evalkit: {safe_terminal(message)}", err=True)

    require(settings.judge)
    with ReplyCache(cache_folder(cache)) as replies:
        key = partial(key_from, settings.judge, os.environ)
        yield Panel(
            settings.judge, pairs_prompt(settings.judge), replies, seed=settings.seed, key=key, progress=progress,
            tell=tell,
        )  # fmt: skip


def pairs_prompt(settings: JudgeSettings) -> Any:
    """Return the wording that the settings name, else the one that ships."""
    from evalkit.judges.llm import parse_prompt

    path = settings.prompt or shipped("configs/judge/pairs.toml")
    return parse_prompt(read_text(path), str(path), ("fence", "pairs", "ids"))


def show_estimate(
    pred: str, gold: str, settings: Settings, work: dict[str, Any], cache: str | None, *, as_json: bool
) -> None:
    """Print what the judges would be sent; nothing is sent and nothing is written."""
    from evalkit.report import agreement_text, console, json_output, progress
    from evalkit.scoring.pipeline import open_questions

    with panel_for(settings, cache) as panel, progress.bar() as advance, workplace(work, cache) as place:
        if panel is None:
            raise SettingsError("--dry-run says what judges would cost: name one with --judge MODEL")
        rows = panel.estimate(open_questions(pred, gold, settings, progress=advance, **place))
    if as_json:
        click.echo(json_output.dump({"judges": rows, "currency": settings.judge.currency}))
    else:
        console.show(agreement_text.estimate(rows, settings.judge.currency, batch=settings.judge.batch))


class Number(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A number within bounds, which a message names; help shows it as click shows any number."""

    def __init__(self, kind: type, least: float, most: float, setting: str = "") -> None:
        self._base = click.INT if kind is int else click.FLOAT
        self.name, self._bounds, self._setting = self._base.name, {"least": least, "most": most}, setting

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number that a text is, or refuse it."""
        number = self._base.convert(value, param, ctx)
        check_value(self._setting or (param.opts[0] if param else "number"), number, self._bounds)
        return number


PORT = Number(int, 0, 65535)


class Registered(click.Choice):  # type: ignore[type-arg, unused-ignore]
    """One of the names in a registry, whose module is imported only when the names are needed, or of a plug-in."""

    def __init__(self, module: str, registry: str, plugins: Kind | None = None) -> None:
        super().__init__(())
        self._registry, self._plugins = (module, registry), plugins

    @property
    def choices(self) -> tuple[str, ...]:
        """The names in their order."""
        module, registry = self._registry
        names = getattr(import_module(module), registry)
        return (*names, *(name for name in self._added if name not in names))

    @choices.setter
    def choices(self, names: Sequence[str]) -> None:
        """Ignore the names that click hands over; the registry has them."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Return that a name is none of them, and the nearest one."""
        near = get_close_matches(str(value), self.choices, n=1)
        known = ", ".join(map(repr, self.choices))
        return f"{value!r} is not one of {known}." + (f" Did you mean {near[0]!r}?" if near else "")

    @property
    def _added(self) -> tuple[str, ...]:
        return plugin_names(self._plugins) if self._plugins else ()


made_options = combined(
    click.option("--note", default="", metavar="TEXT", help="A line about this run, for `evalkit history`."),
    click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE",
                 help="What tells this run from others: prompt=v3, temperature=0.7."),
    click.option("--prompt", "prompts", multiple=True, metavar="FILE",
                 help="A file of the planners' prompts; the run keeps its digest."),
    click.option("--keep-prompt", is_flag=True, help="Keep the prompts' texts in the run, too."),
)  # fmt: skip


def take_made(options: dict[str, Any], plans: str) -> dict[str, Any]:
    """Take what the user says of a run out of all options; return it with the time, the command and the commit."""
    from evalkit.storage.provenance import parsed_tags, provenance

    facts = {"note": options.pop("note"), "tags": parsed_tags(options.pop("tags"))}
    prompts, keep = options.pop("prompts"), options.pop("keep_prompt")
    words = click.get_current_context().meta.get(WORDS, ())
    # Plans of standard input lie in no folder.
    return provenance(words, **facts, prompts=prompts, keep_text=keep, plans=None if plans == "-" else plans)


def holds_runs(place: str) -> bool:
    """Return whether a place is a folder of runs rather than one run."""
    return is_there(place) and not is_there(f"{place}/run.json")


CONFIG = click.option("--config", metavar="FILE", help="Settings in TOML; options on the command line win.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
WIDE = click.option("--wide", is_flag=True, help="Print every planner and column, however wide the terminal is.")
VERBOSE = click.option("--verbose", is_flag=True, help="Print the whole signature.")
BY = click.option("--by", metavar="FIELD", help="Every figure by a field of gold's metadata too, as in --by venue.")
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
    value_type: Any = click.Choice(facts["choices"]) if "choices" in facts else str
    if "plugins" in facts:
        value_type = Registered("evalkit.settings", "MATCHERS", facts["plugins"])
    if "most" in facts:
        whole = int if int in (kind, *get_args(kind)) else float
        value_type = Number(whole, facts["least"], facts["most"], item.name)
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


MARKDOWN = click.option("--markdown", "markdown_file", metavar="FILE", help="Write it as Markdown too, below 1 MiB.")
pairing_options = combined(
    click.option("--map", "renamed", multiple=True, metavar="OLD=NEW", help="A planner that was renamed; repeatable."),
    click.option("--force", is_flag=True, help="Compare although more than the plans differs; the output says so."),
    click.option("--rescore-base", metavar="PLANS", help="Score BASE's plans on NEW's gold first, as NEW was scored."),
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
    places: Sequence[str], plans: Sequence[str | None], rescored: str | None, options: Mapping[str, Any]
) -> tuple[Snapshot, Snapshot, list[str]]:
    """Read BASE and NEW, or score two folders of plans now, both the same way; return doubts about them as well."""
    choices = {name: value for name, value in options.items() if value is not None and value is not False}
    if any(plans):
        base, new, gold = plans
        if places or rescored or not (base and new and gold):
            raise click.UsageError("give BASE and NEW, or all of --pred-base, --pred-new and --gold")
        return _scored(base, gold, choices), _scored(new, gold, choices), []
    if len(places) != 2:
        raise click.UsageError("expected two runs or baselines, BASE and NEW")
    allowed = {"resamples", "seed", "correction"} | ({"cache", "no_cache"} if rescored else set())
    if idle := sorted(set(choices) - allowed):
        names = ", ".join("--" + name.replace("_", "-") for name in idle)
        raise click.UsageError(
            f"{names}: for plans that are scored now (--pred-base, --pred-new); runs are as they are"
        )
    return runs_of(places, rescored, choices)


def runs_of(
    places: Sequence[str], rescored: str | None, choices: Mapping[str, Any]
) -> tuple[Snapshot, Snapshot, list[str]]:
    """Read BASE and NEW; with `rescored`, the plans of BASE, score these on NEW's gold and say what is doubtful."""
    from evalkit.comparison import read_snapshot, rescored_base, snapshot_of
    from evalkit.report import progress
    from evalkit.storage.runs import load_run

    base = read_snapshot(places[0])
    if rescored is None:
        return base, read_snapshot(places[1]), []
    run = load_run(places[1])
    work = {"no_cache": choices.get("no_cache", False)}
    with progress.bar() as advance, workplace(work, choices.get("cache")) as place:
        again, doubts = rescored_base(base, run, places[1], rescored, progress=advance, **place)
    return again, snapshot_of(run, places[1]), doubts


def _scored(plans: str, gold: str, choices: Mapping[str, Any]) -> Snapshot:
    """Score a folder of plans with these choices; progress goes to standard error."""
    from evalkit.comparison import snapshot_of
    from evalkit.report import progress
    from evalkit.scoring.pipeline import score_run

    rest = dict(choices)
    work, cache, config = take_work(rest), rest.pop("cache", None), rest.pop("config", None)
    with progress.bar() as advance, workplace(work, cache) as place:
        return snapshot_of(score_run(plans, gold, settings_from(config, rest), progress=advance, **place), plans)
