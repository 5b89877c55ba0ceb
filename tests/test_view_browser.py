"""The page over a folder of runs in a real browser, served and exported: search, tag, open, compare, live arrival."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_browser import browser  # noqa: F401 - a fixture
from test_history import made

from evalkit.report.runs_export import export
from evalkit.storage.runs import load_run

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (make browser installs it)")
pytest.importorskip("vl_convert", reason="needs the extra report")
expect = playwright.expect
pytestmark = pytest.mark.browser
FOUND = ([1] * 6, [2] * 6, [1, 2, 2, 2, 2, 3], [3] * 6, [3, 3, 3, 3, 3, 2], [2, 2, 2, 2, 2, 1])
EVIL = '<img src=x onerror="window.harmed=1">'


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six runs that may be compared, one that may not; one note and planner would do harm."""
    top = tmp_path_factory.mktemp("view") / "runs"
    for day, found in enumerate(FOUND, 1):
        tags = {"prompt": f"v{day}", "style": "long" if day % 2 else "short"}
        made(top / f"run-{day}", day, found, tags=tags, note=f"about {day}", also=EVIL)
    made(top / "apart", 7, [3] * 3, papers=[f"paper-{number}" for number in range(3)], note=EVIL)
    return top


@pytest.fixture
def top(made_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_folder, tmp_path / "runs"))


@pytest.fixture(scope="module")
def exported(made_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "page"
    export(made_folder, out, "match_f1")
    return out


class Opened:
    """A page with everything it said and asked for."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:  # noqa: F811
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.printed: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.printed.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.printed.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)
        self.page.wait_for_selector("html[data-ready]")


@pytest.fixture
def served(top: Path) -> Iterator[str]:
    """The address of the page, served as a user serves it."""
    command = [sys.executable, "-m", "evalkit", "view", str(top)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().removeprefix("view at ").strip()
    assert address.startswith("http://127.0.0.1:"), address
    yield address
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.fixture
def visit(browser: Any) -> Iterator[Any]:  # noqa: F811
    opened: list[Opened] = []

    def visit(address: str, **options: Any) -> Opened:
        opened.append(Opened(browser, address, **options))
        return opened[-1]

    yield visit
    for item in opened:
        item.context.close()


def names(page: Any) -> list[str]:
    """The runs that the list shows."""
    rows = page.locator("#runs tr[data-run]:visible")
    return [rows.nth(at).get_attribute("data-run") for at in range(rows.count())]


def choose(page: Any, *runs: str) -> None:
    for run in runs:
        page.get_by_role("checkbox", name=f"Choose {run}", exact=True).check()


def test_the_list_searches_filters_and_keeps_its_address(served: str, visit: Any) -> None:
    opened = visit(served)
    page = opened.page
    assert names(page) == ["run-6", "run-5", "run-4", "run-3", "run-2", "run-1", "apart"]
    page.fill("#run-search", "about V4")
    assert names(page) == ["run-4"]
    expect(page.locator("#run-count")).to_have_text("1 of 7 runs")
    page.fill("#run-search", "")
    page.select_option("#run-tag", "style=short")
    assert names(page) == ["run-6", "run-4", "run-2"]
    choose(page, "run-2")
    again = visit(page.url).page
    assert names(again) == ["run-6", "run-4", "run-2"]
    assert again.get_by_role("checkbox", name="Choose run-2", exact=True).is_checked()
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    page.keyboard.type("nothing like it")
    assert names(page) == []
    assert opened.printed == []
    origin = served.split("/?")[0]
    assert all(url.startswith(origin) for url in opened.asked)


def test_tests_come_when_they_are_done(served: str, visit: Any) -> None:
    page = visit(served).page
    expect(page.locator("#runs thead").first).to_contain_text("Since the last", timeout=20_000)
    row = page.locator('tr[data-run="run-2"]')
    expect(row).to_contain_text("+0.300")
    assert row.locator("td").nth(3).inner_text().startswith("+0.300")


def test_one_run_opens_as_its_report_and_leads_back(served: str, visit: Any) -> None:
    opened = visit(served)
    page = opened.page
    page.get_by_role("link", name="run-4", exact=True).click()
    page.wait_for_selector("html[data-ready] #view .entry")
    assert page.locator("h1").inner_text() == "2 planners on 6 papers"
    page.get_by_role("link", name="evalkit: all runs").click()
    expect(page.locator("h1")).to_have_text("Runs")
    assert opened.printed == []


def test_two_and_five_runs_are_compared(served: str, visit: Any) -> None:
    opened = visit(served)
    page = opened.page
    assert page.locator("#compare").is_disabled()
    choose(page, "run-4", "run-1")  # whichever was chosen first, the older is the base
    page.click("#compare")
    page.wait_for_selector("html[data-ready] #view .entry")
    assert page.locator("h1").inner_text() == "run-4 against run-1"
    page.go_back()
    page.wait_for_selector("html[data-ready]")
    choose(page, "run-2", "run-3", "run-5")
    expect(page.locator("#run-count")).to_have_text("7 of 7 runs, 5 chosen")
    page.click("#compare")
    expect(page.locator("h1")).to_have_text("5 runs over time")
    assert names(page) == ["run-1", "run-2", "run-3", "run-4", "run-5"]
    assert page.locator("#charts svg.chart").count() == 3
    assert "Of 18 entries" in page.locator("#entries .note").inner_text()
    page.locator("#planners a", has_text="lm").first.click()
    expect(page.locator("h1")).to_have_text("7 runs over time")
    assert opened.printed == []


def test_a_run_appears_by_itself_and_what_was_typed_stays(served: str, top: Path, visit: Any) -> None:
    opened = visit(served)
    page = opened.page
    page.fill("#run-search", "run-")
    choose(page, "run-2")
    made(top / "run-8", 8, [2] * 6, note="just made")
    expect(page.locator('tr[data-run="run-8"]')).to_be_visible(timeout=20_000)
    assert page.input_value("#run-search") == "run-"
    assert "apart" not in names(page)
    assert page.get_by_role("checkbox", name="Choose run-2", exact=True).is_checked()
    page.get_by_role("button", name="Made").first.click()  # the new table sorts, too
    assert opened.printed == []


def test_a_note_and_tags_are_edited(served: str, top: Path, visit: Any) -> None:
    opened = visit(served)
    page = opened.page
    page.get_by_role("button", name="Edit note and tags of run-3").click()
    assert page.input_value("#editor-note") == "about 3"
    assert page.input_value("#editor-tags") == "prompt=v3\nstyle=long"
    page.fill("#editor-note", EVIL)
    page.fill("#editor-tags", "prompt")
    page.click("#editor-save")
    expect(page.locator("#editor-problem")).to_contain_text("expected KEY=VALUE")
    page.fill("#editor-tags", f"prompt=v3\nkept={EVIL}")
    page.click("#editor-save")
    expect(page.locator('tr[data-run="run-3"] .said')).to_have_text(EVIL)
    assert load_run(top / "run-3").meta["provenance"]["tags"] == {"kept": EVIL, "prompt": "v3"}
    page.select_option("#run-tag", f"kept={EVIL}")
    assert names(page) == ["run-3"]
    assert page.evaluate("window.harmed") is None
    assert [text for text in opened.printed if "400" not in text] == []


def test_the_exported_folder_opens_from_disk(exported: Path, visit: Any) -> None:
    opened = visit((exported / "index.html").as_uri())
    page = opened.page
    page.fill("#run-search", "run-")
    assert names(page) == ["run-6", "run-5", "run-4", "run-3", "run-2", "run-1"]
    assert page.locator("button.edit").count() == 0
    choose(page, "run-1", "run-4")
    page.click("#compare")
    page.wait_for_selector("html[data-ready] #view .entry")
    assert page.locator("h1").inner_text() == "run-4 against run-1"
    page.get_by_role("link", name="evalkit: all runs").click()
    page.wait_for_selector("html[data-ready] #runs")
    choose(page, "run-1", "run-2", "run-3", "run-4", "run-6")
    page.click("#compare")
    expect(page.locator("h1")).to_have_text("7 runs over time")
    assert names(page) == ["run-1", "run-2", "run-3", "run-4", "run-6"]
    expect(page.locator("#only-note")).to_contain_text("5 of 7 runs in the table")
    page.get_by_role("button", name="Show all").click()
    assert len(names(page)) == 7
    page.get_by_role("link", name="evalkit: all runs").click()
    page.get_by_role("link", name="run-2", exact=True).click()
    page.wait_for_selector("html[data-ready] #view .entry")
    assert opened.printed == []
    assert all(url.startswith(exported.as_uri()) for url in opened.asked)


def test_two_exported_runs_without_a_page_of_their_own(exported: Path, visit: Any) -> None:
    page = visit((exported / "index.html").as_uri()).page
    choose(page, "run-1", "apart")
    page.click("#compare")
    expect(page.locator("#only-note")).to_contain_text("evalkit report BASE NEW writes it")
    assert names(page) == ["run-1", "apart"]


@pytest.mark.parametrize("width", [360, 768, 1360])
@pytest.mark.parametrize("name", ["index", "over-time"])
def test_nothing_is_wider_than_the_screen(exported: Path, visit: Any, name: str, width: int) -> None:
    page = visit((exported / f"{name}.html").as_uri(), viewport={"width": width, "height": 800}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("window.harmed") is None


def faults(page: Any) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{item['id']}: {item['help']}: {node['html'][:160]}"
        for item in found if item["impact"] in ("serious", "critical") for node in item["nodes"]
    ]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1360])
@pytest.mark.parametrize("name", ["index", "over-time"])
def test_no_serious_accessibility_fault(exported: Path, visit: Any, name: str, width: int, scheme: str) -> None:
    address = (exported / f"{name}.html").as_uri()
    opened = visit(address, color_scheme=scheme, viewport={"width": width, "height": 900})
    assert faults(opened.page) == []


def test_the_editor_has_no_accessibility_fault_and_is_reached_by_tabbing(served: str, visit: Any) -> None:
    page = visit(served).page
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"theme", "run-search", "run-tag", "over-time", "pick", "clip", "edit quiet"} <= reached
    page.get_by_role("button", name="Edit note and tags of run-1").press("Enter")
    expect(page.locator("#editor")).to_be_visible()
    assert faults(page) == []
    page.keyboard.press("Escape")
    expect(page.locator("#editor")).not_to_be_visible()


def test_a_server_that_is_gone_is_said(top: Path, visit: Any) -> None:
    command = [sys.executable, "-m", "evalkit", "view", str(top)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    page = visit(re.sub("^view at ", "", process.stdout.readline()).strip()).page
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    expect(page.locator("#run-problem")).to_contain_text("No answer from the server", timeout=20_000)
