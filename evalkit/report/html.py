"""HTML pages that need nothing else: their files, their template with style and script, and what they may do.

A page is safe to open whatever a language model wrote: templates escape by themselves, data are JSON that the script
shows as text, and a Content-Security-Policy names the one script and the one style that may act.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evalkit.errors import DISTRIBUTION
from evalkit.metrics.figures import FIGURES, shown_in
from evalkit.report import chart_style
from evalkit.report.chart_style import ChartKind
from evalkit.report.escaping import script_json, utf8
from evalkit.storage.files import read_text, shipped, write_texts
from evalkit.text import safe_terminal

# Above this many bytes of pairs and traces, papers go to a folder beside the page and are read one at a time.
LARGEST_INLINE = 12 * 1024 * 1024
SCRIPTS = ("dom.js", "data.js", "browser.js", "alignment.js", "view.js")
LIST_SCRIPTS = ("dom.js", "runs.js")  # of a page about many runs


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the files (name -> text) that belong into the folder beside it, if it needs one."""

    text: str
    folder: str
    files: Mapping[str, str]

    def write(self, path: str | Path) -> list[Path]:
        """Write the page, and last of all, when all that it needs is there; an older one is replaced."""
        place = Path(path)
        texts = {place.parent / self.folder / name: text for name, text in self.files.items()}
        texts[place] = self.text
        write_texts(texts, force=True)
        return list(texts)


def browser_page(
    template: str, index: Mapping[str, Any], documents: Iterable[Any], folder: str, largest_inline: int, **content: Any
) -> Page:
    """Return a page with the alignment browser; documents that are too large for it go into the folder beside it."""
    texts = [script_json(document) for document in documents]
    split = sum(map(len, texts)) > largest_inline
    embedded = script_json({**index, "folder": folder if split else ""})
    page = render(template, index=embedded, documents=[] if split else texts, **content)
    files = {f"{nth}.js": f"evalkitPaper({nth},{script_json(text)});\n" for nth, text in enumerate(texts) if split}
    return Page(page, folder, files)


def drawn(kinds: Mapping[str, ChartKind], subject: Any) -> list[dict[str, Any]]:
    """Return the charts of a run or a comparison as SVG with their questions."""
    return [
        {"kind": name, "question": kind.question, "reading": kind.reading, "wide": kind.wide,
         "svg": chart_style.page_svg(kind.draw(subject), f"{kind.question} {kind.reading}")}
        for name, kind in kinds.items()
    ]  # fmt: skip


def render(template: str, scripts: Sequence[str] = SCRIPTS, **content: Any) -> str:
    """Return a page from its template, with style and script inlined and pinned by their hashes.

    A page that is `live` may ask the server that it came from.
    """
    figures = script_json([FIGURES[name].words for name in shown_in("browser")])
    modules = "\n".join(_asset(name) for name in scripts)  # in a scope of their own, behind the names of figures
    script = f'(() => {{\n"use strict";\nconst figureNames = {figures};\n{modules}}})();\n'
    css = _asset("report.css")
    allowed = policy(css, script, live=bool(content.get("live")))
    text = (
        _environment()
        .get_template(template)
        .render(css=css, script=script, policy=allowed, version=version(DISTRIBUTION), **content)
    )
    return utf8(text)


def policy(css: str, script: str, *, live: bool = False) -> str:
    """Return what the page may do: run this script and what it loads itself, wear this style, and nothing else."""
    asked = "connect-src 'self'; " * live
    return (
        f"default-src 'none'; script-src '{_hash(script)}' 'strict-dynamic'; style-src '{_hash(css)}'; "
        f"img-src data:; {asked}base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"


def _asset(name: str) -> str:
    return read_text(shipped(f"report/assets/{name}"))


def _environment() -> Any:
    """Jinja with everything escaped, and an error for every name that a template does not get."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    loader = FunctionLoader(lambda name: read_text(shipped(f"report/templates/{name}")))
    # Texts are disarmed before they are escaped: no control characters, no reordering of what stands around them.
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, finalize=_disarmed)
    environment.trim_blocks = environment.lstrip_blocks = True
    return environment


def _disarmed(value: Any) -> Any:
    """Return a plain text without what could steer a page's direction; what a template calls safe passes."""
    return safe_terminal(value) if type(value) is str else value
