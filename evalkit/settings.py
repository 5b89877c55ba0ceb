"""Takes a TOML file and options, gives Settings: every choice that can move a number, and the hash that names them.

Nothing here is read from the environment. What the user did not choose has its default in this one place.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from evalkit.errors import SettingsError
from evalkit.types import Ablation

MATCHERS = ("hybrid", "lexical", "embedding")
ALIGNMENTS = ("one-to-one", "group")
MISSING = ("zero", "skip")
COMPAT = ("none", "ablationbench")
CHOICES = {"matcher": MATCHERS, "alignment": ALIGNMENTS, "missing": MISSING, "compat": COMPAT}


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """Which language models are asked about borderline pairs, where, by what wording, and for how much at most.

    `prompt` empty means the shipped wording; `prices` are money per million tokens (in, out) of each model; `request`
    goes into every request as it is; `structured` off is for servers that know no JSON schema.
    """

    models: tuple[str, ...] = ()
    url: str = "https://api.openai.com/v1"
    key_env: str = "OPENAI_API_KEY"
    prompt: str = ""
    everything: bool = False
    structured: bool = True
    pairs_per_call: int = 12
    concurrency: int = 4
    attempts: int = 5
    timeout: float = 60.0
    wait: float = 1.0
    budget_calls: int | None = None
    budget_money: float | None = None
    currency: str = "USD"
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("pairs_per_call", "concurrency", "attempts"):
            if getattr(self, name) < 1:
                raise SettingsError(f"[judge] {name} = {getattr(self, name)}: expected 1 or more")
        if self.budget_money is not None and (unpriced := [name for name in self.models if name not in self.prices]):
            raise SettingsError(f"[judge] a budget in money needs the price of {unpriced[0]!r} in [judge.prices]")
        if len(set(self.models)) < len(self.models):
            raise SettingsError("[judge] models: one of them is named twice")


@dataclass(frozen=True, slots=True)
class Settings:
    """How plans are read, matched and scored. `calibration` and `model` empty mean the shipped ones."""

    matcher: str = "hybrid"
    alignment: str = "one-to-one"
    missing: str = "zero"
    top_k: int | None = None
    calibration: str = ""
    model: str = ""
    part_threshold: float | None = None
    match_threshold: float | None = None
    strict: bool = False
    resamples: int = 9999
    seed: int = 0
    baseline: str = ""
    compat: str = "none"
    planners: Mapping[str, str] = field(default_factory=dict)
    papers: Mapping[str, str] = field(default_factory=dict)
    allow_drafts: bool = False
    offline: bool = False
    judge: JudgeSettings = field(default_factory=JudgeSettings)

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if (value := getattr(self, name)) not in allowed:
                raise SettingsError(f"{name} = {value!r}: expected one of {', '.join(allowed)}")
        for name in ("part_threshold", "match_threshold"):
            if (value := getattr(self, name)) is not None and not 0 < value < 1:
                raise SettingsError(f"{name} = {value}: expected a probability between 0 and 1")
        for name, least in (("top_k", 1), ("resamples", 0), ("seed", 0)):
            if (value := getattr(self, name)) is not None and value < least:
                raise SettingsError(f"{name} = {value}: expected {least} or more")
        if self.offline and self.judge.models and not _is_here(self.judge.url):
            raise SettingsError(f"offline: the judge at {self.judge.url} is on the network; leave one of the two out")

    def with_options(self, options: Mapping[str, Any]) -> Settings:
        """These settings with what was said on the command line; options left out (None) change nothing."""
        return replace(self, **{name: value for name, value in options.items() if value is not None})

    @property
    def digest(self) -> str:
        """Twelve hex digits that change whenever a choice does that can move a number.

        Model, calibration and judge are pinned by their contents elsewhere in the signature, not by where they lie.
        """
        values = asdict(self)
        for name in ("model", "calibration", "baseline", "compat", "offline"):
            del values[name]
        del values["judge"]
        return fingerprint(values)[:12]


def _is_here(url: str) -> bool:
    """Whether a server is on this machine."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def fingerprint(value: object) -> str:
    """The sha256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def content_digest(entries: Iterable[Ablation]) -> str:
    """The sha256 of what entries say; empty where there are none."""
    said = [(entry.name, entry.part, entry.action, entry.replacements, entry.metrics) for entry in entries]
    return fingerprint(said) if said else ""


def parse_settings(text: str, path: str = "settings") -> Settings:
    """Settings from TOML; a key that does not exist is refused with the nearest one that does."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from error
    known = [item.name for item in fields(Settings)]
    for key, value in table.items():
        if key not in known:
            raise SettingsError(f"{path}: no setting is called {key!r}{_nearest(key, known)}")
        _check_type(path, key, value)
    try:
        judge = {"judge": _judge(table["judge"])} if "judge" in table else {}
        return Settings(**{**table, **judge})
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def _judge(table: Mapping[str, Any]) -> JudgeSettings:
    """The settings of [judge], types checked."""
    hints = get_type_hints(JudgeSettings)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in hints:
            raise SettingsError(f"no setting of [judge] is called {key!r}{_nearest(key, list(hints))}")
        kind = get_origin(hints[key]) or hints[key]
        if kind is tuple and isinstance(value, list) and all(isinstance(item, str) for item in value):
            values[key] = tuple(value)
        elif key == "prices" and isinstance(value, dict):
            values[key] = {model: _price(model, pair) for model, pair in value.items()}
        elif key == "request" and isinstance(value, dict):
            values[key] = value
        elif kind is tuple or key in ("prices", "request"):
            wanted = "a list of texts" if kind is tuple else "a table"
            raise SettingsError(f"[judge] {key} = {value!r}: expected {wanted}")
        else:
            _check_scalar(f"[judge] {key}", value, hints[key])
            values[key] = value
    return JudgeSettings(**values)


def _price(model: str, pair: object) -> tuple[float, float]:
    """Money per million tokens in and out."""
    if isinstance(pair, list) and len(pair) == 2 and all(isinstance(item, int | float) for item in pair):
        return float(pair[0]), float(pair[1])
    raise SettingsError(f"[judge.prices] {model} = {pair!r}: expected [money per million tokens in, out]")


def _nearest(key: str, known: list[str]) -> str:
    """A sentence that names the nearest setting, or all of them."""
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"


def _check_type(path: str, key: str, value: object) -> None:
    """Refuse a value whose type the setting cannot have."""
    if key in ("planners", "papers"):
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise SettingsError(f"{path}: [{key}] must be a table of strings")
        return
    if key == "judge":
        if not isinstance(value, dict):
            raise SettingsError(f"{path}: [judge] must be a table")
        return
    _check_scalar(f"{path}: {key}", value, get_type_hints(Settings)[key])


def _check_scalar(name: str, value: object, hint: Any) -> None:
    """Refuse a value that is none of the types of a hint."""
    allowed = tuple(kind for kind in get_args(hint) or (hint,) if kind is not type(None))
    number = float in allowed and isinstance(value, int)
    if (isinstance(value, bool) and bool not in allowed) or not (isinstance(value, allowed) or number):
        names = " or ".join(kind.__name__ for kind in allowed)
        raise SettingsError(f"{name} = {value!r}: expected {names}")
