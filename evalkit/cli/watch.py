"""`evalkit watch`: score again whenever a plan is saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.options import CACHE, engine_options, scoring_options, settings_from, take_work, workplace

if TYPE_CHECKING:
    from evalkit.comparison import Snapshot
    from evalkit.storage.runs import Run

QUIET_MS = 50  # without a further change, after which a save counts as done
TIMEOUT_MS = 200
LONGEST_MS = 1_000  # that changes are gathered while they go on
NAMED = 3  # changed files that a line names


@click.command("watch")
@click.argument("pred", metavar="PRED")
@click.option("--gold", required=True, metavar="DIR", help="Gold: one file a paper, or one file with many.")
@click.option("--out", metavar="DIR", help="Run folder that always holds the last good run.  [default: none]")
@scoring_options
@CACHE
@engine_options
def command(pred: str, gold: str, out: str | None, config: str | None, cache: str | None, **options: Any) -> None:
    """Score the plans in PRED whenever one of them, or gold, is saved, and say what that moved.

    After each save it prints every planner's match F1 that changed and the gold entries gained and lost since the last
    good run. A plan that can no longer be read is reported, and the last good run stays until it can be. Stop with
    Ctrl-C. Needs the extra `watch`.
    """
    from evalkit.errors import SettingsError

    work = take_work(options)
    settings = settings_from(config, options)
    if settings.judge.models:
        raise SettingsError("watch asks no language model; leave [judge] models out of its settings")
    # Intervals and tests say nothing of a single save.
    settings = settings if out else replace(settings, resamples=0)
    with workplace(work, cache) as place:
        from evalkit.scoring.pipeline import score_run

        saves = _saves(_places(pred, gold, out))
        session = _Session(lambda: score_run(pred, gold, settings, **place), out)
        session.score(f"watching {pred} against {gold}; Ctrl-C stops")
        for changed in saves:
            session.score(changed)


def _places(pred: str, gold: str, out: str | None) -> list[Path]:
    """Return what is watched; refuse a run folder in it, which would be a change itself."""
    from evalkit.errors import InputError
    from evalkit.storage.files import nearby
    from evalkit.storage.hub import is_address

    places = []
    for given in (pred, gold):
        if is_address(given):
            raise InputError(f"{given}: watch looks at files of this machine")
        path = Path(given).resolve()
        if not path.exists():
            raise InputError(f"{given}: no such file or folder{nearby(given)}")
        if out is not None and path in (Path(out).resolve(), *Path(out).resolve().parents):
            raise InputError(f"--out {out}: lies in {given}, which is watched; give a folder outside it")
        places.append(path)
    return places


def _saves(places: list[Path]) -> Iterator[str]:
    """Return saves as they come, in words; what changes from now on is not missed."""
    from evalkit.errors import InputError, install_command

    try:
        from watchfiles import DefaultFilter, watch
    except ImportError as error:
        raise InputError(f"watch needs watchfiles: {install_command('watch')}") from error
    usual = DefaultFilter()  # passes over what editors write beside a file
    # Many editors save by putting a new file in the place of the old one, which only its folder sees.
    folders = {place if place.is_dir() else place.parent for place in places}
    changes = watch(
        *folders, debounce=LONGEST_MS, step=QUIET_MS, rust_timeout=TIMEOUT_MS, yield_on_timeout=True,
        watch_filter=lambda change, path: usual(change, path) and any(place in (Path(path), *Path(path).parents)
                                                                      for place in places),
    )  # fmt: skip
    next(changes)  # begins to watch
    return (_named(sorted(Path(path).name for _, path in some)) for some in changes if some)


def _named(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


class _Session:
    """The last good run, and how to make the next one."""

    def __init__(self, make: Callable[[], Run], out: str | None) -> None:
        self._make, self._out = make, out
        self._last: tuple[Run, Snapshot] | None = None

    def score(self, what: str) -> None:
        """Score once, and print what moved; keep the run if everything that could be read before still can."""
        from evalkit.comparison import snapshot_of
        from evalkit.comparison.moved import moved
        from evalkit.errors import EvalkitError
        from evalkit.report import console, watch_text
        from evalkit.text import safe_terminal

        began = time.perf_counter()

        def head() -> str:
            return f"{time.strftime('%H:%M:%S')}  {safe_terminal(what)}  {time.perf_counter() - began:.2f} s"

        try:
            run = self._make()
        except EvalkitError as error:
            console.show(watch_text.refused(error, head()))
            return
        new = snapshot_of(run, "new")
        result = moved(self._last[0], run, self._last[1], new) if self._last else None
        if self._last and result and result.failed:
            console.show(watch_text.failed(result, self._last[0], run, head()))
            return
        self._last = run, new
        if self._out is not None:
            run.save(self._out, force=True)
        console.show(watch_text.saved(result, head()) if result else watch_text.begun(run, head()))
