"""The notebooks: kept without outputs, and each runs from its first cell to its last."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["first_leaderboard", "reward"]


@by_name
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    tree = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(tree)
    code = [cell for cell in tree["cells"] if cell["cell_type"] == "code"]
    assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * len(code)
    assert set(tree["metadata"]) == {"kernelspec", "language_info"}
    assert "assert " in "".join(code[-1]["source"])  # of what the notebook shows


@pytest.mark.docs
@by_name
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    book = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert list(tmp_path.iterdir()) == []
    counts = [cell["execution_count"] for cell in book.cells if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert any(cell["outputs"] for cell in book.cells if cell["cell_type"] == "code")
