"""Pairing: gold owns the denominator, names meet after normalising, nothing vanishes."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest
from conftest import entry, gold, plan

from evalkit.metrics.counts import score_paper
from evalkit.scoring.load import plan_ref
from evalkit.scoring.pair import (
    PlanRef,
    Task,
    as_sample,
    decode_plan,
    gold_by_paper,
    missing_plan,
    paired,
    plans_by_paper,
)
from evalkit.settings import Settings, content_digest
from evalkit.storage.cache import encode_plans
from evalkit.types import Ablation, Action, Alignment, Diagnostic, Document, Plan, Portable, Severity

ONE = entry("a")


def refs(*plans: Plan) -> list[PlanRef]:
    return [plan_ref(plan, Settings()) for plan in plans]


def work(golds: list[Plan], plans: list[Plan], **settings: object) -> list[tuple[str, str, bool]]:
    """Planner, paper, and whether there is a plan with entries."""
    known, _ = gold_by_paper(golds)
    table, _ = plans_by_paper(refs(*plans), known)
    pairs = paired(known, table, Settings().with_options(settings))
    return [(ref.planner or "", gold.paper, bool(ref.digest)) for gold, ref in pairs]


def test_every_gold_paper_counts_for_every_planner() -> None:
    golds = [gold(ONE, paper="x"), gold(ONE, paper="y")]
    plans = [plan(ONE, paper="x", planner="a"), plan(ONE, ONE, paper="y", planner="b")]
    assert work(golds, plans) == [("a", "x", True), ("a", "y", False), ("b", "x", False), ("b", "y", True)]


def test_skipping_leaves_out_what_has_no_entries() -> None:
    golds = [gold(ONE, paper="x"), gold(ONE, paper="y")]
    plans = [plan(ONE, paper="x", planner="a"), plan(paper="y", planner="a")]
    assert work(golds, plans, missing="skip") == [("a", "x", True)]


def test_top_k_cuts_the_plan_in_the_worker() -> None:
    planned = plan(ONE, entry("b"), entry("c"), paper="x", planner="a")
    ref = plan_ref(planned, Settings(top_k=2))
    task = Task(encode_plans([gold(ONE, paper="x")]), "", encode_plans([planned]), ref)
    assert task.decode(2) == (gold(ONE, paper="x"), plan(ONE, entry("b"), paper="x", planner="a"))
    assert ref.scored_digest == content_digest([ONE, entry("b")])
    assert ref.digest == content_digest(planned.ablations)


@pytest.mark.parametrize("name", ["swin_transformer", "Swin--Transformer", "SWIN TRANSFORMER", "swin__transformer"])
def test_paper_ids_meet_after_normalising(name: str) -> None:
    planned = plan(ONE, paper=name, planner="a")
    assert work([gold(ONE, paper="Swin-Transformer")], [planned]) == [("a", "Swin-Transformer", True)]


def test_a_paper_that_gold_does_not_know_is_told_with_the_nearest() -> None:
    known, _ = gold_by_paper([gold(ONE, paper="swin-transformer"), gold(ONE, paper="mezo")])
    table, expected = plans_by_paper(refs(plan(ONE, paper="swin-transformers", planner="a")), known)
    assert table == {"a": {}}
    assert [(item.severity, item.code) for item in expected] == [("warning", "unknown-paper")]
    assert expected[0].message.endswith("nearest: swin-transformer")


def test_two_plans_for_one_paper_are_one_and_an_error_unless_they_are_samples() -> None:
    known, _ = gold_by_paper([gold(ONE, paper="x")])
    twins = [plan(ONE, paper="x", planner="a"), plan(ONE, ONE, paper="X", planner="a")]
    table, expected = plans_by_paper(refs(*twins), known)
    assert table["a"]["x"] == refs(twins[0])
    assert [item.code for item in expected] == ["duplicate-plan"]
    samples = [plan(ONE, paper="x", planner="a", sample="1"), plan(ONE, paper="x", planner="a", sample="2")]
    table, expected = plans_by_paper(refs(*samples), known)
    assert (len(table["a"]["x"]), expected) == (2, [])


def test_gold_without_entries_and_gold_given_twice() -> None:
    known, expected = gold_by_paper([gold(paper="x"), gold(ONE, paper="y"), gold(ONE, ONE, paper="Y")])
    assert {key: len(item.ablations) for key, item in known.items()} == {"y": 1}
    assert [item.code for item in expected] == ["no-gold", "duplicate-gold"]


def test_a_plan_that_was_read_twice_does_no_harm_when_it_says_the_same_or_nothing() -> None:
    answer, empty = plan(entry("a")), plan()
    for given in ([answer, answer], [answer, empty], [empty, answer]):
        table, problems = plans_by_paper(refs(*given), {"paper": gold(entry("a"))})
        assert table["planner"]["paper"] == refs(answer)
        assert [item.code for item in problems] == ["repeats"]


@pytest.mark.parametrize(
    ("paper", "path", "known", "becomes"),
    [
        ("swin.1", "p/swin.1.md", "swin", ("swin", "1")),
        ("Swin.12", "p/Swin.12.json", "swin", ("swin", "12")),
        ("swin", "p/swin.2.md", "swin", ("swin", "2")),  # the heading says the paper, the name which sample
        ("v1.5", "p/v1.5.md", "v1.5", ("v1.5", "")),  # gold knows the name as it stands
        ("v1.5", "p/v1.5.md", "v2", ("v1.5", "")),  # nobody knows it: an unknown paper, not a sample
        ("swin", "p/swin.md", "swin", ("swin", "")),
        ("swin", "p/other.2.md", "swin", ("swin", "")),
        ("swin.a", "p/swin.a.md", "swin", ("swin.a", "")),
        ("swin.3", "", "swin", ("swin", "3")),  # no file: a plan given from Python
    ],
)
def test_a_number_behind_a_known_paper_is_a_sample(paper: str, path: str, known: str, becomes: tuple[str, str]) -> None:
    golds, _ = gold_by_paper([gold(ONE, paper=known)])
    found = as_sample(PlanRef(paper, "p", path=path), golds)
    assert (found.paper, found.sample) == becomes


def test_numbered_files_are_samples_of_one_paper_and_a_note_says_so() -> None:
    known, _ = gold_by_paper([gold(ONE, paper="swin")])
    table, problems = plans_by_paper(
        [PlanRef(f"swin.{n}", "p", path=f"p/swin.{n}.md", digest="d") for n in (1, 2, 3)], known
    )
    assert [(item.paper, item.sample) for item in table["p"]["swin"]] == [("swin", "1"), ("swin", "2"), ("swin", "3")]
    assert [(item.severity, item.code) for item in problems] == [("note", "sample-in-name")] * 3


def at(path: str, *entries: Ablation, paper: str = "x", planner: str | None = "a") -> Plan:
    """A plan that was read from a file."""
    return Plan(paper, planner, entries, path=path)


def test_what_is_said_of_gold_that_is_not_used() -> None:
    golds = [at("g/x.json", ONE), at("g/X.md", entry("b")), at("g/y.json", paper="y")]
    assert gold_by_paper(golds)[1] == [
        Diagnostic("error", "duplicate-gold", "gold for 'x' was read from g/x.json; this one is not used", "g/X.md"),
        Diagnostic(
            "error", "no-gold", "expected gold entries for 'y', found none; the paper is not scored", "g/y.json"
        ),
    ]


@pytest.mark.parametrize(
    ("second", "severity", "code", "more"),
    [
        ((ONE,), "note", "repeats", "; it says the same"),
        ((), "note", "repeats", "; it says nothing"),
    ],
)
def test_what_is_said_of_a_plan_that_was_read_already(
    second: tuple[Ablation, ...], severity: Severity, code: str, more: str
) -> None:
    _, problems = plans_by_paper(refs(at("a/x.json", ONE), at("a/x.md", *second)), {"x": gold(ONE, paper="x")})
    answer = f"a plan of 'a' for 'x' was read from a/x.json as well; this one is not used{more}"
    assert problems == [Diagnostic(severity, code, answer, "a/x.md")]


def test_two_files_of_equal_right_that_differ_are_both_refused_and_named() -> None:
    known = {"x": gold(ONE, paper="x")}
    plans = [at("a/x.json", ONE), at("a/x.md", entry("b")), at("a/x.yaml", ONE)]
    table, problems = plans_by_paper(refs(*plans), known)
    assert [ref.digest for ref in table["a"]["x"]] == [""]
    assert [(item.severity, item.code, item.path) for item in problems] == [
        ("error", "duplicate-plan", path) for path in ("a/x.json", "a/x.md", "a/x.yaml")
    ]
    named = ("a/x.md", "a/x.json", "a/x.md")
    assert all(
        f"read from {path} as well; neither is used" in item.message for path, item in zip(named, problems, strict=True)
    )
    ((reference, ref),) = paired(known, table, Settings())
    nothing = Alignment((), (0,), ())
    assert score_paper(reference, decode_plan(None, ref), nothing, (nothing, nothing)).status == "unreadable"


def test_the_gold_list_whose_file_is_called_after_its_paper_counts() -> None:
    found, problems = gold_by_paper([at("g/a.json", ONE), at("g/x.json", entry("b")), at("g/z.json", entry("c"))])
    assert found["x"].path == "g/x.json"
    assert [(item.code, item.path) for item in problems] == [
        ("duplicate-gold", path) for path in ("g/a.json", "g/z.json")
    ]


def test_what_is_said_of_a_sample_and_of_a_missing_plan() -> None:
    known = {"x": gold(ONE, paper="X"), "y": gold(ONE, paper="y")}
    table, problems = plans_by_paper(refs(at("a/x.3.json", ONE, paper="x.3")), known)
    answer = "read as sample '3' of 'X', because gold knows no paper 'x.3'"
    assert problems == [Diagnostic("note", "sample-in-name", answer, "a/x.3.json")]
    missing = [ref for _, ref in paired(known, table, Settings()) if not ref.digest]
    answer = "'a' has no plan for 'y'; it counts as an empty plan"
    assert missing == [PlanRef("y", "a", diagnostics=(Diagnostic("warning", "missing-plan", answer),))]
    assert missing == [missing_plan("y", "a")]


@pytest.mark.parametrize(
    ("given", "setting", "lost"),
    [
        ({"x": ["1", "2", "3"], "y": ["1", "3"]}, None, {"y": ["2"]}),
        ({"x": ["1", "2", "10"], "y": ["10"]}, None, {"y": ["1", "2"]}),  # by number, not by letters
        ({"x": ["a", "b"], "y": ["b"]}, None, {"y": ["a"]}),
        ({"x": ["u", "v"], "y": ["w"]}, None, {"y": ["1"]}),  # no names in common: no other paper's is taken
        ({"x": ["", "1"], "y": [""]}, None, {"y": ["1"]}),
        ({"x": ["1"], "y": ["2"]}, None, {}),
        ({"x": ["1", "2"], "y": ["1"]}, 1, {}),  # one was meant; the second counts nevertheless
        ({"x": ["1", "2"], "y": ["1"]}, 3, {"x": ["3"], "y": ["2", "3"]}),
        ({"x": ["1", "2"]}, None, {}),  # y is missing as a whole: one empty plan
    ],
)
def test_lost_samples_are_empty_plans(
    given: dict[str, list[str]], setting: int | None, lost: dict[str, list[str]]
) -> None:
    golds = [gold(ONE, paper="x"), gold(ONE, paper="y")]
    plans = [plan(ONE, paper=paper, planner="a", sample=name) for paper, names in given.items() for name in names]
    other = [plan(ONE, paper=paper, planner="b") for paper in "xy"]  # has its own number of samples
    known, _ = gold_by_paper(golds)
    table, _ = plans_by_paper(refs(*plans, *other), known)
    found: dict[str, list[str]] = {}
    for _, ref in paired(known, table, Settings(samples=setting)):
        if ref.planner == "a" and any(item.code == "lost-sample" for item in ref.diagnostics):
            assert (ref.digest, ref.place) == ("", None)
            found.setdefault(ref.paper, []).append(ref.sample)
    assert found == lost
    assert not [ref for _, ref in paired(known, table, Settings(samples=setting, missing="skip")) if not ref.digest]


def test_what_is_said_of_a_lost_sample() -> None:
    known = {"x": gold(ONE, paper="X"), "y": gold(ONE, paper="y")}
    plans = [plan(ONE, paper=paper, planner="a", sample=name) for paper, name in (("x", "1"), ("x", "2"), ("y", "2"))]
    table, _ = plans_by_paper(refs(*plans), known)
    (lost,) = (ref for _, ref in paired(known, table, Settings()) if not ref.digest)
    answer = "'a' has 1 of 2 samples for 'y'; sample '1' counts as an empty plan"
    assert lost == PlanRef("y", "a", "1", diagnostics=(Diagnostic("warning", "lost-sample", answer),))
    assert decode_plan(None, lost) == Plan("y", "a", (), lost.diagnostics, sample="1")


def test_at_most_three_papers_of_similar_names_are_told() -> None:
    """From 60 of 100 on, by the share of letters that need not change; "abcde" and "abxyz" share 2 of 5, 40."""
    known = {name: gold(ONE, paper=name.upper()) for name in ("abcde1", "abcde2", "abcde3", "abcde4", "zzzzz")}
    _, problems = plans_by_paper(refs(at("a/p.md", ONE, paper="abcde"), at("a/q.md", ONE, paper="qqqqq")), known)
    answer = "gold does not know the paper {!r}; the plan is not scored"
    assert problems == [
        Diagnostic("warning", "unknown-paper", f"{answer.format('abcde')}; nearest: ABCDE1, ABCDE2, ABCDE3", "a/p.md"),
        Diagnostic("warning", "unknown-paper", answer.format("qqqqq"), "a/q.md"),
    ]


def test_a_name_that_shares_three_letters_of_five_is_near_enough() -> None:
    """abcXY against abcde: 2 * 3 / 10 = 60 of 100; a set of words would not see it."""
    _, problems = plans_by_paper(refs(at("a/p.md", ONE, paper="abcXY")), {"abcde": gold(ONE, paper="abcde")})
    assert problems[0].message.endswith("nearest: abcde")


def test_a_file_called_like_a_sample_of_another_paper_is_left_alone() -> None:
    """The document says that it is about z; that its file is called x.2 does not make it a sample of x."""
    known = {"x": gold(ONE, paper="x"), "z": gold(ONE, paper="z")}
    for paper in ("z", "unknown"):
        (given,) = refs(at("a/x.2.json", ONE, paper=paper))
        assert as_sample(given, known) == given


def test_a_planner_without_a_name_has_none() -> None:
    table, _ = plans_by_paper(refs(at("x.json", ONE, planner=None)), {"x": gold(ONE, paper="x")})
    assert list(table) == [""]


def test_a_plan_comes_back_from_its_bytes() -> None:
    planned = at("a/x.json", ONE, entry("b", "REPLACE", ["none"], ["F1"]))
    assert decode_plan(encode_plans([planned]), plan_ref(planned, Settings())) == planned


def test_a_name_inside_a_longer_one_is_not_near() -> None:
    """gate against xxxxgatexxxx: 2 * 4 / 16 = 50 of 100, however well the shorter one fits into the longer."""
    _, problems = plans_by_paper(
        refs(at("a/p.md", ONE, paper="gate")), {"xxxxgatexxxx": gold(ONE, paper="xxxxgatexxxx")}
    )
    assert "nearest" not in problems[0].message


@pytest.mark.parametrize(
    "record",
    [
        Ablation("n", "p", Action.ADD, ("a", "b"), ("m",), draft=True, source="A sentence."),
        Diagnostic("note", "code", "message", "path", 7),
        Document("a/b.md", "text", None, "b"),
        Plan("p", None, (ONE,), (Diagnostic("error", "c", "m"),), "path", "trace", "2", (("title", "T"),)),
        PlanRef("p", "q", "3", "path", "1", "2", (Diagnostic("note", "c", "m"),), (4, 5)),
    ],
)
def test_a_record_comes_out_of_a_pickle_whole_and_cannot_be_changed(record: Portable) -> None:
    """Whole: also in what does not count when entries or plans are compared. `repr` shows every field."""
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        found = pickle.loads(pickle.dumps(record, protocol))
        assert type(found) is type(record)
        assert repr(found) == repr(record)
    assert repr(copy.deepcopy(record)) == repr(record)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(found, dataclasses.fields(found)[0].name, "another")


def test_every_record_that_travels_has_its_fields_for_slots() -> None:
    """What `Portable` packs are the slots; a record with inherited fields would lose them."""
    kinds = [kind for kind in Portable.__subclasses__() if "__slots__" in vars(kind)]  # dataclasses make each twice
    assert {Ablation, Diagnostic, Document, Plan, PlanRef, Task} <= set(kinds)
    for kind in kinds:
        assert kind.__slots__ == tuple(field.name for field in dataclasses.fields(kind))
