"""Reviewer mode: drafts from a review's text, honest about their sentence; not scored until somebody confirms them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import entry, plan
from judge_server import JudgeServer, serving

from evalkit.cli import group
from evalkit.errors import InputError, JudgeError
from evalkit.judges.llm.prompts import InvalidReply
from evalkit.labels.drafts import Decision, DraftSession, confirm
from evalkit.labels.extraction import Review, draft_of, read_entries, read_reviews
from evalkit.scoring.load import read_plans
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings

REVIEW = 'The paper is nice.\nPlease ablate the "gating"  module. I would also replace the loss by L1 and report F1.'
OPEN: dict[str, Any] = {"action": None, "replacement": [], "metrics": []}
SAID: list[dict[str, Any]] = [
    {"quote": 'Please ablate the "gating" module.', "name": "Gating", "ablated_part": "gating module", **OPEN},
    {
        "quote": "I would also replace the loss by L1 and report F1.",
        "name": "Loss",
        "ablated_part": "loss",
        "action": "REPLACE",
        "replacement": ["L1"],
        "metrics": ["F1"],
    },
    {"quote": "Remove the encoder.", "name": "Encoder", "ablated_part": "encoder", **OPEN, "action": "REMOVE"},
]


class Reader(JudgeServer):
    """A server that reads reviews: the third entry it invents."""

    def answers(self, message: str, how: str) -> str:
        entries = [{"x": 1}] if how == "schema" else SAID
        text = json.dumps({"entries": entries})
        return text[:20] if how == "cut" else text


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    folder = tmp_path / "reviews"
    folder.mkdir()
    (folder / "one.jsonl").write_text(
        json.dumps({"paper": "Paper A", "review_text": REVIEW, "num_ablation_suggestions": 3}) + "\n"
    )
    (folder / "paper-b.txt").write_text(REVIEW)
    return folder


def extract(reviews: Path, out: Path, url: str, *more: str) -> Any:
    cache = str(out.parent / "cache")
    words = ["gold", "extract", str(reviews), "--out", str(out), "--judge", "m", "--judge-url", url, "--cache", cache]
    return CliRunner().invoke(group, [*words, *more], catch_exceptions=False)


@pytest.mark.parametrize(
    ("quote", "stands"),
    [
        ("Remove the encoder.", True), ("please  ABLATE the “gating” module", True),
        ("...", False), ("e", False), ("the", False), ("the enc", False), ("move the encoder", False),
        ("1 2 3 4 5 6 7 8 9", False), ("Remove the decoder.", False), ("the encoder", False), ("a b c", False),
    ],
)  # fmt: skip
def test_a_quote_is_a_passage_of_several_words(quote: str, stands: bool) -> None:
    text = "Please ablate the “gating” module. Remove the encoder. 1 2 3 4 5 6 7 8 9 a b c"
    reply = json.dumps({"entries": [{**SAID[0], "quote": quote}]})
    draft = draft_of(Review("p", text), reply)
    assert (len(draft.entries), draft.invented) == ((1, 0) if stands else (0, 1))


def test_a_review_becomes_a_draft_with_its_sentences(reviews: Path, tmp_path: Path) -> None:
    server = Reader(["schema"])
    with serving(server) as url:
        done = extract(reviews, tmp_path / "gold", url)
        again = extract(reviews, tmp_path / "gold", url, "--force")
    assert done.exit_code == 0, done.output
    assert "Paper A: 2 draft entries, 3 are known to be suggested; 1 left out whose sentence is not in the review" in (
        done.output
    )
    assert len(server.log) == 3  # two reviews, one of them asked again; nothing the second time
    assert "asked just now: 0 calls" in again.output
    tree = json.loads((tmp_path / "gold" / "paper-a.json").read_text())
    assert (tree["paper"], tree["num_ablation_suggestions"], tree["extracted_by"]) == ("Paper A", 3, "m")
    # What the reviewer left open is left out.
    assert tree["ablations"][0] == {
        "name": "Gating", "ablated_part": "gating module", "source": 'Please ablate the "gating" module.', "draft": True
    }  # fmt: skip
    assert tree["ablations"][1]["replacement"] == ["L1"]
    assert "gating" not in server.log[0]["messages"][0]["content"]
    data = server.log[0]["messages"][1]["content"]
    assert json.dumps(REVIEW) in data
    assert {path.name for path in (tmp_path / "gold").iterdir()} == {"paper-a.json", "paper-b.json"}


def test_a_reply_that_never_fits_is_no_draft(reviews: Path, tmp_path: Path) -> None:
    told = "no review was answered; the first: unfit: an entry has other fields"
    with serving(Reader(always="schema")) as url, pytest.raises(JudgeError, match=told):
        extract(reviews, tmp_path / "gold", url)
    assert not (tmp_path / "gold").exists()
    (reviews / "paper-c.txt").write_text(REVIEW + " Once more.")
    with serving(Reader(["cut"] * 2, always="ok")) as url:
        (tmp_path / "one.toml").write_text("[judge]\nconcurrency = 1\n")
        done = extract(reviews, tmp_path / "gold", url, "--config", str(tmp_path / "one.toml"))
    assert "Paper A: no draft (unfit: the reply is cut off; `max_tokens`" in " ".join(done.output.split())


PLAN = [{"name": "No gating", "ablated_part": "gating module", "action": "REMOVE", "metrics": ["accuracy"]}]


@pytest.fixture
def project(reviews: Path, tmp_path: Path) -> Path:
    with serving(Reader()) as url:
        extract(reviews, tmp_path / "gold", url)
    (tmp_path / "plans" / "a").mkdir(parents=True)
    for name in ("paper-a", "paper-b"):
        (tmp_path / "plans" / "a" / f"{name}.json").write_text(json.dumps(PLAN))
    return tmp_path


def test_drafts_score_only_when_allowed_and_marked(project: Path) -> None:
    settings = Settings(matcher="lexical", resamples=0)
    with pytest.raises(InputError, match="is a draft and not scored"):
        score_run(project / "plans", project / "gold", settings)
    allowed = settings.with_options({"allow_drafts": True})
    run = score_run(project / "plans", project / "gold", allowed)
    assert "gold of 2 of 2 papers is a draft that nobody has confirmed" in run.meta["warnings"]
    assert set(run.diagnostics["code"]) == {"draft"}
    assert allowed.digest != settings.digest
    # The open action agrees with REMOVE: one of two gold entries matches, and the plan's only entry.
    assert run.leaderboard.iloc[0]["match_recall"] == 0.5


@pytest.mark.parametrize("form", ["json", "jsonl", "yaml", "trajectory"])
@pytest.mark.parametrize("words", [["--gold"], []])
def test_a_draft_stays_a_draft_in_every_format(project: Path, form: str, words: list[str]) -> None:
    done = CliRunner().invoke(
        group, ["convert", str(project / "gold"), str(project / "other"), "--to", form, *words], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    gold = read_plans(project / "other", gold=True)
    assert [entry.draft for plan in gold.plans for entry in plan.ablations] == [True] * 4
    with pytest.raises(InputError, match="is a draft and not scored"):
        score_run(project / "plans", project / "other", Settings(matcher="lexical", resamples=0))


@pytest.mark.parametrize("form", ["json", "jsonl", "yaml"])
def test_a_draft_keeps_sentences_and_review_where_possible(project: Path, form: str) -> None:
    for source, target, name in (("gold", "other", form), ("other", "again", "json")):
        call = ["convert", str(project / source), str(project / target), "--to", name, "--gold"]
        assert CliRunner().invoke(group, call, catch_exceptions=False).exit_code == 0
    paths = sorted((project / "gold").iterdir())
    assert len(paths) == 2
    for path in paths:
        before, after = (json.loads((project / folder / path.name).read_text()) for folder in ("gold", "again"))
        assert all(item["source"] for item in before["ablations"])
        assert before["review_text"]
        assert after == before


def test_a_shipped_reference_keeps_where_it_comes_from(tmp_path: Path) -> None:
    shipped = Path(__file__).resolve().parent.parent / "references" / "swin-transformer.json"
    call = ["convert", str(shipped), str(tmp_path), "--to", "yaml", "--gold"]
    assert CliRunner().invoke(group, call, catch_exceptions=False).exit_code == 0
    (gold,) = read_plans(tmp_path, gold=True).plans
    before = json.loads(shipped.read_text())
    assert dict(gold.about) == {name: before[name] for name in ("title", "source", "confidence")}


def test_texts_beside_entries_move_no_number(tmp_path: Path) -> None:
    gate, settings = {"name": "Gate", "ablated_part": "gate"}, Settings(matcher="lexical", resamples=0, strict=True)
    runs = []
    for name, beside in (("bare", {}), ("full", {"source": "Remove it.\u0007 \u00ce\u00bb"})):
        tree = {
            "paper": "x",
            "ablations": [gate | beside],
            **beside,
            **({"title": 3, "review_text": []} if beside else {}),
        }
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.json").write_text(json.dumps(tree))
        runs.append(score_run([plan(entry("gate"), paper="x")], tmp_path / name, settings))
    assert runs[0].signature == runs[1].signature
    assert [run.diagnostics.empty for run in runs] == [True, True]


def test_a_mark_that_says_no_is_no_draft(tmp_path: Path) -> None:
    entries = [{"name": f"{value}", "draft": value} for value in (False, "no", None, True, "yes", "true")]
    (tmp_path / "paper.json").write_text(json.dumps(entries))
    found = read_plans(tmp_path, gold=True).plans[0].ablations
    assert [entry.name for entry in found if entry.draft] == ["True", "yes", "true"]


def test_confirmed_entries_score(project: Path) -> None:
    decisions = iter(["keep", "drop", "later"])
    assert confirm(project / "gold", lambda *_: next(decisions, "stop")) == (1, 1, 2)  # type: ignore[arg-type]
    tree = json.loads((project / "gold" / "paper-a.json").read_text())
    assert [entry["name"] for entry in tree["ablations"]] == ["Gating"]
    assert "draft" not in tree["ablations"][0]
    run = score_run(project / "plans", project / "gold", Settings(matcher="lexical", resamples=0))
    assert run.papers["paper"].tolist() == ["Paper A"]
    assert (run.diagnostics["code"] == "draft-gold").sum() == 1
    done = CliRunner().invoke(group, ["gold", "confirm", str(project / "gold" / "paper-b.json")], input="k\nq\n")
    assert "1 kept, 0 dropped, 1 still drafts" in done.output
    assert "source: Please ablate" in done.output
    CliRunner().invoke(group, ["gold", "confirm", str(project / "gold"), "--all"])
    assert not read_plans(project / "gold", gold=True).diagnostics


def test_two_who_decide_on_one_file_lose_no_decision(tmp_path: Path) -> None:
    """Whoever comes second is refused before the file is written, on the page and in the terminal."""
    path = tmp_path / "a.json"
    entries = [{"name": name, "ablated_part": name, "draft": True} for name in ("one", "two")]
    path.write_text(json.dumps({"paper": "a", "ablations": entries}))
    first, second = DraftSession(str(path)), DraftSession(str(path))
    keys = [item.key for item in first.items]
    first.answer(keys[:1], "match")
    written = path.read_text()
    with pytest.raises(InputError, match="was changed by somebody else"):
        second.answer(keys[1:], "different")
    assert path.read_text() == written
    assert (second.view()["answered"], second.view()["can_undo"]) == (0, False)

    def ask(paper: str, one: dict[str, Any]) -> Decision:
        first.undo()
        return "keep"

    with pytest.raises(InputError, match="was changed by somebody else"):
        confirm(path, ask)
    assert [one.get("draft") for one in json.loads(path.read_text())["ablations"]] == [True, True]


def test_a_review_in_place_of_gold_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"paper": "x", "review_text": REVIEW}))
    reading = read_plans(tmp_path, gold=True)
    assert {item.code for item in reading.diagnostics} == {"review-text", "no-entries"}
    assert reading.plans[0].paper == "x"


def test_what_is_no_review_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"paper": "x"}')
    with pytest.raises(InputError, match="no review found"):
        read_reviews(tmp_path)
    (tmp_path / "x.txt").write_text("good")
    (tmp_path / "x.md").write_text("good")
    with pytest.raises(InputError, match="more than one review"):
        read_reviews(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"quote": ""}, {"name": 3}, {"action": "DROP"}, {"replacement": "none"}, {"metrics": [1]}, {"more": 1}],
)
def test_entries_that_do_not_fit(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidReply):
        read_entries(json.dumps({"entries": [{**SAID[0], **change}]}))
