"""The local page over a folder of runs: its addresses, who may ask, what is read when, notes and tags, the export."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from conftest import entry
from made_runs import HOSTILE, hostile_run
from test_history import PARTS, made
from test_report import HARMLESS, Elements

from evalkit.cli import group
from evalkit.comparison.history import history
from evalkit.report import runs_page
from evalkit.report.runs_export import export
from evalkit.report.runs_server import RunFolderView, application
from evalkit.storage.run_list import list_runs
from evalkit.storage.runs import load_run
from evalkit.text import readable

pytest.importorskip("vl_convert", reason="needs the extra report")
testclient = pytest.importorskip("starlette.testclient", reason="needs the extra label")
TOKEN = {"token": "t0ken"}
GOOD = {"x-token": "t0ken", "origin": "http://127.0.0.1:4242", "content-type": "application/json"}
MORE = ("dialog", "textarea", "polyline", "polygon")


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("view") / "runs"
    for day, found in enumerate(([1] * 6, [2] * 6, [1, 2, 2, 2, 2, 3], [3] * 6), 1):
        made(top / f"v{day}", day, found, tags={"prompt": f"v{day}"}, note=f"prompt {day}", also="lm/other")
    made(top / "deep/er/apart", 5, [3] * 3, papers=[f"paper-{number}" for number in range(3)])
    return top


@pytest.fixture
def top(made_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_folder, tmp_path / "runs"))


@pytest.fixture
def door(top: Path) -> Any:
    return testclient.TestClient(
        application(RunFolderView(top, "match_f1"), "t0ken", 4242), base_url="http://127.0.0.1:4242"
    )


def told(text: str) -> dict[str, Any]:
    """What the page's script is told."""
    found = re.search(r'id="runs-data">(.*?)</script>', text, flags=re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


@pytest.mark.slow
def test_every_view_has_an_address(door: Any) -> None:
    page = door.get("/", params=TOKEN)
    assert page.status_code == 200
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "connect-src &#39;self&#39;" in page.text
    links = {
        attrs["href"] for tag, attrs in Elements(page.text).found if tag == "a" and "token" in (attrs["href"] or "")
    }
    assert links >= {f"/run?token=t0ken&run={name}" for name in ("v1", "v2", "v3", "v4", "apart")}
    for link in sorted(map(str, links)):
        assert door.get(link).status_code == 200, link
    assert "2 planners on 6 papers" in door.get("/run", params=TOKEN | {"run": "v2"}).text
    pair = door.get("/compare", params=TOKEN | {"base": "v1", "new": "v2"})
    assert "<title>v2 against v1" in pair.text
    assert 'href="/?token=t0ken"' in pair.text
    five = door.get("/runs?token=t0ken&run=v1&run=v2&run=v4")
    assert "3 runs over time" in five.text
    other = door.get("/runs", params=TOKEN | {"planner": "lm/other"})
    assert "4 runs of lm/other" in other.text


NOT_THERE = ("/run?run=nothing", "/run?run=../v1", "/run", "/compare?base=v1&new=v1", "/compare?base=v1&new=apart",
             "/runs?run=nothing", "/papers/t0ken/x/0.js")  # fmt: skip


@pytest.mark.parametrize("path", NOT_THERE)
def test_what_is_not_there_is_said(door: Any, path: str) -> None:
    sign = "&" if "?" in path else "?"
    answer = door.get(f"{path}{sign}token=t0ken")
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("path", ["/", "/run?run=v1", "/runs", "/state", "/compare?base=v1&new=v2", "/papers/x/y/0.js"])
def test_nothing_is_shown_without_the_token(door: Any, path: str) -> None:
    assert door.get(path).status_code == 403
    assert door.get(path, headers={"host": "evil.example", "x-token": "t0ken"}).status_code == 403
    assert door.get(path, headers={"origin": "http://evil.example", "x-token": "t0ken"}).status_code == 403


def test_a_note_and_tags_can_be_edited(door: Any, top: Path) -> None:
    before = door.get("/state", params=TOKEN).json()["digest"]
    body = {"run": "v1", "note": "better <b>", "tags": ["prompt=v1b", "kept=yes"]}
    assert door.post("/annotate", headers=GOOD, json=body).json() == {"kept": True}
    made = load_run(top / "v1").meta["provenance"]
    assert (made["note"], made["tags"]) == ("better <b>", {"kept": "yes", "prompt": "v1b"})
    assert door.get("/state", params=TOKEN).json()["digest"] != before
    assert "better &lt;b&gt;" in door.get("/", params=TOKEN).text
    for wrong in ({**body, "run": "../v1"}, {**body, "tags": ["a"]}, {**body, "note": "x" * 3000}, {}, []):
        assert door.post("/annotate", headers=GOOD, json=wrong).status_code == 400
    assert load_run(top / "v1").meta["provenance"] == made


@pytest.mark.parametrize("change", [{"x-token": "wrong"}, {"origin": "http://evil.example"}, {"origin": None},
                                    {"content-type": "text/plain"}, {"content-length": "9999999"}])  # fmt: skip
def test_nobody_else_may_edit(door: Any, top: Path, change: dict[str, str | None]) -> None:
    headers = {name: value for name, value in (GOOD | change).items() if value is not None}
    body = json.dumps({"run": "v1", "note": "harmed", "tags": []})
    assert door.post("/annotate", headers=headers, content=body).status_code == 403
    assert load_run(top / "v1").meta["provenance"]["note"] == "prompt 1"


def test_a_run_is_read_when_it_is_opened(top: Path) -> None:
    """The list needs run.json and the leaderboard; without the other tables it is there all the same."""
    for name in ("papers", "pairs", "plans", "diagnostics"):
        (top / f"v1/{name}.csv").unlink()
    view = RunFolderView(top, "match_f1")
    door = testclient.TestClient(application(view, "t0ken", 4242), base_url="http://127.0.0.1:4242")
    assert told(door.get("/", params=TOKEN).text)["order"] == ["v1", "v2", "v3", "v4", "apart"]
    assert door.get("/run", params=TOKEN | {"run": "v1"}).status_code == 400


def test_new_runs_and_tests_change_the_state(top: Path) -> None:
    view = RunFolderView(top, "match_f1")
    first = view.digest()
    assert view.history()[1] is False
    view._test(view.runs(), view._testing)  # what the thread does, here and now
    assert view.digest() != first
    assert view.history()[1] is True
    assert next(iter(view.history()[0].lines)).best_probability is not None
    made(top / "v5", 6, [2] * 6)
    assert view.history()[1] is False
    shutil.rmtree(top)
    assert view.runs().runs == ()
    assert "no run yet" in runs_page.list_page(view.history()[0], runs_page.NO_PLACES, tested=False)


def test_papers_of_a_large_report_come_one_by_one(door: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.report.run_page.run_page.__defaults__", (0, None, ""))
    text = door.get("/run", params=TOKEN | {"run": "v1"}).text
    folder = json.loads(re.search(r'id="index">(.*?)</script>', text, flags=re.DOTALL)[1])["folder"]  # type: ignore[index]
    assert folder.startswith("/papers/t0ken/")
    script = door.get(f"{folder}/0.js")
    assert script.status_code == 200
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.text.startswith("evalkitPaper(0,")
    assert door.get(f"{folder.replace('t0ken', 'wrong')}/0.js").status_code == 403


def test_only_the_last_pages_are_kept(door: Any) -> None:
    view = RunFolderView(Path("nowhere"), "match_f1")
    kept = [view.kept(str(number), lambda number=number: runs_page.Page(str(number), "", {})) for number in range(9)]
    assert [page.text for page in kept] == list("012345678")
    assert view.kept("8", lambda: runs_page.Page("made again", "", {})).text == "8"
    assert view.kept("0", lambda: runs_page.Page("made again", "", {})).text == "made again"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs whose names, planners, notes and tags try to do harm."""
    top = tmp_path_factory.mktemp("hostile")
    for number, text in enumerate(HOSTILE.values(), 1):
        name = re.sub(r"[/\x00]", "_", text)[:60]
        said = {"note": readable(" ".join(text.split())[:500]), "tags": {"k": readable(text[:60])}}
        made(top / f"{number} {name}", number, [number % 4] * 6, planner=text[:60], **said)
    hostile_run().save(top / "apart")
    return top


@pytest.mark.slow
def test_nothing_hostile_becomes_markup(hostile: Path, tmp_path: Path) -> None:
    found = list_runs([hostile], "match_f1")
    assert not found.unread
    result = history(found.runs)
    pages = [runs_page.list_page(result, runs_page.NO_PLACES, tested=True), runs_page.many_page(result)]
    door = testclient.TestClient(
        application(RunFolderView(hostile, "match_f1"), "t0ken", 4242), base_url="http://127.0.0.1:4242"
    )
    pages.append(door.get("/", params=TOKEN).text)
    for text in pages:
        elements = Elements(text).found
        assert {tag for tag, _ in elements} <= {*HARMLESS.split(), *MORE}
        assert not [name for _, attrs in elements for name in attrs if name.startswith("on") or name == "style"]
        assert not [a for _, a in elements if re.match("(?i)javascript:", a.get("href") or "")]
        assert sum(tag == "script" for tag, _ in elements) == 2
    for name in told(pages[-1])["order"]:
        assert door.get(f"/run?token=t0ken&run={quote(name, safe='')}").status_code == 200, name


@pytest.mark.slow
def test_the_export_is_whole_and_asks_for_nothing(top: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # The list, 5 runs, every two of the 4 that may be compared, 2 planners, all over time.
    assert export(top, out, "match_f1") == 1 + 5 + 6 + 2 + 1
    for path in out.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "connect-src" not in text
        for tag, attrs in Elements(text).found:
            link = (attrs.get("href") or "").split("#")[0]
            assert not link or (path.parent / link).is_file(), (path, link)
            assert tag == "a" or not attrs.get("src")
    pairs = told((out / "index.html").read_text(encoding="utf-8"))["pairs"]
    assert pairs["v1\nv4"] == "compare/v1-v4.html"
    again = CliRunner().invoke(group, ["view", str(top), "--export", str(out)])
    assert "exists already" in str(again.exception)
    again = CliRunner().invoke(group, ["view", str(top), "--export", str(out), "--force"])
    assert again.output == f"15 pages written to {out}; open {out}/index.html\n"


@pytest.mark.slow
def test_hostile_names_become_files_of_the_export_and_no_others(hostile: Path, tmp_path: Path) -> None:
    small = tmp_path / "few"
    for name in sorted(hostile.iterdir())[:2]:
        shutil.copytree(name, small / name.name)
    export(small, tmp_path / "out", "match_f1")
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.html")}
    assert all(re.fullmatch(r"[a-z0-9_/-]+\.html", name) for name in names), names
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few", "out"]


def test_a_page_of_many_runs_says_what_is_there(top: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "many.html")
    done = CliRunner().invoke(group, ["report", *(str(top / f"v{day}") for day in range(1, 5)), "--out", out])
    assert done.exit_code == 0, done.output
    text = Path(out).read_text(encoding="utf-8")
    assert "4 runs over time" in text
    assert "Of 18 entries" in text
    assert text.count('class="panel') == 3
    # Gold entry 2 of paper-0 was found in v2, lost in v3 and found again in v4.
    assert "·●·●" in text
    assert entry(PARTS[1]).name in text
    done = CliRunner().invoke(group, ["plot", str(top), "papers", "--out", str(tmp_path / "papers.svg")])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(group, ["plot", str(top / "v1"), "trend", "--out", str(tmp_path / "x.svg")])
    assert "no chart is called 'trend'" in str(done.exception)


def test_a_folder_that_is_not_there_is_refused() -> None:
    assert "no such folder" in str(CliRunner().invoke(group, ["view", "nowhere"]).exception)
    assert "no figure is called" in str(CliRunner().invoke(group, ["view", ".", "--metric", "match_f2"]).exception)
