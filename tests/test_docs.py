"""README and docs are true: their commands and Python run, their outputs are real, their links resolve."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from judge_server import JudgeServer, serving
from test_tutorials import as_shown

from evalkit.cli import group
from evalkit.scoring.load import read_plans
from evalkit.settings import parse_settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))  # tests/test_tutorials.py works through them
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *PAGES[1:], *TUTORIALS, ROOT / "references" / "README.md"]
GOLDENS = ROOT / "tests" / "goldens"
# What a line of the docs must not hold to be run here, and why. Its options are checked all the same.
NOT_RUN = {
    "evalkit view": "serves a page until it is stopped",
    "evalkit label": "serves a page until it is stopped",
    "evalkit watch": "scores until it is stopped",
    "evalkit log": "needs a tracker",
    "hf://": "needs a data set of the hub",
    "evalkit gold extract": "needs a model that drafts entries",
    "evalkit gold confirm": "asks the reader",
    "--base default": "is refused when the labels do not help, as those here",
    "author-eval": "is to be had from the benchmark's authors only",
    "--address": "needs a cluster at that address",
}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def evalkit_lines(page: Path) -> list[str]:
    """Return the calls of evalkit in the page's shell blocks, without comments and what follows `&&`."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines() if line.startswith("evalkit ")]
    return [line.split("#")[0].split("&&")[0].strip() for line in lines]


def commands_in_text(page: Path) -> list[str]:
    """Return the calls of evalkit that stand in a sentence."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`(evalkit [a-z][^`\n|]*)`", text)


def with_blocks(language: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, language)]


def run(*words: str) -> str:
    result = CliRunner().invoke(group, words, catch_exceptions=False)
    # One of the sample's plans has an entry that cannot be read, and `validate` says so.
    assert result.exit_code == (2 if words == ("validate", "plans") else 0), f"{shlex.join(words)}\n{result.output}"
    return result.output


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make the demo project, and beside it what the pages take for granted."""
    work = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        patch.setenv("XDG_CACHE_HOME", str(work / "cache"))
        run("demo")
        demo = work / "evalkit-demo"
        for source, names in (("plans", ("plans", "new-plans", "its-plans")), ("gold", ("references",))):
            for name in names:
                shutil.copytree(demo / source, work / name)
        for path in (work / "references").glob("*.json"):  # for docs/slices.md
            tree = json.loads(path.read_text(encoding="utf-8")) | {"year": 2021 + len(path.stem) % 2}
            path.write_text(json.dumps(tree), encoding="utf-8")
        for name in ("run", "new-run"):
            shutil.copytree(demo / "run", work / name)
        for name in ("first", "second", "third", "fourth"):
            shutil.copytree(demo / "run", work / "runs" / name)
        shutil.copy(GOLDENS / "inputs" / "labels.jsonl", work / "sample.jsonl")
        shutil.copy(ROOT / "configs" / "gate.toml", work)
        shutil.copy(ROOT / "configs" / "default.toml", work / "settings.toml")
        run("export", "run", "--to", "ablationbench-judge", "--out", "its-judge")
        yield work


@pytest.fixture
def here(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the project, as the working folder."""
    work = tmp_path / "work"
    shutil.copytree(project, work, ignore=shutil.ignore_patterns("cache"))
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "cache"))
    return work


def write_author_data(folder: Path) -> None:
    """Write the project's gold as the author data set of AblationBench."""
    pa = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = []
    for path in sorted((folder / "references").glob("*.json")):
        entries = json.loads(path.read_text(encoding="utf-8"))["ablations"]
        rows.append({"id": path.stem, "ablations_in_paper": json.dumps(entries)})
    (folder / "author-ablation").mkdir()
    parquet.write_table(pa.Table.from_pylist(rows), folder / "author-ablation" / "test.parquet")


@pytest.mark.docs
@pytest.mark.parametrize("page", with_blocks("python"), ids=relative)
def test_python_examples_run(page: Path, here: Path) -> None:
    for example in blocks(page, "python"):
        exec(compile(example, page.name, "exec"), {})


@pytest.mark.docs
@pytest.mark.parametrize("page", with_blocks("sh"), ids=relative)
def test_commands_run(page: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the lines of a page in turn, each into a place of its own; judges are a server of this test."""
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    if page.stem == "ablationbench":
        write_author_data(here)
    if page.stem == "other-benchmarks":
        for path in (ROOT / "tests" / "data" / "parsing").glob("*.json"):
            shutil.copy(path, here)
    with serving(JudgeServer()) as url:
        for line in evalkit_lines(page):
            words = shlex.split(line)[1:]
            if any(part in line for part in NOT_RUN):
                continue
            if "--judge" in words:
                words += ["--judge-url", url]
            if words == ["demo"]:
                words.append("--force")
            if words[0] == "score" and "--out" in words:
                shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
            run(*words)


@pytest.mark.parametrize(
    "line",
    sorted({line for page in (*PAGES, *TUTORIALS) for line in (*evalkit_lines(page), *commands_in_text(page))}),
)
def test_commands_have_those_options(line: str) -> None:
    _, name, *words = shlex.split(line)
    command: click.Command | None = group.get_command(click.Context(group), name)
    # `evalkit baseline set`: walk down as long as words name commands.
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        command = command.get_command(click.Context(command), words.pop(0))
    assert command is not None, f"{name} is no command"
    known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    assert {word for word in words if word.startswith("--")} <= known | {"--help"}


@pytest.mark.docs
def test_readme_shows_the_real_leaderboard(here: Path) -> None:
    readme = PAGES[0].read_text(encoding="utf-8").splitlines()
    table = [line for line in run("table", "evalkit-demo/run").splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert [line for line in table if line not in readme] == []


@pytest.mark.docs
def test_reports_show_a_real_document(here: Path) -> None:
    page = ROOT / "docs" / "reports.md"
    section = page.read_text(encoding="utf-8").split("## For programs of your own")[1].split("\n## ")[0]
    ((command, shown),) = re.findall(r"```sh\nevalkit (.*?)\n```\n\n```text\n(.*?)```", section, flags=re.DOTALL)
    assert as_shown(shown, run(*shlex.split(command))) == shown


def test_readme_shows_a_real_alignment() -> None:
    """The goldens hold what `evalkit show` prints on 80 columns; the README's block is its beginning."""
    printed = (GOLDENS / "sample" / "console" / "show-swin.80.txt").read_text(encoding="utf-8")
    (block,) = blocks(PAGES[0], "text")
    assert printed.split("\n", 1)[1].startswith(block.rstrip("\n"))


def test_readme_is_short_and_leads_everywhere() -> None:
    readme = PAGES[0].read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    assert [relative(page) for page in PAGES[1:] if f"({relative(page)})" not in readme] == []


def test_example_plans_can_be_read(tmp_path: Path) -> None:
    page = ROOT / "docs" / "plans-and-gold.md"
    for number, text in enumerate([*blocks(page, "markdown"), *blocks(page, "json")]):
        path = tmp_path / f"{number}.txt"
        path.write_text(text, encoding="utf-8")
        (plan,) = read_plans(path).plans
        assert (plan.paper, len(plan.ablations), plan.diagnostics) == ("swin-transformer", 1, ())


@pytest.mark.parametrize("page", with_blocks("toml"), ids=relative)
def test_example_settings_are_valid(page: Path) -> None:
    for text in blocks(page, "toml"):
        if "entry-points" not in text:
            parse_settings(text)


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub and MyST give to the document's headings."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            file = (document.parent / path).resolve() if path else document
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_make_targets_and_scripts_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, flags=re.MULTILINE)) <= targets
    files = re.findall(r"`(?:[\w./]+ )?((?:scripts|tests|evalkit|configs)/[\w./-]+\w)(?![\w*])", text)
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_first_page_leads_everywhere() -> None:
    """The site's table of contents is made of these links."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (*PAGES[1:], *TUTORIALS)]
    assert [page for page in pages if page != "index.md" and f"({page})" not in index] == []


def test_readme_names_what_ci_runs() -> None:
    """CI runs the tests by the command that the README gives."""
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert "`make test`" in PAGES[0].read_text(encoding="utf-8")
