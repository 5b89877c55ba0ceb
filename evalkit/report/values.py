"""Cells of a run as people read them: three digits, a dash where there is no value, intervals in brackets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from evalkit.stats import TIE

SHOWN_STEPS = 3  # planner's folder, planner, file
CORRECTIONS = {"holm": "Holm", "shaffer": "Shaffer", "bh": "Benjamini-Hochberg"}


def missing(value: object) -> bool:
    """Return whether a cell of a table or a frame has no value; pandas is not loaded to ask for its NA."""
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ == "NAType"


def defined(value: Any) -> float | None:
    """Return a figure, or None where it is undefined."""
    return None if missing(value) else float(value)


def is_best(value: Any, most: Any) -> bool:
    """Return whether a figure is the highest of its column, or one of several that are."""
    return not missing(value) and not missing(most) and bool(value >= most - TIE)


def number(value: Any, digits: int = 3, *, signed: bool = False) -> str:
    """Return a number with so many digits, and with a plus if asked for."""
    if missing(value):
        return "–"
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def brackets(low: Any, high: Any, digits: int = 2, *, signed: bool = False) -> str:
    """Return an interval to stand behind a number, or nothing where there is none."""
    if missing(low):
        return ""
    return f" [{number(low, digits, signed=signed)}, {number(high, digits, signed=signed)}]"


def papers_shown(row: Mapping[Any, Any]) -> str:
    """Return the papers of a slice, with a word where they are too few for an interval."""
    return f"{row['papers']}{', few' if row['small'] else ''}"


def p_value(value: float | None) -> str:
    """Return p with three significant digits."""
    return "–" if value is None else f"{value:.3g}"


def short_p(value: float | None) -> str:
    """Return p with three decimals where there is little room; what would be 0.000 is said to be below 0.001."""
    return "<0.001" if value is not None and value < 0.0005 else number(value)


def shown_path(path: str) -> str:
    """Return a path to show to others: of one that is absolute only its end, without this machine's folders."""
    steps = re.split(r"[/\\]+", path)
    absolute = path.startswith(("/", "\\", "~")) or re.match("[A-Za-z]:[/\\\\]", path)
    return "/".join(["…", *steps[-SHOWN_STEPS:]]) if absolute else path


def pairs_corrected(settings: Mapping[str, Any]) -> str:
    """Say how p of all pairs of a run's planners was corrected."""
    by = f" by {CORRECTIONS['bh']}" if settings.get("correction") == "bh" else ""
    return f"corrected for all pairs{by}"


def text(value: object) -> str:
    """Return a cell as text; missing is empty."""
    return value if isinstance(value, str) else ""
