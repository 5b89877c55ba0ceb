"""Scoring while the planner runs: JSON lines on standard input, and `score_many` with its async twin."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import entry, gold, plan

from evalkit import Scorer
from evalkit.cli import group
from evalkit.errors import InputError
from evalkit.formats import write_plans
from evalkit.scoring.pipeline import score_run
from evalkit.scoring.scorer import BATCH
from evalkit.scoring.stream import read_stream
from evalkit.settings import Settings
from evalkit.storage.runs import load_run
from evalkit.types import Diagnostic, Plan, ScoredPlan

ROOT = Path(__file__).resolve().parent.parent
LEXICAL = Settings(matcher="lexical", resamples=99)
GATE, MOMENTUM = entry("gate", metrics=["acc"]), entry("momentum encoder", "REPLACE", ["none"], ["acc"])
GOLD = [gold(GATE, MOMENTUM, paper=paper) for paper in ("alpha", "beta")]
PLANS = [
    plan(GATE, paper="alpha", planner="lm/a"),
    plan(GATE, MOMENTUM, paper="beta", planner="lm/a"),
    plan(MOMENTUM, paper="alpha", planner="lm/b"),
]


def record(item: Plan) -> str:
    """Return a plan as a planner would print it."""
    tree = json.loads(write_plans([item], "json"))
    return json.dumps({"planner": item.planner, "paper": item.paper, "sample": item.sample, "plan": tree["ablations"]})


def read(text: str | bytes) -> list[Plan | Diagnostic]:
    return list(read_stream(io.BytesIO(text.encode() if isinstance(text, str) else text), LEXICAL))


def test_a_record_a_plan_or_an_entry() -> None:
    """What `evalkit convert --to jsonl` writes is read as well: an entry a line, a plan's one after another."""
    by_plan, by_entry = read("\n\n".join(map(record, PLANS))), read(write_plans(PLANS, "jsonl"))
    assert by_plan == by_entry
    assert [(item.planner, item.paper, item.ablations) for item in by_plan if isinstance(item, Plan)] == [
        (item.planner, item.paper, item.ablations) for item in PLANS
    ]


def test_a_plan_may_be_a_reply_and_traces_stay() -> None:
    reply = (
        "Here it is:\n```json\n" + json.dumps([{"name": "gate", "ablated_part": "gate", "action": "REMOVE"}]) + "\n```"
    )
    (only,) = read(json.dumps({"planner": "p", "paper": "alpha", "plan": reply}))
    assert isinstance(only, Plan)
    assert [item.name for item in only.ablations] == ["gate"]
    traced = Plan("alpha", "p", (GATE,), trace="I think.")
    (again,) = read(write_plans([traced], "jsonl"))
    assert isinstance(again, Plan)
    assert (again.trace, len(again.ablations)) == ("I think.", 1)


@pytest.mark.parametrize(
    "line",
    [b"garbage", b'{"planner": "p"}', b'{"paper": "alpha", "plan": []}', b"[1, 2]", b"\xff\xfe{", b"null", b"{" * 5000,
     b'{"planner": "", "paper": "alpha", "plan": [{"name": "gate", "ablated_part": "gate"}]}'],
)  # fmt: skip
def test_a_bad_line_is_a_diagnostic_with_its_number_and_no_end(line: bytes) -> None:
    found = read(b"\n".join([record(PLANS[0]).encode(), b"", line, record(PLANS[1]).encode()]))
    first, problem, last = found
    assert isinstance(problem, Diagnostic)
    assert (problem.severity, problem.code, problem.path, problem.line) == ("error", "bad-line", "standard input", 3)
    assert [item.paper for item in (first, last) if isinstance(item, Plan)] == ["alpha", "beta"]


def test_lines_of_diagnostics_are_those_of_the_stream() -> None:
    rows = [{"planner": "p", "paper": "alpha", "name": name, "ablated_part": name, "action": action, "metrics": ["m"]}
            for name, action in (("gate", "REMOVE"), ("momentum", "REPLCE"))]  # fmt: skip
    _, second = read("\n".join([record(PLANS[0]), "", json.dumps(rows[0]), "", json.dumps(rows[1])]))
    assert isinstance(second, Plan)
    assert [(item.code, item.line) for item in second.diagnostics] == [("unknown-action", 5)]


def test_a_line_that_is_too_long_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.scoring.stream.LARGEST", 1000)
    found = read("\n".join([record(PLANS[0]), json.dumps({"planner": "x" * 5000}), record(PLANS[1])]))
    assert [item.line if isinstance(item, Diagnostic) else item.paper for item in found] == ["alpha", 2, "beta"]
    exact = json.dumps({"planner": "x" * 5000})[:2002] + "\n"  # its rest ends where the limit does
    assert [type(item).__name__ for item in read(exact + record(PLANS[0]))] == ["Diagnostic", "Plan"]


@pytest.fixture
def references(tmp_path: Path) -> Path:
    (tmp_path / "gold.json").write_text(write_plans(GOLD, "json"), encoding="utf-8")
    return tmp_path / "gold.json"


def score(references: Path, text: str, *words: str) -> Any:
    out = references.parent / "run"
    command = ["score", "--pred", "-", "--gold", str(references), "--out", str(out), "--matcher", "lexical",
               "--resamples", "99", "--cache", str(references.parent / "cache"), *words]  # fmt: skip
    return CliRunner().invoke(group, command, input=text, catch_exceptions=False)


@pytest.mark.parametrize("words", [(), ("--no-cache",), ("--compat", "ablationbench")])
def test_the_run_is_the_one_of_the_same_plans_from_files(references: Path, words: tuple[str, ...]) -> None:
    result = score(references, "\n".join([*map(record, PLANS), "garbage"]), *words)
    assert result.exit_code == 0
    assert "     2  lm/a · beta: match F1 1.000\n" in result.stderr
    run = load_run(references.parent / "run")
    compat = "ablationbench" if "--compat" in words else "none"
    same = score_run(PLANS, GOLD, Settings(matcher="lexical", resamples=99, compat=compat))
    assert run.signature.plans == same.signature.plans
    pd.testing.assert_frame_equal(run.leaderboard, same.leaderboard, check_dtype=False)
    pd.testing.assert_frame_equal(run.papers, same.papers, check_dtype=False)
    assert run.diagnostics[["code", "line"]].values.tolist()[-1] == ["bad-line", 4]


def test_only_bad_lines_are_no_plans(references: Path) -> None:
    with pytest.raises(InputError, match="no plans; first error: standard input: expected a record"):
        score(references, "garbage\n")
    with pytest.raises(InputError, match="no plans"):
        score(references, "")
    assert not (references.parent / "run").exists()


def test_gold_and_fields_are_checked_before_plans_are_waited_for(tmp_path: Path, references: Path) -> None:
    class Unread(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            raise AssertionError("read")

    for words in (["--gold", "none"], ["--gold", str(references), "--by", "venue"]):
        result = CliRunner().invoke(
            group, ["score", "--pred", "-", "--out", str(tmp_path / "r"), *words], input=Unread()
        )
        assert isinstance(result.exception, InputError)


def test_a_dry_run_does_not_eat_the_input(references: Path) -> None:
    result = score(references, record(PLANS[0]), "--dry-run", "--judge", "model")
    assert result.exit_code == 2
    assert "--dry-run" in result.stderr


def streaming(references: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "evalkit", "score", "--pred", "-", "--gold", str(references), "--out", "run",
               "--matcher", "lexical", "--cache", "cache"]  # fmt: skip
    environment, pipe = {**os.environ, "PYTHONPATH": str(ROOT)}, subprocess.PIPE
    return subprocess.Popen(
        command, cwd=references.parent, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def test_scoring_begins_before_the_input_ends(references: Path) -> None:
    with streaming(references) as process:
        assert process.stdin
        assert process.stderr
        assert process.stdout
        for number, item in enumerate(PLANS, 1):
            process.stdin.write(record(item) + "\n")
            process.stdin.flush()
            assert f"{number:>6}  {item.planner} · {item.paper}: match F1" in process.stderr.readline()
            assert not (references.parent / "run").exists()
        process.stdin.close()
        assert "lm/a" in process.stdout.read()
        assert process.wait() == 0
    assert load_run(references.parent / "run").leaderboard["planner"].tolist() == ["lm/a", "lm/b"]


def test_ctrl_c_leaves_nothing(references: Path) -> None:
    with streaming(references) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(record(PLANS[0]) + "\n")
        process.stdin.flush()
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert sorted(path.name for path in references.parent.iterdir()) == ["cache", "gold.json"]


def test_score_many_can_answer_plan_by_plan() -> None:
    asked: list[int] = []

    def work() -> Iterator[tuple[Plan, Plan]]:
        for number in range(3):
            asked.append(number)
            yield PLANS[0], GOLD[0]

    found = Scorer(LEXICAL).score_many(work(), batch=1)
    next(found)
    assert asked == [0]


def numbered(number: int) -> tuple[Plan, Plan]:
    return plan(*([GATE] if number % 2 else [MOMENTUM, GATE]), paper="alpha", planner=f"p{number}"), GOLD[0]


async def gathered(scored: AsyncIterator[ScoredPlan]) -> list[ScoredPlan]:
    return [item async for item in scored]


def test_ascore_many_gives_what_score_many_gives_in_order() -> None:
    scorer, pairs = Scorer(LEXICAL), [numbered(number) for number in range(BATCH + 10)]

    async def slowly() -> AsyncIterator[tuple[Plan, Plan]]:
        for number, pair in enumerate(pairs):
            await asyncio.sleep(0.001 if number % 7 == 0 else 0)
            yield pair

    alone = list(scorer.score_many(pairs))
    assert asyncio.run(gathered(scorer.ascore_many(slowly()))) == alone
    assert asyncio.run(gathered(scorer.ascore_many(pairs))) == alone
    assert asyncio.run(gathered(scorer.ascore_many([]))) == []


def test_ascore_many_scores_before_the_last_plan_and_waits_when_results_are_not_taken() -> None:
    """The plan after a result is asked for while the planner has not made it; far ahead of results none is read."""
    scorer = Scorer(LEXICAL)
    made = 0

    async def without_end() -> AsyncIterator[tuple[Plan, Plan]]:
        nonlocal made
        while True:
            made += 1
            yield numbered(made)

    async def only_one(first: asyncio.Event) -> AsyncIterator[tuple[Plan, Plan]]:
        yield numbered(1)
        await first.wait()
        yield numbered(2)

    async def check() -> None:
        event = asyncio.Event()
        found = []
        async for item in scorer.ascore_many(only_one(event)):
            found.append(item.plan.planner)
            event.set()
        assert found == ["p1", "p2"]
        scored = scorer.ascore_many(without_end())
        for _ in range(3):
            await anext(scored)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert made <= 3 * BATCH
        await scored.aclose()  # type: ignore[attr-defined]
        before = made
        for _ in range(10):
            await asyncio.sleep(0)
        assert made == before

    asyncio.run(check())


def test_what_the_planner_raises_comes_after_what_it_made() -> None:
    async def broken() -> AsyncIterator[tuple[Plan, Plan]]:
        yield numbered(1)
        raise ValueError("the model is gone")

    found: list[str | None] = []

    async def check() -> None:
        async for item in Scorer(LEXICAL).ascore_many(broken()):
            found.append(item.plan.planner)

    with pytest.raises(ValueError, match="the model is gone"):
        asyncio.run(check())
    assert found == ["p1"]
