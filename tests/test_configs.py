"""The settings files that ship say what the code does: default.toml is the defaults, each setting named in it once."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from evalkit.settings import Settings, parse_settings

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
DEFAULT = (CONFIGS / "default.toml").read_text(encoding="utf-8")


def test_default_toml_is_the_defaults() -> None:
    assert parse_settings(DEFAULT) == Settings()


def test_default_toml_names_every_setting_once() -> None:
    named = re.findall(r"^(?:# )?(\w+) = |^\[(\w+)\]", DEFAULT, flags=re.MULTILINE)
    assert sorted(a or b for a, b in named) == sorted(item.name for item in fields(Settings))


def test_what_default_toml_shows_commented_out_is_valid() -> None:
    assert parse_settings(re.sub(r'^# (?=\w+ = |"[^"]*" = )', "", DEFAULT, flags=re.MULTILINE)).top_k == 5


def test_strict_toml_is_the_defaults_but_strict() -> None:
    path = CONFIGS / "strict.toml"
    assert parse_settings(path.read_text(encoding="utf-8"), str(path)) == Settings(strict=True)
