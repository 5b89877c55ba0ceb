"""Size and opening time of a report at 20, 100 and 400 papers x 5 planners: `scripts/measure_report.py [PAPERS…]`.

Runs are made from the shipped references: a plan keeps, shuffles and distorts gold entries of its own and of other
papers, with a reasoning trace of the usual length. Needs the extra `report`, playwright and a Chromium.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from evalkit import read_plans
from evalkit.report.run_page import write_report
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.runs import Run
from evalkit.types import Plan

PLANNERS = 5
OPENINGS = 5
TRACE_WORDS = 420
ROOT = Path(__file__).resolve().parent.parent


def made_run(papers: int, seed: int = 0) -> Run:
    """A run of so many papers."""
    rng = random.Random(seed)
    real = read_plans(ROOT / "references", gold=True).plans
    pool = [entry for plan in real for entry in plan.ablations]
    words = [word for entry in pool for word in f"{entry.name} {entry.part}".split()]
    gold, plans = [], []
    for at in range(papers):
        name = f"{real[at % len(real)].paper}-{at:03d}"
        gold.append(Plan(name, None, tuple(rng.sample(pool, rng.randint(4, 8)))))
        for planner in range(PLANNERS):
            kept = [entry for entry in gold[-1].ablations if rng.random() < 0.3 + 0.1 * planner]
            entries = [*kept, *rng.sample(pool, rng.randint(2, 5))]
            rng.shuffle(entries)
            trace = " ".join(rng.choices(words, k=TRACE_WORDS))
            path = f"plans/model-{planner}/{name}.md"
            plans.append(Plan(name, f"lm-planner/model-{planner}", tuple(entries), path=path, trace=trace))
    return score_run(plans, gold, Settings(matcher="lexical", resamples=999))


def opening(path: Path) -> tuple[float, float, float]:
    """Seconds until the page is interactive, until its last plan is shown, and until a search is answered (medians)."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for _ in range(OPENINGS):
            page = browser.new_page()
            start = time.perf_counter()
            page.goto(path.as_uri(), wait_until="commit")
            page.wait_for_selector("html[data-ready] #view .entry", state="attached")
            ready = time.perf_counter() - start
            shown = page.evaluate(
                "async () => { const start = performance.now(); document.querySelector('#sort').value = 'paper';"
                "document.querySelector('#sort').dispatchEvent(new Event('change'));"
                "document.querySelector('#plans .plan:last-of-type').click();"
                "await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame);"
                "return performance.now() - start; }"
            )
            searched = page.evaluate(
                "async () => { const start = performance.now(); document.querySelector('#search').value = 'model-3';"
                "document.querySelector('#search').dispatchEvent(new Event('input'));"
                "await new Promise(requestAnimationFrame); return performance.now() - start; }"
            )
            found.append((ready, shown / 1000, searched / 1000))
            page.close()
        browser.close()
    ready, shown, searched = (statistics.median(column) for column in zip(*found, strict=True))
    return ready, shown, searched


def main() -> None:
    """One line a size, inline and split."""
    sizes = [int(word) for word in sys.argv[1:]] or [20, 100, 400]
    print("papers  plans  layout   page MB  folder MB  write s  interactive s  plan s  search s")
    for papers in sizes:
        run = made_run(papers)
        for layout, limit in (("inline", 10**9), ("folder", 0)):
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                paths = write_report(run, Path(folder) / "report.html", largest_inline=limit)
                took = time.perf_counter() - start
                page = Path(folder) / "report.html"
                beside = sum(path.stat().st_size for path in paths if path != page) / 1e6
                ready, shown, searched = opening(page)
                head = (
                    f"{papers:6d} {papers * PLANNERS:6d}  {layout:6s} {page.stat().st_size / 1e6:7.2f} {beside:10.2f}"
                )
                print(f"{head} {took:8.1f} {ready:14.2f} {shown:7.3f} {searched:9.3f}", flush=True)


if __name__ == "__main__":
    main()
