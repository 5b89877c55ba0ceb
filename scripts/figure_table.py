"""Write tables from the code into the documents that show them, between the two comments that mark their places.

The table of figures, and those of the keys of a JSON document.

.venv/bin/python scripts/figure_table.py            # write it
.venv/bin/python scripts/figure_table.py --check    # exit code 1 where a document's table is not up to date
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import reference

from evalkit.metrics.figures import FIGURES, Figure
from evalkit.report.schemas import make_schema

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- figures: written by scripts/figure_table.py -->", "<!-- end of figures -->"
KEYS = re.compile(
    r"(<!-- keys of ([\w-]+): written by scripts/figure_table.py -->\n).*?(\n<!-- end of keys -->)", re.DOTALL
)


def row(figure: Figure) -> str:
    """Return the table's row of a figure."""
    averages = ", ".join(name for name in ("macro", "micro") if getattr(figure, name))
    label = figure.label if figure.column in ("", figure.label) else f"{figure.label} ({figure.column})"
    return f"| `{figure.name}` | {label} | {figure.meaning} | {averages} |\n"


def table() -> str:
    """Return the table of all figures."""
    head = "| figure | shown as | what it says | averages |\n|---|---|---|---|\n"
    return f"{BEGIN}\n\n{head}{''.join(map(row, FIGURES.values()))}\n{END}"


def keys(match: re.Match[str]) -> str:
    """Return the table of a document's keys, without those of the documents in it."""
    head = "\n| key | value | what it says |\n|---|---|---|\n"
    return (
        match[1] + head + "".join(f"{row}\n" for row in reference.key_rows(make_schema(match[2]), deepest=1)) + match[3]
    )


def main() -> int:
    """Bring every document up to date, or say which one is not."""
    stale = []
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        written = re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: table(), text, flags=re.DOTALL)
        written = KEYS.sub(keys, written)
        if written != text:
            stale.append(path.relative_to(ROOT).as_posix())
            if "--check" not in sys.argv:
                path.write_text(written, encoding="utf-8")
    print("\n".join(stale) or "every table is up to date")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
