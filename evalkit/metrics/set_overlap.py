"""Takes two lists of short names (metrics, or replacement options), gives how many belong together, one to one.

Two names are the same when they read the same after normalising, when one is the other with something added
("ImageNet top-1 accuracy" and "top-1 acc. (%)"), or when they differ by a slip of spelling. Numbers never bend:
"top-1" is not "top-5". All of it is lexical, so these figures do not depend on a model.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

# What a metric may be written as, and the one form it is compared in. Forms are compared word by word.
METRIC_FORMS = {
    "acc": "accuracy",
    "accuracies": "accuracy",
    "prec": "precision",
    "rec": "recall",
    "f1 score": "f1",
    "f1 measure": "f1",
    "f 1": "f1",
    "f score": "f1",
    "f measure": "f1",
    "auc": "auroc",
    "roc auc": "auroc",
    "auc roc": "auroc",
    "area under the roc curve": "auroc",
    "area under the curve": "auroc",
    "pr auc": "auprc",
    "aupr": "auprc",
    "map": "mean average precision",
    "ap": "average precision",
    "miou": "mean intersection over union",
    "mean iou": "mean intersection over union",
    "iou": "intersection over union",
    "jaccard index": "intersection over union",
    "dsc": "dice",
    "dice score": "dice",
    "dice coefficient": "dice",
    "dice similarity coefficient": "dice",
    "fid": "frechet inception distance",
    "fid score": "frechet inception distance",
    "is": "inception score",
    "psnr": "peak signal to noise ratio",
    "ssim": "structural similarity",
    "structural similarity index": "structural similarity",
    "structural similarity index measure": "structural similarity",
    "lpips": "learned perceptual image patch similarity",
    "mae": "mean absolute error",
    "mse": "mean squared error",
    "mean square error": "mean squared error",
    "rmse": "root mean squared error",
    "root mean square error": "root mean squared error",
    "nll": "negative log likelihood",
    "ppl": "perplexity",
    "wer": "word error rate",
    "cer": "character error rate",
    "em": "exact match",
    "exact match score": "exact match",
    "mrr": "mean reciprocal rank",
    "ndcg": "normalized discounted cumulative gain",
    "fps": "frames per second",
    "ece": "expected calibration error",
    "mcc": "matthews correlation coefficient",
    "asr": "attack success rate",
    "sr": "success rate",
    "gflops": "flops",
    "tflops": "flops",
    "params": "parameters",
    "number of parameters": "parameters",
    "parameter count": "parameters",
    "bleu score": "bleu",
    "rouge score": "rouge",
    "runtime": "run time",
    "running time": "run time",
    "inference speed": "inference time",
    "inference latency": "inference time",
    "latency": "inference time",
    "memory usage": "memory",
    "memory consumption": "memory",
    "gpu memory": "memory",
}
FILLER = frozenset(("a", "an", "the", "of", "on", "in", "for", "with", "score", "value", "metric", "using", "use"))
# Names are read without fillers, so what they are looked up by has none either: "area under roc curve".
FORMS = {" ".join(word for word in name.split() if word not in FILLER): form for name, form in METRIC_FORMS.items()}
BRACKETS = re.compile(r"\(([^()]*)\)|\[([^\[\]]*)\]")
WORDS = re.compile(r"\d+(?:\.\d+)+|[^\W_]+")
NEGATIONS = frozenset(("no", "non", "none", "not", "without", "w", "remove", "removed", "disable", "disabled"))
SLIP = 90.0

STEM, SHARE = 4, 0.65
LONG = 64

Words = tuple[str, ...]
Name = tuple[Words, ...]


def metrics_in_common(gold: Sequence[str], plan: Sequence[str]) -> int:
    """How many metrics the two lists share, matched one to one."""
    return _metrics(tuple(gold), tuple(plan))


def options_in_common(gold: Sequence[str], plan: Sequence[str]) -> int:
    """How many replacement options the two lists share, matched one to one."""
    return _options(tuple(gold), tuple(plan))


@lru_cache(maxsize=16384)
def _metrics(gold: tuple[str, ...], plan: tuple[str, ...]) -> int:
    return _in_common([metric_name(name) for name in gold], [metric_name(name) for name in plan], _same_words)


@lru_cache(maxsize=16384)
def _options(gold: tuple[str, ...], plan: tuple[str, ...]) -> int:
    return _in_common([option_name(name) for name in gold], [option_name(name) for name in plan], _same_option)


def _meet(one: Name, other: Name, same_words: Callable[[Words, Words], bool]) -> bool:
    """Whether some readings of two names are the same; nearly all names have one."""
    if len(one) == len(other) == 1:
        return same_words(one[0], other[0])
    return any(same_words(x, y) for x in one for y in other)


def _in_common(left: Sequence[Name], right: Sequence[Name], same_words: Callable[[Words, Words], bool]) -> int:
    """The size of the largest one-to-one matching of names of which any readings are the same."""
    friends = [[at for at, b in enumerate(right) if _meet(a, b, same_words)] for a in left]
    if len(left) > LONG:
        return _in_long_lists(friends, len(right))
    partner: dict[int, int] = {}

    def placed(one: int, seen: set[int]) -> bool:
        """Whether a name finds a partner, if need be by sending one that is taken to another (Kuhn's algorithm)."""
        for at in friends[one]:
            if at not in seen:
                seen.add(at)
                if at not in partner or placed(partner[at], seen):
                    partner[at] = one
                    return True
        return False

    return sum(placed(one, set()) for one in range(len(left)))


def _in_long_lists(friends: Sequence[Sequence[int]], width: int) -> int:
    """The same for lists so long that looking for partners would go too deep."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    ends = [0, *accumulate(map(len, friends))]
    flat = [at for one in friends for at in one]
    table = csr_matrix(([True] * len(flat), flat, ends), shape=(len(friends), width))
    return int((maximum_bipartite_matching(table, perm_type="column") >= 0).sum())


@lru_cache(maxsize=65536)
def metric_name(text: str) -> Name:
    """The readings of a metric's name: what stands outside brackets, and what stands inside ("Rotation Error (RE)")."""
    return tuple(dict.fromkeys(_standard(words) for words in _readings(text)))


@lru_cache(maxsize=65536)
def option_name(text: str) -> Name:
    """The readings of a replacement option: with its brackets' content and without, and what they say alone.

    An option that begins by taking away ("no gating", "w/o gate", "none") also reads as plain removal: beside another
    option for the same part, that is what it means.
    """
    words = _words(text)
    removal = [("none",)] if words and words[0] in NEGATIONS else []
    return tuple(dict.fromkeys((words, *_readings(text), *removal)))


def _readings(text: str) -> list[tuple[str, ...]]:
    """The words outside brackets, then those of each bracket; units and arrows are no words and fall away."""
    parts = [BRACKETS.sub(" ", text), *(a or b for a, b in BRACKETS.findall(text))]
    readings = [tuple(_words(part)) for part in parts]
    return [words for words in readings if words] or [tuple(_words(text))]


@lru_cache(maxsize=65536)
def _words(text: str) -> tuple[str, ...]:
    """Lower-case words without accents and fillers; "top1" and "BLEU4" become two words."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(char for char in plain if not unicodedata.combining(char)).replace("_", " ")
    plain = re.sub(r"\b(top|bleu|rouge|recall|precision|hits|pass)[\s@-]*(\d+)", r"\1 \2", plain)
    words = [word for word in WORDS.findall(plain) if word not in FILLER]
    return tuple(words or WORDS.findall(plain))


def _standard(words: tuple[str, ...]) -> tuple[str, ...]:
    """Known spellings of a metric replaced by the form it is compared in, the longest first."""
    found: list[str] = []
    at = 0
    while at < len(words):
        for length in range(min(5, len(words) - at), 0, -1):
            form = FORMS.get(" ".join(words[at : at + length]))
            if form or length == 1:
                found.extend((form or words[at]).split())
                at += length
                break
    return tuple(word for word in found if word not in FILLER) or tuple(found)


class _Look(NamedTuple):
    """What is compared of a reading: its words, those with digits, those that negate, their first letters, a line."""

    words: frozenset[str]
    numbers: frozenset[str]
    negations: frozenset[str]
    starts: frozenset[str]
    line: str


@lru_cache(maxsize=65536)
def _look(words: Words) -> _Look:
    """A reading as it is compared."""
    own = frozenset(words)
    numbers = frozenset(word for word in own if any(map(str.isdigit, word)))
    return _Look(own, numbers, own & NEGATIONS, frozenset(word[:STEM] for word in own), " ".join(sorted(own)))


@lru_cache(maxsize=262144)
def _same_option(a: Words, b: Words) -> bool:
    """As metrics are, or two thirds of the words in common by their first letters: "positional" is "position"."""
    if _same_words(a, b):
        return True
    one, other = _look(a), _look(b)
    if one.numbers != other.numbers or one.negations != other.negations:
        return False
    return 2 * len(one.starts & other.starts) >= SHARE * (len(one.starts) + len(other.starts))


@lru_cache(maxsize=262144)
def _same_words(a: Words, b: Words) -> bool:
    """Equal, one within the other under one head word, or a slip of spelling apart; never with other numbers."""
    if a == b:
        return bool(a)
    short, long = sorted((_look(a), _look(b)), key=lambda look: len(look.words))
    if not short.words or short.negations != long.negations:
        return False
    same = short.numbers == long.numbers
    if short.words <= long.words and a[-1] == b[-1] and (same or not short.numbers):
        return True
    from rapidfuzz.fuzz import ratio

    return same and ratio(short.line, long.line, score_cutoff=SLIP) > 0
