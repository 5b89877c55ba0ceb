"""The documentation's site: it builds without a warning, its links lead somewhere, and its search asks nobody else."""

from __future__ import annotations

import ast
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache, partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from test_browser import browser, playwright  # noqa: F401 - a fixture
from test_house import tree as parsed

from evalkit.cli import COMMANDS
from evalkit.formats import CODES
from evalkit.report.columns import meaning
from evalkit.types import COUNT_NAMES

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(folder / "trees"), "docs"]
    done = subprocess.run([*command, str(folder / "html")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "html"


class Links(HTMLParser):
    """What a page links to, loads, and can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors = {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {found["id"]} if found.get("id") else set()
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        for name in ("src", "href") if tag != "a" else ():
            if found.get(name):
                self.loaded.append(str(found[name]))


links_of = cache(Links)


def pages(site: Path) -> Iterator[Path]:
    return (path for path in site.rglob("*.html") if "_static" not in path.parts)


@pytest.mark.docs
def test_links_lead_somewhere_and_nothing_is_loaded_from_outside(site: Path) -> None:
    found = list(pages(site))
    assert len(found) > 20
    broken, loaded = [], []
    for page in found:
        own = links_of(page)
        loaded += [f"{page.name}: {link}" for link in own.loaded if urlsplit(link).netloc]
        for link in own.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            anchors = links_of(target).anchors if target.suffix == ".html" and target.is_file() else {parts.fragment}
            if not target.is_file() or unquote(parts.fragment) not in anchors:
                broken.append(f"{page.relative_to(site)}: {link}")
    assert broken == []
    assert loaded == []


@pytest.mark.docs
def test_reference_has_every_command_option_and_name(site: Path) -> None:
    import evalkit

    commands = links_of(site / "reference" / "commands.html").anchors
    assert [name for name in COMMANDS if f"evalkit-{name}" not in commands] == []
    assert "evalkit-baseline-set" in commands
    names = links_of(site / "reference" / "python.html").anchors
    assert [name for name in evalkit.__all__ if f"evalkit.{name}" not in names] == []
    assert "evalkit.Run.plans_of" in names
    text = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "--part-threshold" not in text  # a setting without an option
    assert "--planner-from" in text
    settings = (site / "reference" / "settings.html").read_text(encoding="utf-8")
    assert all(f">{name}</span>" in settings for name in ("part_threshold", "budget_money", "must_match"))
    assert ">entry-unreadable</span>" in (site / "reference" / "diagnostics.html").read_text(encoding="utf-8")


# What hands on a code that was given elsewhere; reports of a parse look theirs up in the table.
HANDED_ON = {"code", "_text(code)", "item.code", "problem.code", "diagnostic.code", "*found", "*report", "*repair"}


def called(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    """Yield the calls of functions or methods of these names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name.lstrip("_") in names:
                yield node


def test_every_code_that_the_package_gives_is_in_the_table() -> None:
    """A code is the second argument of `Diagnostic` and `Unread`, the first of a report: a text or a constant."""
    paths = sorted((ROOT / "evalkit").rglob("*.py"))
    trees = {path: parsed(path) for path in paths}
    assignments = [node for tree in trees.values() for node in tree.body if isinstance(node, ast.Assign)]
    constants = dict[str, object]()
    for node in assignments:
        names, values = (getattr(side, "elts", [side]) for side in (node.targets[0], node.value))
        pairs = zip(names, values, strict=False)
        constants |= {getattr(name, "id", ""): getattr(value, "value", None) for name, value in pairs}
    codes = list[ast.expr]()
    for path, tree in trees.items():
        codes += [call.args[1] for call in called(tree, "Diagnostic", "Unread") if len(call.args) > 1]
        if path.parent.name in ("formats", "recorded"):  # elsewhere, a report is something else
            codes += [call.args[0] for call in called(tree, "report")]
        changes = [keyword.arg for call in called(tree, "Diagnostic", "Unread", "replace") for keyword in call.keywords]
        assert "code" not in changes, path
    values = [getattr(code, "value", constants.get(ast.unparse(code))) for code in codes]
    given = {value for value in values if isinstance(value, str)}
    assert {"missing-plan", "lost-sample", "plan-elsewhere", "link-outside", "judgement-mixed", "too-deep"} <= given
    assert given - set(CODES) == set()
    other = {ast.unparse(code) for code, value in zip(codes, values, strict=True) if not isinstance(value, str)}
    assert other == HANDED_ON


@pytest.mark.docs
def test_the_page_of_diagnostics_has_every_code(site: Path) -> None:
    text = (site / "reference" / "diagnostics.html").read_text(encoding="utf-8")
    assert [code for code in CODES if f">{code}</span>" not in text and f">{code}<" not in text] == []


@pytest.mark.docs
def test_language_models_find_the_pages(site: Path) -> None:
    text = (site / "llms.txt").read_text(encoding="utf-8")
    paths = [line.split("](")[1].split(")")[0] for line in text.splitlines() if line.startswith("- [")]
    assert len(paths) > 15
    assert [path for path in paths if not (site / path).is_file()] == []


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (
            "match_f1_micro_low",
            "lower end of the 95% interval: harmonic mean of the two, entries that match fully, over",
        ),
        ("match_gold_if_all", "gold entries that match fully, if every borderline pair matched"),
        ("replace_add", "aligned pairs where gold says REPLACE and the plan ADD"),
        ("label_match_plan", "by labels: plan entries that match fully"),
    ],
)
def test_columns_say_what_they_are(column: str, words: str) -> None:
    assert meaning(column).startswith(words)


def test_every_count_is_explained() -> None:
    assert all(meaning(name) for name in COUNT_NAMES)


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    """Serve the site on this machine: from files, browsers let no search read the pages that it found."""
    handler = partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """A server that logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_search_finds_and_nothing_is_asked_of_others(served: str, browser: object, width: int) -> None:  # noqa: F811
    page = browser.new_page(viewport={"width": width, "height": 844})  # type: ignore[attr-defined]
    asked, wrong = list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(served)
    assert page.locator("h1").first.inner_text().startswith("evalkit")
    page.goto(f"{served}search.html?q=calibration")
    playwright.expect(page.locator("#search-results li").first).to_be_visible()
    page.locator("#search-results li a").first.click()
    playwright.expect(page.locator("h1").first).to_be_visible()
    for name in ("numbers", "reference/columns", "reference/commands", "tutorials/first-leaderboard"):
        page.goto(f"{served}{name}.html")
        wide = page.locator("html").evaluate("e => e.scrollWidth - e.clientWidth")
        assert wide <= 1, f"{name} is wider than a window of {width}"
    assert [url for url in asked if not url.startswith(served)] == []
    assert wrong == []
    page.close()
