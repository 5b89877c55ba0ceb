"""The label page in a real browser: labels by keyboard, a kill in between, undo, and what hostile texts do there."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import entry, gold, plan

from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.label_files import read_labels

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (make browser installs it)")
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.browser
SAMPLE = ("label", "run", "--sample-papers", "6", "--seed", "1")
EVIL = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        try:
            yield (opened := started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]))
        except playwright.Error as error:
            if os.environ.get("EVALKIT_BROWSER") == "required":
                raise
            pytest.skip(f"no browser can be started here (make browser installs one): {str(error).splitlines()[0]}")
        opened.close()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Six papers, two planners, three gold entries against three: 108 pairs; one trace tries to do harm."""
    golds = [gold(entry("gate block"), entry("loss term", "REPLACE", ["l1", "l2"], ["F1"]), entry(EVIL, name="Evil"),
                  paper=f"p{at}") for at in range(6)]  # fmt: skip
    three = (entry("gate blocks"), entry("weight of loss", "ADD", [EVIL]), entry("warmup"))
    plans = [plan(*three, paper=g.paper, planner=name) for g in golds for name in ("ann/one", "two")]
    score_run(plans, golds, Settings(matcher="lexical", resamples=0)).save(tmp_path / "run")
    return tmp_path


class Page:
    """`evalkit label` running, and its page."""

    def __init__(self, folder: Path, browser: Any, *more: str, words: Sequence[str] = SAMPLE) -> None:
        command = [sys.executable, "-m", "evalkit", *words, *more]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        answer = self.process.stdout.readline()
        self.address = re.sub(r"^(label|confirm) at ", "", answer).strip()
        assert self.address.startswith("http://127.0.0.1:"), answer
        self.page = browser.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        self.page.goto(self.address)
        self.page.wait_for_selector(".entry.current")

    def answered(self) -> int:
        return int(str(self.page.text_content("#count")).split()[0])

    def press(self, key: str) -> None:
        """One key, and wait until its answer is kept."""
        before = str(self.page.text_content("#count"))
        self.page.keyboard.press(key)
        playwright.expect(self.page.locator("#count")).not_to_have_text(before)

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        self.page.close()
        self.process.send_signal(how)
        self.process.communicate(timeout=20)
        return self.process.returncode


def test_fifty_labels_by_keyboard_survive_a_kill(run: Path, browser: Any) -> None:
    first = Page(run, browser)
    for number in range(50):
        first.press("mpds"[number % 4])
    assert first.answered() == 50
    assert first.errors == []
    first.end(signal.SIGKILL)
    again = Page(run, browser)
    assert again.answered() == 50
    again.press("u")
    again.press("u")
    assert again.answered() == 48
    again.press("Enter")  # the rest of this gold entry's candidates
    assert again.answered() > 48
    again.page.reload()
    again.page.wait_for_selector(".entry.current")
    assert again.answered() > 48
    total = again.answered()
    assert again.end() == 0
    rows = read_labels([run / "labels.jsonl"])
    decided = sum(len(row.gold) * len(row.plan) - len(row.undecided) for row in rows)
    skipped = 12  # every fourth of the first 48
    assert decided == total - skipped


def test_arrows_and_numbers_choose_until_the_end(run: Path, browser: Any) -> None:
    opened = Page(run, browser, "--annotator", "bea")
    page = opened.page
    page.keyboard.press("ArrowDown")
    assert page.locator(".entry.current .number").text_content() == "2"
    page.keyboard.press("3")
    assert page.locator(".entry.current .number").text_content() == "3"
    opened.press("m")
    assert page.locator(".answers [aria-pressed=true]").text_content() == "match"
    while page.locator("#finished").is_hidden():
        opened.press("Enter")
    assert "labels.bea.jsonl" in str(page.text_content("#out"))
    assert opened.answered() == 108
    assert opened.end() == 0
    assert sum(len(row.match) for row in read_labels([run / "labels.bea.jsonl"])) == 1


def test_answers_stand_beside_the_cards_and_the_planner_is_hidden(run: Path, browser: Any) -> None:
    opened = Page(run, browser)
    page = opened.page
    assert page.locator("#where").inner_text() in {f"p{number}" for number in range(6)}
    assert not page.locator("#planner-name").is_visible()
    page.get_by_role("button", name="2: same part only").click()
    playwright.expect(page.locator("#count")).to_have_text("1 of 108 pairs")
    assert page.locator("li:nth-child(2) [aria-pressed=true]").text_content() == "same part only"
    page.locator("#planner summary").click()
    assert page.locator("#planner-name").inner_text() in ("ann/one", "two")
    page.evaluate("document.activeElement.blur()")  # Enter would close what the focus is on
    opened.press("Enter")  # the next gold entry: hidden again
    assert not page.locator("#planner-name").is_visible()
    assert opened.errors == []
    opened.end()


def test_hostile_texts_are_text(run: Path, browser: Any) -> None:
    opened = Page(run, browser)
    shown = ""
    while opened.page.locator("#finished").is_hidden():
        shown += str(opened.page.text_content("#work"))
        opened.press("Enter")
    assert EVIL in shown
    assert opened.page.evaluate("window.harmed") is None
    assert opened.errors == []
    opened.end()


def test_another_page_cannot_answer(run: Path, browser: Any) -> None:
    opened = Page(run, browser)
    opened.press("m")
    origin, token = opened.address.split("/?token=")
    for headers in ({}, {"X-Token": "wrong"}, {"X-Token": token}, {"X-Token": token, "Origin": "http://evil.example"}):
        body = urllib.request.Request(f"{origin}/undo", b"{}", {**headers, "Content-Type": "application/json"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(body)
        assert refused.value.code == 403
    # From a page of another origin, the browser itself sends the origin, and the answer is no.
    other = browser.new_page()
    other.goto("about:blank")
    script = f"""fetch("{origin}/undo?token={token}", {{method: "POST", mode: "no-cors", body: "{{}}"}})
        .then(() => "sent").catch(() => "stopped")"""
    other.evaluate(script)
    opened.page.reload()
    opened.page.wait_for_selector(".entry.current")
    assert opened.answered() == 1
    other.close()
    opened.end()


def test_drafts_are_confirmed_on_the_page(tmp_path: Path, browser: Any) -> None:
    drafts = [{"name": name, "ablated_part": EVIL, "source": f"Ablate {name}.", "draft": True} for name in "abc"]
    tree = {"paper": "x", "ablations": [*drafts, {"name": "d", "ablated_part": "d"}], "review_text": "Ablate a. b? c!"}
    (tmp_path / "x.json").write_text(json.dumps(tree))
    opened = Page(tmp_path, browser, words=("gold", "confirm", "x.json", "--page"))
    assert opened.page.text_content("h1") == "Keep this entry?"
    assert "Ablate a." in str(opened.page.text_content("#candidates"))
    assert opened.page.locator("button:visible").count() == 5
    opened.page.keyboard.press("p")
    opened.press("m")
    opened.press("d")
    opened.press("u")
    opened.press("s")
    assert opened.errors == []
    names = [(entry["name"], "draft" in entry) for entry in json.loads((tmp_path / "x.json").read_text())["ablations"]]
    assert names == [("a", False), ("b", True), ("c", True), ("d", False)]
    opened.press("d")
    assert opened.page.locator("#finished").is_visible()
    opened.end()
    assert [entry["name"] for entry in json.loads((tmp_path / "x.json").read_text())["ablations"]] == ["a", "b", "d"]
