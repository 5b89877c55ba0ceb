"""String repair and normalisation: what is mended, what is left alone, and that neither can be made to hang."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ðŸ§\xa0 Reasoning", "🧠 Reasoning"),
        ("margin threshold (Î´)", "margin threshold (δ)"),
        ("balance parameter (Î»)", "balance parameter (λ)"),
        ("MÃ¼ller beside a real α: Î±", "Müller beside a real α: α"),
        ("Â±0.1", "±0.1"),
        ("5â€“10", "5–10"),
    ],
)
def test_mojibake_is_read_again_as_utf8(before: str, after: str) -> None:
    """UTF-8 that was once read as cp1252 comes back, and it is reported."""
    repaired, repairs = text.repair(before)
    assert repaired == after
    assert [repair.code for repair in repairs] == ["mojibake"]


@pytest.mark.parametrize(
    "clean",
    [
        "“curly” – dash",
        "ﬁne ligature",
        "∥δ∥ ≤ ε²",
        "βˆϕ",
        "Å ngström à la é",
        "½ × 3",
        "日本語 テスト",
        "👩‍🔬",
        "&lt;b&gt;",
    ],
)
def test_good_text_is_left_alone(clean: str) -> None:
    """Quotes, ligatures, mathematics, scripts and entities are nobody's mistake."""
    assert text.repair(clean) == (clean, ())


def test_a_repair_knows_its_line() -> None:
    """Two bad lines among four are two repairs with their lines."""
    _, repairs = text.repair("fine\nÎ´\nfine\nÎ» and Î´")
    assert [(repair.code, repair.line) for repair in repairs] == [("mojibake", 2), ("mojibake", 4)]
    assert "'Î´'" in repairs[0].message
    assert "'δ'" in repairs[0].message


@pytest.mark.parametrize(
    ("before", "after", "code", "line"),
    [
        ("\ufeffx", "x", "byte-order-mark", 1),
        ("a\r\nb\rc", "a\nb\nc", "line-endings", 1),
        ("a\nb\r\nc", "a\nb\nc", "line-endings", 2),
        ("a\nb\0c", "a\nbc", "control-characters", 2),
        ("a\x1b[31mred\x1b[0m", "ared", "control-characters", 1),
    ],
)
def test_the_frame_of_a_document(before: str, after: str, code: str, line: int) -> None:
    """What belongs to the whole file is mended without moving a line."""
    repaired, repairs = text.repair_document(before)
    assert repaired == after
    assert [(repair.code, repair.line) for repair in repairs] == [(code, line)]


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("e\u0301", "é", "not-nfc"),
        ("half \ud83d pair", "half \ufffd pair", "lone-surrogate"),
        ("a\x08b", "ab", "control-characters"),
        ("a\r\nb", "a\nb", "line-endings"),
    ],
)
def test_one_value(before: str, after: str, code: str) -> None:
    """Values can bring, through escapes, what the file itself did not show."""
    repaired, repairs = text.repair(before)
    assert (repaired, [repair.code for repair in repairs]) == (after, [code])


@given(st.text(st.characters(max_codepoint=0x2FFF) | st.sampled_from("ÃÂâ€Î´»\x9d\xa0ðŸ")))
def test_repairing_twice_changes_nothing_more(value: str) -> None:
    """A repaired text is clean: encodable, composed, and its own repair."""
    once, _ = text.repair(value)
    assert text.repair(once) == (once, ())
    once.encode()
    assert unicodedata.is_normalized("NFC", once)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("I_Lora__Iterative_Merging", "i-lora: Iterative Merging"),
        ("Schrödinger's Cat", "Schrodinger_s_Cat"),
        ("ＡＢＣ", "abc"),
        ("straße", "STRASSE"),
        ("e\u0301tude", "étude"),
        (" a--b. ", "A B"),
    ],
)
def test_ids_of_one_paper(first: str, second: str) -> None:
    """Case, punctuation, doubled underscores and Unicode forms do not make another paper."""
    assert text.normalise_id(first) == text.normalise_id(second)


@pytest.mark.parametrize(("first", "second"), [("paper1", "paper2"), ("α-net", "β-net"), ("???", "!!!"), ("a b", "ab")])
def test_ids_of_two_papers(first: str, second: str) -> None:
    """What differs in a letter, or is nothing but punctuation, stays apart."""
    assert text.normalise_id(first) != text.normalise_id(second)


def test_an_id_can_not_climb() -> None:
    """The normalised form of a hostile name holds no path."""
    assert text.normalise_id("../../etc/passwd") == "etc-passwd"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Top-1  Acc. (%)", "top 1 acc %"),
        ("0.10", "0.10"),
        ("-1", "-1"),
        ("1-2", "1 2"),
        ("No, thanks!", "no thanks"),
        ("FID@50K", "fid 50k"),
        ("ℓ₂-norm", "l2 norm"),
        ("λ ≤ 3", "λ ≤ 3"),
        ("", ""),
    ],
)
def test_normal_form_for_comparing(value: str, expected: str) -> None:
    """Punctuation goes, what carries a value stays."""
    assert text.normalise(value) == expected
    assert text.tokens(value) == tuple(expected.split())


@pytest.mark.parametrize(
    ("value", "pieces"),
    [
        ("a, b,c", ("a", "b", "c")),
        ("accuracy (top-1, top-5), F1", ("accuracy (top-1, top-5)", "F1")),
        ("a [b, (c, d)], {e, f}", ("a [b, (c, d)]", "{e, f}")),
        ("error (lower, better", ("error (lower", "better")),
        ("a), b", ("a)", "b")),
        ("(a], b), c", ("(a], b)", "c")),
        ("speed at 1,000 steps, loss", ("speed at 1,000 steps", "loss")),
        (" , ,", ()),
    ],
)
def test_splitting_outside_brackets(value: str, pieces: tuple[str, ...]) -> None:
    """A comma in closed brackets or inside a number belongs to its piece."""
    assert text.split_outside_brackets(value) == pieces


def test_splitting_at_other_separators() -> None:
    """The separators are the caller's."""
    assert text.split_outside_brackets("a; b (c; d)\ne, f", ";\n") == ("a", "b (c; d)", "e, f")


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("\x1b[2J\x1b]0;title\x07boo", "boo"),
        ("\x9b31mred", "red"),
        ("abc\u202edcb", "abcdcb"),
        ("\u2066x\u2069\u200b", "x"),
        ("a\u2028b", "a b"),
        ("\ud800", "\ufffd"),
        ("👩‍🔬 日本", "👩‍🔬 日本"),
        ("a\rb\0", "ab"),
    ],
)
def test_text_for_a_terminal(value: str, printed: str) -> None:
    """Nothing a document says can move the cursor, set the title or reorder the line."""
    assert text.safe_terminal(value) == printed


@given(st.text())
def test_terminal_text_holds_no_escape(value: str) -> None:
    """Whatever came in, no control or direction character comes out."""
    printed = text.safe_terminal(value)
    assert all(unicodedata.category(c) not in ("Cc", "Cs") for c in printed if c not in "\n\t")
    assert text.safe_terminal(printed) == printed


@pytest.mark.parametrize("unit", ["(", "([{", "(a], ", "\x1b]", "\x1b[", "Ã", "Î´ ", "é ", ",", "\r", "e\u0301"])
@pytest.mark.parametrize("tool", [text.repair, text.repair_document, text.split_outside_brackets, text.safe_terminal])
def test_long_texts_take_time_in_proportion(tool: Callable[[str], object], unit: str) -> None:
    """Every tool is linear: eight times the text takes nowhere near 64 times as long."""

    def took(size: int) -> float:
        started = time.process_time()
        tool(unit * (size // len(unit)))
        return time.process_time() - started

    limit = 24 * max(min(took(12_500) for _ in range(3)), 0.004)
    assert took(100_000) < limit or min(took(100_000) for _ in range(3)) < limit
