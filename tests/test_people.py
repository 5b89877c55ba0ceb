"""The matcher beside people: the 32 pairs that the authors of AblationBench labelled in public.

Two worked examples (the prompt of their judge, the figure of their site), from the repositories
ai-scientist-bench/ablation-bench and ablation-bench.github.io, MIT licence.
Only full matches were labelled, five of the 32.
"""

from __future__ import annotations

from pathlib import Path

from evalkit.labels import agree_with
from evalkit.settings import Settings

PAIRS = Path(__file__).parent / "data" / "people" / "ablationbench.jsonl"


def test_the_matcher_agrees_with_people_as_their_own_judge_does() -> None:
    found = agree_with([str(PAIRS)], Settings(matcher="lexical"))
    assert (found["rows"], found["pairs"]) == (2, 32)
    assert found["fitted_on_these_labels"] is False
    # Their best language-model judge reaches F1 0.81 on their own labels, as they report.
    assert found["match"]["f1"] >= 0.75
    assert found["match"]["kappa"] >= 0.7
