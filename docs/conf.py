"""Sphinx's configuration: the pages of this folder, which stay plain Markdown, and references made from the code."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS.parent / "scripts")]

import reference  # noqa: E402 - scripts/reference.py

project = "evalkit"
copyright = "evalkit contributors"
author = "evalkit contributors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "ci"]
html_theme = "furo"
html_title = "evalkit"
html_show_sourcelink = html_show_sphinx = False
html_extra_path = ["reference/llms.txt"]
myst_heading_anchors = 4
highlight_language = "text"
default_role = "code"
smartquotes = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True


# What a page says of the repository to readers who have only the package.
OF_THE_SOURCE = """
```{note}
`scripts/`, `tests/` and `make` belong to evalkit's source repository; the package that pip installs does not have them.
```
"""


def outside(link: re.Match[str]) -> str:
    """Return a link as it is where it leads to a page of the site, else its text and the file's name."""
    return link[0] if (DOCS / link[2]).is_file() else f"{link[1]} (`{link[2]}` in the repository)"


def with_toctrees(app: Any, name: str, source: list[str]) -> None:
    """Make the lists of links on the first page the site's table of contents; name what is not part of the site."""
    text = re.sub(r"\[([^\]]+)\]\((?:\.\./)+([\w/-]+\.md)\)", outside, source[0])
    if name == "index":
        text = with_contents(text)
    if not name.startswith("reference/") and re.search(r"`[^`\n]*\b(?:scripts|tests)/|`make ", text):
        head, _, rest = text.partition("\n")
        text = f"{head}\n{OF_THE_SOURCE}{rest}"
    source[0] = text


def with_contents(text: str) -> str:
    """Return the first page with links to the references, and a table of contents for each of its lists."""
    titles = reference.titles(DOCS / "reference").items()
    links = "".join(f"- [{title}](reference/{page}.md)\n" for page, title in titles)
    text = re.sub(r"<!-- in the repository -->.*?<!-- on the site[^>]*-->\n", lambda _: links, text, flags=re.DOTALL)
    for title, body in re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", text, flags=re.MULTILINE):
        if pages := re.findall(r"^- \[[^\]]+\]\(([\w/-]+)\.md\)", body, flags=re.MULTILINE):
            text += f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(pages) + "\n```\n"
    return text


def with_fields(app: Any, what: str, name: str, item: Any, options: Any, lines: list[str]) -> None:
    """Turn the lines `parameter: what it is` of a docstring into a list of parameters."""
    try:
        known = set(inspect.signature(item).parameters)
    except (TypeError, ValueError):
        return
    field = ""
    for place, line in enumerate(lines):
        parameter = line.partition(":")[0]
        if parameter in known and line.startswith(f"{parameter}: "):
            lines[place] = f":param {line}"
            field = parameter
        elif field and line.strip():
            lines[place] = f"    {line.strip()}"
    if field:
        first = next(place for place, line in enumerate(lines) if line.startswith(":param "))
        lines.insert(first, "")


def setup(app: Any) -> None:
    """Write the references before Sphinx looks for pages."""
    reference.write(DOCS / "reference")
    app.connect("source-read", with_toctrees)
    app.connect("autodoc-process-docstring", with_fields)
