"""Takes a Run, gives one HTML page that needs nothing else: leaderboard, charts, errors, alignment browser.

The page is safe to open whatever a language model wrote: templates escape by themselves, the browser's data are JSON
that its script shows as text, and a Content-Security-Policy names the one script and the one style that may act.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evalkit.metrics.figures import FIGURES
from evalkit.report import browser_data, chart_style, summary
from evalkit.report.charts import CHARTS, Kind, chart
from evalkit.storage.files import read_text, shipped, write_texts
from evalkit.storage.runs import Run
from evalkit.text import safe_terminal

# Above this many bytes of pairs and traces, papers go to a folder beside the page and are read one at a time.
LARGEST_INLINE = 12 * 1024 * 1024
SCRIPTS = ("dom.js", "data.js", "browser.js", "alignment.js", "view.js")
SECTIONS = (
    ("leaderboard", "Leaderboard"), ("charts", "Charts"), ("errors", "Errors"), ("gold", "Gold"),
    ("browser", "Browser"), ("details", "Details"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the files (name -> text) that belong into the folder beside it, if it has one."""

    text: str
    folder: str
    files: Mapping[str, str]

    @classmethod
    def of(cls, text: str, folder: str, documents: Sequence[str]) -> Page:
        """A page with the documents that are to lie beside it, as scripts that hand them over."""
        return cls(
            text,
            folder,
            {f"{at}.js": f"evalkitPaper({at},{browser_data.embed(d)});\n" for at, d in enumerate(documents)},
        )


def write_report(run: Run, path: str | Path, *, largest_inline: int = LARGEST_INLINE) -> list[Path]:
    """Write a run's report, and the folder beside it when it is large; an older report is replaced."""
    place = Path(path)
    return written(run_page(run, f"{place.stem}-data", largest_inline), place)


def written(page: Page, place: Path) -> list[Path]:
    """The files of a page, once they are written; the page itself comes last, when all that it needs is there."""
    texts = {place.parent / page.folder / name: text for name, text in page.files.items()}
    texts[place] = page.text
    write_texts(texts, force=True)
    return list(texts)


def run_page(run: Run, folder: str, largest_inline: int = LARGEST_INLINE) -> Page:
    """The report of one run."""
    chart_style.require()
    documents = [browser_data.embed(document) for document in browser_data.documents(run)]
    split = sum(map(len, documents)) > largest_inline
    index = browser_data.index(run) | {"folder": folder if split else ""}
    text = render(
        "run.html.j2",
        SCRIPTS,
        title=summary.title(run),
        sections=SECTIONS,
        **summary.view(run),
        charts=drawn(CHARTS, lambda kind: chart(run, kind)),
        index=browser_data.embed(index),
        documents=[] if split else documents,
    )
    return Page.of(text, folder, documents if split else [])


def drawn(kinds: Mapping[str, Kind], draw: Callable[[str], Any]) -> list[dict[str, Any]]:
    """The charts as SVG with their questions."""
    return [
        {"kind": name, "question": kind.question, "reading": kind.reading, "wide": kind.wide,
         "svg": chart_style.page_svg(draw(name), f"{kind.question} {kind.reading}")}
        for name, kind in kinds.items()
    ]  # fmt: skip


def render(template: str, scripts: Sequence[str], **content: Any) -> str:
    """A page from its template, with style and script inlined and pinned by their hashes."""
    css, script = _asset("report.css"), _script(scripts)
    text = _environment().get_template(template).render(
        css=css, script=script, policy=policy(css, script), version=version("evalkit"), **content
    )  # fmt: skip
    return browser_data.whole(text)


def policy(css: str, script: str) -> str:
    """What the page may do: run this script and what it loads itself, wear this style, and nothing else at all."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}' 'strict-dynamic'; style-src '{_hash(css)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    """How a policy names a script or a style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"


def _asset(name: str) -> str:
    """A file that ships beside this module."""
    return read_text(shipped(f"report/assets/{name}"))


def _script(names: Sequence[str]) -> str:
    """Return the page's script: names of figures, then its modules, in a scope of their own."""
    figures = browser_data.embed([FIGURES[name].words for name in browser_data.FIGURES])
    head = f'"use strict";\nconst figureNames = {figures};\n'
    return "(() => {\n" + head + "\n".join(_asset(name) for name in names) + "})();\n"


def _environment() -> Any:
    """Jinja with everything escaped, and an error for every name that a template does not get."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    loader = FunctionLoader(lambda name: read_text(shipped(f"report/templates/{name}")))
    # Texts are disarmed before they are escaped: no control characters, no reordering of what stands around them.
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, finalize=_disarmed)
    environment.trim_blocks = environment.lstrip_blocks = True
    return environment


def _disarmed(value: Any) -> Any:
    """A plain text without what could steer a page's direction; what a template calls safe passes."""
    return safe_terminal(value) if type(value) is str else value
