"""The page as text: what it holds, where it writes, what it refuses; cases counted by hand; nothing hostile acts."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import entry, gold, plan
from made_runs import HOSTILE, hostile_run, small_run

import evalkit
from evalkit.cli import group
from evalkit.errors import InputError
from evalkit.report import browser_data, escaping, html
from evalkit.report.charts import CHARTS
from evalkit.report.comparison_page import write_comparison
from evalkit.report.run_page import run_page, verdict, write_report
from evalkit.report.values import shown_path
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.runs import load_run

pytest.importorskip("altair", reason="needs the extra report")
pytest.importorskip("vl_convert", reason="needs the extra report")
pytest.importorskip("jinja2", reason="needs the extra report")

# What a page may be made of. None of these can run anything; `script` and `style` are looked at one by one.
HARMLESS = """
    html head meta title style body a header nav span button main section h1 h2 h3 p dl div dt dd b bdi small details
    summary table thead tbody tr th td figure figcaption svg g path line rect circle text tspan defs clippath form label
    select option input output noscript article script footer kbd
"""


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] in ("script", "style"):
            self.inside.append((self.found[-1][0], data))


@pytest.fixture(scope="module")
def page() -> str:
    return run_page(small_run(), "report-data").text


@pytest.fixture(scope="module")
def hostile_page() -> str:
    return run_page(hostile_run(), "report-data").text


def test_cases_are_counted_by_class() -> None:
    """Worked by hand from made_runs.small_run: its docstring says who does what."""
    table = browser_data.counts(small_run()).groupby("planner").sum()
    expected = {
        # good: alpha 2 matches; beta 1 match, 1 missed, 1 spurious; gamma 1 match and 1 repetition of it.
        "lm/good": {"match": 4, "missed": 1, "spurious": 1, "duplicate": 1, "unread": 0},
        # bad: alpha: same part, REPLACE instead of REMOVE, and one missed; beta: same part, other option, one missed;
        # gamma: no plan, so one missed and one plan that was not read.
        "lm/bad": {"missed": 3, "spurious": 0, "duplicate": 0, "unread": 1},
    }
    for planner, counts in expected.items():
        assert {kind: int(table.loc[planner, kind]) for kind in counts} == counts
    aligned = table.loc["lm/bad", ["match", "wrong-action", "wrong-replacement", "part-only"]].sum()
    assert aligned == 2


@pytest.mark.parametrize(
    ("status", "same_action", "shared", "kind"),
    [
        ("match", True, None, "match"),
        ("part", False, None, "wrong-action"),
        ("part", False, 0, "wrong-action"),
        ("part", True, 0, "wrong-replacement"),
        ("part", None, 0, "wrong-replacement"),
        ("part", True, 1, "part-only"),
        ("part", None, None, "part-only"),
        ("candidate", False, 0, ""),
        ("missed", None, None, "missed"),
    ],
)
def test_the_class_of_a_pair(status: str, same_action: object, shared: object, kind: str) -> None:
    row = small_run().pairs.iloc[:1].assign(status=status)
    row["same_action"], row["shared_options"] = [same_action], [shared]
    assert browser_data.classified(row).tolist() == [kind]


def test_every_count_of_errors_opens_its_cases(page: str) -> None:
    assert re.search(r'href="#of=lm%2Fbad&amp;show=unread"[^>]*>1</a>', page)


def test_data_cannot_leave_their_element() -> None:
    text = escaping.script_json({"said": "</script><!-- &amp; \u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"said": "</script><!-- &amp; \u2028"}


def test_page_loads_nothing_and_runs_one_script(page: str) -> None:
    found = Elements(page).found
    policy = next(attrs["content"] for tag, attrs in found if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http:" not in policy
    loads = [attrs for tag, attrs in found if tag in ("link", "img", "iframe", "object", "embed") or "src" in attrs]
    assert not loads
    assert not [attrs for _, attrs in found for name in attrs if "href" in name and (attrs[name] or "#")[0] != "#"]


@pytest.mark.slow
def test_nothing_hostile_becomes_markup() -> None:
    found = Elements(run_page(hostile_run(whole=True), "report-data").text).found
    assert {tag for tag, _ in found} <= set(HARMLESS.split())
    assert not [name for _, attrs in found for name in attrs if name.startswith("on") or name == "style"]
    scripts = [attrs for tag, attrs in found if tag == "script"]
    assert [attrs.get("type") for attrs in scripts] == ["application/json"] * (1 + len(HOSTILE)) + [None]
    assert sum(tag == "style" for tag, _ in found) == 1
    assert not [attrs for _, attrs in found if "javascript:" in (attrs.get("href") or attrs.get("xlink:href") or "")]


def test_templates_do_not_obey_texts(hostile_page: str) -> None:
    assert "{{7*7}}" in hostile_page
    assert not re.search(r"(?<!\d)49 \{%", hostile_page)


def test_no_control_characters_reach_the_page(hostile_page: str) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", hostile_page)
    markup = re.sub(r"<script.*?</script>", "", hostile_page, flags=re.DOTALL)
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", markup)


def test_a_large_report_keeps_its_papers_beside_it(tmp_path: Path) -> None:
    paths = write_report(small_run(), tmp_path / "page.html", largest_inline=100)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in paths) == [
        "page-data/0.js", "page-data/1.js", "page-data/2.js", "page.html",
    ]  # fmt: skip
    text = (tmp_path / "page-data" / "0.js").read_text(encoding="utf-8")
    inside = json.loads(json.loads(re.fullmatch(r"evalkitPaper\(0,(.*)\);\n", text)[1]))  # type: ignore[index]
    assert [name for name, *_ in inside["gold"]] == ["shifted window attention", "relative position bias"]
    assert "shifted window attention" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_run_read_back_gives_the_same_page(tmp_path: Path, page: str) -> None:
    small_run().save(tmp_path / "run")
    again = run_page(load_run(tmp_path / "run"), "report-data").text
    index = re.compile(r'id="index">(.*?)</script>', re.DOTALL)
    assert json.loads(index.search(again)[1]) == json.loads(index.search(page)[1])  # type: ignore[index]


def test_hostile_runs_survive_the_disk(tmp_path: Path) -> None:
    hostile_run().save(tmp_path / "run")
    cells = (tmp_path / "run" / "pairs.csv").read_text(encoding="utf-8")
    assert not re.search(r'(^|,|\n)"?=HYPERLINK', cells)
    assert load_run(tmp_path / "run").pairs["gold_part"].tolist() == hostile_run().pairs["gold_part"].tolist()


def test_half_a_character_does_not_stop_a_report() -> None:
    assert escaping.script_json({"said": "half \ud800 of a pair"}) == '{"said":"half ? of a pair"}'


def test_the_command_writes_a_page(tmp_path: Path) -> None:
    small_run().save(tmp_path / "run")
    done = CliRunner().invoke(group, ["report", str(tmp_path / "run"), "--out", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    assert "<title>2 planners on 3 papers" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_scoring_can_write_its_report_at_once(tmp_path: Path) -> None:
    entry = '[{"name": "a", "ablated_part": "gating", "action": "REMOVE"}]'
    for place in ("gold", "plans/lm"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "paper.json").write_text(entry, encoding="utf-8")
    sides = ["--pred", str(tmp_path / "plans"), "--gold", str(tmp_path / "gold"), "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(group, ["score", *sides, "--matcher", "lexical", "--report"])
    assert done.exit_code == 0, done.output
    assert "<title>1 planner on 1 paper " in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from evalkit.report import chart_style

    monkeypatch.setattr(chart_style, "find_spec", lambda name: None if name == "vl_convert" else object())
    message = r"need vl-convert, which is not installed: pip install 'ablation-evalkit\[report\]'"
    with pytest.raises(InputError, match=message):
        run_page(small_run(), "data")


def test_a_run_by_judges_has_a_page() -> None:
    """Judges vote: the chart of probabilities has no threshold to mark."""
    run = small_run()
    by_judges = run.replace(meta={**run.meta, "signature": {**run.meta["signature"], "thresholds": "majority"}})
    assert run_page(by_judges, "report-data").text.count("<svg") == run_page(run, "report-data").text.count("<svg")


def test_undefined_figures_are_dashes(page: str) -> None:
    board = small_run().leaderboard
    assert board["replacement_f1"].isna().any() or board["metric_f1"].isna().all()
    assert '<span class="none" title="undefined">–</span>' in page
    assert "nan" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL).lower().replace("finance", "")


def test_every_asset_ships_in_the_package() -> None:
    for name in ("report.css", *html.SCRIPTS):
        assert html._asset(name).strip()


def test_edges_have_a_page_too() -> None:
    """No pair anywhere; one planner; several samples of a paper; no intervals; a paper that one planner skipped."""
    from conftest import entry, gold, plan

    from evalkit.scoring.pipeline import score_run
    from evalkit.settings import Settings

    lists = [gold(entry("gating"), paper="alpha"), gold(entry("dropout"), paper="beta")]
    none = score_run([plan(paper="alpha", planner="lm/empty")], lists, Settings(matcher="lexical", resamples=0))
    samples = [plan(entry("gating"), paper="alpha", planner="lm/one", sample=name) for name in ("1", "2")]
    two = score_run(samples, lists, Settings(matcher="lexical", resamples=99, missing="skip"))
    assert verdict(none) == "lm/empty: match F1 0.000."
    for run in (none, two):
        text = run_page(run, "data").text
        index = json.loads(re.search(r'id="index">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
        assert len(index["rows"]) == len(run.papers)
    document = json.loads(re.search(r'id="paper-0">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert [item["sample"] for item in document["plans"]] == ["1", "2"]


def test_a_page_tells_no_folder_of_this_machine(tmp_path: Path) -> None:
    """Plans and gold given by absolute paths, with one plan that cannot be read: only the ends of paths are shown."""
    for name, text in (("good", '[{"name": "a", "ablated_part": "gate"}]'), ("bad", "nothing here")):
        path = tmp_path / "plans" / "lm" / name / "alpha.json"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "gold").mkdir()
    (tmp_path / "gold/alpha.json").write_text('[{"name": "a", "ablated_part": "gate"}]', encoding="utf-8")
    run = evalkit.score(tmp_path / "plans", tmp_path / "gold", settings=Settings(matcher="lexical", resamples=0))
    assert str(tmp_path) in str(run.plans["path"].tolist())
    write_report(run, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert str(tmp_path) not in page
    assert "…/lm/bad/alpha.json" in page
    sides = {str(tmp_path / name): run for name in ("base", "new")}
    write_comparison(sides, tmp_path / "compared.html")
    assert str(tmp_path) not in (tmp_path / "compared.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("plans/lm/a.md", "plans/lm/a.md"),
        ("/home/ann/work/plans/lm/a.md", "…/plans/lm/a.md"),
        ("C:\\Users\\ann\\plans\\lm\\a.md", "…/plans/lm/a.md"),
        ("~/plans/a.md", "…/~/plans/a.md"),
        ("", ""),
    ],
)
def test_paths_are_shown_without_the_machine(path: str, expected: str) -> None:
    assert shown_path(path) == expected


def test_charts_of_many_planners_show_the_best_and_say_so() -> None:
    plans = [plan(entry("gate"), *[entry(f"noise {n}") for n in range(at)], planner=f"p{at:02}") for at in range(20)]
    run = score_run(plans, [gold(entry("gate"))], Settings(matcher="lexical", resamples=0))
    page = run_page(run, "data").text
    assert "the best 12 of 20 planners by match F1" in page
    assert "grey: the other 12 planners" in page
    drawn = json.dumps(CHARTS["planners"].draw(run).to_dict())
    assert ("p11" in drawn, "p12" in drawn) == (True, False)
