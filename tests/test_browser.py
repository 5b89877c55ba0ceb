"""The page in a real browser: it opens from disk, asks for nothing, answers clicks and keys, and obeys no text."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_runs import hostile_run, small_run
from test_report_comparison import BASE, NEW

from evalkit.report.comparison_page import write_comparison
from evalkit.report.run_page import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (make browser installs it)")
pytest.importorskip("vl_convert", reason="needs the extra report")
expect = playwright.expect  # unlike `wait_for_function` it evaluates nothing in the page, whose policy forbids that
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
CHUNK = 150  # rows that a list draws at once, as in evalkit/report/assets/browser.js
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as tool:
        try:
            # Debian's chromium where there is one, else the browser that `playwright install` brought.
            opened = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        except playwright.Error as error:
            if os.environ.get("EVALKIT_BROWSER") == "required":
                raise
            pytest.skip(f"no browser can be started here (make browser installs one): {str(error).splitlines()[0]}")
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small report, the same with its papers beside it, one made of hostile texts, and a comparison."""
    top = tmp_path_factory.mktemp("reports")
    write_report(small_run(), top / "small.html")
    write_report(small_run(), top / "split.html", largest_inline=0)
    write_report(hostile_run(whole=True), top / "hostile.html")
    write_comparison({"old": BASE, "new": NEW}, top / "compared.html")
    return {name: top / f"{name}.html" for name in ("small", "split", "hostile", "compared")}


class Opened:
    """A page with everything it said, asked for, or broke."""

    def __init__(self, browser: Any, path: Path, address: str = "", **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.printed: list[str] = []
        self.asked: list[str] = []
        self.refused: list[str] = []
        self.page.on("console", lambda message: self.printed.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.printed.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.printed.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", lambda request: self.refused.append(f"{request.url} {request.failure}"))
        self.page.goto(path.as_uri() + address)
        self.page.wait_for_selector("html[data-ready] #view .entry")


@pytest.fixture
def visit(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    opened: list[Opened] = []

    def visit(name: str, address: str = "", **options: Any) -> Opened:
        opened.append(Opened(browser, pages[name], address, **options))
        return opened[-1]

    yield visit
    for item in opened:
        item.context.close()


def listed(page: Any) -> list[str]:
    return list(page.locator("#plans .plan .of").all_text_contents())


def heading(page: Any) -> list[str]:
    return [page.locator("#view h3").inner_text(), page.locator("#view h3 + p").inner_text()]


@pytest.mark.parametrize("name", ["small", "hostile", "compared"])
def test_page_opens_from_disk_without_requests(visit: Any, pages: dict[str, Path], name: str) -> None:
    opened = visit(name)
    assert opened.printed == []
    assert opened.asked == [pages[name].as_uri()]


def test_a_split_report_reads_only_its_own_folder(visit: Any, pages: dict[str, Path]) -> None:
    opened = visit("split", "#paper=beta&planner=lm%2Fbad")
    assert heading(opened.page) == ["beta", "lm/bad"]
    assert opened.printed == []
    folder = pages["split"].with_name("split-data").as_uri()
    assert all(url.startswith((pages["split"].as_uri(), folder)) for url in opened.asked)
    opened.page.keyboard.press("]")
    expect(opened.page.locator("#view h3 + p")).to_have_text("lm/good")


def test_a_deep_link_leads_to_its_plan(visit: Any) -> None:
    page = visit("small", "#paper=alpha&planner=lm%2Fgood").page
    assert heading(page) == ["alpha", "lm/good"]
    assert page.locator("#view .entry.is-match").count() == 4
    page.wait_for_selector("#view .lines path.match", state="attached")
    assert page.locator("#view .lines path.match").count() == 2
    assert page.locator("#plans [aria-current]").inner_text().split("\n")[1:] == ["alpha", "lm/good"]


def test_deep_links_in_other_spellings_or_to_nowhere(visit: Any) -> None:
    assert heading(visit("small", "#paper=ALPHA&planner=lm%2FGood").page) == ["alpha", "lm/good"]
    opened = visit("small", "#paper=%E0%A4%A&planner=nobody&show=nothing")
    assert opened.printed == []


def test_search_filter_and_sort(visit: Any) -> None:
    page = visit("small").page
    page.fill("#search", "good be")
    assert listed(page) == ["beta"]
    page.fill("#search", "")
    page.select_option("#of", label="lm/bad")
    page.select_option("#sort", "paper")
    assert listed(page) == ["alpha", "beta", "gamma"]
    page.select_option("#of", label="all planners")
    page.select_option("#show", "duplicate")
    assert listed(page) == ["gamma"]
    assert page.locator("#count").inner_text() == "1 of 6 plans, 1 cases"
    page.select_option("#show", "")
    page.select_option("#sort", "high")
    scores = [float(text) for text in page.locator("#plans .score").all_text_contents()]
    assert scores == sorted(scores, reverse=True)


def test_a_search_without_hits_clears_the_plan(visit: Any) -> None:
    page = visit("small").page
    before = heading(page)
    page.fill("#search", "nowhere")
    assert page.locator("#view h3").count() == 0
    assert page.locator("#view .empty p").inner_text() == "No plan fits “nowhere”."
    page.get_by_role("button", name="Show all plans").click()
    assert len(listed(page)) == 6
    assert heading(page) == before
    page.fill("#gold-search", "nowhere")
    assert page.locator("#gold-list").inner_text() == "No gold entry fits."


def test_a_phone_shows_the_plan_before_the_list_and_cuts_nothing(visit: Any) -> None:
    page = visit("hostile", viewport={"width": 360, "height": 740}).page
    top = "id => document.getElementById(id).getBoundingClientRect().top"
    assert page.evaluate(top, "view") < page.evaluate(top, "plans")
    cut = """[...document.querySelectorAll("#view .verdict, #view .box, #view li")]
        .filter((one) => one.scrollHeight > one.clientHeight + 1)
        .filter((one) => getComputedStyle(one).overflowY !== "visible").length"""
    assert page.evaluate(cut) == 0


@pytest.mark.parametrize("width", [360, 768, 1360])
def test_charts_fill_their_cards_and_stay_inside(visit: Any, width: int) -> None:
    page = visit("small", viewport={"width": width, "height": 800}).page
    sizes = page.evaluate("""[...document.querySelectorAll(".panel:not(.wide) .scroll")].map((card) =>
        [card.querySelector("svg").getBoundingClientRect().width, card.getBoundingClientRect().width])""")
    assert len(sizes) >= 5
    for chart, card in sizes:
        assert 0.6 * card < chart <= card + 0.5, sizes


def test_a_count_of_errors_opens_its_cases(visit: Any) -> None:
    page = visit("small").page
    page.locator('#errors a[href="#of=lm%2Fgood&show=spurious"]').click()
    expect(page.locator("#show")).to_have_value("spurious")
    assert listed(page) == ["beta"]
    assert page.locator("#view .entry.asked.is-spurious").count() == 1


def test_the_leaderboard_sorts(visit: Any) -> None:
    page = visit("small").page
    first = page.locator(".board tbody tr:first-child th")
    assert first.inner_text() == "lm/good"
    page.get_by_role("button", name="Match F1").click()
    page.get_by_role("button", name="Match F1").click()
    assert first.inner_text() == "lm/bad"
    assert page.locator('.board th[aria-sort="ascending"]').count() == 1


def test_heat_map_cell_opens_its_plan(visit: Any) -> None:
    page = visit("small").page
    link = page.locator("#chart-papers [data-link]").first
    target = link.get_attribute("data-link")
    link.dispatch_event("click")
    expect(page).to_have_url(re.compile(re.escape(str(target)) + "$"))


def test_gold_entries_by_who_finds_them(visit: Any) -> None:
    page = visit("small").page
    page.select_option("#gold-found", "any")
    assert page.locator("#gold-count").inner_text() == "5 of 5 gold entries"
    page.fill("#gold-search", "momentum")
    page.locator("#gold-list a").click()
    expect(page.locator("#view h3")).to_have_text("gamma")


def test_a_comparison_shows_both_alignments(visit: Any) -> None:
    page = visit("compared").page
    assert listed(page) == ["alpha", "beta"]
    assert page.locator("#plans .score").all_text_contents() == ["−0.500", "0.000"]
    assert page.locator("#view h4.side").all_text_contents() == ["New: new", "Base: old"]
    assert page.locator("#view .change-lost").count() == 2
    page.select_option("#show", "lost")
    assert listed(page) == ["alpha"]
    assert page.locator("#view .entry.asked").count() == 2


def test_keys_lead_through_everything(visit: Any) -> None:
    page = visit("small", "#paper=alpha&planner=lm%2Fgood").page
    page.keyboard.press("]")
    expect(page.locator("#view h3 + p")).to_have_text("lm/bad")
    before = heading(page)
    page.keyboard.press("j")
    expect(page.locator("#view h3")).not_to_have_text(before[0])
    page.keyboard.press("o")
    assert "side by side" in page.locator(".order").inner_text()
    page.keyboard.press("/")
    page.keyboard.type("jo")
    assert page.input_value("#search") == "jo"


def test_every_control_is_reached_by_tabbing(visit: Any) -> None:
    page = visit("small").page
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"theme", "gold-found", "gold-search", "search", "of", "show", "sort", "plans", "plan"} <= reached


def test_the_theme_changes_and_is_kept(visit: Any) -> None:
    page = visit("small", color_scheme="light").page
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.click("#theme")
    page.click("#theme")
    assert page.evaluate(ground) == "rgb(20, 24, 29)"
    page.reload()
    assert page.locator("#theme").inner_text() == "Theme: dark"


@pytest.mark.parametrize("width", [360, 768, 1360])
@pytest.mark.parametrize("name", ["small", "hostile", "compared"])
def test_nothing_is_wider_than_the_screen(visit: Any, name: str, width: int) -> None:
    page = visit(name, viewport={"width": width, "height": 800}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_no_text_is_obeyed(visit: Any) -> None:
    opened = visit("hostile")
    page = opened.page
    for at in range(0, page.locator("#plans .plan").count(), 17):
        page.locator("#plans .plan").nth(at).click()
        page.wait_for_selector("#view .entry")
    assert page.evaluate("window.harmed") is None
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    assert page.locator("img, iframe, object, embed").count() == 0
    assert opened.printed == []
    assert len(opened.asked) == 1


IMAGE = '<img src=x onerror="window.harmed=1">'
LINK = '<svg onload="window.harmed=1"></svg><a id=h href="javascript:window.harmed=1">x</a>'
ATTACKS = {
    "handler": f"document.body.insertAdjacentHTML('beforeend', `{IMAGE}`)",
    "link": f"document.body.insertAdjacentHTML('beforeend', `{LINK}`); document.getElementById('h').click()",
    "frame": "const f = document.createElement('iframe'); f.srcdoc = '<script>parent.harmed=1</script>';"
    "document.body.append(f)",
    "picture": "const s = document.createElement('img'); s.src = 'http://127.0.0.1:9/'; document.body.append(s)",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_the_policy_stops_what_would_slip_through(visit: Any, attack: str) -> None:
    """The attack's markup gets into the page past every escape; the policy still keeps it from acting."""
    opened = visit("small")
    opened.page.evaluate(attack)
    opened.page.wait_for_timeout(100)
    assert opened.page.evaluate("window.harmed") is None
    assert all(f"{url} csp" in opened.refused for url in opened.asked if url.startswith("http"))
    assert any("Content Security Policy" in text or "security policy" in text.lower() for text in opened.printed)


def test_an_injected_script_element_is_stopped(browser: Any, pages: dict[str, Path], tmp_path: Path) -> None:
    text = pages["small"].read_text(encoding="utf-8")
    (tmp_path / "page.html").write_text(text.replace("<footer>", "<script>window.harmed=1</script><footer>"), "utf-8")
    opened = Opened(browser, tmp_path / "page.html")
    assert opened.page.evaluate("window.harmed") is None
    opened.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("name", "planner", "width"), [("small", "bad", 390), ("small", "bad", 1360), ("compared", "one", 1360)]
)
def test_no_serious_accessibility_fault(visit: Any, scheme: str, name: str, planner: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    address = f"#paper=alpha&planner=lm%2F{planner}"
    opened = visit(name, address, color_scheme=scheme, viewport={"width": width, "height": 900})
    found = axe.Axe().run(opened.page).response["violations"]
    serious = [
        f"{item['id']}: {item['help']}: {node['html'][:160]}"
        for item in found if item["impact"] in ("serious", "critical") for node in item["nodes"]
    ]  # fmt: skip
    assert not serious, "\n".join(serious)


def test_print_leaves_out_the_controls(visit: Any) -> None:
    page = visit("small").page
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("#controls").is_visible()
    assert not page.locator("#plans").is_visible()
    assert not page.locator("footer").is_visible()  # it could end up alone on the last sheet
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf()[:4] == b"%PDF"


def test_a_large_report_draws_what_is_looked_at(browser: Any, tmp_path: Path) -> None:
    """Of 100 papers x 5 planners a page draws a part of the list and one plan."""
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
    from measure_report import made_run

    write_report(made_run(100), tmp_path / "report.html")
    opened = Opened(browser, tmp_path / "report.html")
    drawn = opened.page.locator("#plans .plan")
    assert drawn.count() == CHUNK
    opened.page.fill("#search", "model-3")
    expect(opened.page.locator("#plans .plan").first).to_contain_text("model-3")
    assert drawn.count() == 100 < CHUNK
    assert opened.page.evaluate("document.querySelectorAll('*').length") < 10_000
    opened.context.close()
