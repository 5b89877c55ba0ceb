"""Settings: from TOML and options, refused with the nearest name, hashed; the signature and what differs in it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import click
import pytest
from test_house import commands

import evalkit
from evalkit.cli import group
from evalkit.cli.options import Number, with_judge
from evalkit.comparison import compare
from evalkit.errors import EngineError, EvalkitError, SettingsError
from evalkit.scoring.executors import ENGINES, open_executor
from evalkit.settings import JudgeSettings, Settings, parse_settings
from evalkit.storage.runs import Signature

SIGNATURE = Signature("0.1.0", "s", "hybrid", "c", "m", "one-to-one", "0.5/0.5", "zero", "all", "0", "g", "p")


def test_the_command_line_wins_over_the_file() -> None:
    settings = parse_settings('alignment = "group"\ntop_k = 3\n[papers]\n"2103.14030" = "swin"\n')
    assert (settings.alignment, settings.top_k, settings.papers) == ("group", 3, {"2103.14030": "swin"})
    changed = settings.with_options({"top_k": 5, "alignment": None})
    assert (changed.alignment, changed.top_k) == ("group", 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('alignement = "group"', "no setting is called 'alignement'; did you mean 'alignment'?"),
        ('zzz = "group"', "no setting is called 'zzz'; there are matcher, "),
        ('alignment = "many"', "alignment = 'many': expected one of one-to-one, group"),
        ('top_k = "3"', "top_k = '3': expected int"),
        ("top_k = true", "top_k = True: expected int"),
        ("top_k = 0", "top_k = 0: expected 1 or more"),
        ("match_threshold = 1.5", "match_threshold = 1.5: expected a probability"),
        ('papers = "x"', "[papers] must be a table of strings"),
        ("top_k = ", "not valid TOML"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(text: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, "my.toml")
    assert str(caught.value).startswith("my.toml: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize("change", [{"missing": "skip"}, {"top_k": 2}, {"seed": 1}, {"papers": {"a": "b"}}])
def test_the_digest_moves_with_a_choice(change: dict[str, object]) -> None:
    assert Settings().digest != Settings().with_options(change).digest


def test_the_digest_leaves_out_where_things_lie() -> None:
    assert Settings().digest == Settings(model="/somewhere", calibration="file.json", baseline="x").digest


def test_signatures_differ_in_all_but_plans() -> None:
    assert SIGNATURE.differences(replace(SIGNATURE, plans="other")) == {}
    assert SIGNATURE.differences(replace(SIGNATURE, gold="other")) == {"gold": ("g", "other")}
    assert str(SIGNATURE).startswith("version:0.1.0|settings:s|matcher:hybrid|")


HUGE = "9" * 5000
NUMBERS = ("nan", "inf", "-inf", "-1", "1e300", str(10**30), HUGE, "0x" + "f" * 5000)
NOT_NUMBERS = ("true", '"5"', "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "[]", "{}")
NOT_TEXT = ("3", "true", "1979-05-27", "[]", "{}", '"\\u0000"')
URLS = (
    "file:///", "http://[::1", "http://", "", "localhost:8000", "ftp://h/v1", "http://h:99999999", "http://h:-1",
    "http://h:0", "http://a b/", "http://h\n/", "http://a..b/", "javascript:alert(1)", "http://u:pw@h/v1",
    "http://h/v1?key=pw", "http://h/#pw", "http://" + "a" * 70_000,
)  # fmt: skip
REQUESTS = (
    "model = 'x'", "messages = []", "stream = true", "timeout = 1", "extra_body = {}", "extra_headers = {A = 'pw'}",
    "temperature = nan", "seed = inf", "seed = 1979-05-27", "deep = [{a = [07:32:00]}]", f"seed = {10**30}",
)  # fmt: skip
PRICES = ("[nan, 1]", "[1, inf]", "[-1, 1]", "[true, 1]", f"[{10**400}, 1]", "[1]", '["1", 1]', "1979-05-27")


def declared() -> Iterator[tuple[str, Field[Any], Any]]:
    """Every setting with its table in TOML and its type."""
    for kind, table in ((Settings, ""), (JudgeSettings, "[judge]\n")):
        hints = get_type_hints(kind)
        yield from ((table, item, hints[item.name]) for item in fields(kind) if item.name != "judge")


def of_kind(*kinds: type) -> list[tuple[str, Field[Any], Any]]:
    return [row for row in declared() if {row[2], *get_args(row[2])} & set(kinds)]


def lines() -> Iterator[str]:
    """One line of TOML for each value that some setting may not have."""
    for table, item, _ in of_kind(int, float):
        if item.default_factory is MISSING:
            yield from (f"{table}{item.name} = {value}" for value in (*NUMBERS, *NOT_NUMBERS))
    for table, item, hint in declared():
        if hint is bool:
            yield from (f"{table}{item.name} = {value}" for value in ("1", "nan", '"true"', "1979-05-27"))
        elif hint is str:
            yield from (f"{table}{item.name} = {value}" for value in NOT_TEXT)
        elif item.default_factory is not MISSING or get_origin(hint) is tuple:
            yield from (f"{table}{item.name} = {value}" for value in ("3", "nan", '"x"', "1979-05-27", "[3]", '[""]'))
            yield f"{table}{item.name} = [{HUGE}]"
    yield from (f"[judge]\nurl = {json.dumps(url)}" for url in URLS)
    yield from (f"[judge.request]\n{line}" for line in REQUESTS)
    yield from (f"[judge.prices]\nm = {value}" for value in PRICES)
    yield from (f"[{table}]\nm = {value}" for table in ("planners", "papers") for value in ("3", "1979-05-27", "nan"))


def test_every_number_declares_its_bounds() -> None:
    numbers = [(item.name, item.metadata) for _, item, _ in of_kind(int, float) if item.default_factory is MISSING]
    assert len(numbers) >= 12
    assert not [name for name, facts in numbers if not ("probability" in facts or {"least", "most"} <= set(facts))]


@pytest.mark.parametrize("text", sorted(set(lines())), ids=lambda text: text[-60:])
def test_what_no_setting_may_be_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, "my.toml")
    message = str(caught.value)
    assert message.startswith(("my.toml: ", "my.toml:"))
    assert len(message) < 800
    assert "expected" in message or "must be" in message
    name = text.rsplit("\n", 1)[-1].split(" ")[0] if HUGE not in text else f"my.toml:{text.count(chr(10)) + 1}:"
    assert name in message or "[judge" in message
    assert "pw" not in message


def test_prices_and_requests_are_checked_in_python_too() -> None:
    for changes in ({"prices": {"m": (math.nan, 1)}}, {"request": {"seed": math.inf}}, {"url": "file:///"}):
        with pytest.raises(SettingsError):
            JudgeSettings(**changes)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/v1", "http://[::1]:8000/v1", "https://api.openai.com/v1"])
def test_addresses_of_servers_are_taken(url: str) -> None:
    assert JudgeSettings(url=url).url == url


def test_names_that_settings_give_are_readable(tmp_path: Path) -> None:
    settings = parse_settings('matcher = "lexical"\n[planners]\na = "b\\u001b[31m\\u0000"\n')
    for folder in ("plans/a", "gold"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "paper.json").write_text('[{"name": "n", "ablated_part": "p", "action": "REMOVE"}]')
    run = evalkit.score(tmp_path / "plans", tmp_path / "gold", settings, cache=None)
    assert run.leaderboard["planner"].tolist() == ["b\\x1b[31m\\x00"]


def options() -> Iterator[tuple[list[str], click.Option]]:
    """Every option that takes a number, with the words of its command."""
    for words, command in commands(group):
        for item in command.params:
            numbers = Number | click.types.IntParamType | click.types.FloatParamType
            if isinstance(item, click.Option) and not item.is_flag and isinstance(item.type, numbers):
                yield words.split()[1:], item


OPTIONS = [(words, item.opts[0]) for words, item in options()]
BAD_NUMBERS = ("nan", "inf", "-inf", "-1", "", "x", "1e300", "99999999999999999999999999", HUGE, "٣" * 20)
UNBOUNDED = {"--limit"}  # more than there are is all of them
SIZES = ("-5", "nan", "inf", "$-5", "5$5$", "1e9", "--5", "5 5", HUGE, f"{HUGE}.5", "0x10", "-5 calls", "½")


def test_options_of_numbers_are_these() -> None:
    assert {name for _, name in OPTIONS} == {
        "--resamples", "--seed", "--top-k", "--workers", "--target", "--margin", "--guarantee", "--port",
        "--sample-papers", "--samples", "--limit",
    }  # fmt: skip


@pytest.mark.parametrize(("words", "option"), OPTIONS, ids=lambda value: "-".join(value))
def test_no_option_takes_a_number_that_cannot_be(
    words: list[str], option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = next(command for name, command in commands(group) if name.split()[1:] == words)
    required = [item for item in command.params if item.required and isinstance(item, click.Option)]
    arguments = ["x" for item in command.params if isinstance(item, click.Argument)]
    for value in BAD_NUMBERS:
        if option in UNBOUNDED and value[:1] in ("9", "٣"):
            continue
        given = [text for item in required for text in (item.opts[0], "x")]
        with pytest.raises((click.UsageError, EvalkitError)) as caught:
            group([*words, *given, f"{option}={value}", *arguments], standalone_mode=False)
        named = (option, option.lstrip("-").replace("-", "_"))
        assert str(caught.value).startswith(named) or option in caught.value.param.opts  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", SIZES)
def test_budgets_and_sizes_are_refused_by_name(value: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--judge-budget"):
        with_judge(Settings(), {"judge": ("m",), "judge_budget": value})
    with pytest.raises(SettingsError, match="--max-size"):
        group(["cache", "prune", "--cache", str(tmp_path), "--max-size", value], standalone_mode=False)


@pytest.mark.parametrize("workers", [-1, 257, 100_000])
@pytest.mark.parametrize("engine", ENGINES)
def test_workers_have_a_bound(engine: str, workers: int) -> None:
    opened = open_executor(engine, workers)
    with pytest.raises(EngineError, match=r"--workers .*: expected 0 or more, at most 256"), opened:
        pass


@pytest.mark.parametrize("choice", [{"resamples": 10**11}, {"seed": -1}, {"target": math.nan}])
def test_a_comparison_keeps_the_bounds_of_settings(choice: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(choice))):
        compare("a", "b", **choice)
