"""The settings files that ship agree with the code: default.toml is made of the fields of Settings."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from evalkit.settings import Settings, parse_settings

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
DEFAULT = (CONFIGS / "default.toml").read_text(encoding="utf-8")


def test_default_toml_holds_the_defaults() -> None:
    assert parse_settings(DEFAULT) == Settings()


def test_default_toml_is_made_of_the_fields() -> None:
    """Every setting stands in it with its note and its default."""
    made = subprocess.run(
        [sys.executable, "scripts/default_settings.py"], capture_output=True, text=True, check=True, cwd=CONFIGS.parent
    )
    assert made.stdout == DEFAULT, "run: .venv/bin/python scripts/default_settings.py > configs/default.toml"
    named = re.findall(r"^(?:# )?(\w+) = |^\[(\w+)\]", DEFAULT, flags=re.MULTILINE)
    assert sorted(a or b for a, b in named) == sorted(item.name for item in fields(Settings))


def test_default_toml_comments_are_valid() -> None:
    assert parse_settings(re.sub(r'^# (?=\w+ = |"[^"]*" = )', "", DEFAULT, flags=re.MULTILINE)).top_k == 5


def test_strict_toml_only_turns_strict_on() -> None:
    path = CONFIGS / "strict.toml"
    assert parse_settings(path.read_text(encoding="utf-8"), str(path)) == Settings(strict=True)
