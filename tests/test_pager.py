"""`evalkit show` in a terminal: a long text goes through the pager, with colours only where it can show them."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import entry, gold, plan

from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings


@pytest.fixture
def run(tmp_path: Path) -> Path:
    entries = [
        entry(f"the {name} module") for name in ("gate", "attention", "residual", "pooling", "dropout", "mixing")
    ]
    score_run([plan(*entries)], [gold(*entries)], Settings(matcher="lexical", resamples=0)).save(tmp_path / "run")
    return tmp_path / "run"


def in_terminal(run: Path, pager: Path, lines: int) -> bytes:
    """Return what a terminal with so many lines gets from `evalkit show`."""
    ours, theirs = pty.openpty()
    environment = {
        **os.environ, "PAGER": str(pager), "TERM": "xterm", "LINES": str(lines), "COLUMNS": "80", "LESS": "",
    }  # fmt: skip
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "evalkit", "show", str(run), "--paper", "paper"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environment) as process:
        os.close(theirs)
        received = b""
        try:
            while piece := os.read(ours, 65536):
                received += piece
        except OSError:  # how Linux says that the other end is closed
            pass
        assert process.wait() == 0
    os.close(ours)
    return received


def fake_pager(folder: Path, name: str) -> Path:
    """Make a pager that notes what it gets, and how it was asked to show it."""
    place = folder / name
    place.write_text(f'#!/bin/sh\nprintf %s "$LESS" > "{folder}/options"\ncat > "{folder}/text"\n', encoding="utf-8")
    place.chmod(place.stat().st_mode | stat.S_IXUSR)
    return place


@pytest.mark.parametrize(("name", "options", "coloured"), [("less", "-R", True), ("other", "", False)])
def test_a_long_text_is_paged(run: Path, tmp_path: Path, name: str, options: str, coloured: bool) -> None:
    assert b"gate" not in in_terminal(run, fake_pager(tmp_path, name), lines=10)
    text = (tmp_path / "text").read_bytes()
    assert b"gate module" in text
    assert ((tmp_path / "options").read_text(), b"\x1b[" in text) == (options, coloured)


def test_a_text_that_fits_is_printed(run: Path, tmp_path: Path) -> None:
    shown = in_terminal(run, fake_pager(tmp_path, "less"), lines=200)
    assert b"gate module" in shown
    assert b"\x1b[" in shown
    assert not (tmp_path / "text").exists()
