"""JSON Schemas of everything that people write for evalkit, and of everything that it writes for programs.

Each is made from what the code checks or returns: fields of Settings and Rule, shapes of files, records, the table of
figures. What their keys say comes from `key_meanings`. `make schemas` writes them to configs/schemas, which ships.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from evalkit.comparison.baseline import BASELINE, BASELINE_VERSION
from evalkit.comparison.changes import ENTRY_COLUMNS, FAILURE_COLUMNS, PAPER_COLUMNS
from evalkit.comparison.comparison import Comparison
from evalkit.comparison.differences import FigureChange
from evalkit.comparison.gate import Check
from evalkit.comparison.gate_rules import Gate, Rule
from evalkit.comparison.outlook import Outlook
from evalkit.comparison.study import Expectation, GateStudy
from evalkit.errors import InputError
from evalkit.formats.layouts import ABOUT
from evalkit.formats.metadata import FIELDS
from evalkit.metrics.figures import FIGURES
from evalkit.report.columns import ENDS
from evalkit.report.key_meanings import is_own, key_meaning
from evalkit.settings import RESERVED, Settings
from evalkit.stats import Verdict
from evalkit.storage.files import read_text, shipped
from evalkit.storage.runs import FROM, SCHEMA_VERSION, Signature
from evalkit.storage.schema import CHOICES, META, NEEDED, PRESENT, RATIO, shape_schema
from evalkit.storage.tables import TEXTS, TRUTHS
from evalkit.text import nearest
from evalkit.types import COUNT_NAMES, LARGEST_WEIGHT, LEAST_WEIGHT, Action, Diagnostic

Schema = dict[str, Any]
DRAFT = "https://json-schema.org/draft/2020-12/schema"
TEXT, FLAG, NULL, NUMBER = ({"type": kind} for kind in ("string", "boolean", "null", "number"))
ANY: Schema = {}
WHOLE: Schema = {"type": "integer", "minimum": 0}
CELL: Schema = {"type": ["number", "boolean", "string", "null"]}
SHARE = shape_schema(RATIO)
# Columns that a table of a run has; counts and figures of some runs alone come to them.
COLUMNS = {
    **PRESENT,
    "leaderboard": ("planner", "papers", "rank", "p_best", "best_probability", "samples", "planned", "missing_plans",
                    "empty_plans", "unreadable_plans", *FIGURES, *COUNT_NAMES),
    "papers": ("planner", "paper", "status", "samples", "planned",
               *(name for name in FIGURES if name not in ("action_kappa", "coverage")), *COUNT_NAMES),
}  # fmt: skip
_SCALARS: Mapping[Any, Schema] = {
    str: TEXT, bool: FLAG, int: {"type": "integer"}, float: {"type": "number"}, type(None): NULL, Any: ANY,
}  # fmt: skip


def hint_schema(hint: Any) -> Schema:
    """Return the schema of a type as JSON holds it: records are objects, tuples lists, mappings objects."""
    if hint in _SCALARS:
        return dict(_SCALARS[hint])
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind is Literal:
        return {"enum": list(inner)}
    if kind in (Union, types.UnionType):
        return maybe(*(hint_schema(one) for one in inner))
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return keyed({item.name: hint_schema(hints[item.name]) for item in fields(kind)})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [item.value for item in kind]}
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return {"type": "object", "additionalProperties": hint_schema(inner[1])}
    if kind is tuple and inner[-1] is not ...:
        return {"type": "array", "prefixItems": [hint_schema(one) for one in inner], "minItems": len(inner),
                "maxItems": len(inner)}  # fmt: skip
    return many(hint_schema(inner[0]))


def _signature() -> Schema:
    return keyed({item.name: TEXT for item in fields(Signature)}, optional=FROM)


def keyed(properties: Mapping[str, Schema], optional: Sequence[str] = ()) -> Schema:
    """Return the schema of an object with these keys."""
    return {"type": "object", "properties": dict(properties), "required": [k for k in properties if k not in optional]}


def maybe(*schemas: Schema) -> Schema:
    """Return the schema of what is one of these."""
    plain = all(set(one) == {"type"} and isinstance(one["type"], str) for one in schemas)
    return {"type": [one["type"] for one in schemas]} if plain else {"anyOf": list(schemas)}


def many(item: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": item}


def row(table: str) -> Schema:
    """Return the schema of a row of a run's table as `--json` prints it; what is not known is null."""
    kinds = dict.fromkeys(TEXTS, maybe(TEXT, NULL)) | dict.fromkeys(TRUTHS, maybe(FLAG, NULL))
    kinds |= dict.fromkeys(FIGURES, maybe(SHARE, NULL))
    kinds |= {name: {"enum": [*map(str, values), None]} for name, values in CHOICES[table].items()}
    ends = ", ".join(f"{end}: {words.format('…')}" for end, words in ENDS.items())
    ratios = {f"^({'|'.join(FIGURES)})(_micro|_low|_high|_best|_spread|_corrected)*$":
              maybe(SHARE, NULL) | {"description": f"a figure with an ending; {ends}"}}  # fmt: skip
    return {
        "type": "object",
        "properties": {name: dict(kinds.get(name, maybe(NUMBER, NULL))) for name in COLUMNS[table]},
        "patternProperties": ratios,
        "additionalProperties": CELL | {"description": "another column of the table; the reference of columns has all"},
        "required": list(NEEDED[table]),
    }


def changed(columns: Sequence[str]) -> Schema:
    """Return the schema of a row about what changed between two runs."""
    return keyed({name: TEXT if name in ("planner", "paper") else CELL for name in columns})


def described(schema: Schema, holder: str) -> Schema:
    """Return a schema in which every key says what it is; `holder` is the key or document that holds these keys."""
    result = dict(schema)
    for part in ("items", "additionalProperties"):
        if isinstance(result.get(part), dict):
            result[part] = described(result[part], holder)
    for part in ("anyOf", "prefixItems"):
        if part in result:
            result[part] = [described(one, holder) for one in result[part]]
    if "properties" in result:
        result["properties"] = {key: _described_key(key, inner, holder) for key, inner in result["properties"].items()}
    return result


def _described_key(key: str, schema: Schema, holder: str) -> Schema:
    result, text = described(schema, key), key_meaning(key, holder)
    return result | {"description": text} if text and ("description" not in result or is_own(key, holder)) else result


def _settings() -> Schema:
    return _table_schema(Settings)


def _table_schema(kind: type) -> Schema:
    """Return the schema of a table of TOML that gives a record of settings."""
    hints = get_type_hints(kind)
    named = {item.name: _setting(item, hints[item.name]) for item in fields(kind)}
    return {"type": "object", "properties": named, "additionalProperties": False}


def _setting(item: Field[Any], hint: Any) -> Schema:
    """Return the schema of a setting: its bounds, its default and what it is."""
    facts = item.metadata
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    if is_dataclass(hint):
        schema = _table_schema(hint)  # type: ignore[arg-type]
    else:
        schema = hint_schema(kinds[0] if type(None) in get_args(hint) else hint)
    if "choices" in facts:
        schema = {"enum": list(facts["choices"])}
    if "plugins" in facts:
        schema = {"anyOf": [schema, TEXT]}
    if "most" in facts:
        schema |= {"minimum": facts["least"], "maximum": facts["most"]}
    if facts.get("probability"):
        schema |= {"exclusiveMinimum": 0, "exclusiveMaximum": 1}
    if item.name == "request":
        schema["propertyNames"] = {"not": {"enum": list(RESERVED)}}
    if note := facts.get("note") or facts.get("help"):
        schema["description"] = note
    if item.default not in (None, MISSING):
        schema["default"] = list(item.default) if isinstance(item.default, tuple) else item.default
    return schema


def _gate() -> Schema:
    gate, rule = (_keys(kind) for kind in (Gate, Rule))
    tables = {"gate": gate, "rule": {"type": "array", "minItems": 1, "items": rule}}
    return {"type": "object", "properties": tables, "required": ["rule"], "additionalProperties": False}


def _keys(record: type) -> Schema:
    """Return the schema of a table of a gate's file."""
    keys = {item.name: _gate_key(item) for item in fields(record) if item.metadata}
    schema: Schema = {"type": "object", "properties": keys, "additionalProperties": False}
    demands = [item.name for item in fields(record) if item.metadata.get("demand")]
    return schema | ({"anyOf": [{"required": [name]} for name in demands]} if demands else {})


def _gate_key(item: Field[Any]) -> Schema:
    default = {} if item.default in (None, "", ()) else {"default": item.default}
    return {**item.metadata["expected"].schema, "description": item.metadata["note"], **default}


def _facts() -> dict[str, Schema]:
    """Return what gold may say about a paper or an entry besides its fields."""
    value = maybe(TEXT, NUMBER)
    facts: dict[str, Schema] = {
        "weight": {"type": "number", "minimum": LEAST_WEIGHT, "maximum": LARGEST_WEIGHT},
        "meta": {"type": "object", "additionalProperties": value},
    }
    return facts | dict.fromkeys(sorted(FIELDS), value)


def _entry(*, gold: bool = False) -> Schema:
    """Return the schema of an entry of a plan or of gold; a text stands for a list of one."""
    texts = maybe(TEXT, many(TEXT))
    keys: dict[str, Schema] = {"name": TEXT, "ablated_part": TEXT, "action": {"enum": list(Action)}}
    keys |= {"replacement": texts, "metrics": texts, "draft": FLAG, "source": TEXT} | (_facts() if gold else {})
    return keyed(keys, [name for name in keys if name not in ("name", "ablated_part")])


def _gold() -> Schema:
    return _plan_list(("paper", "ablations"), dict.fromkeys(ABOUT.values(), TEXT) | _facts(), gold=True)


def _plan() -> Schema:
    about = dict.fromkeys(("planner", "sample", "trace", *ABOUT.values()), TEXT)
    return {"anyOf": [_plan_list(("ablations",), about), many(_plan_list(("ablations",), about)), many(_entry())]}


def _plan_list(required: Sequence[str], about: Mapping[str, Schema], *, gold: bool = False) -> Schema:
    keys = {"paper": TEXT, **about, "num_ablation_suggestions": maybe({"type": "integer"}, TEXT)}
    keys["ablations"] = many(_entry(gold=gold))
    return keyed(keys, [name for name in keys if name not in required])


def _run() -> Schema:
    schema = shape_schema(META)
    schema["properties"] |= {"schema_version": {"const": SCHEMA_VERSION}, "signature": _signature()}
    schema["required"].insert(0, "schema_version")
    notes = {name: {"description": item["description"]} for name, item in _settings()["properties"].items()
             if "description" in item}  # fmt: skip
    schema["properties"]["settings"]["properties"] |= notes
    return schema


def _baseline() -> Schema:
    schema = shape_schema(BASELINE)
    schema["properties"] = {"evalkit_baseline": {"const": BASELINE_VERSION}} | schema["properties"]
    schema["required"].insert(0, "evalkit_baseline")
    return schema


def _document(**properties: Schema) -> Schema:
    """Return the schema of what `--json` prints."""
    return keyed({"schema_version": {"const": SCHEMA_VERSION}, **properties})


def _score() -> Schema:
    schema = _run()
    schema["properties"] |= {"leaderboard": many(row("leaderboard")), "errors": many(row("diagnostics"))}
    of_slice = row("leaderboard")
    of_slice["properties"] |= {"slice": TEXT, "small": FLAG}
    schema["properties"]["slices"] = keyed({"by": TEXT, "rows": many(of_slice)})
    schema["required"] += ["leaderboard", "errors"]
    return schema


def _estimate() -> Schema:
    counts = dict.fromkeys(("pairs", "kept", "calls", "tokens_in", "tokens_out"), WHOLE)
    judge = keyed({"judge": TEXT, **counts, "money": maybe(NUMBER, NULL)})
    return _document(judges=many(judge), currency=TEXT)


def _show() -> Schema:
    plan = keyed({"paper": TEXT, "planner": TEXT, "scores": row("papers"), "entries": many(row("pairs"))})
    return _document(plans=many(plan))


def _validate() -> Schema:
    return _document(plans=WHOLE, entries=WHOLE, errors=WHOLE, diagnostics=many(hint_schema(Diagnostic)))


def _side() -> dict[str, Schema]:
    return {"name": TEXT, "signature": _signature()}


def _comparison() -> dict[str, Schema]:
    hints = get_type_hints(Comparison)
    changes, names = many(hint_schema(FigureChange)), many(TEXT)
    facts = {name: hint_schema(hints[name]) for name in ("metric", "target", "seed", "resamples", "correction")}
    tables = {"entries": ENTRY_COLUMNS, "papers": PAPER_COLUMNS, "failures": FAILURE_COLUMNS}
    of_slice = hint_schema(FigureChange)
    of_slice["properties"] = {"by": TEXT, "slice": TEXT, "small": FLAG, **of_slice["properties"]}
    return {
        **{side: keyed(_side()) for side in ("base", "new")}, **facts,
        "forced": {"type": "object", "additionalProperties": keyed({"base": TEXT, "new": TEXT})},
        "warnings": names, "planners": changes, "figures": changes, "corrected": changes,
        "slices": many(of_slice),
        **{name: many(changed(columns)) for name, columns in tables.items()}, "unchanged_papers": WHOLE,
        "only_planners": keyed({"base": names, "new": names}),
        "only_papers": keyed(dict.fromkeys(("base", "new"), many(keyed({"planner": TEXT, "paper": TEXT})))),
    }  # fmt: skip


def _with_catches(record: type) -> Schema:
    schema = hint_schema(record)
    schema["properties"]["catches"] = many(keyed(dict.fromkeys(("drop", "rate"), NUMBER)))
    return schema


def _gate_report() -> Schema:
    check = hint_schema(Check)
    keys = {"said" if name == "message" else name: value for name, value in check["properties"].items()}
    return _document(
        verdict=hint_schema(Verdict), tripped=FLAG, outlook=many(_with_catches(Outlook)),
        checks=many(keyed({**keys, "fails": FLAG})), comparison=keyed(_comparison()),
    )  # fmt: skip


def _gate_study() -> Schema:
    study = hint_schema(GateStudy)["properties"]
    return _document(**{**study, "expectations": many(_with_catches(Expectation))})


def _scores() -> Schema:
    return shape_schema(BASELINE["scores"])


def _baselines() -> Schema:
    return _document(baselines=many(keyed({"path": TEXT, **_side(), "scores": _scores()})))


def _agree() -> Schema:
    """Return the schema of what is common to agreement with labels and between judges."""
    counts = dict.fromkeys(("rows", "papers", "pairs"), WHOLE) | dict.fromkeys(("match", "part", "by_task"), ANY)
    labels = keyed({"calibration": TEXT, "model": maybe(TEXT, NULL), **counts, "fitted_on_these_labels": FLAG})
    facts = dict.fromkeys(("plans", "unjudged", "pairs"), WHOLE) | {"judges": ANY, "compared": many(ANY)}
    alpha = {"krippendorff_alpha": maybe(NUMBER, NULL)}
    judges = keyed({**facts, **alpha, "problems": many(hint_schema(Diagnostic))})
    measured = dict.fromkeys(("rows", "papers", "pairs", "answered"), WHOLE) | {"judges": many(TEXT)}
    measured |= dict.fromkeys(("judge", "spent", "trouble"), TEXT) | {"model": maybe(TEXT, NULL)}
    model = keyed({**measured, "agreement": ANY, "position": ANY})
    model["properties"]["run"] = _corrected_run()
    return {**_document(), "anyOf": [labels, judges, model]}


def _corrected_run() -> Schema:
    """Return the schema of a run whose judge was measured."""
    some = maybe(NUMBER, NULL)
    facts = dict.fromkeys(("decided", "matches"), WHOLE)
    facts |= dict.fromkeys(("rate", "corrected", "low", "high"), some)
    rows = many(keyed({"planner": TEXT, **facts}))
    return keyed({"path": TEXT, "pairs": TEXT, "all": keyed(facts), "planners": rows, "reason": TEXT})


def _history() -> Schema:
    """Return the schema of a history: its groups, and a row a run, or with --entries a gold entry."""
    some, text = maybe(NUMBER, NULL), maybe(TEXT, NULL)
    change = dict.fromkeys(("difference", "low", "high", "p", "p_adjusted"), some) | {"verdict": text}
    group = {"group": WHOLE, "runs": WHOLE, "apart": text, "looks": WHOLE, "false_alarm": some, "best": text}
    run = {
        "run": TEXT, "time": text, "planner": TEXT, "metric": TEXT, "value": some, "low": some, "high": some,
        **{f"{kind}_{name}": value for kind in ("previous", "best") for name, value in change.items()},
        "best_before": text, "best_probability": some, "papers": WHOLE, "planners": WHOLE, "tags": TEXT, "note": TEXT,
        "group": WHOLE, "signature": TEXT,
    }  # fmt: skip
    texts = dict.fromkeys(("first_found", "first_lost", "last_lost", "found_again", "found_in", "paper", "name"), TEXT)
    entry = {**texts, **dict.fromkeys(("group", "entry", "turns", "found", "runs"), WHOLE)}
    unread = many(keyed({"path": TEXT, "reason": TEXT}))
    rows = many({"anyOf": [keyed(run), keyed(entry)]})
    return _document(metric=TEXT, groups=many(keyed(group)), rows=rows, unread=unread)


def _formats() -> Schema:
    return _document(formats=many(keyed(dict.fromkeys(("format", "read", "write", "what it is"), TEXT))))


def _doctor() -> Schema:
    return _document(found=many(keyed(dict.fromkeys(("what", "state", "to_do"), TEXT))))


def _cache() -> Schema:
    replies = {"path": TEXT, "bytes": WHOLE}
    return _document(vectors=keyed({**replies, "rows": WHOLE}), replies=keyed(replies), hub=keyed(replies))


SCHEMAS: Mapping[str, tuple[str, Callable[[], Schema]]] = {
    "settings": ("settings, as TOML (`evalkit score --config`)", _settings),
    "gate": ("the rules of a gate, as TOML (`evalkit gate --config`)", _gate),
    "gold": ("gold of one paper, as evalkit writes it; it reads more", _gold),
    "plan": ("plans, as evalkit writes them; it reads more", _plan),
    "run": ("a run folder's run.json", _run),
    "baseline": ("a baseline", _baseline),
    "json-score": ("what `evalkit score --json` prints", _score),
    "json-score-dry-run": ("what `evalkit score --dry-run --json` prints", _estimate),
    "json-show": ("what `evalkit show --json` prints", _show),
    "json-validate": ("what `evalkit validate --json` prints", _validate),
    "json-compare": ("what `evalkit compare --json` prints", lambda: _document(**_comparison())),
    "json-gate": ("what `evalkit gate --json` prints", _gate_report),
    "json-gate-plan": ("what `evalkit gate --plan --json` prints", _gate_study),
    "json-baseline-show": ("what `evalkit baseline show --json` prints",
                           lambda: _document(**_side(), scores=_scores())),
    "json-baseline-list": ("what `evalkit baseline list --json` prints", _baselines),
    "json-agree": ("what `evalkit agree --json` prints", _agree),
    "json-history": ("what `evalkit history --json` prints", _history),
    "json-formats": ("what `evalkit formats --json` prints", _formats),
    "json-doctor": ("what `evalkit doctor --json` prints", _doctor),
    "json-cache-info": ("what `evalkit cache info --json` prints", _cache),
}  # fmt: skip


def make_schema(name: str) -> Schema:
    """Return a schema as the code of today makes it."""
    title, make = SCHEMAS[name]
    head = {"$schema": DRAFT, "$id": f"urn:evalkit:schema:{name}", "title": title[0].upper() + title[1:]}
    return head | described(make(), name)


def shipped_schema(name: str) -> str:
    """Return the text of a schema that ships."""
    if name not in SCHEMAS:
        raise InputError(f"no schema is called {name!r}{nearest(name, list(SCHEMAS))}")
    return read_text(shipped(f"configs/schemas/{name}.json"))
