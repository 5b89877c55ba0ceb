"""How charts look: colours that follow the page's theme, names that fit, SVG for pages and files fit for print.

altair and vl-convert come with the extra `report`; they are loaded only when a chart is drawn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from os.path import commonprefix
from typing import TYPE_CHECKING, Any, TypeVar

from evalkit.errors import InputError, install_command
from evalkit.text import safe_terminal

if TYPE_CHECKING:
    import altair as alt

FORMATS = ("svg", "png", "pdf")
FONT = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'Liberation Sans', Arial, sans-serif"
BLUES = (
    "#f3f6f9", "#e0eaf3", "#c9dcec", "#aecbe2", "#8fb8d8", "#6ea3cb", "#4e8dbd", "#3276ac", "#1c5f97", "#0b4779",
)  # fmt: skip
OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#b0478a", "#8a6d00", "#3a9bd9", "#7a5cc0", "#6b7280")
# Role -> (placeholder that stands for it while a chart is drawn, its colour in print). Okabe and Ito's palette, which
# colour-blind readers can tell apart; on a page each placeholder becomes the style sheet's variable of that name.
COLOURS = {
    "ink": ("#010a01", "#1b1f24"), "muted": ("#010a02", "#57606a"),
    "line": ("#010a03", "#d8dee4"), "paper": ("#010a04", "#ffffff"),
    **{f"c{number}": (f"#010b0{number}", value) for number, value in enumerate(OKABE_ITO)},
    **{f"h{step}": (f"#010c0{step}", value) for step, value in enumerate(BLUES)},
}  # fmt: skip
WIDTH = 440  # of a chart in a card, before it is scaled
LARGEST_SCALE = 1.35  # of a chart on a wide card: beyond it letters would be larger than the text around
LONGEST_NAME = 24
SERIES = tuple(f"c{number}" for number in range(8))
HEAT = tuple(f"h{step}" for step in range(10))


@dataclass(frozen=True, slots=True)
class ChartKind:
    """A chart: the question it answers, how to read it, and the function that draws it of a run or a comparison."""

    question: str
    reading: str
    draw: Callable[[Any], Any]
    wide: bool = False


Charts = dict[str, ChartKind]
Draw = TypeVar("Draw", bound=Callable[[Any], Any])


def registered(charts: Charts, name: str, question: str, *, wide: bool = False) -> Callable[[Draw], Draw]:
    """Return a decorator that puts a chart into a registry; its docstring is what a page says on how to read it."""

    def register(draw: Draw) -> Draw:
        charts[name] = ChartKind(question, draw.__doc__ or "", draw, wide)
        return draw

    return register


def draw(charts: Charts, name: str, subject: Any, what: str) -> Any:
    """Draw one chart of a registry; in a notebook it shows itself."""
    require()
    if name not in charts:
        raise InputError(f"no {what} is called {name!r}; there are {', '.join(charts)}")
    return charts[name].draw(subject)


def colour(role: str) -> str:
    """Return the placeholder of a role."""
    return COLOURS[role][0]


def colours(roles: tuple[str, ...]) -> list[str]:
    """Return the placeholders of several roles."""
    return [colour(role) for role in roles]


def sized(width: int = WIDTH) -> dict[str, Any]:
    """Return the properties of a chart that is this wide with its axes and names, so that it fills a card."""
    # Names are measured with the fonts of this machine; the reader's may be wider.
    return {"width": width, "autosize": {"type": "fit-x", "contains": "padding"}, "padding": {"left": 16, "right": 5}}


def titled(chart: Any, title: str) -> Any:
    """Return a chart with a line above it that says what it leaves out, if there is one."""
    return chart.properties(title=title) if title else chart


def require() -> None:
    """Refuse with the way out when the extra is not installed."""
    absent = [name for name in ("altair", "jinja2", "vl_convert") if find_spec(name) is None]
    if absent:
        missing = " and ".join(name.replace("_", "-") for name in absent)
        raise InputError(f"reports and plots need {missing}, which is not installed: {install_command('report')}")


def label(text: object, longest: int = LONGEST_NAME) -> str:
    """Return a name as charts print it: harmless, on one line, shortened in the middle where it is long."""
    plain = " ".join(safe_terminal(str(text)).split())
    head = longest // 3  # names of runs differ at their ends more often
    return plain if len(plain) <= longest else f"{plain[:head]}…{plain[head + 1 - longest :]}"


def labels(names: list[str], longest: int = LONGEST_NAME) -> dict[str, str]:
    """Return a label for every name, without the folders that all share; labels that would be the same get a number."""
    # What the first and the last in order share, all share; a half of a folder's name is cut off.
    shared = commonprefix([min(names), max(names)]).rpartition("/")[0] if len(names) > 1 else ""  # noqa: RUF071
    short: dict[str, str] = {}
    for name in names:
        text = label(name[len(shared) + 1 :] if shared else name, longest)
        short[name] = text if text not in short.values() else f"{text} ({len(short) + 1})"
    return short


def style(background: str | None) -> dict[str, Any]:
    """Return the look of every chart: no frame, hair lines, one family of type."""
    ink, muted, line = colour("ink"), colour("muted"), colour("line")
    axis = {
        "labelColor": muted, "titleColor": muted, "titleFontWeight": "normal", "labelFontSize": 11, "titleFontSize": 11,
        "domainColor": line, "tickColor": line, "gridColor": line, "labelLimit": 320, "titlePadding": 8,
    }  # fmt: skip
    heads = {"labelColor": ink, "titleColor": muted, "labelFontSize": 11, "labelFontWeight": "normal"}
    return {
        "background": background,
        "font": FONT,
        "view": {"stroke": None},
        "axis": axis,
        "header": heads,
        "legend": {**heads, "titleFontSize": 11, "titleFontWeight": "normal", "labelLimit": 320, "symbolSize": 70},
        "range": {"category": colours(SERIES)},
        "text": {"color": ink, "fontSize": 11},
        "title": {"color": muted, "fontSize": 11, "fontWeight": "normal", "anchor": "start"},
    }


def coloured(chart: alt.TopLevelMixin) -> alt.TopLevelMixin:
    """Return the same chart in the colours of print, to show itself in a notebook."""
    import altair as alt

    text = json.dumps(chart.to_dict() | {"config": style(colour("paper"))})
    for placeholder, value in COLOURS.values():
        text = text.replace(placeholder, value)
    return alt.Chart.from_dict(json.loads(text))


def page_svg(chart: alt.TopLevelMixin, caption: str) -> str:
    """Return an SVG element whose colours are the page's variables, so that it follows light, dark and print."""
    text = _svg(chart, None)
    for role, (placeholder, _) in COLOURS.items():
        text = text.replace(placeholder, f"var(--{role})")
    # A picture holds no links (and vl-convert puts an address of its own before ours): cells say where they lead, and
    # the page's script follows them. With the keyboard the list of plans leads to the same places.
    text = re.sub(r'<a xlink:href="[^"#]*#', '<g data-link="#', text).replace("</a>", "</g>")
    # The card's width and this one give its size; the height follows.
    text = re.sub(r'(<svg [^>]*?)width="([\d.]+)" height="[\d.]+"',
                  lambda match: f'{match[1]}width="{float(match[2]) * LARGEST_SCALE:.0f}"', text, count=1)  # fmt: skip
    head = f'<svg class="chart" role="img" aria-label="{escape(caption)}" '
    return text.replace("<svg ", head, 1).replace('class="marks" ', "", 1)


def image(chart: alt.TopLevelMixin, form: str) -> bytes:
    """Return a picture for print in one of FORMATS: white ground, fixed colours."""
    import vl_convert

    text = re.sub(r"<a [^>]*>", "<g>", _svg(chart, colour("paper"))).replace("</a>", "</g>")
    for placeholder, value in COLOURS.values():
        text = text.replace(placeholder, value)
    if form == "svg":
        return text.encode("utf-8")
    drawn = vl_convert.svg_to_png(text, scale=3) if form == "png" else vl_convert.svg_to_pdf(text)
    return bytes(drawn)


def _svg(chart: alt.TopLevelMixin, background: str | None) -> str:
    """Return a chart as SVG, with placeholders where colours will be."""
    import altair as alt
    import vl_convert

    require()
    alt.data_transformers.disable_max_rows()  # 500 papers of 12 planners are more than its 5,000 rows
    return str(vl_convert.vegalite_to_svg(chart.to_json(), config=style(background)))
