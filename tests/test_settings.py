"""Settings: from TOML and options, refused with the nearest name, hashed; the signature and what differs in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.errors import SettingsError
from evalkit.settings import Settings, parse_settings
from evalkit.storage.runs import Signature

SIGNATURE = Signature("0.1.0", "s", "hybrid", "c", "m", "one-to-one", "0.5/0.5", "zero", "all", "0", "g", "p")


def test_the_command_line_wins_over_the_file() -> None:
    settings = parse_settings('alignment = "group"\ntop_k = 3\n[papers]\n"2103.14030" = "swin"\n')
    assert (settings.alignment, settings.top_k, settings.papers) == ("group", 3, {"2103.14030": "swin"})
    changed = settings.with_options({"top_k": 5, "alignment": None})
    assert (changed.alignment, changed.top_k) == ("group", 5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('alignement = "group"', "no setting is called 'alignement'; did you mean 'alignment'?"),
        ('zzz = "group"', "no setting is called 'zzz'; there are matcher, "),
        ('alignment = "many"', "alignment = 'many': expected one of one-to-one, group"),
        ('top_k = "3"', "top_k = '3': expected int"),
        ("top_k = true", "top_k = True: expected int"),
        ("top_k = 0", "top_k = 0: expected 1 or more"),
        ("match_threshold = 1.5", "match_threshold = 1.5: expected a probability"),
        ('papers = "x"', "[papers] must be a table of strings"),
        ("top_k = ", "not valid TOML"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(text: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, "my.toml")
    assert str(caught.value).startswith("my.toml: ")
    assert told in str(caught.value)


@pytest.mark.parametrize("change", [{"missing": "skip"}, {"top_k": 2}, {"seed": 1}, {"papers": {"a": "b"}}])
def test_the_digest_moves_with_a_choice(change: dict[str, object]) -> None:
    assert Settings().digest != Settings().with_options(change).digest


def test_the_digest_leaves_out_where_things_lie() -> None:
    assert Settings().digest == Settings(model="/somewhere", calibration="file.json", baseline="x").digest


def test_signatures_differ_in_all_but_plans() -> None:
    assert SIGNATURE.differences(replace(SIGNATURE, plans="other")) == {}
    assert SIGNATURE.differences(replace(SIGNATURE, gold="other")) == {"gold": ("g", "other")}
    assert str(SIGNATURE).startswith("version:0.1.0|settings:s|matcher:hybrid|")
