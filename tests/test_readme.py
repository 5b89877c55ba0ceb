"""The README is true: its Python runs as printed, its files exist, and its commands parse."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*sorted(ROOT.glob("*.md")), ROOT / "references" / "README.md"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def test_the_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import evalkit

    shutil.copytree(ROOT / "evalkit" / "sample" / "plans", tmp_path / "plans")
    (tmp_path / "gold").mkdir()
    for plan in (tmp_path / "plans").rglob("careful/*.md"):
        shutil.copy(ROOT / "references" / f"{plan.stem}.json", tmp_path / "gold")
    monkeypatch.chdir(tmp_path)
    evalkit.score("plans", "gold").save("run")
    examples = blocks("python")
    assert len(examples) >= 2
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8"))
    assert all((document.parent / link).exists() for link in links), links


def evalkit_lines() -> list[str]:
    return [line.split("#")[0] for block in blocks("sh") for line in block.splitlines() if line.startswith("evalkit ")]


@pytest.mark.parametrize("line", evalkit_lines())
def test_the_commands_in_it_have_those_options(line: str) -> None:
    from evalkit.cli import group

    _, name, *words = shlex.split(line)
    command: click.Command | None = group.get_command(click.Context(group), name)
    # `evalkit baseline set`: walk down as long as words name commands.
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
    assert command is not None, f"{name} is no command"
    known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    assert {word for word in words if word.startswith("--")} <= known | {"--help"}
