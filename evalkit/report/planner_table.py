"""Tables whose rows are planners, fitted to the width they are shown in: planner and first figure are never cut."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

ROOM = 3  # of a column besides its text: a line and a blank on each side
SHARE = 0.4  # of the width that planners' names may take before they are folded
NARROWEST = 16
FOLDED = 14


class PlannerTable:
    """A table that drops columns from the last in priority on until it fits, and says which.

    `first`: heads in the order of their priority; the others follow in their own order. Columns in `folded` may run
    over several lines. `name` is the head of the first column. Where not everything fits, what all names begin with is
    said once, in the title.
    """

    def __init__(
        self,
        title: str,
        heads: Iterable[str],
        *,
        folded: Collection[str] = (),
        first: Sequence[str] = (),
        hint: str = "",
        name: str = "planner",
    ) -> None:
        self.title, self.heads, self.folded, self.hint, self.name = title, list(heads), folded, hint, name
        self.priority = [*(head for head in first if head in self.heads), *(h for h in self.heads if h not in first)]
        self.rows: list[tuple[str, list[Text]]] = []

    def add_row(self, planner: str, *cells: Text | str) -> None:
        """Add the row of a planner; its name is harmless already."""
        self.rows.append((planner, [cell if isinstance(cell, Text) else Text(cell) for cell in cells]))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names = [name for name, _ in self.rows]
        kept, width = self._fitting(names, options.max_width)
        title = self.title
        if len(kept) < len(self.heads) and (prefix := common_prefix(names)):
            names = [name.removeprefix(prefix) for name in names]
            kept, width = self._fitting(names, options.max_width)
            title += f"\n{self.name}s below {prefix}"
        table = Table(title=title, title_justify="left")
        table.add_column(self.name, overflow="fold", width=width)
        for head in kept:
            table.add_column(head, justify="right", no_wrap=head not in self.folded)
        for name, (_, cells) in zip(names, self.rows, strict=True):
            by_head = dict(zip(self.heads, cells, strict=True))
            table.add_row(Text(name), *(by_head[head] for head in kept))
        yield table
        if dropped := [head for head in self.heads if head not in kept]:
            yield Text(f"no room for: {', '.join(dropped)}{self.hint and f'; {self.hint}'}", style="dim")

    def _fitting(self, names: Sequence[str], width: int) -> tuple[list[str], int]:
        """Return the heads that fit, in their order, and the width of the planners' column."""
        longest = max(map(cell_len, [*names, self.name]))
        planner = min(longest, max(NARROWEST, int(width * SHARE)))
        used, kept = 1 + planner + ROOM, set[str]()
        for head in self.priority:
            used += self._width(head) + ROOM
            if used > width and kept:
                break
            kept.add(head)
        return [head for head in self.heads if head in kept], planner

    def _width(self, head: str) -> int:
        place = self.heads.index(head)
        texts = [head, *(line for _, cells in self.rows for line in cells[place].plain.split("\n"))]
        if head in self.folded:
            return min(FOLDED, max(cell_len(text) for text in texts))
        return max(map(cell_len, texts))


def common_prefix(names: Sequence[str]) -> str:
    """Return the folders that all of several names begin with, with the slash behind them."""
    if len(names) < 2:
        return ""
    shared = 0
    for parts in zip(*(name.split("/")[:-1] for name in names), strict=False):
        if len(set(parts)) > 1:
            break
        shared += 1
    return "".join(f"{part}/" for part in names[0].split("/")[:shared])
