"""A folder of runs as static pages: the list, a report a run, comparisons of neighbours, and all runs over time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from evalkit.comparison.history import Group, History, exactly, history, renamed_leader
from evalkit.errors import EvalkitError
from evalkit.report import comparison_page, run_page, runs_page
from evalkit.report.html import Page
from evalkit.settings import fingerprint
from evalkit.storage.files import check_new, write_texts
from evalkit.storage.run_list import RunHead, list_runs
from evalkit.storage.runs import load_run

MOST_PLANNERS = 12  # that have a page of their own
ALL_PAIRS = 8  # runs of which every two have a page; of more, each with the one before it and with the best before it
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Files:
    """The names of the pages, by run, by two runs and by planner."""

    runs: dict[str, str]
    pairs: dict[Pair, str]
    planners: dict[str, str]

    def places(self, up: str = "", home: str = "") -> runs_page.Places:
        """Return the addresses as a page sees them from its folder, `up` from which the others are."""

        def at(file: str | None) -> str:
            return f"{up}{file}" if file else ""

        pairs = {"\n".join(pair): at(file) for pair, file in self.pairs.items()}
        return runs_page.Places(
            home=home, many=f"{up}over-time.html",
            run=lambda name: at(self.runs.get(name)), pair=lambda base, new: at(self.pairs.get((base, new))),
            planner=lambda name: at(self.planners.get(name)),
            data={"live": False, "pairs": pairs, "many": f"{up}over-time.html"},
        )  # fmt: skip


def export(folder: str | Path, out: str | Path, metric: str, *, force: bool = False) -> int:
    """Write the pages of a folder of runs into another one, the list last; return how many there are."""
    top = Path(out)
    check_new(top / "index.html", force=force)
    found = list_runs([folder], metric)
    result = history(found.runs, metric, unread=found.unread)
    files = _files(result)
    heads = {line.run.name: line.run for line in result.lines}
    count = 0
    for file, make in _pages(result, files, heads):
        try:
            make().write(top / file)
        except EvalkitError as error:
            raise type(error)(f"{file}: {error}") from error
        count += 1
    index = {top / "index.html": runs_page.list_page(result, files.places(), tested=True)}
    write_texts(index, force=True)
    return count + 1


def _files(result: History) -> Files:
    """Return the name of every page: letters and digits of the run's name, and a hash that tells alike ones apart."""
    names = [line.run.name for line in result.lines]
    files = {name: _file_name(name) for name in names}
    pairs = {
        pair: f"compare/{files[pair[0]]}-{files[pair[1]]}.html" for group in result.groups for pair in _pairs(group)
    }
    planners = result.groups[0].planners[:MOST_PLANNERS] if result.groups else ()
    return Files(
        {name: f"run/{file}.html" for name, file in files.items()}, pairs,
        {name: f"planner/{_file_name(name)}.html" for name in planners},
    )  # fmt: skip


def _file_name(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40].lower()
    return f"{plain}-{fingerprint(name)[:8]}" if plain != name else plain


def _pairs(group: Group) -> Iterator[Pair]:
    """Yield the pairs of runs that get a page, the earlier one first."""
    names = [line.run.name for line in group.lines]
    if len(names) <= ALL_PAIRS:
        yield from ((base, new) for place, new in enumerate(names) for base in names[:place])
        return
    for line in group.lines:
        for before in dict.fromkeys((line.previous.was if line.previous else "", line.best_run)):
            if before:
                yield before, line.run.name


def _pages(result: History, files: Files, heads: dict[str, RunHead]) -> Iterator[tuple[str, Callable[[], Page]]]:
    """Yield each page's file and how it is made; one is made, written and forgotten before the next."""
    for name, file in files.runs.items():
        yield file, partial(_run_page, heads[name], f"{Path(file).stem}-data")
    for pair, file in files.pairs.items():
        yield file, partial(_pair_page, [heads[name] for name in pair], f"{Path(file).stem}-data")
    for name, file in files.planners.items():
        yield file, partial(_over_time, result, name, files.places("../", "../index.html"))
    yield "over-time.html", partial(_over_time, result, "", files.places("", "index.html"))


def _run_page(head: RunHead, data: str) -> Page:
    return run_page.run_page(load_run(head.folder), data, home="../index.html")


def _pair_page(heads: list[RunHead], data: str) -> Page:
    runs = {head.name: load_run(head.folder) for head in heads}
    return comparison_page.comparison_page(runs, data, False, home="../index.html", renamed=renamed_leader(*heads))


def _over_time(result: History, planner: str, places: runs_page.Places) -> Page:
    """Return all runs over time, following one planner."""
    if planner:
        runs = [line.run for line in result.lines]
        result = history(runs, result.metric, planner=exactly(planner))
    return Page(runs_page.many_page(result, places), "", {})
