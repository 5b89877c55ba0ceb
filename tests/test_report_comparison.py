"""The page of two runs: what was lost and gained, how sure that is, both alignments, and nothing hostile acts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import entry, gold
from made_runs import QUICK, hostile_run, planned, small_run
from test_corrected_comparison import BOTH, FIRST, scored
from test_report import HARMLESS, Elements

from evalkit.cli import group
from evalkit.comparison import compare, snapshot_of
from evalkit.scoring.pipeline import score_run
from evalkit.storage.runs import Run

compared = pytest.importorskip("evalkit.report.comparison_page")
pytest.importorskip("vl_convert", reason="needs the extra report")


def run_of(second: str) -> Run:
    """One planner on two papers; its second entry for alpha is what the argument says."""
    lists = [
        gold(entry("shifted window attention"), entry("relative position bias"), paper="alpha"),
        gold(entry("momentum encoder"), paper="beta"),
    ]
    plans = [
        planned("alpha", "lm/one", entry("shifted window attention"), entry(second)),
        planned("beta", "lm/one", entry("momentum encoder")),
    ]
    return score_run(plans, lists, QUICK)


BASE, NEW = run_of("relative position bias"), run_of("optimiser warmup length")


def part(text: str, name: str) -> Any:
    return json.loads(re.search(rf'id="{name}">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]


@pytest.fixture(scope="module")
def page() -> str:
    return str(compared.comparison_page({"old": BASE, "new": NEW}, "data", False).text)


def test_what_was_lost_stands_first(page: str) -> None:
    """One of alpha's two entries is lost: F1 there 1 -> 0.5, so the mean over two papers falls by 0.25."""
    assert "Gold entries: 1 lost, 0 gained" in page
    assert re.search(r"▼ lost</td>\s*<td><a[^>]*><bdi>relative position bias", page)
    assert "<b>−0.250</b>" in page


def test_the_browser_has_both_alignments(page: str) -> None:
    index = part(page, "index")
    assert index["compared"] == {"base": "old", "new": "new"}
    (alpha, beta) = sorted(index["rows"])
    assert (alpha[3][0], alpha[5]) == (0.5, 1.0)
    assert (beta[3][0], beta[5]) == (1.0, 1.0)
    assert alpha[4][-2:] == [0, 1]
    document = part(page, "paper-0")
    assert [name for name, *_ in document["plans"][0]["entries"]][1] == "optimiser warmup length"
    assert [name for name, *_ in document["base"]["plans"][0]["entries"]][1] == "relative position bias"
    assert document["moved"] == {"0": [["relative position bias", "relative position bias", "lost"]]}


def test_a_run_against_itself_has_nothing_to_show() -> None:
    text = compared.comparison_page({"a": BASE, "b": BASE}, "data", False).text
    assert "No gold entry is matched more or less than before." in text
    assert "Nothing moved" in text
    assert "no change" in text


def named(run: Run, planner: str) -> Run:
    """The run with its one planner under another name."""
    tables = ("leaderboard", "papers", "pairs", "plans")
    return run.replace(**{name: getattr(run, name).assign(planner=planner) for name in tables})


@pytest.fixture(scope="module")
def labelled() -> dict[str, Run]:
    """The matcher sees one of two entries in both runs; by the labels the old one has both."""
    return {"old": scored("balance parameter", BOTH), "new": scored("coffee machine", FIRST)}


def test_corrected_changes_stand_beside_the_matchers(labelled: dict[str, Run]) -> None:
    text = str(compared.comparison_page(labelled, "data", False).text)
    assert "+0.000 [+0.000, +0.000]: no change. Corrected by labels: -0.500 [-0.500, -0.500], worse." in text
    table = re.search(r'<h3 id="corrected-title">Corrected by labels</h3>.*?</table>', text, re.DOTALL)[0]  # type: ignore[index]
    assert "The 95% interval decides" in table
    head, row = (
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", part) for part in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    )
    cells = [re.sub(r"<svg.*</svg>", "", cell) for cell in row]
    assert [re.sub("<[^>]*>", "", cell) for cell in head] == [
        "Planner", "Labelled", "Base", "New", "Difference", "interval around no change", "Verdict", "Could see"
    ]  # fmt: skip
    assert [re.sub("<[^>]*>", "", cell) for cell in cells] == [
        "a", "12", "1.000", "0.500", "−0.500 [−0.500, −0.500]", "", "worse", "–"
    ]  # fmt: skip
    assert row[5].count("<circle") == 1


def test_labels_of_one_side_correct_nothing(page: str, labelled: dict[str, Run]) -> None:
    plain = labelled["old"].replace(papers=labelled["old"].papers.drop(columns="labelled"))
    half = compared.comparison_page({"old": plain, "new": labelled["new"]}, "data", False).text
    assert all("Corrected by labels" not in text and 'id="corrected"' not in text for text in (page, half))


def test_a_hostile_planner_is_corrected_as_any_other(labelled: dict[str, Run]) -> None:
    evil = '"><img src=x onerror=alert(1)></td><script>alert(2)</script>{{7*7}}'
    pair = {name: named(run, evil) for name, run in labelled.items()}
    text = str(compared.comparison_page(pair, "data", False).text)
    table = text[text.index('<h3 id="corrected-title">') :]
    assert "<bdi>&#34;&gt;&lt;img src=x onerror" in table[: table.index("</table>")]
    found = Elements(text).found
    assert {tag for tag, _ in found} <= set(HARMLESS.split())
    assert not [name for _, attrs in found for name in attrs if name.startswith("on")]
    assert "{{7*7}}" in table


def test_hostile_runs_can_be_compared() -> None:
    run = hostile_run()
    fewer = run.replace(papers=run.papers.assign(match_gold=0.0, match_plan=0.0, match_f1=0.0))
    text = compared.comparison_page({"<script>a": run, "</title>b": fewer}, "data", False).text
    found = Elements(text).found
    assert {tag for tag, _ in found} <= set(HARMLESS.split())
    assert not [name for _, attrs in found for name in attrs if name.startswith("on") or name == "style"]


def test_the_command_compares_two_runs(tmp_path: Path) -> None:
    for name, run in (("old", BASE), ("new", NEW), ("other", small_run())):
        run.save(tmp_path / name)
    out = str(tmp_path / "page.html")
    done = CliRunner().invoke(group, ["report", str(tmp_path / "old"), str(tmp_path / "new"), "--out", out])
    assert done.exit_code == 0, done.output
    assert "<title>new against old" in Path(out).read_text(encoding="utf-8")
    done = CliRunner().invoke(group, ["report", str(tmp_path / "old"), str(tmp_path / "other"), "--out", out])
    assert "differ in more than their plans: gold" in str(done.exception)
    assert "no run there" in str(CliRunner().invoke(group, ["report", "a", "b", "c"]).exception)


def test_a_notebook_shows_a_comparison() -> None:
    found = compare(snapshot_of(BASE, "old"), snapshot_of(NEW, "new"))
    assert "Gold entries: 1 lost, 0 gained." in found._repr_html_()
    assert found.chart("papers").to_dict()["layer"]
    hostile = compare(snapshot_of(hostile_run(), "a"), snapshot_of(hostile_run(), "b"), figures=())
    assert "<script" not in hostile._repr_html_()


def test_what_moved_beside_the_headline_is_named() -> None:
    """Six papers of two entries; new proposes both on one and the first on five: recall falls, precision stays."""
    parts = ("shifted window attention", "momentum encoder")
    lists = [gold(*map(entry, parts), paper=f"p{number}") for number in range(6)]
    runs = {
        name: score_run(
            [planned(f"p{number}", "lm/one", *map(entry, parts[: 2 if number < both else 1])) for number in range(6)],
            lists,
            QUICK,
        )
        for name, both in (("old", 6), ("new", 1))
    }
    text = str(compared.comparison_page(runs, "data", False).text)
    sentence = re.search(r"Other figures whose interval leaves out 0 \(exploratory\): ([^<]*)\.</p>", text)
    assert sentence
    moved = sentence[1].split(", ")
    assert "R down" in moved
    assert not any(name.startswith("P ") or name.endswith("up") for name in moved)
