"""The GitHub Action: its steps run as a shell script against a made-up repository and a made-up GitHub."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "action" / "run.sh"
ENTRIES = [{"name": name, "ablated_part": name, "action": "REMOVE"} for name in ("gate", "decay", "warmup")]
pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="the script is for bash")


def write(path: Path, entries: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"ablations": entries}), encoding="utf-8")


def git(folder: Path, *words: str) -> str:
    names = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always")
    done = subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Repository:
    """A checkout of a pull request as GitHub makes it: the last commit alone, its base only at the origin."""

    def __init__(self, top: Path) -> None:
        self.origin, self.checkout, self.top = top / "origin", top / "checkout", top
        self.origin.mkdir()
        git(self.origin, "init", "-q", "-b", "main")
        git(self.origin, "config", "uploadpack.allowAnySHA1InWant", "true")

    def commit(self, *, plans: int, entries: int, paper: str = "paper") -> str:
        """Commit gold for six papers and plans for some of them with so many entries."""
        shutil.rmtree(self.origin / "plans", ignore_errors=True)
        for number in range(6):
            write(self.origin / "references" / f"{paper}-{number}.json", ENTRIES)
        for number in range(plans):
            write(self.origin / "plans" / "model" / f"{paper}-{number}.json", ENTRIES[:entries])
        git(self.origin, "add", "-A")
        git(self.origin, "commit", "-q", "-m", "x")
        return git(self.origin, "rev-parse", "HEAD")

    def clone(self) -> None:
        git(self.top, "clone", "-q", "--depth=1", f"file://{self.origin}", str(self.checkout))

    def run(self, step: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a step as the action does."""
        tools = self.top / "tools"
        tools.mkdir(exist_ok=True)
        for name, call in (("evalkit", "-m evalkit"), ("python", "")):
            (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {call} "$@"\n')
            (tools / name).chmod(0o755)
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "EVALKIT_"))},
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(self.top / "output"), "GITHUB_STEP_SUMMARY": str(self.top / "summary.md"), **variables,
        }  # fmt: skip
        words = [str(SCRIPT), step] if step in ("check", "comment") else ["bash", "-e", "-c", step]
        return subprocess.run(words, cwd=self.checkout, env=env, capture_output=True, text=True)

    @property
    def outputs(self) -> dict[str, str]:
        """What the step handed to later ones; of a name that comes twice the last value counts, as for GitHub."""
        lines = (self.top / "output").read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def read(self, name: str) -> str:
        return (self.checkout / ".evalkit" / "out" / name).read_text(encoding="utf-8")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


@pytest.mark.slow
def test_a_worse_head_trips_and_says_so(repository: Repository) -> None:
    base = repository.commit(plans=6, entries=3)
    repository.commit(plans=4, entries=1)
    repository.clone()
    done = repository.run("check", EVALKIT_BASE=base)
    assert done.returncode == 3, done.stderr
    assert repository.outputs == {"verdict": "regressed", "report": ".evalkit/out/report.html"}
    assert "<testsuite" in repository.read("gate.xml")
    assert "<html" in repository.read("report.html")
    # Base has every entry. In head four of six papers have one of three: F1 is 2 * 1 / (3 + 1) there, 1/3 on the mean.
    assert "0.333" in repository.read("comment.md")
    assert "1.000" in repository.read("comment.md")
    assert "::error" in done.stdout + done.stderr
    summary = (repository.top / "summary.md").read_text(encoding="utf-8")
    assert summary.count("model") >= 2
    assert (repository.checkout / ".evalkit" / "cache").is_dir()


@pytest.mark.slow
def test_without_the_extra_the_gate_decides_and_git_sees_nothing(repository: Repository) -> None:
    base = repository.commit(plans=6, entries=3)
    repository.commit(plans=4, entries=1)
    repository.clone()
    (repository.top / "stub").mkdir()
    hidden = "import sys; sys.modules['altair'] = None"  # as if it were not installed
    (repository.top / "stub" / "sitecustomize.py").write_text(hidden)
    path = os.pathsep.join((str(repository.top / "stub"), str(ROOT)))
    done = repository.run("check", EVALKIT_BASE=base, PYTHONPATH=path)
    assert done.returncode == 3, done.stderr
    assert repository.outputs == {"verdict": "regressed"}
    assert "ablation-evalkit[report]" in done.stderr
    assert "no report.html" in done.stderr
    assert "<testsuite" in repository.read("gate.xml")
    assert git(repository.checkout, "status", "--porcelain") == ""


@pytest.mark.slow
def test_an_equal_head_passes_by_a_branch_and_its_own_rules(repository: Repository) -> None:
    repository.commit(plans=6, entries=3)
    git(repository.origin, "branch", "old")
    (repository.origin / "gate.toml").write_text("[[rule]]\nfloor = 0.9\n")
    repository.commit(plans=6, entries=3)
    repository.clone()
    done = repository.run("check", EVALKIT_BASE="old")
    assert done.returncode == 0, done.stderr
    assert repository.outputs["verdict"] == "pass"
    assert "at least 0.9" in repository.read("gate.md")


@pytest.mark.slow
def test_gold_that_changed_is_taken_for_both_sides(repository: Repository) -> None:
    """The base's plans are scored on head's gold: names of papers that only the base had do not matter."""
    base = repository.commit(plans=6, entries=3)
    for path in (repository.origin / "references").glob("*.json"):
        write(path, ENTRIES[:2])
    git(repository.origin, "commit", "-q", "-a", "-m", "gold")
    repository.clone()
    done = repository.run("check", EVALKIT_BASE=base)
    assert (done.returncode, repository.outputs["verdict"]) == (0, "pass"), done.stderr


@pytest.mark.slow
def test_without_plans_in_the_base_there_is_a_leaderboard(repository: Repository) -> None:
    (repository.origin / "README").write_text("x")
    git(repository.origin, "add", "-A")
    git(repository.origin, "commit", "-q", "-m", "x")
    base = git(repository.origin, "rev-parse", "HEAD")
    repository.commit(plans=6, entries=3)
    repository.clone()
    done = repository.run("check", EVALKIT_BASE=base)
    assert (done.returncode, repository.outputs["verdict"]) == (0, "no-base"), done.stderr
    assert repository.read("comment.md").startswith("Nothing to compare with")
    assert "<html" in repository.read("report.html")


@pytest.mark.slow
def test_a_baseline_takes_the_bases_place(repository: Repository) -> None:
    repository.commit(plans=6, entries=3)
    repository.clone()
    done = repository.run("evalkit score --pred plans --gold references --out base && evalkit baseline set base")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(repository.checkout / "plans" / "model")
    for number in range(6):
        write(repository.checkout / "plans" / "model" / f"paper-{number}.json", ENTRIES[:1])
    done = repository.run("check", EVALKIT_BASELINE="baselines/main.json")
    assert (done.returncode, repository.outputs["verdict"]) == (3, "regressed"), done.stderr


def test_plans_that_cannot_be_scored_leave_a_comment(repository: Repository) -> None:
    repository.commit(plans=6, entries=3)
    repository.clone()
    done = repository.run("check", EVALKIT_PLANS="no such folder")
    assert (done.returncode, repository.outputs["verdict"]) == (2, "error")
    assert repository.read("comment.md").startswith("evalkit could not score the plans of head")


def gitlab() -> tuple[list[str], list[str], str]:
    """Return the commands of the job for GitLab, what it keeps, and the variable that names the base."""
    job = yaml.safe_load((ROOT / "docs" / "ci" / "gitlab.yml").read_text(encoding="utf-8"))["plans"]
    return job["script"], job["artifacts"]["paths"], "CI_MERGE_REQUEST_DIFF_BASE_SHA"


def github_workflow() -> tuple[list[str], list[str], str]:
    """Return the commands of the workflow for GitHub after installing, what it keeps, and the variable of the base."""
    job = yaml.safe_load((ROOT / "docs" / "ci" / "github.yml").read_text(encoding="utf-8"))["jobs"]["gate"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[0] == "pip install ablation-evalkit\n"
    return commands[1:], job["steps"][-1]["with"]["path"].split(), "BASE"


@pytest.mark.slow
@pytest.mark.parametrize("has_baseline", [False, True])
@pytest.mark.parametrize("job", [gitlab, github_workflow])
def test_workflows_to_copy_compare_with_a_baseline_or_the_base(
    repository: Repository, job: Callable[[], tuple[list[str], list[str], str]], has_baseline: bool
) -> None:
    """The second time the folder of the run is there, as when somebody committed it."""
    lines, kept, variable = job()
    base = repository.commit(plans=6, entries=3)
    shutil.copy(ROOT / "configs" / "gate.toml", repository.origin)
    repository.commit(plans=6, entries=1)
    repository.clone()
    if has_baseline:  # of head itself, so that nothing has changed
        done = repository.run(f"{lines[0]} && evalkit baseline set run")
        assert done.returncode == 0, done.stderr
    for _ in range(2):
        done = repository.run("\n".join(lines), **{variable: base})
        assert done.returncode == (0 if has_baseline else 3), done.stderr
    assert all((repository.checkout / name).exists() for name in kept)


class GitHub(ThreadingHTTPServer):
    """Comments of one pull request, and who may write them."""

    def __init__(self, *, may_write: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.comments: list[dict[str, Any]] = []
        self.may_write, self.asked = may_write, list[str]()

    def add(self, body: str, kind: str, association: str = "NONE") -> None:
        number = len(self.comments) + 1
        self.comments.append({"id": number, "body": body, "user": {"type": kind}, "author_association": association})


class Answers(BaseHTTPRequestHandler):
    """The four calls that a comment takes."""

    server: GitHub

    def answer(self, code: int, content: object) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def body(self) -> str:
        return str(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"])

    def do_GET(self) -> None:
        size, page = (int(re.search(rf"[?&]{name}=(\d+)", self.path)[1]) for name in ("per_page", "page"))  # type: ignore[index]
        self.answer(200, self.server.comments[(page - 1) * size : page * size])

    def do_POST(self) -> None:
        body = self.body()
        if not self.server.may_write or self.headers["Authorization"] != "Bearer secret":
            return self.answer(403, {"message": "Resource not accessible by integration"})
        self.server.add(body, "Bot")
        return self.answer(201, self.server.comments[-1])

    def do_PATCH(self) -> None:
        number = int(self.path.rpartition("/")[2])
        self.server.comments[number - 1]["body"] = self.body()
        self.answer(200, {})

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def github() -> Iterator[GitHub]:
    server = GitHub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def comment(repository: Repository, github: GitHub, text: str) -> str:
    folder = repository.checkout / ".evalkit" / "out"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comment.md").write_text(text, encoding="utf-8")
    done = repository.run(
        "comment", EVALKIT_TOKEN="secret", EVALKIT_PULL="7", EVALKIT_KEY="evalkit", GITHUB_REPOSITORY="owner/name",
        GITHUB_API_URL=f"http://127.0.0.1:{github.server_port}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_one_comment_is_made_and_then_updated(repository: Repository, github: GitHub) -> None:
    for number in range(150):
        github.add(f"comment {number}", "User")
    github.add("<!-- evalkit: evalkit -->\nby a stranger", "User")
    comment(repository, github, "first")
    comment(repository, github, "second")
    own = [one["body"] for one in github.comments if one["body"].startswith("<!-- evalkit: evalkit -->")]
    assert own == ["<!-- evalkit: evalkit -->\nby a stranger", "<!-- evalkit: evalkit -->\nsecond"]
    assert github.asked[-1] == "PATCH /repos/owner/name/issues/comments/152"


def test_a_comment_is_never_too_long(repository: Repository, github: GitHub) -> None:
    comment(repository, github, "line\n" * 20_000)
    (only,) = github.comments
    assert len(only["body"]) < 65_536
    assert only["body"].endswith("line\n\n… the rest is in the job's summary")


def test_without_permission_the_job_goes_on(repository: Repository, github: GitHub) -> None:
    github.may_write = False
    text = comment(repository, github, "first")
    assert "GitHub answered 403" in text
    assert "::warning::evalkit could not comment" in text


def test_without_anything_to_say_nobody_is_asked(repository: Repository, github: GitHub) -> None:
    repository.checkout.mkdir()
    done = repository.run("comment")
    assert (done.returncode, github.asked) == (0, [])


# The files.


@pytest.mark.parametrize(("schema", "name"), [
    ("github-actions", "action.yml"),
    ("github-workflows", "docs/ci/github.yml"),
    ("gitlab-ci", "docs/ci/gitlab.yml"),
])  # fmt: skip
def test_files_fit_the_published_schemas(schema: str, name: str) -> None:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", name]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_action_says_what_its_script_needs_and_nothing_else() -> None:
    """Inputs come by variables: none of them is part of a script's text, where it could become a command."""
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    steps = action["runs"]["steps"]
    assert all("${{" not in step.get("run", "") for step in steps)
    code = SCRIPT.read_text(encoding="utf-8") + (SCRIPT.parent / "comment.py").read_text(encoding="utf-8")
    given = {name for step in steps for name in step.get("env", {})}
    assert given == set(re.findall(r"EVALKIT_[A-Z]+", code))
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert [name for name in action["inputs"] if f"inputs.{name}" not in text] == []
    written = set(re.findall(r"output (\w+)", code))
    assert {re.search(r"outputs\.(\w+)", item["value"])[1] for item in action["outputs"].values()} <= written  # type: ignore[index]


def workflow(page: str) -> dict[Any, Any]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (block,) = (one for one in re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE) if "jobs:" in one)
    return dict(yaml.safe_load(block))


def test_the_documented_workflow_names_inputs_that_there_are(tmp_path: Path) -> None:
    content = workflow("comparing-and-ci.md")
    (step,) = (one for one in content["jobs"]["gate"]["steps"] if one["uses"].startswith("OWNER/"))
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    assert step["with"].keys() <= action["inputs"].keys()


def test_the_documented_hooks_are_those_of_the_repository() -> None:
    text = (ROOT / "docs" / "comparing-and-ci.md").read_text(encoding="utf-8")
    (block,) = (one for one in re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE) if "repos:" in one)
    (local,) = yaml.safe_load(block)["repos"]
    own = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    shown = [{**hook, "additional_dependencies": ["ablation-evalkit"]} for hook in own]
    assert local["hooks"] == [{k: v for k, v in hook.items() if k != "description"} for hook in shown]


@pytest.mark.parametrize(("hook", "path", "code"), [
    ("evalkit-validate", "plans/model/paper.json", 0),
    ("evalkit-validate", "plans/model/broken.md", 2),
    ("evalkit-validate-gold", "references/paper.json", 0),
])  # fmt: skip
def test_hooks_of_pre_commit(hook: str, path: str, code: int, tmp_path: Path) -> None:
    hooks = {one["id"]: one for one in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))}
    assert re.search(hooks[hook]["files"], path)
    write(tmp_path / path, ENTRIES)
    if code:
        (tmp_path / path).write_text("I would rather not.", encoding="utf-8")
    words = [sys.executable, "-m", *hooks[hook]["entry"].split(), path]
    done = subprocess.run(words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done.returncode == code
