"""What was read is not read again: the same plans, under the names of the document at hand, or none at all."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import evalkit
from evalkit.formats import parse_document
from evalkit.scoring import load
from evalkit.scoring.load import parse_documents, read_plans
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.cache import Store, decode_plans
from evalkit.storage.discovery import documents
from evalkit.storage.files import shipped
from evalkit.types import Document, Plan

ENTRY = '{"name": "No gate", "ablated_part": "gate", "action": "REMOVE"}'
HERE = Path(__file__).parent
OFFLINE = Settings(matcher="lexical", resamples=0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "kept.sqlite")


def refuse(*given: object, **named: object) -> tuple[Plan, ...]:
    raise AssertionError("this text was read before")


def everything(path: str | Path, *, planners: bool) -> list[Document]:
    found = documents(path, planners=planners)
    return [item for item in found if isinstance(item, Document)]


@pytest.mark.parametrize("gold", [False, True])
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("where", ["sample", "references", "data"])
def test_what_is_kept_of_real_and_broken_documents_is_all_that_was_read(
    where: str, strict: bool, gold: bool, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`repr`, because entries and plans are equal without their sources, drafts and what else a document says."""
    top = HERE / where if where == "data" else shipped(where)
    found = everything(top, planners=not gold)
    fresh = [parse_document(document, strict=strict, gold=gold) for document in found]
    assert len(found) > 3
    assert repr(plans_of(found, store, strict=strict, gold=gold)) == repr(fresh)
    monkeypatch.setattr(load, "parse_document", refuse)
    assert repr(plans_of(found, store, strict=strict, gold=gold)) == repr(fresh)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged(), st.sampled_from([None, "", "team/model", "planner"]), st.sampled_from([None, "", "p", "paper"]))
def test_damaged_plans_too(text: str, planner: str | None, paper: str | None) -> None:
    document = Document("a/b.md", text, planner, paper)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder, "kept.sqlite"))
        for _ in range(2):
            assert repr(plans_of([document], store)) == repr([parse_document(document)])
        store.close()


def plans_of(
    documents: Sequence[Document], store: Store, *, strict: bool = False, gold: bool = False
) -> list[tuple[Plan, ...]]:
    """The plans of each document, by way of the cache."""
    contents = parse_documents(documents, store, strict=strict, gold=gold)
    return [decode_plans(c, d.path, d.planner, d.paper) for c, d in zip(contents, documents, strict=True)]


def names(plans: Sequence[Plan]) -> list[tuple[str, str | None, str]]:
    return [(plan.paper, plan.planner, plan.path) for plan in plans]


def test_one_text_is_kept_once_and_read_under_the_names_of_each_place(store: Store) -> None:
    text = f"[{ENTRY}, 7]"
    places = [Document("x/a.json", text, "x", "a"), Document("y/b.json", text, "y", "b")]
    (one,), (other,) = plans_of(places, store)
    assert (store.rows(), names([one, other])) == (1, [("a", "x", "x/a.json"), ("b", "y", "y/b.json")])
    assert {item.path for item in one.diagnostics} == {"x/a.json"}
    assert {item.path for item in other.diagnostics} == {"y/b.json"}
    assert one.diagnostics
    assert one.ablations == other.ablations


@pytest.mark.parametrize("named", ["x", "planner", "paper"])
def test_a_name_that_the_text_says_is_never_taken_for_that_of_the_path(named: str, store: Store) -> None:
    """The text is first met where its path says the same; elsewhere it still says what it says."""
    text = f'{{"paper": "{named}", "planner": "{named}", "ablations": [{ENTRY}]}}'
    for planner, paper in ((named, named), ("y", "b")):
        ((plan,),) = plans_of([Document("p.json", text, planner, paper)], store)
        assert (plan.planner, plan.paper) == (named, named)


def test_what_a_path_leaves_open_is_told_and_nothing_else_is_kept_for_it(store: Store) -> None:
    text = f"[{ENTRY}]"
    ((named,),) = plans_of([Document("p.json", text, "x", "a")], store)
    ((bare,),) = plans_of([Document("p.json", text, None, None)], store)
    message = {item.code for item in bare.diagnostics} - {item.code for item in named.diagnostics}
    assert message == {"no-paper", "no-planner"}
    assert store.rows() == 2


@pytest.mark.parametrize("other", [{"strict": True}, {"gold": True}])
def test_how_a_text_is_read_is_part_of_what_it_is_kept_under(other: dict[str, bool], store: Store) -> None:
    document = Document("p.json", "[{'name': 'No gate', 'ablated_part': 'gate'}]", "x", "a")
    ((loose,),), ((message,),) = plans_of([document], store), plans_of([document], store, **other)
    assert store.rows() == 2
    assert repr(loose) != repr(message)
    assert repr((message,)) == repr(parse_document(document, **other))


def test_other_code_or_another_text_is_read_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    document = Document("p.json", f"[{ENTRY}]", "x", "a")
    plans_of([document], store)
    plans_of([Document("p.json", f"[{ENTRY} ]", "x", "a")], store)
    assert store.rows() == 2
    monkeypatch.setattr(load, "dependencies", lambda *_: "other code")
    plans_of([document], store)
    assert store.rows() == 3


def test_hashed_code_is_all_that_parsing_imports() -> None:
    """What parsing came to use would have to be among it; errors only say what a mistake is called."""
    package = Path(evalkit.__file__).parent
    used = set()
    for name in load.PARSING_CODE:
        for module in sorted((package / name).rglob("*.py")) or [package / f"{name}.py"]:
            for line in module.read_text(encoding="utf-8").splitlines():
                assert not line.strip().startswith(("import evalkit", "from evalkit import")), "would be missed here"
                if line.strip().startswith("from evalkit."):
                    used.add(line.split()[1].split(".")[1])
    assert used - set(load.PARSING_CODE) == {"errors"}


def test_a_very_large_document_is_read_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    document = Document("p.json", f"[{ENTRY}]", "x", "a")
    monkeypatch.setattr(load, "LARGEST_CACHED", len(document.text) - 1)
    assert repr(plans_of([document], store)) == repr([parse_document(document)])
    assert store.rows() == 0
    monkeypatch.setattr(load, "LARGEST_CACHED", len(document.text))
    plans_of([document], store)
    assert store.rows() == 1


def test_a_second_run_reads_neither_plans_nor_gold_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pred, gold = shipped("sample/plans"), shipped("references")
    first = score_run(pred, gold, OFFLINE, cache=store)
    before = score_run(pred, gold, OFFLINE)
    monkeypatch.setattr(load, "parse_document", refuse)
    again = score_run(pred, gold, OFFLINE, cache=store)
    for name in ("leaderboard", "papers", "pairs", "plans", "diagnostics"):
        assert getattr(again, name).equals(getattr(first, name))
        assert getattr(again, name).equals(getattr(before, name))
    with pytest.raises(AssertionError, match="read before"):
        score_run(pred, gold, OFFLINE)


def test_read_plans_takes_a_store_and_says_the_same_with_it(store: Store) -> None:
    for gold, path in ((False, shipped("sample/plans")), (True, shipped("references"))):
        plain = read_plans(path, gold=gold)
        assert repr(read_plans(path, gold=gold, cache=store)) == repr(plain)
        assert repr(read_plans(path, gold=gold, cache=store)) == repr(plain)


def test_names_that_the_settings_give_are_not_kept(store: Store) -> None:
    pred, renaming = shipped("sample/plans"), Settings(planners={"sample-planner/careful": "other"})
    before = {plan.planner for plan in read_plans(pred, cache=store).plans}
    after = {plan.planner for plan in read_plans(pred, renaming, cache=store).plans}
    assert after == before - {"sample-planner/careful"} | {"other"}
    assert {plan.planner for plan in read_plans(pred, cache=store).plans} == before
