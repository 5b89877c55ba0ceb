"""Overlap: when two metrics, or two replacement options, are the same."""

from __future__ import annotations

import pytest

from evalkit.metrics.metric_names import SPELLINGS
from evalkit.metrics.set_overlap import _words, metrics_in_common, options_in_common


@pytest.mark.parametrize(
    ("gold", "plan"),
    [
        ("accuracy", "Accuracy"),
        ("top-1 accuracy", "Top-1 Acc. (%)"),
        ("top-1 accuracy", "ImageNet top-1 accuracy"),
        ("top-1 accuracy", "top1 acc"),
        ("Rotation Error (RE)", "rotation error"),
        ("absolute distance error (ADE)", "ADE"),
        ("F1", "F1-score"),
        ("F1 score", "macro F1"),
        ("mIoU", "mean IoU"),
        ("ADE20K mIoU", "mean Intersection-over-Union"),
        ("FID", "Fréchet Inception Distance (FID) ↓"),
        ("PSNR", "Peak Signal-to-Noise Ratio"),
        ("latency", "inference time (ms)"),
        ("AUC", "ROC-AUC"),
        ("BLEU-4", "BLEU4"),
        ("mAP", "mean Average Precision (mAP)"),
        ("perplexity", "PPL"),
        ("registration recal", "registration recall"),
    ],
)
def test_one_metric_written_two_ways(gold: str, plan: str) -> None:
    assert metrics_in_common([gold], [plan]) == 1
    assert metrics_in_common([plan], [gold]) == 1


@pytest.mark.parametrize(
    ("gold", "plan"),
    [
        ("top-1 accuracy", "top-5 accuracy"),
        ("BLEU-1", "BLEU-4"),
        ("training time", "inference time"),
        ("precision", "recall"),
        ("PSNR", "SSIM"),
        ("accuracy", "calibration error"),
        ("", "accuracy"),
    ],
)
def test_two_metrics(gold: str, plan: str) -> None:
    assert metrics_in_common([gold], [plan]) == 0


@pytest.mark.parametrize(
    ("gold", "plan", "same"),
    [
        ("random initialization", "Random initialization", True),
        ("random initialization", "random initialisation", True),
        ("LoRA (rank 8)", "LoRA", True),
        ("k = 5", "5", True),
        ("0.5", "5.0", False),
        ("10", "100", False),
        ("attention", "no attention", False),
        ("max pooling", "average pooling", False),
        ("without the gate", "w/o gating", True),
        ("no position encoding", "None", True),
        ("absolute position embedding", "absolute positional encodings", True),
        ("random init", "random initialization", True),
        ("sliding window self-attention", "global self-attention", False),
        ("3x3 kernel", "7x7 kernel", False),
        ("linear schedule", "cosine schedule", False),
    ],
)
def test_options(gold: str, plan: str, same: bool) -> None:
    assert options_in_common([gold], [plan]) == same


def test_each_name_counts_once() -> None:
    # "accuracy" could stand for either, but only for one of them.
    assert metrics_in_common(["accuracy"], ["top-1 accuracy", "top-5 accuracy"]) == 1
    # The only way to pair all three leaves the vaguer name to the second.
    assert metrics_in_common(["accuracy", "top-1 accuracy"], ["top-1 accuracy", "top-5 accuracy"]) == 2


@pytest.mark.parametrize("size", [6, 64, 65, 200])
def test_long_lists_are_matched_as_short_ones_are(size: int) -> None:
    # Each name has two friends, itself and the next: only the matching that gives each its own reaches all of them.
    chain = [[at, at + 1] for at in range(size - 1)] + [[0]]
    from evalkit.metrics.set_overlap import _in_common

    found = _in_common(range(size), range(size), lambda x, y: y in chain[x])
    assert found == size


def test_the_longest_known_spelling_wins() -> None:
    """Five words, in the middle of a name: "area under the roc curve" is auroc, and not "area" and four more."""
    for name in ("area under the ROC curve", "mean area under the ROC curve of five"):
        assert metrics_in_common([name], [name.replace("area under the ROC curve", "AUROC")]) == 1
    assert metrics_in_common(["structural similarity index measure"], ["SSIM"]) == 1


@pytest.mark.parametrize(("form", "name"), [(form, name) for form, names in SPELLINGS.items() for name in names])
def test_every_spelling_reads_as_its_form(form: str, name: str) -> None:
    """With an article, a unit, in capitals and as a score, too."""
    for written in (name, f"the {name} (%)", name.upper(), f"{name} scores"):
        assert metrics_in_common([written], [form]) == 1


def test_forms_are_found_in_whole_words_only() -> None:
    """ "roc auc" is two words beside each other; with another word between them it is something else."""
    assert metrics_in_common(["ROC AUC"], ["AUROC"]) == 1
    assert metrics_in_common(["error of rate word"], ["WER"]) == 0


def test_a_bracket_separates_what_stands_on_its_sides() -> None:
    """ "Rot(x)Error" is rot and error, read without what the bracket says; nothing is put in its place."""
    assert metrics_in_common(["Rot(xyz)Error"], ["rot error"]) == 1


def test_name_of_fillers_is_still_a_name() -> None:
    assert metrics_in_common(["score"], ["score"]) == 1
    assert metrics_in_common(["score"], ["the value"]) == 0
    assert metrics_in_common(["score"], ["accuracy"]) == 0


def test_fillers_inside_a_known_form_are_ignored() -> None:
    """IoU is spelt out as intersection over union, EM as exact match; a filler between words changes neither."""
    assert metrics_in_common(["IoU score"], ["the intersection over union"]) == 1
    assert metrics_in_common(["inception score"], ["IS"]) == 1


def test_one_name_may_stand_for_one_other_only() -> None:
    """Two of gold's read like one of the plan's: one pair, whichever way they are assigned."""
    assert metrics_in_common(["accuracy", "top accuracy"], ["accuracy"]) == 1
    assert metrics_in_common(["accuracy"], ["accuracy", "test accuracy"]) == 1
    # x fits both, y only the first: the largest matching gives x the second.
    assert metrics_in_common(["top-1 accuracy", "accuracy"], ["accuracy", "top-1 accuracy"]) == 2


def test_a_slip_is_one_letter_in_ten() -> None:
    """Likeness 90: of ten letters and ten, eighteen are in common; of nine and nine sixteen, which is 89."""
    assert metrics_in_common(["perplexity"], ["perplexety"]) == 1
    assert metrics_in_common(["inception"], ["incaption"]) == 0


def test_a_family_and_its_number_are_two_words() -> None:
    assert _words("BLEU4 and recall@10, Hits @ 3") == ("bleu", "4", "and", "recall", "10", "hits", "3")
    assert _words("top 5") == _words("top-5") == ("top", "5")
    assert _words("stop5") == ("stop5",)


def test_underscores_part_words_as_spaces_do() -> None:
    assert metrics_in_common(["val_top1_acc"], ["val top-1 accuracy"]) == 1
    assert _words("val_top1_acc") == ("val", "top", "1", "acc")


def test_options_need_a_share_of_common_words() -> None:
    """Twenty words and twenty: 13 in common are 26 of 40, which is 0.65 and enough; 12 are not."""
    first = [f"{a}{b}{b}{a}ing" for a in "bcdfg" for b in "aeioutlm"]
    one = " ".join(first[:20])
    for shared, same in ((13, 1), (12, 0)):
        other = " ".join((*first[20 : 40 - shared], *first[:shared]))
        assert options_in_common([one], [other]) == same


@pytest.mark.parametrize("size", [1, 64, 65])
def test_long_lists_without_anything_in_common(size: int) -> None:
    golds, plans = [f"metric {at}" for at in range(size)], [f"metric {at + 1000}" for at in range(size)]
    assert metrics_in_common(golds, plans) == 0
    assert metrics_in_common(golds, [*plans, golds[-1]]) == 1
