"""Write the table of figures into the documents that show it, between the two comments that mark its place.

.venv/bin/python scripts/figure_table.py            # write it
.venv/bin/python scripts/figure_table.py --check    # exit code 1 where a document's table is not up to date
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from evalkit.metrics.figures import FIGURES, Figure

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- figures: written by scripts/figure_table.py -->", "<!-- end of figures -->"


def row(figure: Figure) -> str:
    """Return the table's row of a figure."""
    averages = ", ".join(name for name in ("macro", "micro") if getattr(figure, name))
    label = figure.label if figure.column in ("", figure.label) else f"{figure.label} ({figure.column})"
    return f"| `{figure.name}` | {label} | {figure.meaning} | {averages} |\n"


def table() -> str:
    """Return the table of all figures."""
    head = "| figure | shown as | what it says | averages |\n|---|---|---|---|\n"
    return f"{BEGIN}\n\n{head}{''.join(map(row, FIGURES.values()))}\n{END}"


def main() -> int:
    """Bring every document up to date, or say which one is not."""
    stale = []
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        written = re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: table(), text, flags=re.DOTALL)
        if written != text:
            stale.append(path.relative_to(ROOT).as_posix())
            if "--check" not in sys.argv:
                path.write_text(written, encoding="utf-8")
    print("\n".join(stale) or "every table of figures is up to date")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
