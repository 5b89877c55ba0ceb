"""What a release needs: files that fit their published schemas, and one version everywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(("schema", "name"), [
    ("github-workflows", ".github/workflows/release.yml"),
    ("github-workflows", ".github/workflows/ci.yml"),
    ("github-issue-forms", ".github/ISSUE_TEMPLATE/bug.yml"),
    ("github-issue-forms", ".github/ISSUE_TEMPLATE/idea.yml"),
    ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
    ("citation-file-format", "CITATION.cff"),
])  # fmt: skip
def test_files_fit_the_published_schemas(schema: str, name: str) -> None:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", name]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_actions_are_pinned_and_jobs_may_only_do_what_they_must() -> None:
    for path in [*(ROOT / ".github" / "workflows").glob("*.yml"), ROOT / "docs" / "ci" / "github.yml"]:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert content["permissions"] == {"contents": "read"}
        steps = [step for job in content["jobs"].values() for step in job["steps"]]
        assert all(re.search(r"@(v\d|release/v\d)", step["uses"]) for step in steps if "uses" in step)
        assert all("${{" not in step.get("run", "") for step in steps)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The files that name the version, as they are on the day of a release."""
    for name in ("scripts/release.py", "pyproject.toml", "CITATION.cff", "conda/recipe.yaml", "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "changes", tmp_path / "changes")
    assert release(tmp_path, "close", "1.2.3") == (0, "")
    return tmp_path


def release(project: Path, *words: str) -> tuple[int, str]:
    words = (sys.executable, "scripts/release.py", *words)
    done = subprocess.run(words, cwd=project, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_a_tag_that_all_files_agree_on_can_be_released(project: Path) -> None:
    assert release(project, "v1.2.3") == (0, "v1.2.3 can be released\n")


@pytest.mark.parametrize(("name", "old", "new", "message"), [
    ("pyproject.toml", "1.2.3", "1.2.4", "the tag is v1.2.3, pyproject.toml has 1.2.4"),
    ("CITATION.cff", "1.2.3", "1.2.2", "CITATION.cff has 1.2.2, pyproject.toml 1.2.3"),
    ("conda/recipe.yaml", "1.2.3", "1.2.2", "conda/recipe.yaml has 1.2.2, pyproject.toml 1.2.3"),
    ("CHANGELOG.md", "## 1.2.3 - ", "## 1.2.4 - ", "CHANGELOG.md has no section"),
])  # fmt: skip
def test_a_tag_that_files_disagree_on_cannot(project: Path, name: str, old: str, new: str, message: str) -> None:
    path = project / name
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    code, text = release(project, "v1.2.3")
    assert code == 1
    assert message in text


def test_a_release_dates_what_was_unreleased_and_leaves_room_for_the_next(project: Path) -> None:
    before = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    text = (project / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[Unreleased\]\n\n## 1\.2\.3 - 20\d\d-\d\d-\d\d\n\n### ", text, re.MULTILINE)
    lines = text.splitlines()
    assert [line for line in before.splitlines() if line not in lines] == []
    for path in (ROOT / "changes").iterdir():
        assert f"- {path.read_text(encoding='utf-8').splitlines()[0]}" in lines
    assert list((project / "changes").glob("*")) == []


CHANGELOG = """# Changelog

## [Unreleased]

### Fixed

- One slip.

## 0.1.0 - 2026-01-01

### Added

- All.
"""
CLOSED = """# Changelog

## [Unreleased]

## 0.2.0 - 20YY

### Added

- A gate,
  of two lines.

### Fixed

- One slip.
- Another.

## 0.1.0 - 2026-01-01

### Added

- All.
"""


def test_entries_stand_under_their_kinds(project: Path) -> None:
    (project / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    (project / "changes" / "gate.added.md").write_text("A gate,\nof two lines.\n", encoding="utf-8")
    (project / "changes" / "slip.fixed.md").write_text("Another.", encoding="utf-8")
    assert "gate.added.md in changes/ is in no section" in release(project, "v0.2.0")[1]
    assert release(project, "close", "0.2.0") == (0, "")
    text = (project / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.sub(r"20\d\d-\d\d-\d\d$", "20YY", text, count=1, flags=re.MULTILINE) == CLOSED
    assert release(project, "v0.2.0") == (0, "v0.2.0 can be released\n")


@pytest.mark.parametrize("name", ["gate.md", "gate.new.md", "gate.added.txt", "empty.added.md", "list.added.md"])
def test_an_entry_of_no_kind_is_refused(name: str, project: Path) -> None:
    texts = {"empty.added.md": " ", "list.added.md": "- One.\n- Two."}
    (project / "changes" / name).write_text(texts.get(name, "Text."), encoding="utf-8")
    before = (project / "CHANGELOG.md").read_text(encoding="utf-8")
    assert release(project, "close", "0.2.0")[0] == 1
    assert (project / "CHANGELOG.md").read_text(encoding="utf-8") == before


def test_a_conda_package_needs_what_the_wheel_needs() -> None:
    """Names of all these are the same in conda-forge."""
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [project["project"]["requires-python"], *project["project"]["dependencies"]]
    assert [f"python{wanted[0]}", *wanted[1:]] == [name.replace(" ", "") for name in recipe["requirements"]["run"]]
    assert project["build-system"]["requires"][0] in [name.replace(" ", "") for name in recipe["requirements"]["host"]]
    assert recipe["package"]["name"] == project["project"]["name"]
    assert recipe["context"]["version"] == project["project"]["version"]
    (script,) = recipe["build"]["python"]["entry_points"]
    assert dict([script.split(" = ")]) == project["project"]["scripts"]


def test_badges_say_what_the_project_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    badges = dict(re.findall(r"!\[(\w+): ([^\]]+)\]\(https://img\.shields\.io/badge/", readme))
    assert badges == {"Python": ", ".join(versions), "licence": project["license"], "types": "checked"}
    assert (ROOT / "evalkit" / "py.typed").exists()
    addresses = re.findall(r"https://img\.shields\.io/badge/(\S+?)\)", readme)
    assert [address.replace("%20%7C%20", ", ").rsplit("-", 1)[0] for address in addresses] == [
        f"{name}-{value}" for name, value in badges.items()
    ]
    assert len(readme.splitlines()) <= 150


def test_the_citation_names_this_version() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"', project, re.MULTILINE)
    assert version is not None
    assert f"\nversion: {version[1]}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_image_is_built_from_what_is_copied_and_has_no_torch() -> None:
    """The image itself is built nowhere here; its files and extras have to exist."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"]
    assert [name for name in kept if not (ROOT / name).exists()] == []
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (extras,) = re.findall(r"\*\.whl\)\[([a-z,]+)\]", text)
    assert all(f"\n{extra} = [" in project for extra in extras.split(","))
    assert "embedding" not in extras
