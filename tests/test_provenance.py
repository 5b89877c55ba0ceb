"""A run knows where it comes from: time, command, inputs, commit, note, tags and prompts; none of it moves a number."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import entry, gold, plan

from evalkit import score
from evalkit.cli import group
from evalkit.errors import InputError
from evalkit.report.run_page import run_page
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings
from evalkit.storage.provenance import git_state, parsed_tags
from evalkit.storage.runs import load_run

QUICK = Settings(matcher="lexical", resamples=99)
ENTRY = [{"name": "gate", "ablated_part": "gate", "action": "REMOVE", "replacement": [], "metrics": []}]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in (("plans/p/a.json", ENTRY), ("gold/a.json", {"paper": "a", "ablations": ENTRY})):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def scored(*more: str) -> dict[str, Any]:
    words = ("score", "--pred", "plans", "--gold", "gold", "--matcher", "lexical", "--out", "run", "--force", *more)
    result = CliRunner().invoke(group, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return dict(load_run("run").meta)


def test_everything_that_is_known_is_kept(project: Path) -> None:
    (project / "prompt.txt").write_text("Propose ablations.\n")
    git(project, "init", "-q")
    git(project, "add", "plans")
    git(project, "commit", "-qm", "plans")
    meta = scored("--note", "two\nlines \x1b[31m", "--tag", "prompt=v3", "--tag", "temperature=0.7",
                  "--prompt", "prompt.txt")  # fmt: skip
    made = meta["provenance"]
    assert made["command"].startswith("evalkit score --pred plans --gold gold")
    assert made["inputs"] == {
        "plans": {"path": "plans", "digest": meta["signature"]["plans"]},
        "gold": {"path": "gold", "digest": meta["signature"]["gold"]},
    }
    assert made["git"] == {"commit": git(project, "rev-parse", "HEAD"), "dirty": False}
    assert made["note"] == "two lines \\x1b[31m"
    assert made["tags"] == {"prompt": "v3", "temperature": "0.7"}
    digest = hashlib.sha256(b"Propose ablations.\n").hexdigest()[:12]
    assert made["prompts"] == [{"path": "prompt.txt", "digest": digest}]


def test_the_text_of_a_prompt_is_kept_where_it_is_asked_for(project: Path) -> None:
    (project / "prompt.txt").write_text("Propose <b>ablations</b>.\n")
    (prompt,) = scored("--prompt", "prompt.txt", "--keep-prompt")["provenance"]["prompts"]
    assert prompt["text"] == "Propose <b>ablations</b>.\n"


def test_none_of_it_enters_the_signature(project: Path) -> None:
    first = scored("--note", "one", "--tag", "a=1")
    second = scored("--note", "two", "--tag", "a=2")
    assert first["signature"] == second["signature"]


def test_a_run_without_it_loads_and_one_with_nonsense_is_refused(project: Path) -> None:
    scored()
    meta = json.loads(Path("run/run.json").read_text())
    made = meta.pop("provenance")
    Path("run/run.json").write_text(json.dumps(meta))
    assert "provenance" not in load_run("run").meta
    for key, value in (("time", "yesterday"), ("time", "2026-13-01T00:00:00Z"), ("tags", {"a": "\x1b[2J"}),
                       ("git", {"commit": 3}), ("inputs", [])):  # fmt: skip
        Path("run/run.json").write_text(json.dumps({**meta, "provenance": {**made, key: value}}))
        with pytest.raises(InputError, match=key):
            load_run("run")


@pytest.mark.parametrize("tags", [["prompt"], ["a=1", "a=2"], ["a b=1"], ["=1"], ["a="]])
def test_tags_that_are_none_are_refused(tags: list[str]) -> None:
    with pytest.raises(InputError, match="tag"):
        parsed_tags(tags)


def test_the_python_interface_keeps_it_too() -> None:
    lists = [gold(entry("gate"), paper="a")]
    run = score([plan(entry("gate"), paper="a")], lists, QUICK, cache=None, note="x", tags={"prompt": "v1"})
    made = run.meta["provenance"]
    assert (made["note"], made["tags"]) == ("x", {"prompt": "v1"})
    assert made["inputs"]["plans"] == {"digest": run.signature.plans}
    assert "provenance" not in score_run([plan(entry("gate"), paper="a")], lists, QUICK).meta


def test_what_makes_a_folder_differ_from_its_commit(project: Path) -> None:
    assert git_state("plans") is None
    git(project, "init", "-q")
    assert git_state("plans") is None  # nothing is committed
    (project / "other.txt").write_text("a")
    git(project, "add", "plans", "other.txt")
    git(project, "commit", "-qm", "plans")
    assert git_state("plans") == {"commit": git(project, "rev-parse", "HEAD"), "dirty": False}
    (project / "other.txt").write_text("b")
    assert git_state("plans")["dirty"] is True  # type: ignore[index]
    git(project, "checkout", "-q", "other.txt")
    (project / "untracked.txt").write_text("c")  # beside the plans, and not among them
    assert git_state("plans")["dirty"] is False  # type: ignore[index]
    (project / ".git/info/exclude").write_text("*.json\n")
    (project / "plans/p/b.json").write_text("[]")  # ignored, and yet scored
    assert git_state("plans")["dirty"] is True  # type: ignore[index]
    assert git_state("plans/p/a.json")["dirty"] is False  # type: ignore[index]


def test_a_hostile_repository_runs_nothing(project: Path) -> None:
    """Its settings name programs in every place that git runs one from when it looks at files."""
    git(project, "init", "-q")
    (project / ".gitattributes").write_text("*.json filter=own\n")
    git(project, "add", ".")
    git(project, "commit", "-qm", "plans")
    trap = project / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {project}/harmed\ncat\n")
    trap.chmod(0o755)
    hooks = project / ".git/hooks"
    for name in ("post-index-change", "post-checkout", "pre-auto-gc"):
        (hooks / name).write_text(trap.read_text())
        (hooks / name).chmod(0o755)
    git(project, "config", "core.fsmonitor", str(trap))
    git(project, "config", "core.hooksPath", str(hooks))
    (project / "plans/p/a.json").write_text(json.dumps([*ENTRY, *ENTRY]))
    (project / "plans/p/a.json").touch()
    assert git_state("plans")["dirty"] is True  # type: ignore[index]
    git(project, "config", "filter.own.clean", str(trap))
    assert git_state("plans")["dirty"] is None  # type: ignore[index]
    assert not (project / "harmed").exists()


def test_a_report_says_it_without_the_folders_of_this_machine(project: Path) -> None:
    (project / "prompt.txt").write_text("x")
    scored("--note", "<b>note", "--tag", "prompt=v3", "--prompt", str(project / "prompt.txt"))
    text = run_page(load_run("run"), "data").text
    assert "<dt>note</dt><dd><bdi>&lt;b&gt;note</bdi></dd>" in text
    assert "<dt>prompt</dt><dd><bdi>v3</bdi></dd>" in text
    assert "score --pred plans --gold gold" in text
    assert "/prompt.txt" in text
    assert str(project) not in text


def test_plans_of_standard_input_have_no_commit(project: Path) -> None:
    git(project, "init", "-q")
    git(project, "add", "plans")
    git(project, "commit", "-qm", "plans")
    line = json.dumps({"planner": "p", "paper": "a", "ablations": ENTRY})
    words = ("score", "--pred", "-", "--gold", "gold", "--matcher", "lexical", "--out", "run")
    result = CliRunner().invoke(group, words, input=line + "\n", catch_exceptions=False)
    assert result.exit_code == 0, result.output
    made = load_run("run").meta["provenance"]
    assert "git" not in made
    assert made["inputs"]["plans"].keys() == {"digest"}
