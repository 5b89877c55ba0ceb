"""Takes a chart, gives a picture: SVG that follows the page's theme, or a file fit for print.

altair and vl-convert come with the extra `report`; both are loaded only here and in charts.py, when a chart is drawn.
"""

from __future__ import annotations

import json
import re
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from evalkit.errors import InputError
from evalkit.text import safe_terminal

if TYPE_CHECKING:
    import altair as alt

FORMATS = ("svg", "png", "pdf")
FONT = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'Liberation Sans', Arial, sans-serif"
BLUES = (
    "#f3f6f9", "#e0eaf3", "#c9dcec", "#aecbe2", "#8fb8d8", "#6ea3cb", "#4e8dbd", "#3276ac", "#1c5f97", "#0b4779",
)  # fmt: skip
# Role -> (placeholder that stands for it while a chart is drawn, its colour in print). Okabe and Ito's palette, which
# colour-blind readers can tell apart; on a page each placeholder becomes the style sheet's variable of that name.
COLOURS = {
    "ink": ("#010a01", "#1b1f24"),
    "muted": ("#010a02", "#57606a"),
    "line": ("#010a03", "#d8dee4"),
    "paper": ("#010a04", "#ffffff"),
    "c0": ("#010b00", "#0072b2"),
    "c1": ("#010b01", "#d55e00"),
    "c2": ("#010b02", "#009e73"),
    "c3": ("#010b03", "#b0478a"),
    "c4": ("#010b04", "#8a6d00"),
    "c5": ("#010b05", "#3a9bd9"),
    "c6": ("#010b06", "#7a5cc0"),
    "c7": ("#010b07", "#6b7280"),
    **{f"h{step}": (f"#010c0{step}", value) for step, value in enumerate(BLUES)},
}
SERIES = tuple(f"c{at}" for at in range(8))
HEAT = tuple(f"h{step}" for step in range(10))


def colour(role: str) -> str:
    """What a chart says for a role: its placeholder."""
    return COLOURS[role][0]


def colours(roles: tuple[str, ...]) -> list[str]:
    """The placeholders of several roles."""
    return [colour(role) for role in roles]


def require() -> None:
    """Refuse with the way out when the extra is not installed."""
    absent = [name for name in ("altair", "jinja2", "vl_convert") if find_spec(name) is None]
    if absent:
        missing = " and ".join(name.replace("_", "-") for name in absent)
        raise InputError(f"reports and plots need {missing}, which is not installed: pip install 'evalkit[report]'")


def label(text: object, longest: int = 48) -> str:
    """A name as charts print it: harmless, on one line, shortened in the middle where it is long."""
    plain = " ".join(safe_terminal(str(text)).split())
    return plain if len(plain) <= longest else f"{plain[: longest // 2 - 1]}…{plain[-longest // 2 + 1 :]}"


def labels(names: list[str]) -> dict[str, str]:
    """A label for every name, without the folders that all share; labels that would be the same get a number."""
    # What the first and the last in order share, all share.
    shared = _same_start(min(names), max(names)).rpartition("/")[0] if len(names) > 1 else ""
    found: dict[str, str] = {}
    for name in names:
        short = label(name[len(shared) + 1 :] if shared else name)
        found[name] = short if short not in found.values() else f"{short} ({len(found) + 1})"
    return found


def _same_start(one: str, other: str) -> str:
    """The characters with which both texts begin."""
    differing = (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return one[: next(differing, min(len(one), len(other)))]


def address(name: str) -> str:
    """A name as it stands in the links of a page."""
    return quote(name.encode("utf-8", "replace"), safe="")


def style(background: str | None) -> dict[str, Any]:
    """The look of every chart: no frame, hair lines, one family of type."""
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
        "title": {"color": ink, "fontSize": 12, "anchor": "start"},
    }


def coloured(chart: alt.TopLevelMixin) -> alt.TopLevelMixin:
    """The same chart in the colours of print, to show itself in a notebook."""
    import altair as alt

    text = json.dumps(chart.to_dict() | {"config": style(colour("paper"))})
    for placeholder, value in COLOURS.values():
        text = text.replace(placeholder, value)
    return alt.Chart.from_dict(json.loads(text))


def page_svg(chart: alt.TopLevelMixin, caption: str) -> str:
    """An SVG element whose colours are the page's variables, so that it follows light, dark and print."""
    text = _svg(chart, None)
    for role, (placeholder, _) in COLOURS.items():
        text = text.replace(placeholder, f"var(--{role})")
    # A picture holds no links (and vl-convert puts an address of its own before ours): cells say where they lead, and
    # the page's script follows them. With the keyboard the list of plans leads to the same places.
    text = re.sub(r'<a xlink:href="[^"#]*#', '<g data-link="#', text).replace("</a>", "</g>")
    head = f'<svg class="chart" role="img" aria-label="{escape(caption)}" '
    return text.replace("<svg ", head, 1).replace('class="marks" ', "", 1)


def image(chart: alt.TopLevelMixin, form: str) -> bytes:
    """A picture for print in one of FORMATS: white ground, fixed colours."""
    import vl_convert

    text = re.sub(r"<a [^>]*>", "<g>", _svg(chart, colour("paper"))).replace("</a>", "</g>")
    for placeholder, value in COLOURS.values():
        text = text.replace(placeholder, value)
    if form == "svg":
        return text.encode("utf-8")
    drawn = vl_convert.svg_to_png(text, scale=3) if form == "png" else vl_convert.svg_to_pdf(text)
    return bytes(drawn)


def _svg(chart: alt.TopLevelMixin, background: str | None) -> str:
    """A chart as SVG, with placeholders where colours will be."""
    import vl_convert

    require()
    return str(vl_convert.vegalite_to_svg(chart.to_json(), config=style(background)))
