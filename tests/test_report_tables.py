"""Tables to paste and figures to print: what stands in them, that they compile, and that no text acts in them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import entry, gold, plan
from made_runs import HOSTILE, hostile_run, small_run

from evalkit.cli import group
from evalkit.errors import InputError
from evalkit.report import console, escaping, leaderboard_tables
from evalkit.report.charts import CHARTS
from evalkit.report.comparison_page import comparison_page
from evalkit.report.notebook import run_html
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.runs import Run


def run_of(values: dict[str, list[float]], low: float | None = None) -> Run:
    """A run whose planners have these match F1 on the papers p0, p1, ..."""
    rows = [
        {"planner": planner, "paper": f"p{at}", "match_f1": value}
        for planner, of_papers in values.items()
        for at, value in enumerate(of_papers)
    ]
    papers = pd.DataFrame(rows)
    board = papers.groupby("planner", as_index=False)["match_f1"].mean()
    board = board.sort_values("match_f1", ascending=False, ignore_index=True)
    if low is not None:
        board = board.assign(match_f1_low=low, match_f1_high=0.9)
    meta = {**small_run().meta, "settings": {"seed": 0, "resamples": 1999}}
    return small_run().replace(leaderboard=board, papers=papers, meta=meta)


# Ten papers: `close` is sometimes above and sometimes below `first`, `far` always 0.5 below (p = 2 / 2^10 before Holm).
CONTEST = run_of(
    {
        "first": [0.8, 0.9, 0.7, 0.8, 0.9, 0.8, 0.7, 0.9, 0.8, 0.7],
        "close": [0.9, 0.8, 0.8, 0.7, 0.9, 0.8, 0.6, 0.8, 0.8, 0.8],
        "far": [0.3, 0.4, 0.2, 0.3, 0.4, 0.3, 0.2, 0.4, 0.3, 0.2],
    },
    low=0.1,
)


def test_best_is_bold_and_ties_are_marked() -> None:
    made = leaderboard_tables.table({"run": CONTEST}, ["match_f1"])
    assert [(planner, cells[0].mark) for (planner,), cells in made.rows if cells[0]] == [
        ("first", "best"), ("close", "tied"), ("far", ""),
    ]  # fmt: skip
    assert leaderboard_tables.markdown(made, False).splitlines()[:5] == [
        "| planner | Match F1 |",
        "| --- | ---: |",
        "| first | **0.800** [0.10, 0.90] |",
        "| close | 0.790† [0.10, 0.90] |",
        "| far | 0.300 [0.10, 0.90] |",
    ]


def test_the_legend_names_another_correction_of_p() -> None:
    chosen = CONTEST.replace(meta={**CONTEST.meta, "settings": {**CONTEST.meta["settings"], "correction": "bh"}})
    for runs, named in (
        ({"run": CONTEST}, "all pairs, 5%"),
        ({"run": chosen}, "all pairs, Benjamini-Hochberg, 5%"),
        ({"run": CONTEST, "new": chosen}, "all pairs, Benjamini-Hochberg and Shaffer, 5%"),
    ):
        made = leaderboard_tables.table(runs, ["match_f1"])
        assert f"(paired permutation over papers, {named})" in leaderboard_tables.markdown(made, False)


def test_intervals_can_be_left_out() -> None:
    made = leaderboard_tables.table({"run": CONTEST}, ["match_f1"], intervals=False)
    assert "[" not in leaderboard_tables.markdown(made, False).split("\n\n")[0]


def test_absent_planners_have_empty_cells() -> None:
    made = leaderboard_tables.table({"old": CONTEST, "new": run_of({"first": [0.5], "other": [0.25]})}, ["match_f1"])
    lines = leaderboard_tables.latex(made, False).splitlines()
    assert r" & \multicolumn{1}{c}{old} & \multicolumn{1}{c}{new} \\" in lines
    assert r"\cmidrule(lr){2-2} \cmidrule(lr){3-3}" in lines
    assert r"far & 0.300 {\scriptsize [0.10, 0.90]} &  \\" in lines
    assert r"other &  & 0.250$^{\dagger}$ \\" in lines


def test_the_legend_names_columns_without_a_test() -> None:
    """Coverage and micro figures are no means over papers, so none of their cells has a dagger."""
    made = leaderboard_tables.table({"run": small_run()}, ["match_f1", "match_f1_micro", "coverage", "papers"])
    assert "; not tested: match f1 micro, Coverage" in leaderboard_tables.markdown(made, False)
    tested = leaderboard_tables.table({"run": small_run()}, ["match_f1", "papers"])
    assert "not tested" not in leaderboard_tables.markdown(tested, False)


def test_more_than_three_runs_stand_one_below_the_other() -> None:
    one = run_of({"first": [0.5], "other": [0.25]})
    runs = {"v1": CONTEST, "v|2": one, "v3": one, "v4": one}
    made = leaderboard_tables.table(runs, ["match_f1"], intervals=False)
    assert leaderboard_tables.markdown(made, False).splitlines()[:6] == [
        "| run | planner | Match F1 |",
        "| --- | --- | ---: |",
        "| v1 | first | **0.800** |",
        "| v1 | close | 0.790† |",
        "| v1 | far | 0.300 |",
        r"| v\|2 | first | **0.500** |",
    ]
    assert "Run & Planner & Match F1" in leaderboard_tables.latex(made, False)
    assert "<tr><th>run</th><th>planner</th><th>Match F1</th></tr>" in leaderboard_tables.html(made, False)
    rows = json.loads(leaderboard_tables.json(made, False))["rows"]
    assert [(row["run"], row["planner"]) for row in rows[2:5]] == [("v1", "far"), ("v|2", "first"), ("v|2", "other")]
    # Rows for other programs are the same either way.
    beside = leaderboard_tables.table(runs, ["match_f1"], intervals=False, long=False)
    assert json.loads(leaderboard_tables.json(beside, False))["rows"] == rows
    assert beside.titles == ["Match F1"] * 4


def test_unknown_column_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"run: leaderboard.csv has no column 'match_fl'; did you mean 'match_f1'"):
        leaderboard_tables.table({"run": CONTEST}, ["match_fl"])


def test_csv_and_json_hold_numbers_and_signature(tmp_path: Path) -> None:
    small_run().save(tmp_path / "run")
    csv = CliRunner().invoke(
        group, ["table", str(tmp_path / "run"), "--format", "csv", "--columns", "match_f1,coverage"]
    )
    assert csv.stdout.splitlines()[0] == (
        "run,planner,match_f1,match_f1_low,match_f1_high,match_f1_mark,"
        "coverage,coverage_low,coverage_high,coverage_mark,signature"
    )
    found = json.loads(CliRunner().invoke(group, ["table", str(tmp_path / "run"), "--format", "json"]).stdout)
    assert [row["planner"] for row in found["rows"]] == ["lm/good", "lm/bad"]
    assert found["runs"] == {"run": str(small_run().signature)}
    assert found["rows"][1]["coverage"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("a_b & 50% #1", r"a\_b \& 50\% \#1"),
        ("[2em] *", "{[}2em] {*}"),
        ("-- ''", "-{}- '{}'"),
        ("δ-net λ", r"$\delta$-net $\lambda$"),
        ("x² café 模型", "x2 café ??"),
        ("a\nb\x1b[31m", "a b"),
    ],
)
def test_latex_shows_texts_and_obeys_none(text: str, expected: str) -> None:
    assert escaping.latex(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a | b", r"a \| b"),
        ("<b>x</b>", "&lt;b&gt;x&lt;/b&gt;"),
        ("[x](javascript:y)", r"\[x\]\(javascript\:y\)"),
        ("a\n# b", r"a \#<!-- --> b"),
        ("https://example.org", r"https\://example.org"),
        ("@team", r"\@<!-- -->team"),
        ("www.x.org gh-1", "www<!-- -->.x.org gh<!-- -->-1"),
        ("1. a", r"1\. a"),
        ("- a", r"\- a"),
        ("+ a", r"\+ a"),
        ("---", r"\---"),
        ("===", r"\==="),
        ("headline: +0.000", "headline: +0.000"),
        ("-0.5 a", "-0.5 a"),
        (":tada: a", r"\:tada: a"),
    ],
)
def test_markdown_shows_texts_and_links_none(text: str, expected: str) -> None:
    assert escaping.markdown(text) == expected


def test_hostile_names_keep_every_table_in_shape() -> None:
    made = leaderboard_tables.table({"run": hostile_run()}, ["match_f1", "coverage"])
    rows = [line for line in leaderboard_tables.markdown(made, False).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(HOSTILE)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}
    assert "<script" not in leaderboard_tables.html(made, True)
    assert "<img" not in leaderboard_tables.html(made, True)
    assert not re.search(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f]",
        leaderboard_tables.markdown(made, False) + leaderboard_tables.latex(made, True),
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles_as_it_stands(tmp_path: Path) -> None:
    short = {name: text for name, text in HOSTILE.items() if len(text) < 1000}
    board = hostile_run().leaderboard
    kept = board[board["planner"].isin([f"{name} {text}" for name, text in short.items()])].reset_index(drop=True)
    run = hostile_run().replace(leaderboard=kept)
    made = leaderboard_tables.table({"a_b": run, "c & d": run})
    (tmp_path / "table.tex").write_text(leaderboard_tables.latex(made, True), encoding="utf-8")
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode("utf-8", "replace")[-2000:]
    assert (tmp_path / "table.pdf").read_bytes()[:4] == b"%PDF"
    assert b"Overfull \\hbox" not in done.stdout


def test_every_row_of_latex_has_every_column() -> None:
    made = leaderboard_tables.table({"run": hostile_run(), "again": hostile_run()}, ["match_f1", "coverage"])
    text = leaderboard_tables.latex(made, True)
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {4}
    plain = re.sub(r"\\[{}\\]", "", text)
    assert plain.count("{") == plain.count("}")


def test_a_wide_table_of_latex_is_scaled_to_the_page() -> None:
    """Two runs with all figures were 506 pt wider than a landscape page; pdfTeX says so where a line is too wide."""
    made = leaderboard_tables.table({"run": hostile_run(), "again": hostile_run()})
    for standalone in (True, False):
        lines = leaderboard_tables.latex(made, standalone).splitlines()
        start, end = lines.index(r"\small") + 1, lines.index(r"\end{tabular}}")
        assert lines[start].startswith(r"\sbox0{\begin{tabular}")
        assert lines[end + 1] == r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi"
        assert any("graphicx" in line for line in lines)


def test_a_notebook_shows_the_leaderboard_without_the_extra() -> None:
    text = run_html(hostile_run())
    assert text.startswith("<div><b>14 planners on 14 papers</b>")
    assert "<script" not in text
    assert small_run()._repr_html_().count("<tr>") == 3


def test_notebook_charts_have_the_colours_of_print() -> None:
    pytest.importorskip("vl_convert", reason="needs the extra report")
    from evalkit.report.chart_style import COLOURS

    for kind in ("planners", "actions", "papers"):
        text = small_run().chart(kind).to_json()
        assert not [placeholder for placeholder, _ in COLOURS.values() if placeholder in text]
        assert COLOURS["ink"][1] in text


@pytest.mark.parametrize(("ending", "start"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_a_chart_becomes_a_file(tmp_path: Path, ending: str, start: bytes) -> None:
    pytest.importorskip("vl_convert", reason="needs the extra report")
    small_run().save(tmp_path / "run")
    out = tmp_path / f"figure.{ending}"
    done = CliRunner().invoke(group, ["plot", str(tmp_path / "run"), "planners", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_bytes().startswith(start)
    assert b"var(--" not in out.read_bytes()


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("plot", "planners|precision-recall|ranks|found|papers|actions|probabilities"),
        ("table", "markdown|latex|csv|html|json"),
        ("export", "ablationbench-plans|ablationbench-judge|inspect|every_eval_ever|metrics-json"),
    ],
)
def test_commands_offer_what_is_registered(command: str, names: str) -> None:
    shown = re.sub(r"\s", "", CliRunner().invoke(group, [command, "--help"]).output)
    assert names in shown
    wrong = CliRunner().invoke(group, [command, "run", "nothing", "--format", "x", "--to", "x", "--out", "x"])
    assert wrong.exit_code == 2


@pytest.mark.parametrize("kind", CHARTS)
def test_hostile_names_do_not_act_in_charts(kind: str) -> None:
    pytest.importorskip("vl_convert", reason="needs the extra report")
    from evalkit.report import chart_style
    from evalkit.report.charts import chart

    picture = ElementTree.fromstring(chart_style.page_svg(chart(hostile_run(), kind), "caption"))
    tags = {element.tag.rpartition("}")[2] for element in picture.iter()}
    assert tags <= {
        "svg",
        "g",
        "path",
        "line",
        "rect",
        "text",
        "tspan",
        "title",
        "defs",
        "clipPath",
        "linearGradient",
        "stop",
    }
    names = {name for element in picture.iter() for name in element.attrib}
    assert not [name for name in names if name.startswith("on") or "href" in name or name == "style"]
    assert all(len(text) < 100 for element in picture.iter() for text in (element.text or "",))


def test_unknown_charts_and_endings_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("vl_convert", reason="needs the extra report")
    with pytest.raises(InputError, match="no chart is called 'pie'; there are planners, "):
        small_run().chart("pie")
    small_run().save(tmp_path / "run")
    done = CliRunner().invoke(group, ["plot", str(tmp_path / "run"), "planners", "--out", "figure.gif"])
    assert isinstance(done.exception, InputError)


def test_equal_means_are_equal_however_floats_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    """(0.2 + 0.4 + 0) / 3 and (0.6 + 0 + 0) / 3 are both 0.2; as floats the first is 0.20000000000000004."""
    names = (
        "shifted window attention",
        "relative position bias",
        "dropout rate",
        "label smoothing",
        "momentum encoder",
    )
    right = [entry(name) for name in names]
    others = ("audio resampling", "satellite imagery", "protein folding", "chess opening", "weather station")
    wrong = [entry(name) for name in others]
    hits = {"a": (1, 2, 0), "b": (3, 0, 0), "c": (0, 0, 0)}
    plans = [
        plan(*right[:count], *wrong[count:], paper=paper, planner=planner)
        for planner, counts in hits.items()
        for paper, count in zip("xyz", counts, strict=True)
    ]
    golds = [gold(*right, paper=paper) for paper in "xyz"]
    run = score_run(plans, golds, Settings(matcher="lexical", resamples=99))
    board = run.leaderboard.set_index("planner")
    assert board["match_f1"].round(12).to_dict() == {"a": 0.2, "b": 0.2, "c": 0.0}
    assert board["rank"].to_dict() == {"a": 1, "b": 1, "c": 3}
    made = leaderboard_tables.table({"run": run}, ["match_f1"])
    assert [cells[0].mark for _, cells in made.rows if cells[0]][:2] == ["best", "best"]
    console.show(console.leaderboard(run))
    lines = [line.split("│")[1:4] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["a", "0.200*", "1 (1–3)"], ["b", "0.200*", "1 (1–3)"], ["c", "0.000", "3 (1–3)"],
    ]  # fmt: skip


def test_a_small_p_is_not_0(capsys: pytest.CaptureFixture[str]) -> None:
    """All of twelve papers differ the same way: p is 1/4096 = 0.000244, which three decimals would print as 0.000."""
    golds = [gold(entry("dropout rate"), paper=f"p{n}") for n in range(12)]
    right = [plan(entry("dropout rate"), paper=item.paper, planner="right") for item in golds]
    wrong = [plan(entry("satellite imagery"), paper=item.paper, planner="wrong") for item in golds]
    settings = Settings(matcher="lexical", resamples=4096)
    console.show(console.leaderboard(score_run([*right, *wrong], golds, settings)))
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("│ wrong"))
    assert [cell.strip() for cell in line.split("│")[1:5]] == ["wrong", "0.000", "2", "<0.001"]
    pytest.importorskip("vl_convert", reason="needs the extra report")
    renamed = [replace(item, planner="right") for item in wrong]
    runs = {name: score_run(plans, golds, settings) for name, plans in (("old", right), ("new", renamed))}
    assert '<td class="num">0.000244</td>' in str(comparison_page(runs, "data", False).text)
