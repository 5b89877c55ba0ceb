"""One hostile plan takes nobody down: deep, huge and oddly named documents become findings of their own plan."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import few

from evalkit import score
from evalkit.cli import group
from evalkit.errors import EvalkitError, InputError
from evalkit.formats import parse_document
from evalkit.formats.entries import LONGEST_TEXT, MOST_ENTRIES, MOST_ITEMS, MOST_SAMPLES, MOST_WORDS
from evalkit.report.run_page import write_report
from evalkit.scoring.load import read_plans
from evalkit.settings import Settings
from evalkit.storage.runs import load_run
from evalkit.storage.tables import csv_text
from evalkit.types import Document, Plan

ENTRY = {"name": "No gate", "ablated_part": "gate", "action": "REMOVE", "metrics": ["F1"]}
OPENINGS = (
    '{"ablations": "', '{"ablations": [', '{"plan": {', '[{"a":', '{"choices": [{"message": {"content": "', "- ",
    "- - ", "- a: ", "a: [", "[", "{", "<predictions>", "<think>", "> ", "```json\n", "&a [", "? ", "<div>",
    "# a/b\n", "(", "|", "[(", "[ ((", '["a": ', '{"a": (', "(1, ", '["a" "b" ', "{a: ", "--- [",
)  # fmt: skip


def parse(text: str, *, gold: bool = False, format_name: str | None = None) -> tuple[Plan, ...]:
    return parse_document(Document("x", text, "me", "paper"), gold=gold, format_name=format_name)


def codes(plans: tuple[Plan, ...]) -> set[str]:
    return {item.code for plan in plans for item in plan.diagnostics}


@pytest.mark.parametrize(("opening", "times"), [
    *((opening, 40) for opening in OPENINGS),
    *(pytest.param(opening, 1200, marks=[pytest.mark.slow] * ('": "' in opening)) for opening in OPENINGS),
])  # fmt: skip
def test_nothing_is_nested_too_deep_to_be_read(opening: str, times: int) -> None:
    for text in (opening * times, json.dumps(ENTRY) + "\n" + opening * times, opening * times + json.dumps(ENTRY)):
        for format_name in (None, "json", "yaml", "trajectory"):
            parse(text, format_name=format_name)


SWARMS = {
    "samples": json.dumps([{"sample": str(n), "ablations": [ENTRY]} for n in range(1200)]),
    "samples of papers": json.dumps(
        [{"paper": "swin"[: n % 4 + 1], "sample": str(n), "ablations": [ENTRY]} for n in range(1200)]
    ),
    "planners": json.dumps([{"planner": f"p{n}", "ablations": [ENTRY]} for n in range(1200)]),
    "samples of planners": json.dumps(
        [{"planner": f"p{n % 40}", "sample": str(n // 40), "ablations": [ENTRY]} for n in range(1200)]
    ),
    "trajectories": "".join(
        f"# a/b/paper\n<!-- sample: {n} -->\n## Ablation Plan\n### A\n- **Part**: x\n" for n in range(1200)
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", SWARMS.values(), ids=SWARMS.keys())
def test_no_document_brings_a_swarm_of_samples(text: str) -> None:
    """Each would cost a row on every paper of gold where it is lost or missing."""
    plans = parse(text)
    assert len(plans) == MOST_SAMPLES
    assert [item.severity for plan in plans for item in plan.diagnostics if item.code == "too-many"] == ["error"]


def test_many_papers_are_no_swarm() -> None:
    plans = parse(json.dumps([{"paper": f"p{n}", "sample": str(n % 3), "ablations": [ENTRY]} for n in range(3000)]))
    assert len(plans) == 3000
    assert "too-many" not in codes(plans)


def test_texts_inside_texts_end_after_a_few() -> None:
    text = json.dumps([ENTRY])
    for _ in range(8):
        text = json.dumps({"ablations": text})
    assert codes(parse(text)) == {"too-deep", "no-entries"}


@pytest.mark.parametrize("deep", ["[" * 60 + "]" * 60, '{"a":' * 60 + "1" + "}" * 60])
def test_a_value_that_is_too_deep_leaves_its_neighbours(deep: str) -> None:
    first, second = ({**ENTRY, "name": name} for name in ("one", "two"))
    inside = json.dumps({**first, "notes": "HERE"}).replace('"HERE"', deep)
    documents = (
        f"[{inside}, {json.dumps(second)}]",
        f"{inside}\n{json.dumps(second)}\n",
        f"- name: one\n  ablated_part: gate\n  action: REMOVE\n  metrics: [F1]\n  notes: {deep}\n"
        "- name: two\n  ablated_part: gate\n  action: REMOVE\n  metrics: [F1]\n",
    )
    for document in documents:
        (plan,) = parse(document)
        assert [entry.name for entry in plan.ablations] == ["one", "two"]
        assert [item.code for item in plan.diagnostics if item.severity == "error"] == ["too-deep"]


def test_a_list_holds_as_many_entries_as_are_read() -> None:
    entries = [{**ENTRY, "name": f"n{number}"} for number in range(MOST_ENTRIES + 1)]
    (whole,), (cut,) = parse(json.dumps(entries[:-1])), parse(json.dumps(entries))
    assert len(whole.ablations) == len(cut.ablations) == MOST_ENTRIES
    assert "too-many" not in codes((whole,))
    assert [item.severity for item in cut.diagnostics if item.code == "too-many"] == ["error"]


def test_an_entry_holds_as_many_options_metrics_and_characters_as_are_read() -> None:
    many = [str(number) for number in range(MOST_ITEMS + 1)]
    entry = {**ENTRY, "action": "REPLACE", "name": "x" * (LONGEST_TEXT + 1), "replacement": many, "metrics": many}
    (plan,) = parse(json.dumps([entry]))
    (read,) = plan.ablations
    assert (len(read.name), read.replacements, read.metrics) == (LONGEST_TEXT, tuple(many[:-1]), tuple(many[:-1]))
    assert [item.code for item in plan.diagnostics] == ["text-cut", "too-many", "too-many"]


def test_a_list_holds_as_many_words_as_are_read() -> None:
    entries = [{**ENTRY, "name": "word " * 300, "ablated_part": f"p{number}"} for number in range(10)]
    (plan,) = parse(json.dumps(entries))
    assert len(plan.ablations) == MOST_WORDS // 302  # "p0" is two words to the matcher
    assert "too-many" in codes((plan,))


def test_names_of_plans_are_cut() -> None:
    (plan,) = parse(
        json.dumps({"planner": "p" * 1000, "paper": "q" * 1000, "sample": "s" * 1000, "ablations": [ENTRY]})
    )
    assert [len(name or "") for name in (plan.planner, plan.paper, plan.sample)] == [200, 200, 200]
    assert "text-cut" in codes((plan,))


def many(count: int, **fields: object) -> str:
    return json.dumps([{**ENTRY, "name": f"name {number}", **fields} for number in range(count)])


# Each below 1 MB, and each of which took more than a gigabyte once, or asks for it.
HUGE = {
    "4,000 entries": many(4000),
    "200 entries of 800 words": many(200, ablated_part=" ".join(f"w{'abcdefghij'[n % 10]}{n}" for n in range(800))),
    "20,000 options and metrics": many(1, action="REPLACE", replacement=[f"o {n}" for n in range(20_000)],
                                       metrics=[f"m {n}" for n in range(20_000)]),
    "one word": many(1, ablated_part="x" * 900_000),
    "letters and digits": many(1, ablated_part="a1" * 450_000),
    "abbreviations": many(6, name="alpha beta cat delta eps fun", ablated_part="ABCDEF " * 280),
    "a field a line": "".join(f"- name: n{n} x\n  ablated_part: p{n}\n  action: REMOVE\n" for n in range(6_000)),
    "a table": "| name | part |\n|---|---|\n" + "".join(f"| n{n} | p{n} |\n" for n in range(35_000)),
    "papers": json.dumps({f"p{n}": [] for n in range(20_000)}),
}  # fmt: skip
MEGABYTES = 300
MEASURED = """
import resource, sys
from dataclasses import replace
from evalkit import Settings
from evalkit.formats import parse_document
from evalkit.scoring.scorer import Scorer
from evalkit.types import Ablation, Document, Plan
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
gold = Plan("paper", None, tuple(Ablation(f"part {n}", f"the part {n}", None, ("no", "mean")) for n in range(9)))
scorer = Scorer(Settings(matcher="lexical"))
scorer.score(replace(gold, planner="me"), gold)
before = peak()
plans = parse_document(Document("x", sys.stdin.read(), "me", "paper"))
scorer.score(replace(max(plans, key=lambda plan: len(plan.ablations)), paper="paper"), gold)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts in kB on Linux")
@pytest.mark.parametrize("name", few(HUGE, slow=("a field a line", "papers", "a table")))
def test_no_plan_below_a_megabyte_takes_more_than_its_memory(name: str) -> None:
    text = HUGE[name][:1_000_000]
    done = subprocess.run([sys.executable, "-c", MEASURED], input=text, capture_output=True, text=True, check=True)
    assert int(done.stdout) < MEGABYTES


@pytest.fixture
def deep_folder(tmp_path: Path) -> Iterator[Path]:
    """1,020 folders inside each other, with a plan in the last; a Path of this depth could not be removed."""
    place = str(tmp_path)
    for _ in range(1020):
        place += "/d"
        os.mkdir(place)  # noqa: PTH102
    Path(place, "paper.json").write_text(json.dumps([ENTRY]))
    yield tmp_path
    Path(place, "paper.json").unlink()
    os.removedirs(place)


def test_folders_may_be_as_deep_as_the_system_lets_them(deep_folder: Path) -> None:
    (plan,) = read_plans(deep_folder).plans
    assert len(plan.ablations) == 1


# What a file or folder may be called, and what it is called in everything that is written.
NAMES = {
    b"a\xffb": "a\\xffb", b"a\rb": "a\\rb", b"a\nb": "a\\nb", b"=1+1\r": "=1+1\\r", b"\x1b[31mred": "\\x1b[31mred",
    "a\u202eb".encode(): "a\\u202eb", "a\u2028b".encode(): "a\\u2028b", b"a\xed\xb3\xbfb": "a\\xed\\xb3\\xbfb",
    "größe 大".encode(): "größe 大", b"'quoted\"": "'quoted\"", b"[bold]x": "[bold]x",
}  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_any_name_of_a_file_or_folder_makes_a_run_that_can_be_read(form: str, tmp_path: Path) -> None:
    """A planner and a paper have each of these names."""
    gold = tmp_path / "gold"
    gold.mkdir()
    for name in NAMES:
        pred = os.path.join(os.fsencode(tmp_path), b"plans", name)  # noqa: PTH118
        os.makedirs(pred)  # noqa: PTH103
        for place in (os.fsencode(gold), pred):
            with open(os.path.join(place, name + b".json"), "w") as stream:  # noqa: PTH118, PTH123
                json.dump([ENTRY], stream)
    settings = Settings(matcher="lexical", resamples=9)
    run = score(tmp_path / "plans", gold, settings, out=tmp_path / "run", form=form, cache=None)
    again = load_run(tmp_path / "run")
    for one in (run, again):
        assert sorted(one.leaderboard["planner"]) == sorted(NAMES.values())
        assert sorted(set(one.papers["paper"])) == sorted(NAMES.values())
        planned = one.papers[one.papers["status"] == "planned"]
        assert sorted(planned["paper"]) == sorted(NAMES.values())
        assert (planned["planner"] == planned["paper"]).all()
        assert (planned["match_f1"] == 1).all()
    for file in (tmp_path / "run").glob("*.csv"):
        assert b"\r" not in file.read_bytes()
    write_report(again, tmp_path / "page.html")


def test_a_carriage_return_in_a_cell_is_quoted() -> None:
    rows = [["a\rb", 1], ["=c\r", 2.5], ["d\ne", None]]
    text = csv_text(rows)
    assert text == '"a\rb",1\n"\'=c\r",2.5\n"d\ne",\n'
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["a\rb", "1"], ["'=c\r", "2.5"], ["d\ne", ""]]


def named_pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(10 << 30)


def folder(path: Path) -> None:
    path.mkdir()


SPECIAL = (named_pipe, endless, sparse, folder)
READERS = {
    "settings": ("score", "--pred", "plans", "--gold", "gold", "--config", "{}"),
    "calibration": ("score", "--pred", "plans", "--gold", "gold", "--matcher", "lexical", "--calibration", "{}"),
    "labels of a score": ("score", "--pred", "plans", "--gold", "gold", "--matcher", "lexical", "--labels", "{}"),
    "labels of a fit": ("calibrate", "--labels", "{}", "--out", "c.json"),
    "labels of an agreement": ("agree", "--labels", "{}"),
    "judgements": ("score", "--pred", "plans", "--gold", "gold", "--judgements", "{}"),
    "run": ("show", "{}"),
    "compared": ("compare", "{}", "{}"),
    "gate": ("gate", "{}", "{}"),
    "baseline": ("baseline", "set", "{}"),
    "model": ("score", "--pred", "plans", "--gold", "gold", "--model", "{}", "--offline"),
}


@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused_by_name(
    special: Callable[[Path], None], reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("plans", "gold"):
        Path(name).mkdir()
        Path(name, "paper.json").write_text(json.dumps([ENTRY]))
    special(Path("odd.json"))
    words = [word.format("odd.json") for word in READERS[reader]]
    with pytest.raises(EvalkitError, match=r"odd\.json"):
        group(words, standalone_mode=False)


@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("name", ["run.json", "papers.csv", "pairs.csv", "plans.csv", "leaderboard.csv"])
def test_a_run_of_what_is_no_file_is_refused_by_name(
    special: Callable[[Path], None], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = parse(json.dumps([ENTRY]))
    score(plan, plan, Settings(matcher="lexical"), cache=None).save("run")
    Path("run", name).unlink()
    special(Path("run", name))
    with pytest.raises(InputError, match=name):
        load_run("run")


def test_two_documents_are_not_converted_into_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plans").mkdir()
    Path("plans", "x.json").write_text(json.dumps([ENTRY]))
    Path("plans", "x.yaml").write_text("- name: A\n  ablated_part: p\n  action: REMOVE\n")
    with pytest.raises(InputError, match=r"plans/x\.json and plans/x\.yaml: both would be written to out/x\.json"):
        group(["convert", "plans", "out", "--to", "json"], standalone_mode=False)
    assert not Path("out").exists()
