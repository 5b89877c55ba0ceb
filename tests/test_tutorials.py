"""The tutorials are true: their commands, Python and files are worked through in order, and print what they show.

.venv/bin/python tests/test_tutorials.py writes what was printed into them (or `make tutorials`).

In a tutorial, a line that ends in "Write `FILE`:" has the file's content in the block below it. A block of text below a
block of commands or Python is what it prints; "…" on a line of its own stands for lines that are left out.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from judge_server import JudgeServer, serving

from evalkit.cli import group
from evalkit.errors import EvalkitError

ROOT = Path(__file__).resolve().parent.parent
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^(?P<before>[^\n]*)\n+```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
NOT_RUN = {
    "evalkit label": "serves a page until it is stopped",
    "evalkit gold confirm": "asks the reader",
}
LABELS = ROOT / "tests" / "goldens" / "inputs" / "labels.jsonl"


def command(line: str, url: str) -> str:
    """Return what a line prints; judges are a server of this test."""
    words = shlex.split(line.split("  #")[0])[1:]
    if "--judge" in words and "--dry-run" not in words:
        words += ["--judge-url", url]
    result = CliRunner().invoke(group, words)
    if isinstance(result.exception, EvalkitError):
        return f"{result.output}evalkit: error: {result.exception}\n"
    # One of the sample's plans has an entry that cannot be read, and `validate` says so.
    assert result.exit_code == (2 if words[:2] == ["validate", "evalkit-demo/plans"] else 0), f"{line}\n{result.output}"
    return result.stdout


def printed(kind: str, body: str, url: str, names: dict[str, object]) -> str:
    """Return what the commands or the Python of a block print."""
    if kind == "sh":
        lines = [line for line in body.splitlines() if line.startswith("evalkit ")]
        return "".join(command(line, url) for line in lines if not any(part in line for part in NOT_RUN))
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(body, "tutorial", "exec"), names)
    return out.getvalue()


def as_shown(body: str, text: str) -> str:
    """Return a text as a block shows it: where the block has a line "…", as many lines before and after it."""
    lines, shown = [line.rstrip() for line in text.splitlines()], body.splitlines()
    if "…" in shown:
        cut = shown.index("…")
        lines = [*lines[:cut], "…", *lines[len(lines) - len(shown) + cut + 1 :]]
    return "".join(f"{line}\n" for line in lines)


def worked_through(text: str, url: str) -> str:
    """Return a tutorial with what its blocks print today."""
    last, names = "", dict[str, object]()

    def block(match: re.Match[str]) -> str:
        nonlocal last
        kind, body = match["kind"], match["body"]
        if file := re.search(r"Write `([\w./-]+)`:$", match["before"]):
            Path(file[1]).parent.mkdir(parents=True, exist_ok=True)
            Path(file[1]).write_text(body, encoding="utf-8")
        elif kind in ("sh", "python"):
            last = printed(kind, body, url, names)
        elif kind == "text" and last:
            start, end = match.start("body") - match.start(), match.end("body") - match.start()
            return match[0][:start] + as_shown(body, last) + match[0][end:]
        return match[0]

    return BLOCK.sub(block, text)


@contextlib.contextmanager
def workplace(folder: Path) -> Iterator[str]:
    """Work in a folder with labels and a judge's server, as wide as a terminal of 80 columns."""
    shutil.copy(LABELS, folder / "sample.jsonl")
    with pytest.MonkeyPatch.context() as patch, serving(JudgeServer()) as url:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("COLUMNS", "80")
        patch.setenv("OPENAI_API_KEY", "test")
        patch.delenv("GITHUB_STEP_SUMMARY", raising=False)
        patch.delenv("GITHUB_ACTIONS", raising=False)
        yield url


@pytest.mark.docs
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_tutorials_print_what_they_show(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert BLOCK.search(text)
    with workplace(tmp_path) as url:
        assert worked_through(text, url) == text, "run: make tutorials"


@pytest.mark.docs
def test_tutorials_work_one_after_another_in_one_folder(tmp_path: Path) -> None:
    """A reader takes them in the order of the first page, and leaves what each of them made where it is."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    names = re.findall(r"\(tutorials/([\w-]+)\.md\)", index.partition("## Tutorials")[2].partition("\n## ")[0])
    assert sorted(names) == [path.stem for path in TUTORIALS]
    with workplace(tmp_path) as url:
        for name in names:
            text = (ROOT / "docs" / "tutorials" / f"{name}.md").read_text(encoding="utf-8")
            assert worked_through(text, url) == text, name


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for tutorial in TUTORIALS:
        with tempfile.TemporaryDirectory() as place, workplace(Path(place)) as server:
            new = worked_through(tutorial.read_text(encoding="utf-8"), server)
            os.chdir(ROOT)
        tutorial.write_text(new, encoding="utf-8")
