"""A table of hostile texts x every field of a run and a baseline x every sink: shown as they are, and none acts."""

from __future__ import annotations

import csv as csv_module
import io
import json
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from conftest import few
from forked import evalkit_command
from made_runs import HOSTILE, small_run
from markdown_it import MarkdownIt
from rich.console import RenderableType

from evalkit.cli import streams
from evalkit.comparison import (
    Check,
    Comparison,
    GateReport,
    Snapshot,
    baseline_text,
    compare,
    parse_gate,
    snapshot_of,
    study_gate,
)
from evalkit.errors import InputError
from evalkit.report import agreement_text, ci, comparison_text, console, json_output, leaderboard_tables, study_text
from evalkit.report.comparison_page import comparison_page
from evalkit.report.notebook import comparison_html, run_html
from evalkit.report.run_page import run_page
from evalkit.scoring.load import LoadedPlans
from evalkit.storage.runs import Run
from evalkit.storage.tables import to_csv
from evalkit.text import safe_terminal
from evalkit.types import Diagnostic

TEXTS = {name: text for name, text in HOSTILE.items() if len(text) < 1000} | {
    "set-output": "::set-output name=x::y", "stop": "::stop-commands::abc", "indented": " \t::error::x",
    "old command": "##[add-matcher]/x", "azure": "x ##vso[task.setvariable variable=a]b", "cr": "a\r::warning::x",
    "newline": "a\n::add-mask::a\n# head\n- [ ] x", "wrapped": "word " * 12 + "::set-env name=PATH::x " * 9,
    "image": '<img src=x onerror="alert(1)">', "code": "` <img src=x> `` ``` [a](b)", "input": r"\input{/etc/passwd}",
    "end": "} \\end{document} \\immediate\\write18{id}", "percent": "% %0A::error::x", "caret": "^^M^^5cinput x",
    "mention": "@team/people", "issue": "#1 owner/repo#2 GH-3", "www": "www.example.org WWW.example.org",
    "address": "https://example.org a@b.example <https://example.org>", "setext": "---", "list": "1. x", "quote": "> x",
    "comment": "--> <!-- x", "entity": "&lt;img&gt; &#60;b&#62;", "cdata": "]]> <x/> &y;", "nul": "a\0b\x85c",
    "rich": "[/x] [link=http://x]y[/link] [bold]:smile:", "dde": "@SUM(1+1)*cmd|' /C calc'!A0",
    "quoted": '","=1+1', "apostrophe": "'=1+1", "tag": "a\U000e0041b\u200eb\u061c",
}  # fmt: skip
FREE = ("planner", "paper", "sample", "path", "trace", "message", "code", "decided_by", "speaks_for", "speaks_against")
ENTRY = [f"{side}_{name}" for side in ("gold", "plan") for name in ("name", "part", "replacements", "metrics")]


@cache
def run_of(text: str, side: str = "base") -> Run:
    """The small run with `text` at the start of every field, also of the facts that run.json holds.

    In the run `new`, the planners have changed places and the signature is another one, so that everything moved.
    """
    run, swapped = small_run(), {"lm/good": "lm/bad", "lm/bad": "lm/good"} if side == "new" else {}

    def written(value: object, name: str) -> object:
        return f"{text} {swapped.get(value, value)} {name}" if isinstance(value, str) else value

    def hostile(frame: pd.DataFrame) -> pd.DataFrame:
        columns = [name for name in (*FREE, *ENTRY) if name in frame]
        return frame.assign(**{name: pd.Series([written(value, name) for value in frame[name]]) for name in columns})

    found = Diagnostic("error", "entry", "found", "plans/x.md", 3)
    rows = pd.DataFrame([vars_of(item) for item in (found, replace(found, code="run-folder", severity="warning"))])
    meta = {
        **run.meta,
        "signature": {name: f"{text} {name} {side}" for name in run.meta["signature"]} | {"thresholds": "0.4/0.5"},
        "settings": {**run.meta["settings"], "model": text, "calibration": text, "judge": {"models": [text]}},
        "versions": dict.fromkeys(run.meta["versions"], text),
        "warnings": [f"{text} warning"],
        "matcher_error": {"match_f1": 0.1, "papers": 3, "measured_on": text},
        "labels": {"doubts": [text], "papers": 3},
        "judge": {"judges": [text], "decided": 1, "pairs": 2, "matches": 1, "left": {text: 1}},
    }
    frames = {name: hostile(getattr(run, name)) for name in ("leaderboard", "papers", "pairs", "plans")}
    return run.replace(**frames, diagnostics=hostile(rows), meta=meta)


def vars_of(item: Diagnostic) -> dict[str, object]:
    return {name: getattr(item, name) for name in ("severity", "code", "path", "line", "message")}


@cache
def snapshot(text: str, side: str) -> Snapshot:
    taken = snapshot_of(run_of(text, side), f"{text} {side}")
    return replace(taken, settings=dict.fromkeys(taken.settings, text), doubts=(text,))


@cache
def compared(text: str) -> Comparison:
    own = replace(snapshot(text, "base"), settings={}), replace(snapshot(text, "new"), settings={})
    return compare(*own, force=True, resamples=99, doubts=(f"{text} doubt",))


@cache
def gated(text: str) -> GateReport:
    checks = [Check(text, text, f"{text} {verdict}", verdict, text, (text,))
              for verdict in ("regressed", "inconclusive", "pass")]  # fmt: skip
    return GateReport(compared(text), tuple(checks), False)


Sink = Callable[[str], str]
SINKS: dict[str, tuple[Sink, Callable[[str], None]]] = {}


def sink(check: Callable[[str], None]) -> Callable[[Sink], Sink]:
    """Put a sink into the table, with what looks at what it gave."""

    def register(made: Sink) -> Sink:
        SINKS[made.__name__] = made, check
        return made

    return register


# The terminal, narrow enough that every text is wrapped, and wide.


def no_control(text: str) -> None:
    assert [c for c in set(text) if safe_terminal(c) != c and c != "\ufffd"] == []


def harmless_lines(text: str) -> None:
    """Nothing steers a terminal, and no line is a command to a CI system, also for who ends lines at any break."""
    no_control(text)
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]
    assert not re.search(r"##[a-z]*\[", text)


def printed(parts: Iterable[RenderableType], width: str, monkeypatch: pytest.MonkeyPatch) -> str:
    raw = io.BytesIO()
    stream = streams.Stream(io.TextIOWrapper(raw, "utf-8"), "standard output")
    pieces = list(parts)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setenv("COLUMNS", width)
        console.show(pieces)
        stream.flush()
    return raw.getvalue().decode("utf-8")


def everything_shown(text: str) -> Iterable[RenderableType]:
    """What the commands show of a run, a comparison, a gate, baselines, documents and a study."""
    run, result = run_of(text), compared(text)
    yield from console.summary(run, wide=True, verbose=True)
    yield from agreement_text.decisions(run, text, text)
    yield from (console.paper(run, *plan) for plan in run.worst_plans())
    yield from console.readings([LoadedPlans((), (Diagnostic("error", text, text, text, 3),))])
    yield from (console.after_score(text), console.next_steps(text), console.grid(("head",), [(text,)]))
    yield from comparison_text.comparison(result)
    yield from comparison_text.gate(gated(text))
    yield from comparison_text.baseline(snapshot(text, "base"))
    yield comparison_text.baselines({text: snapshot(text, "base")})
    rules = parse_gate(f"[[rule]]\nname = {json.dumps('x')}\nmargin = 0.1", "gate.toml")
    yield from study_text.gate_study(replace(study_gate(run, text, rules, 0.05), run=text))
    yield f"written to {text}"


@pytest.mark.parametrize("width", ["40", pytest.param("200", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", few(TEXTS, every=2))
def test_a_terminal_shows_it(name: str, width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = printed(everything_shown(TEXTS[name]), width, monkeypatch)
    harmless_lines(shown)
    assert "match F1" in shown


# Markdown, as a renderer reads it.

OURS = re.compile(r"<!-- -->|</?(?:br|details|summary|sub)>")
BLOCKS = {"heading", "paragraph", "table", "thead", "tbody", "tr", "th", "td", "bullet_list", "list_item", "inline",
          "html_block"}  # fmt: skip
INLINE = {"text", "html_inline", "code_inline", "softbreak", "strong_open", "strong_close"}


def inert_markdown(text: str) -> None:
    no_control(text)
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        assert token.type.removesuffix("_open").removesuffix("_close") in BLOCKS, token
        if token.type == "html_block":
            assert "<" not in OURS.sub("", token.content)
        for inner in token.children or ():
            assert inner.type in INLINE, inner
            if inner.type == "html_inline":
                assert OURS.fullmatch(inner.content), inner.content
            if inner.type == "text":
                assert not re.search(r"(?i)@\w|#\d|www\.|gh-\d", inner.content), inner.content
    live = re.sub(r"`[^`\n]*`", "", text)
    assert not re.search(r"(?<!\\)://", live)
    for block in re.split(r"\n(?!\|)", text):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) <= 1, rows


@cache
def board(text: str) -> leaderboard_tables.Table:
    return leaderboard_tables.table({f"{text} a": run_of(text), f"{text} b": run_of(text, "new")})


@cache
def single(text: str) -> leaderboard_tables.Table:
    return leaderboard_tables.table({text: run_of(text)})


@sink(inert_markdown)
def table_markdown(text: str) -> str:
    return leaderboard_tables.markdown(single(text), False) + "\n" + leaderboard_tables.markdown(board(text), False)


@sink(inert_markdown)
def comparison_markdown(text: str) -> str:
    return ci.comparison_markdown(compared(text))


@sink(inert_markdown)
def gate_markdown(text: str) -> str:
    return ci.gate_markdown(gated(text))


@sink(inert_markdown)
def error_markdown(text: str) -> str:
    return ci.error_markdown(InputError(text))


# LaTeX: only our own commands, in a table that keeps its shape.

COMMANDS = """
    begin end toprule midrule bottomrule multicolumn cmidrule centering small caption textbf scriptsize dagger
    documentclass usepackage textbackslash textasciitilde textasciicircum textless textgreater textbar textquotedbl
    textendash textemdash ldots times leq geq rightarrow pm cdot textquoteleft textquoteright textquotedblleft
    textquotedblright sbox ifdim wd linewidth resizebox usebox else fi
"""


def obedient_latex(text: str) -> None:
    no_control(text)
    lines = text.splitlines()
    body = "\n".join(line for line in lines if not line.startswith("% "))
    assert set(re.findall(r"\\([A-Za-z@]+)", body)) <= set(COMMANDS.split())
    bare = re.sub(r"\\[^A-Za-z]", "", body)
    assert not re.search(r"[%#~]", bare)
    assert set(re.findall(r"\^.{0,9}", bare)) <= {r"^{\dagger}"} | {r"^{\dagger}$"}
    assert bare.count("{") == bare.count("}")
    rows = [line for line in lines if line.endswith(r"\\") and "multicolumn" not in line]
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1


@sink(obedient_latex)
def latex(text: str) -> str:
    return leaderboard_tables.latex(single(text), True)


@sink(obedient_latex)
def latex_of_two(text: str) -> str:
    return leaderboard_tables.latex(board(text), False)


# HTML.

ELEMENTS = "html meta title body table thead tbody tr th td div small bdi b p"


class Elements(HTMLParser):
    """Refuses elements and attributes that these tables do not have."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS.split()
        assert {name for name, _ in attrs} <= {"colspan", "lang", "charset"}

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def plain_html(text: str) -> None:
    no_control(text)
    Elements().feed(text)


@sink(plain_html)
def html(text: str) -> str:
    return leaderboard_tables.html(board(text), True)


@sink(plain_html)
def notebook(text: str) -> str:
    return run_html(run_of(text)) + comparison_html(compared(text))


# CSV and JSON: the same values come back, and no cell is a formula.


def inert_csv(text: str) -> None:
    rows = list(csv_module.reader(io.StringIO(text, newline="")))
    assert len({len(row) for row in rows}) == 1
    for row in rows[1:]:
        for cell in row:
            assert not re.match(r"[=+@\t\r]|-(?![\d.])", cell), cell


@sink(inert_csv)
def csv(text: str) -> str:
    return leaderboard_tables.csv(board(text), False)


@sink(inert_csv)
def csv_of_pairs(text: str) -> str:
    return to_csv(run_of(text).pairs)


def json_as_it_was(text: str) -> None:
    harmless_lines(text)
    json.loads(text)


@sink(json_as_it_was)
def json_documents(text: str) -> str:
    run = run_of(text)
    shown = json_output.evidence(run, run.worst_plans())
    assert json.loads(shown)["plans"][0]["entries"][0]["planner"].startswith(text)
    documents = (
        shown, json_output.run(run), json_output.comparison(compared(text)), json_output.gate(gated(text)),
        json_output.baseline(snapshot(text, "base")), leaderboard_tables.json(board(text), False),
    )  # fmt: skip
    return json.dumps([json.loads(one) for one in documents]) if not all(map(json.loads, documents)) else max(documents)


# CI systems.


def annotations_of_ours(text: str) -> None:
    no_control(text)
    lines = text.splitlines()
    assert len(lines) == 4
    assert all(re.fullmatch(r"::(error|warning|notice) title=[^:,]*::.*", line) for line in lines)


@sink(annotations_of_ours)
def gate_annotations(text: str) -> str:
    return "\n".join([*ci.workflow_commands(gated(text)), ci.error_command(InputError(text))])


# What Jenkins' xunit plugin takes for JUnit, by its model/xsd/junit-10.xsd: element -> attributes that it must have,
# others that it may have, and its children. Attributes are texts; `time` is a number without a sign.
OUTCOME = (set[str](), {"type", "message"}, set[str]())
JUNIT: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors"},
                  {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
                  {"testsuite", "properties", "testcase", "system-out", "system-err"}),
    "testcase": ({"name"}, {"time", "classname", "group"}, {"skipped", "error", "failure", "system-out", "system-err"}),
    "skipped": OUTCOME, "error": OUTCOME, "failure": OUTCOME, "system-out": (set(), set(), set()),
}  # fmt: skip


def own_junit(text: str) -> None:
    no_control(text)
    root = ElementTree.fromstring(text)
    assert root.tag == "testsuites"
    for element in root.iter():
        needed, allowed, children = JUNIT[element.tag]
        assert needed <= set(element.keys()) <= needed | allowed, element.tag
        assert {child.tag for child in element} <= children
        assert re.fullmatch(r"[0-9]{0,3}(\.[0-9]*)?", element.get("time", "0"))
        assert element.tag in ("skipped", "error", "failure", "system-out") or not (element.text or "").strip()


@sink(own_junit)
def junit(text: str) -> str:
    return ci.junit(gated(text))


@sink(own_junit)
def junit_of_an_error(text: str) -> str:
    return ci.error_junit(InputError(text))


@pytest.mark.parametrize("name", few(TEXTS, every=2))
@pytest.mark.parametrize("kind", SINKS)
def test_every_sink_shows_every_field_and_obeys_none(kind: str, name: str) -> None:
    made, check = SINKS[kind]
    check(made(TEXTS[name]))


def test_pages_show_every_field_and_obey_none() -> None:
    """All texts in one: a page with its charts takes seconds, and `tests/test_browser.py` opens such pages."""
    text = " ".join(TEXTS.values())
    both = {f"{text} a": run_of(text), f"{text} b": run_of(text, "new")}
    for page in (run_page(run_of(text), "d").text, comparison_page(both, "d", True).text):
        bare = re.sub(r"<(script|style)\b[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
        no_control(bare)
        assert not re.search(r"<(img|x/|script|!--)", bare)
        assert page.count("</script>") == page.count("<script")


def test_baselines_hold_it() -> None:
    for text in TEXTS.values():
        found = json.loads(baseline_text(snapshot(text, "base"), text))
        assert found["name"] == text


# The streams, which see whole lines after they are wrapped.


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (("::x::y\n",), ": :x::y\n"),
        (("a\n", " \t::x"), "a\n \t: :x"),
        (("a", "::x"), "a::x"),
        ((":", ":x\n", "\r::y"), ": :x\n\r: :y"),
        (("  ", "::x"), "  : :x"),
        (("a ##[x] ##vso[y] # #b ##c\n",), "a # #[x] # #vso[y] # #b ##c\n"),
        (("std::vector\nx::y: :\n",), "std::vector\nx::y: :\n"),
    ],
)
def test_what_is_printed_is_no_command(pieces: tuple[str, ...], expected: str) -> None:
    raw = io.BytesIO()
    stream = streams.Stream(io.TextIOWrapper(raw, "utf-8"), "standard output")
    for piece in pieces:
        assert stream.write(piece) == len(piece)
    stream.flush()
    assert raw.getvalue().decode() == expected


def test_commands_of_others_are_broken_and_ours_are_not(tmp_path: Path) -> None:
    """A planner and a file whose names are workflow commands, through every step of a job."""
    entry = [{"name": "No gate", "ablated_part": "gate", "action": "REMOVE", "metrics": ["F1"]}]
    planner = "::set-output name=x::y"
    for place, content in ((f"plans/{planner}/p.json", entry), ("gold/p.json", entry), (f"odd/{planner}.json", {})):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(json.dumps(content))
    score = ("score", "--pred", "plans", "--gold", "gold", "--matcher", "lexical", "--no-cache", "--out", "::stop::run")
    steps = (score, ("validate", "odd"), ("show", "::stop::run"), ("table", "::stop::run", "--format", "csv"),
             ("table", "::stop::run", "--format", "json"), ("gate", "::stop::run", "::stop::run", "--annotations"),
             ("show", "::none"))  # fmt: skip
    printed = ""
    for words in steps:
        done = evalkit_command(words, tmp_path)
        printed += done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    commands = [line for line in printed.splitlines() if line.lstrip().startswith("::")]
    assert commands == ["::notice title=evalkit gate::gate passed: " + commands[0].rpartition(": ")[2]]
    assert "set-output name=x::y" in printed
