"""The wheel made from the sdist holds code, settings, references and sample."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LOOK = """
import evalkit, json, pathlib
from evalkit.storage.files import shipped
here = pathlib.Path(evalkit.__file__).parent
for name in ("configs/default.toml", "references/swin-transformer.json", "sample/plans/sample-planner/careful"):
    assert shipped(name).is_relative_to(here), shipped(name)
assert (here / "py.typed").exists()
assert not (here / "tests").exists()
print(here)
"""


def python(*words: str, cwd: Path) -> str:
    result = subprocess.run([sys.executable, *words], cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install into a folder by way of sdist and wheel, and return the folder."""
    pytest.importorskip("hatchling", reason="the build backend comes with the dev dependency group")
    work = tmp_path_factory.mktemp("packaging")
    python("-m", "hatchling", "build", "-t", "sdist", "-d", str(work), cwd=ROOT)
    (archive,) = work.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(work)  # ours; Python 3.11.2 knows no filter
    source = work / archive.name.removesuffix(".tar.gz")
    python("-m", "hatchling", "build", "-t", "wheel", "-d", str(work), cwd=source)
    (wheel,) = work.glob("*.whl")
    target = work / "installed"
    pip = ("-m", "pip", "install", "-qq", "--no-deps", "--no-index", "--target", str(target))
    python(*pip, str(wheel), cwd=work)
    return target


@pytest.mark.slow
def test_installation_finds_its_own_data(installed: Path) -> None:
    # -I leaves out the checkout, so that only the installed files are found.
    code = f"import sys; sys.path.insert(0, {str(installed)!r})\n{LOOK}"
    assert python("-I", "-c", code, cwd=installed).strip() == str(installed / "evalkit")


@pytest.mark.slow
def test_installation_has_licence_and_script(installed: Path) -> None:
    (info,) = installed.glob("ablation_evalkit-*.dist-info")
    assert (info / "licenses" / "LICENSE").exists()
    assert "evalkit = evalkit.cli:main" in (info / "entry_points.txt").read_text(encoding="utf-8")
