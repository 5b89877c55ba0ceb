"""What a release needs: files that fit their published schemas, and one version everywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
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
    for name in ("scripts/release.py", "pyproject.toml", "CITATION.cff", "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    text = (tmp_path / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(re.sub(r'^version = ".*"', 'version = "1.2.3"', text, flags=re.M))
    text = (tmp_path / "CITATION.cff").read_text(encoding="utf-8")
    (tmp_path / "CITATION.cff").write_text(re.sub(r"^version: .*", "version: 1.2.3", text, flags=re.M))
    text = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text(text.replace("## [Unreleased]", "## 1.2.3 - 2026-01-31", 1))
    return tmp_path


def release(project: Path, tag: str) -> tuple[int, str]:
    words = [sys.executable, "scripts/release.py", tag]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_a_tag_that_all_files_agree_on_can_be_released(project: Path) -> None:
    assert release(project, "v1.2.3") == (0, "v1.2.3 can be released\n")


@pytest.mark.parametrize(("name", "old", "new", "message"), [
    ("pyproject.toml", "1.2.3", "1.2.4", "the tag is v1.2.3, pyproject.toml has 1.2.4"),
    ("CITATION.cff", "1.2.3", "1.2.2", "CITATION.cff has 1.2.2, pyproject.toml 1.2.3"),
    ("CHANGELOG.md", "## 1.2.3 - 2026-01-31", "## [Unreleased]", "CHANGELOG.md has no section"),
])  # fmt: skip
def test_a_tag_that_files_disagree_on_cannot(project: Path, name: str, old: str, new: str, message: str) -> None:
    path = project / name
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    code, text = release(project, "v1.2.3")
    assert code == 1
    assert message in text


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
