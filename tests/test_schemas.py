"""The JSON Schemas that ship: made from the code, and true of everything that the program writes."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator, ValidationError
from judge_server import JudgeServer, serving
from test_house import commands

from evalkit.cli import group
from evalkit.report.schemas import SCHEMAS, make_schema, shipped_schema

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs"
GOLDENS = ROOT / "tests" / "goldens" / "inputs"


def closed(schema: Any) -> Any:
    """Return a schema that refuses what it does not name, so that the test sees what nobody declared."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "anyOf" not in schema:
        result.setdefault("additionalProperties", False)
    return result


def check(content: Any, name: str, *, strict: bool = True) -> None:
    schema = json.loads(shipped_schema(name))
    Draft202012Validator(closed(schema) if strict else schema).validate(content)


def run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(group, words)
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_ships_is_what_the_code_makes(name: str) -> None:
    made = make_schema(name)
    assert shipped_schema(name) == json.dumps(made, indent=1, ensure_ascii=False) + "\n", "run: make schemas"
    Draft202012Validator.check_schema(made)


def keys_without_words(schema: Any, place: str) -> Iterator[str]:
    """Yield the keys of a schema that do not say what they are."""
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            yield from keys_without_words(schema[part], place)
    for part in ("anyOf", "prefixItems"):
        for one in schema.get(part, ()):
            yield from keys_without_words(one, place)
    for key, inner in schema.get("properties", {}).items():
        if not inner.get("description"):
            yield f"{place}.{key}"
        yield from keys_without_words(inner, f"{place}.{key}")


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_says_what_it_is(name: str) -> None:
    """Those that no column, figure or setting explains are in evalkit/report/key_meanings.py."""
    assert list(keys_without_words(make_schema(name), name)) == []


def test_keys_say_it_where_they_stand() -> None:
    gate, run = make_schema("gate")["properties"], make_schema("json-score")["properties"]
    assert gate["gate"]["properties"]["correction"]["default"] == "shaffer"
    assert gate["rule"]["items"]["properties"]["margin"]["description"].startswith("How much worse the figure may be")
    assert run["matcher_error"]["anyOf"][0]["properties"]["papers"]["description"] == "for a mean over so many papers"
    board = run["leaderboard"]["items"]["properties"]
    assert board["papers"]["description"] == "gold papers that were scored"
    assert board["coverage"]["description"] == "share of gold papers for which a plan with entries was read"


def test_no_other_schema_ships() -> None:
    assert {path.stem for path in (CONFIGS / "schemas").iterdir()} == set(SCHEMAS)


def json_commands() -> Iterator[str]:
    for name, command in commands(group):
        if any("--json" in parameter.opts for parameter in command.params):
            yield name.removeprefix("evalkit ").replace(" ", "-")


def test_every_json_document_has_a_schema() -> None:
    assert [name for name in json_commands() if f"json-{name}" not in SCHEMAS] == []


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The sample, scored twice, with samples, labels and AblationBench's figures the second time."""
    work = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        patch.setenv("XDG_CACHE_HOME", str(work / "cache"))
        run("demo", "--matcher", "lexical")
        source = ("--pred", "evalkit-demo/plans", "--gold", "evalkit-demo/gold", "--matcher", "lexical")
        more = ("--compat", "ablationbench", "--labels", str(GOLDENS / "labels.jsonl"))
        for out, extra in (("base", ()), ("new", ()), ("more", more)):
            text = run("score", *source, *extra, "--out", out, "--json")
            (work / f"{out}.json").write_text(text, encoding="utf-8")
        run("baseline", "set", "base")
        yield work


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "cache"))
    return project


@pytest.mark.parametrize("name", ["base", "more"])
def test_runs_and_what_score_prints_fit(here: Path, name: str) -> None:
    """Facts of run.json that only some runs have are open: readers of a run do not count on them."""
    meta = json.loads((here / name / "run.json").read_text(encoding="utf-8"))
    check(meta, "run", strict=name == "base")
    check(json.loads((here / f"{name}.json").read_text(encoding="utf-8")), "json-score", strict=name == "base")


def test_plans_and_gold_that_evalkit_writes_fit(here: Path, tmp_path: Path) -> None:
    for folder, kind in (("evalkit-demo/plans", ()), ("evalkit-demo/gold", ("--gold",))):
        run("convert", folder, str(tmp_path / folder), "--to", "json", *kind)
    plans = sorted((tmp_path / "evalkit-demo" / "plans").rglob("*.json"))
    gold = sorted((tmp_path / "evalkit-demo" / "gold").rglob("*.json"))
    assert plans
    assert gold
    for path in plans:
        check(json.loads(path.read_text(encoding="utf-8")), "plan")
    for path in [*gold, *(ROOT / "references").glob("*.json")]:
        check(json.loads(path.read_text(encoding="utf-8")), "gold")


def test_baselines_fit(here: Path) -> None:
    check(json.loads((here / "baselines" / "main.json").read_text(encoding="utf-8")), "baseline")


@pytest.mark.parametrize(("name", "words"), [
    ("json-score-dry-run", "score --pred evalkit-demo/plans --gold evalkit-demo/gold --dry-run --judge m --json"),
    ("json-show", "show base --json"),
    ("json-validate", "validate evalkit-demo/gold --json"),
    ("json-compare", "compare more more --corrected --json"),
    ("json-compare", "compare base new --json"),
    ("json-gate", "gate base new --json"),
    ("json-gate-plan", "gate --plan base --json"),
    ("json-baseline-show", "baseline show --json"),
    ("json-baseline-list", "baseline list --json"),
    ("json-history", "history base new --json"),
    ("json-history", "history base new --entries --json"),
    ("json-formats", "formats --json"),
    ("json-doctor", "doctor --json"),
    ("json-cache-info", "cache info --json"),
])  # fmt: skip
def test_documents_fit(here: Path, name: str, words: str) -> None:
    check(json.loads(run(*words.split())), name)


def test_agreement_fits(here: Path) -> None:
    text = run("agree", "--labels", str(GOLDENS / "labels.jsonl"), "--matcher", "lexical", "--json")
    check(json.loads(text), "json-agree", strict=False)
    judges = [str(path) for path in sorted((GOLDENS / "judges").iterdir())]
    words = [word for judge in judges for word in ("--judgements", judge)]
    text = run("agree", *words, "--pred", "evalkit-demo/plans", "--gold", "evalkit-demo/gold", "--json")
    check(json.loads(text), "json-agree", strict=False)
    with serving(JudgeServer()) as url:
        words = ["--labels", str(GOLDENS / "labels.jsonl"), "--matcher", "lexical", "--cache", str(here / "cache")]
        text = run("agree", *words, "--judge", "m", "--judge-url", url, "--json")
    check(json.loads(text), "json-agree", strict=False)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.name)
def test_shipped_toml_names_its_schema_and_fits(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    first, _, _ = text.partition("\n")
    schema = CONFIGS / first.removeprefix("#:schema ")
    assert schema.is_file()
    check(tomllib.loads(text), schema.stem)


@pytest.mark.parametrize(("name", "text"), [
    ("settings", 'alignment = "magic"'),
    ("settings", "top_k = 0"),
    ("settings", "part_threshold = 1"),
    ("settings", "no_such_setting = 1"),
    ("settings", 'seed = "1"'),
    ("settings", "[judge]\nurl = 3"),
    ("settings", "[judge.request]\nmodel = 'm'"),
    ("settings", "[judge.prices]\nm = [1]"),
    ("gate", "[gate]"),
    ("gate", "[[rule]]\nname = 'demands nothing'"),
    ("gate", "[[rule]]\nmargin = 2"),
    ("gate", "[[rule]]\nmargins = 0.1"),
    ("gate", "[gate]\ninconclusive = 'perhaps'\n[[rule]]\nmargin = 0.1"),
])  # fmt: skip
def test_what_the_program_refuses_its_schema_refuses(name: str, text: str) -> None:
    from evalkit.comparison import parse_gate
    from evalkit.errors import SettingsError
    from evalkit.settings import parse_settings

    with pytest.raises(SettingsError):
        parse_settings(text) if name == "settings" else parse_gate(text, "gate.toml")
    with pytest.raises(ValidationError):
        check(tomllib.loads(text), name, strict=False)


def test_schema_prints_one_and_lists_all() -> None:
    assert json.loads(run("schema", "gate"))["title"].startswith("The rules of a gate")
    listed = run("schema")
    assert all(name in listed for name in SCHEMAS)
    result = CliRunner().invoke(group, ["schema", "gates"])
    assert "did you mean 'gate' or 'json-gate'?" in str(result.exception)
