"""Runs for tests of outputs: a small one worked by hand, and one whose texts all try to do harm."""

from __future__ import annotations

from functools import cache

from conftest import entry, gold, plan

from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.runs import Run
from evalkit.types import Diagnostic, Plan

HOSTILE = {
    "script": "<script>window.harmed=1</script>",
    "handler": '"><img src=x onerror="window.harmed=1">',
    "style": "</style><style>body{display:none}</style>",
    "closing": "</script><script>window.harmed=1</script><!--<script>",
    "link": "[click](javascript:window.harmed=1)",
    "template": "{{7*7}} {% for x in y %} ${7*7}",
    "latex": r"\input{/etc/passwd} \write18{id} $x_1^2$ & % # ~ \\ [2em] * `` -- ?`",
    "formula": '=HYPERLINK("http://example.org","x")',
    "ansi": "\x1b[31mred\x1b[2J \x9b31m \x07",
    "reversed": "abc\u202egpj.exe\u2066",
    "table": "a | b\n| --- |\n# head",
    "separators": "line\u2028paragraph\u2029end",
    "long": "x" * 10_000,
    "wide": "word " * 2_000,
}
QUICK = Settings(matcher="lexical", resamples=99)


def planned(paper: str, planner: str, *entries: object, trace: str = "", path: str = "") -> Plan:
    """Return a plan with a reasoning trace and a path."""
    base = plan(*entries, paper=paper, planner=planner)  # type: ignore[arg-type]
    return Plan(base.paper, base.planner, base.ablations, path=path, trace=trace)


@cache
def small_run() -> Run:
    """Score two planners on three papers: a match, a wrong action, a wrong option, a duplicate, a missing plan.

    `good` matches all of alpha and half of beta; `bad` has a wrong action on alpha, a wrong option on beta, no more.
    """
    lists = [
        gold(entry("shifted window attention"), entry("relative position bias"), paper="alpha"),
        gold(entry("dropout rate", "REPLACE", ["0.1", "0.5"]), entry("label smoothing"), paper="beta"),
        gold(entry("momentum encoder"), paper="gamma"),
    ]
    plans = [
        planned(
            "alpha", "lm/good", entry("shifted window attention"), entry("relative position bias"), trace="I think."
        ),
        planned("beta", "lm/good", entry("label smoothing"), entry("learning rate warmup", "REPLACE", ["none"])),
        planned("gamma", "lm/good", entry("momentum encoder"), entry("momentum encoder")),
        planned("alpha", "lm/bad", entry("shifted window attention", "REPLACE", ["global attention"])),
        planned("beta", "lm/bad", entry("dropout rate", "REPLACE", ["cosine schedule"]), path="plans/lm/bad/beta.md"),
    ]
    return score_run(plans, lists, QUICK)


@cache
def hostile_run(*, whole: bool = False) -> Run:
    """Score hostile texts as planner, paper, name, part, option, metric, trace, path and message.

    The wide one is short unless they are to be `whole`: scoring takes time in the square of an entry's words.
    """
    texts = HOSTILE if whole else HOSTILE | {"wide": "word " * 400}
    lists = [
        gold(entry(text, "REPLACE", [text], [text], name=text), entry("dropout"), paper=f"{name} {text}")
        for name, text in texts.items()
    ]
    plans = []
    for name, text in texts.items():
        path = f"plans/{text[:200]}.md"
        diagnostics = (Diagnostic("error", "entry", f"found {text}", path, 3),)
        for paper in lists:
            body = (entry(text, "REPLACE", [text], [text], name=text), entry("dropout", "REPLACE", ["none"]))
            plans.append(Plan(paper.paper, f"{name} {text}", body, diagnostics, path, trace=text))
    return score_run(plans, lists, QUICK)
