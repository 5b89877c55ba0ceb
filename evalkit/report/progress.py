"""Progress on standard error, only where a person can see it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """A progress callback: a step's name, how much of it is done, and how much there is."""

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None: ...


@contextmanager
def bar() -> Iterator[Advance]:
    """Open a callback `(what, done, total, note)` that draws bars with rate and time left, and nothing in a pipe."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, markup=False, emoji=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as drawn:
        tasks = {}
        begun = drawn.add_task("Reading", total=None)

        def advance(what: str, done: int, total: int, note: str = "") -> None:
            if what not in tasks:
                drawn.update(begun, visible=False)
                tasks[what] = drawn.add_task(what, total=total)
            drawn.update(tasks[what], completed=done, total=total, description=f"{what} {note}".rstrip())

        yield advance
