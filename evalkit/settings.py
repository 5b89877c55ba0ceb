"""Every choice that can move a number, with its default, bounds, help and note; read from TOML and from options.

Nothing here is read from the environment. Options of commands and the lines of configs/default.toml come from the
fields of `Settings`, so that a new setting is one field.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from ipaddress import ip_address
from numbers import Real
from typing import Any, TypeVar, get_args, get_type_hints
from urllib.parse import urlsplit

from evalkit.errors import SettingsError
from evalkit.plugins import plugin_names
from evalkit.types import Ablation, Plan

MATCHERS = ("hybrid", "lexical", "embedding")
MOST = 1_000_000  # of resamples, of entries, and of other counts that only have to be possible
LARGEST_NUMBER = 2**63 - 1  # what every reader of JSON and every random generator takes
# What a request to a judge holds of itself, or what the client would take for its own.
RESERVED = ("model", "messages", "stream", "timeout", "extra_body", "extra_headers", "extra_query")
# The model of a judge that is asked by Anthropic's protocol; every other one by OpenAI's.
ANTHROPIC = "anthropic:"
OPENAI_URL, ANTHROPIC_URL = "https://api.openai.com/v1", "https://api.anthropic.com"
Record = TypeVar("Record")


def _setting(default: Any, help: str = "", **facts: Any) -> Any:
    """Declare a setting. With `help` it has an option.

    `facts`: `note` and `example` for configs/default.toml; `choices`, `least` and `most`, `probability` as bounds;
    `plugins`, the kind of plug-ins that add choices; `check` for other values, which returns what was expected;
    `secret` for values that no message shows; `read` for a value from TOML that is no scalar; `metavar` and `shown`,
    the default as help tells it, for the option.
    """
    default = {"default_factory": default} if callable(default) else {"default": default}
    return field(**default, metadata={"help": help, **facts})


def _read_texts(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise SettingsError(f"{name} = {shown(value)}: expected a list of texts")


def _read_names(name: str, value: object) -> Mapping[str, str]:
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return value
    raise SettingsError(f"[{name}] must be a table of strings")


def _read_table(name: str, value: object) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    raise SettingsError(f"{name} = {shown(value)}: expected a table")


def _read_prices(name: str, value: object) -> Mapping[str, tuple[float, float]]:
    return {model: _read_price(model, pair) for model, pair in _read_table(name, value).items()}


def _read_price(model: str, pair: object) -> tuple[float, float]:
    """Return money per million tokens in and out."""
    if isinstance(pair, list) and len(pair) == 2 and all(isinstance(item, int | float) for item in pair):
        return pair[0], pair[1]
    raise SettingsError(f"[judge.prices] {model} = {shown(pair)}: expected [money per million tokens in, out]")


def _read_judge(name: str, value: object) -> JudgeSettings:
    if isinstance(value, dict):
        return _from_table(JudgeSettings, value, "[judge]")
    raise SettingsError("[judge] must be a table")


def _expected_url(url: str) -> str:
    """Return what the address of a server should have been; a key in it would be written into runs."""
    wanted = "an address like http://127.0.0.1:8000/v1 (http or https, a host, a port up to 65535 if any)"
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except (ValueError, TypeError, AttributeError):
        return wanted
    if parts.scheme not in ("http", "https") or not host or port == 0 or re.search(r"[\s\x00-\x1f\x7f\\]", url):
        return wanted
    if parts.username is not None or parts.query or parts.fragment:
        return f"{wanted} without name, password, query and fragment; keys belong in the variable that key_env names"
    return ""


def _expected_prices(prices: Mapping[str, tuple[float, float]]) -> str:
    """Return what prices should have been."""
    wrong = [model for model, pair in prices.items() if not all(_is_number(item, 0, MOST) for item in pair)]
    return f"money per million tokens from 0 to {MOST} for {wrong[0]!r}" if wrong else ""


def _expected_request(request: Mapping[str, Any]) -> str:
    """Return what the additions to a request should have been."""
    if taken := [key for key in request if key in RESERVED]:
        return f"other keys than {taken[0]!r}: {', '.join(RESERVED)} are set by evalkit"
    return "" if _is_json(request) else f"texts, truth values, lists, tables, and numbers up to {LARGEST_NUMBER}"


def _is_json(value: object) -> bool:
    """Return whether a value can be sent as JSON: no date, no infinity, no endless integer."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    most = LARGEST_NUMBER if isinstance(value, int) else math.inf
    return isinstance(value, str | bool | None) or _is_number(value, -most, most)


def _expected_models(models: Sequence[str]) -> str:
    """Return what the names of models should have been."""
    return "" if all(model_name(model) for model in models) else "names of models, none of them empty"


def is_anthropic(model: str) -> bool:
    """Return whether a judge is asked by Anthropic's protocol."""
    return model.startswith(ANTHROPIC)


def model_name(model: str) -> str:
    """Return the name of a judge's model as its server knows it."""
    return model.removeprefix(ANTHROPIC)


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """Which language models are asked about borderline pairs, where, by what wording, and for how much at most.

    `prompt` empty means the shipped wording; `prices` are money per million tokens (in, out) of each model; `request`
    goes into every request as it is; `structured` off is for servers that know no JSON schema.
    """

    models: tuple[str, ...] = _setting(
        (), example=["gpt-4o-mini"], read=_read_texts, check=_expected_models,
        note="Models of a server that speaks OpenAI's protocol; \"anthropic:NAME\" is asked by Anthropic's.",
    )  # fmt: skip
    url: str = _setting(
        OPENAI_URL, example="http://127.0.0.1:8000/v1", check=_expected_url,
        note="Where all of them are asked; OpenAI's address when it is not set, for \"anthropic:NAME\" Anthropic's.",
    )  # fmt: skip
    key_env: str = _setting("OPENAI_API_KEY", note=(
        "The environment variable that holds the key; the key itself is never stored. For \"anthropic:NAME\" it is"
        " ANTHROPIC_API_KEY when it is not set."
    ))  # fmt: skip
    prompt: str = _setting("", example="my-judge.toml", note="Another wording, like configs/judge/pairs.toml.")
    everything: bool = _setting(False, example=True, note="Send every pair instead of the borderline ones.")
    structured: bool = _setting(True, example=False, note="Off for servers that know no JSON schema.")
    pairs_per_call: int = _setting(12, least=1, most=1000)
    concurrency: int = _setting(4, least=1, most=256)
    attempts: int = _setting(5, least=1, most=100, note=(
        "Calls for one batch, seconds before a call is given up, seconds before the second one (then twice as long each"
        " time)."
    ))  # fmt: skip
    timeout: float = _setting(60.0, least=0.01, most=3600)
    wait: float = _setting(1.0, least=0, most=3600)
    batch: bool = _setting(False, example=True, note=(
        "Send the pairs as batches (OpenAI's Batch API): half the price, and the answers come within a day. Hours that"
        " evalkit waits for them before it ends; the same command waits on."
    ))  # fmt: skip
    batch_hours: float = _setting(24.0, least=0, most=1000)
    budget_calls: int | None = _setting(None, example=500, least=0, most=LARGEST_NUMBER)
    budget_money: float | None = _setting(None, example=2.5, least=0, most=LARGEST_NUMBER)
    currency: str = _setting("USD")
    prices: Mapping[str, tuple[float, float]] = _setting(
        dict, read=_read_prices, check=_expected_prices, note="Money per million tokens [in, out].",
        example={'"gpt-4o-mini"': "[0.15, 0.60]"},
    )  # fmt: skip
    request: Mapping[str, Any] = _setting(
        dict, read=_read_table, check=_expected_request, secret=True, note="Goes into every request as it is.",
        example={"temperature": "0"},
    )  # fmt: skip

    def __post_init__(self) -> None:
        _check_bounds(self, "[judge] ")
        if self.budget_money is not None and (unpriced := [name for name in self.models if name not in self.prices]):
            raise SettingsError(f"[judge] a budget in money needs the price of {unpriced[0]!r} in [judge.prices]")
        if len(set(self.models)) < len(self.models):
            raise SettingsError("[judge] models: one of them is named twice")
        if self.batch and (other := next(filter(is_anthropic, self.models), None)):
            raise SettingsError(f"[judge] batch: {other} is asked one by one; batches are for OpenAI's protocol")

    def url_of(self, model: str) -> str:
        """Return the address of a model's server."""
        return ANTHROPIC_URL if is_anthropic(model) and self.url == OPENAI_URL else self.url

    def key_env_of(self, model: str) -> str:
        """Return the name of the variable that holds a model's key."""
        return "ANTHROPIC_API_KEY" if is_anthropic(model) and self.key_env == "OPENAI_API_KEY" else self.key_env


@dataclass(frozen=True, slots=True)
class Settings:
    """How plans are read, matched and scored. `calibration` and `model` empty mean the shipped ones."""

    matcher: str = _setting(
        "hybrid", "Which similarities decide.", choices=MATCHERS, plugins="matchers",
        note='Which similarities decide whether two entries match: "hybrid", "lexical" or "embedding".',
    )  # fmt: skip
    alignment: str = _setting(
        "one-to-one", "Pairs, or groups.", choices=("one-to-one", "group"),
        note='"one-to-one": every entry has at most one partner. "group": every pair over the threshold counts.',
    )  # fmt: skip
    missing: str = _setting(
        "zero", "A missing plan is zero, or skipped.", choices=("zero", "skip"),
        note='What a gold paper without a readable plan is: "zero" (an empty plan, recall 0) or "skip" (left out).',
    )  # fmt: skip
    top_k: int | None = _setting(
        None, "Score only the first K entries of each plan.", shown="all", metavar="K", least=1, most=MOST, example=5,
        note="Score only the first so many entries of each plan; all of them when it is not set.",
    )  # fmt: skip
    samples: int | None = _setting(
        None, "Samples that a planner should have of each paper; lost ones are empty plans.", shown="the most it has",
        metavar="K", least=1, most=MOST, example=3, note=(
            "Samples that a planner should have of each paper; the most that it has of any when it is not set. Lost"
            " ones are empty plans."
        ),
    )  # fmt: skip
    calibration: str = _setting(
        "", "Calibration to decide by.", shown="the matcher's own", metavar="FILE",
        note="A calibration file in place of the matcher's own.",
    )  # fmt: skip
    model: str = _setting(
        "", "Where vectors of texts come from.", shown="static", metavar="PATH|NAME",
        note='Where vectors of texts come from: "static" (a table that ships), "all-MiniLM-L6-v2", a folder or a name.',
    )  # fmt: skip
    part_threshold: float | None = _setting(
        None, probability=True, example=0.5, note="Thresholds in place of the calibration's own, as probabilities."
    )
    match_threshold: float | None = _setting(None, probability=True, example=0.5)
    strict: bool = _setting(False, "Treat repairs as errors; end in 2 if there are any.",
                           note="Treat repairs of a document as errors, and end in 2 if there are any.")  # fmt: skip
    resamples: int = _setting(
        9999, "Resamples of intervals and tests; 0 for none.", least=0, most=MOST,
        note="Resamples of every interval and test; 0 leaves intervals out.",
    )  # fmt: skip
    correction: str = _setting(
        "shaffer", "How p of several tests is corrected.", choices=("shaffer", "bh"), note=(
            'How p of several tests is corrected: "shaffer" (nothing false is found in 95% of runs) or "bh" (Benjamini'
            " and Hochberg: 5% of what is found is false). Moves no score."
        ),
    )  # fmt: skip
    seed: int = _setting(0, "Seed of everything random.", least=0, most=LARGEST_NUMBER)
    baseline: str = _setting(
        "", "Planner that all others are tested against.", metavar="PLANNER",
        note="A planner that the others are tested against.",
    )  # fmt: skip
    compat: str = _setting(
        "none", "Another benchmark's figures beside ours.", choices=("none", "ablationbench"), note=(
            'Figures of another benchmark beside evalkit\'s own: "none", or "ablationbench" for the ab_ columns. Moves'
            " no number."
        ),
    )  # fmt: skip
    planner_from: str = _setting(
        "document", "Take planners from documents, or paths.", choices=("document", "path"), note=(
            'What names a planner: "document" (its heading or field, else its path) or "path" (its folders alone).'
        ),
    )  # fmt: skip
    planners: Mapping[str, str] = _setting(
        dict, read=_read_names, example={'"gpt4o-run-3"': '"lm-planner/gpt-4o"', '"old/*.md"': '"lm-planner/earlier"'},
        note=(
            "Names to use in place of those that were read. A key is a name, or a pattern for the end of a document's"
            " path."
        ),
    )  # fmt: skip
    papers: Mapping[str, str] = _setting(dict, read=_read_names, example={'"2103.14030"': '"swin-transformer"'})
    allow_drafts: bool = _setting(
        False, "Score draft gold that nobody has confirmed.",
        note="Score gold that is still a draft (see `evalkit gold extract`); the run says so.",
    )  # fmt: skip
    offline: bool = _setting(
        False, "Fetch nothing and ask no judge beyond this machine.", note=(
            "Refuse whatever would use the network: a model or data set that is not on this machine, a judge"
            " elsewhere. Moves no number."
        ),
    )  # fmt: skip
    judge: JudgeSettings = _setting(JudgeSettings, read=_read_judge, note=(  # noqa: RUF009 - it makes a field
        "Language models that decide borderline pairs (`--judge MODEL`), on any server that speaks OpenAI's protocol."
    ))  # fmt: skip

    def __post_init__(self) -> None:
        _check_bounds(self)
        away = [url for url in map(self.judge.url_of, self.judge.models) if not is_here(url)]
        if self.offline and away:
            raise SettingsError(f"offline: the judge at {away[0]} is on the network; leave one of the two out")

    def with_options(self, options: Mapping[str, Any]) -> Settings:
        """Return these settings with the options of a command line.

        options: settings by name; those that are None change nothing.
        """
        return replace(self, **{name: value for name, value in options.items() if value is not None})

    @property
    def digest(self) -> str:
        """Return twelve hex digits that change whenever a choice does that can move a number.

        Model, calibration and judge are pinned by their contents elsewhere in the signature, not by where they lie.
        """
        values = asdict(self)
        for name in ("model", "calibration", "baseline", "compat", "correction", "offline", "planner_from", "judge"):
            del values[name]
        # A setting that came later changes no signature of a run that does not use it.
        if values["samples"] is None:
            del values["samples"]
        return fingerprint(values)[:12]


def checked(settings: Settings | None) -> Settings:
    """Return the settings that a program gives, or the defaults for none; refuse what is no Settings."""
    if settings is not None and not isinstance(settings, Settings):
        raise TypeError(f"settings: expected evalkit.Settings(...), found {type(settings).__name__}")
    return settings or Settings()


def _check_bounds(settings: Settings | JudgeSettings, section: str = "") -> None:
    """Refuse a value outside the bounds of its field."""
    for item in fields(settings):
        check_value(item.name, getattr(settings, item.name), item.metadata, section)


def check_value(name: str, value: object, facts: Mapping[str, Any], section: str = "") -> None:
    """Refuse a value outside the bounds that these facts declare; None is the absence of a value."""
    if value is not None and (wanted := _expected(value, facts)):
        known = "" if facts.get("secret") else f" = {shown(value)}"
        raise SettingsError(f"{section}{name}{known}: expected {wanted}")


def _expected(value: Any, facts: Mapping[str, Any]) -> str:
    """Return what a value should have been; nothing where it is within its bounds."""
    if (choices := facts.get("choices")) and value not in choices:
        added = plugin_names(facts["plugins"]) if "plugins" in facts else ()
        if value not in added:
            return f"one of {', '.join((*choices, *added))}"
    if facts.get("probability") and not (_is_number(value, 0, 1) and 0 < value < 1):
        return "a probability between 0 and 1"
    if "most" in facts and not _is_number(value, facts["least"], facts["most"]):
        return f"{facts['least']} or more, at most {facts['most']}"
    if isinstance(value, str) and "\0" in value:
        return "text without a null character"
    return str(facts["check"](value)) if "check" in facts else ""


def _is_number(value: object, least: float, most: float) -> bool:
    """Return whether a value is a finite number within bounds."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    number: Any = value  # an integer beyond every float stays one
    return bool(least <= number <= most and abs(number) < math.inf)


def shown(value: object) -> str:
    """Return a value as a message shows it: of what is long the beginning, of an address no password."""
    try:
        text = re.sub(r"(?<=//)[^/@]*@|(?<=//)(.*)[?#].*", r"\1***", repr(value))
    except ValueError:  # an integer of more digits than Python prints
        return "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:80]}… ({len(text)} characters)"


def check_known(table: Mapping[str, Any]) -> None:
    """Refuse a recorded value that a setting of today could not have; settings of other versions are left alone."""
    hints = get_type_hints(Settings)
    for item in fields(Settings):
        # A plug-in need not be here to read what it made.
        if item.name in table and not {"read", "plugins"} & item.metadata.keys():
            value = table[item.name]
            if value is not None or item.default is not None:
                check_value(item.name, _read_scalar(item.name, value, hints[item.name]), item.metadata)


def bounds_of(name: str) -> Mapping[str, Any]:
    """Return the facts of a setting, to check a value that did not come with all the others."""
    return next(item.metadata for item in fields(Settings) if item.name == name)


def is_here(url: str) -> bool:
    """Return whether a server is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def read_toml(text: str, path: str) -> dict[str, Any]:
    """Return the table that a TOML file holds."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: not valid TOML: nested too deep") from error
    except ValueError as error:  # Python reads no longer integers
        long = re.search(r"\d[\d_]{4000}", text)
        line = text.count("\n", 0, long.start()) + 1 if long else 1
        raise SettingsError(f"{path}:{line}: expected numbers up to {LARGEST_NUMBER}, found a longer one") from error


def parse_settings(text: str, path: str = "settings") -> Settings:
    """Return the settings of a TOML file; a key that does not exist is refused with the nearest one that does."""
    table = read_toml(text, path)
    try:
        return _from_table(Settings, table)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def recorded_settings(table: Mapping[str, Any], path: str) -> Settings:
    """Return the settings that a run.json holds; there, what is not set is null."""
    tables = {name: {k: v for k, v in item.items() if v is not None} if isinstance(item, Mapping) else item
              for name, item in table.items() if item is not None}  # fmt: skip
    try:
        return _from_table(Settings, tables)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def _from_table(kind: type[Record], table: Mapping[str, Any], section: str = "") -> Record:
    """Return the record that a table of TOML gives, types checked."""
    known: dict[str, Any] = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    hints, values = get_type_hints(kind), {}
    for key, value in table.items():
        if key not in known:
            raise SettingsError(f"no setting{section and f' of {section}'} is called {key!r}{_nearest(key, [*known])}")
        name = f"{section} {key}".strip()
        read = known[key].metadata.get("read")
        values[key] = read(name, value) if read else _read_scalar(name, value, hints[key])
    return kind(**values)


def _read_scalar(name: str, value: object, hint: Any) -> object:
    """Return a value that has one of the types of a hint; a whole number will do for another one."""
    allowed = tuple(kind for kind in get_args(hint) or (hint,) if kind is not type(None))
    number = float in allowed and isinstance(value, int)
    if (isinstance(value, bool) and bool not in allowed) or not (isinstance(value, allowed) or number):
        raise SettingsError(f"{name} = {shown(value)}: expected {' or '.join(kind.__name__ for kind in allowed)}")
    return value


def _nearest(key: str, known: Sequence[str]) -> str:
    """Return a sentence that names the nearest setting, or all of them."""
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"


def fingerprint(value: object) -> str:
    """Return the sha256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def content_digest(entries: Iterable[Ablation]) -> str:
    """Return the sha256 of what entries say; empty where there are none."""
    contents = [(entry.name, entry.part, entry.action, entry.replacements, entry.metrics) for entry in entries]
    return fingerprint(contents) if contents else ""


def gold_digest(gold: Plan) -> str:
    """Return the sha256 of what a gold list says, with its weights where one of them is not 1."""
    weights = [float(weight) for weight in (gold.weight, *(entry.weight for entry in gold.ablations))]
    digest = content_digest(gold.ablations)
    return digest if set(weights) == {1.0} else fingerprint([digest, weights])
