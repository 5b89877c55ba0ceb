"""When two names of metrics mean one metric.

They do when they say the same in other spellings ("R@1", "Recall@1"), or when one is the other with something added
("ImageNet top-1 accuracy", "top-1 acc. (%)"). They do not when both are specified and differ ("GQA accuracy", "VQA
accuracy"), when they are of two families (MSE and RMSE), or when they have other numbers. All of it is lexical.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

# Families: the form that a metric is compared in, and what else it may be written as. A form of one word belongs to no
# other family, whatever its spellings have in common: "rmse" is no "mse" with something added. Words are read as
# `_words` gives them, so plurals, case, "acc." and "avg" need no spelling of their own.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "f1": ("f1 score", "f1 measure", "f 1", "f score", "f measure"), "ap": ("average precision",),
    "average ap": ("map", "mean average precision"), "ar": ("average recall",), "average ar": ("mar",),
    "auroc": ("auc", "roc auc", "auc roc", "area under the roc curve", "area under the curve"),
    "auprc": ("pr auc", "aupr", "area under the precision recall curve"),
    "iou": ("intersection over union", "jaccard index", "jaccard"), "average iou": ("miou",),
    "dice": ("dsc", "dice coefficient", "dice similarity coefficient"),
    "fid": ("frechet inception distance",), "fvd": ("frechet video distance",), "fad": ("frechet audio distance",),
    "kid": ("kernel inception distance",), "is": ("inception score",),
    "psnr": ("peak signal to noise ratio",), "lpips": ("learned perceptual image patch similarity",),
    "ssim": ("structural similarity", "structural similarity index", "structural similarity index measure"),
    "msssim": ("ms ssim", "multi scale ssim", "multiscale ssim", "multi scale structural similarity",
               "multi scale structural similarity index measure"),
    "mae": ("mean absolute error",), "mse": ("mean squared error", "mean square error"),
    "rmse": ("root mean squared error", "root mean square error"), "nrmse": ("normalized rmse", "normalised rmse"),
    "mape": ("mean absolute percentage error",), "smape": ("symmetric mean absolute percentage error",),
    "r2": ("r squared", "r square", "r 2", "coefficient of determination"),
    "nll": ("negative log likelihood",), "perplexity": ("ppl",), "wer": ("word error rate",),
    "cer": ("character error rate",), "em": ("exact match",), "mrr": ("mean reciprocal rank",),
    "ndcg": ("normalized discounted cumulative gain",), "fps": ("frames per second",),
    "ece": ("expected calibration error",), "mcc": ("matthews correlation coefficient",),
    "fpr": ("false positive rate",), "tpr": ("true positive rate",), "asr": ("attack success rate",),
    "success rate": ("sr",), "win rate": ("wr", "winrate"), "hit ratio": ("hr", "hit rate", "hits"),
    "flops": ("gflops", "tflops", "mflops", "flop", "gflop", "macs", "gmacs"), "bleu": (), "rouge": (), "meteor": (),
    "parameter": ("param", "number of parameters", "parameter count"), "run time": ("runtime", "running time"),
    "wall clock time": ("wallclock time",), "convergence speed": ("convergence rate",),
    "inference time": ("inference speed", "inference latency", "latency"),
    "memory": ("memory usage", "memory consumption", "gpu memory"), "chamfer distance": ("cd",),
    "correlation": ("correlation coefficient",), "standard deviation": ("std", "std dev", "std deviation"),
}  # fmt: skip
# One word for another, before families are looked for.
WORDS = {
    "acc": "accuracy", "prec": "precision", "rec": "recall", "avg": "average",
    "mean": "average", "mem": "memory", "sim": "similarity", "obj": "object", "attr": "attribute",
    "eval": "evaluation", "dev": "deviation", "grad": "gradient", "corr": "correlation", "episodic": "episode",
    "dist": "distance", "vs": "versus", "cls": "classification", "gen": "generation",
    "normalised": "normalized", "generalisation": "generalization", "behaviour": "behavior", "colour": "color",
}  # fmt: skip
FILLER = frozenset(("a", "an", "the", "and", "value", "metric", "use", "i", "e", "g"))
LINKS = frozenset(
    ("of", "on", "in", "for", "with", "at", "versus", "under", "over", "per", "to", "by", "between", "from", "using",
     "when", "after", "across", "against", "until")
)  # fmt: skip
COUNTS = frozenset(("number", "percentage", "percent", "fraction", "proportion", "amount", "count", "degree"))
# What a name may leave out where it says no measure: "PopQA" is PopQA accuracy, "persuasion success" a rate.
GENERIC = frozenset(("accuracy", "performance", "rate", "average"))
MEASURES = GENERIC | frozenset(
    ("error", "loss", "time", "ratio", "distance", "similarity", "correlation", "return", "reward", "cost", "speed",
     "speedup", "precision", "recall", "gain", "reduction", "improvement", "variance", "deviation", "stability",
     "efficiency", "diversity", "consistency", "size", "length", "rank", "gap", "score")
)  # fmt: skip
# Added to a name, these make another quantity of it.
ALTERING = frozenset(("directional", "root", "inverse", "negative", "cumulative", "curve", "log"))
NEGATIONS = frozenset(("no", "non", "none", "not", "without"))
UNITS = frozenset(
    ("s", "ms", "sec", "second", "min", "minute", "h", "hour", "day", "mb", "gb", "mib", "gib", "k", "m", "b", "x",
     "db", "higher", "lower", "better", "is", "fps", "usd", "token")
)  # fmt: skip
_BRACKETS = re.compile(r"\(([^()]*)\)|\[([^\[\]]*)\]")
_WORD = re.compile(r"\d+(?:\.\d+)+|[^\W_]+")
# "CLIPScore" and "HitRatio" are two words; "mIoU" and "RMSEs" are one.
_CAMEL = re.compile(
    r"(?<=[a-z]{2})(?=[A-Z][a-z]{2})|(?<=[A-Z])(?=[A-Z][a-z]{3})|(?<=\ds)(?=[A-Z]{2})|(?<=Top)(?=[A-Z])"
)
_NUMBERED = re.compile(
    r"(?<![^\W_])(top|bleu|b|rouge|recall|precision|hits?|hr|hit ?ratio|pass|ap|ar|map|iou|ndcg|fpr|tpr|acc|mrr|p)"
    r"[\s@_-]*(\d+(?:\.\d+)?)"
)
_RECALL = re.compile(r"(?<![^\W_])r(?: ?@ ?(?=[\dk])|(?=(?:1|5|10|20|50|100)(?!\w)))")
_OF_PERCENT = frozenset(("ap", "ar", "map", "iou"))  # AP50 is AP at an IoU of 0.5
SLIP, SLIPS = 90.0, 2  # how like two spellings of a word are, and how many words of a name may have one


class Reading(NamedTuple):
    """What a name says: its words, those that say what is measured, those before a link, its negations."""

    words: frozenset[str]
    heads: frozenset[str]
    before: frozenset[str]
    negations: frozenset[str]


class MetricName(NamedTuple):
    """A name as it is spelt out, and the abbreviations that it gives for itself ("Rotation Error (RE)")."""

    spelt: Reading
    short: tuple[Reading, ...]


@lru_cache(maxsize=65536)
def metric_name(text: str) -> MetricName:
    """Return what a metric's name says; brackets hold a unit, an abbreviation, or what specifies it."""
    outside = _standard(_words(_BRACKETS.sub(" ", text)))
    more, short = list[str](), list[Reading]()
    for pair in _BRACKETS.findall(text):
        inside = _standard(_words(pair[0] or pair[1]))
        if all(word in UNITS for word in inside):
            continue
        if outside and (set(inside) == set(outside) or _abbreviates(inside, outside)):
            short.append(_reading(inside, []))
        else:
            more += inside
    if not outside:
        return MetricName(_reading(more or _standard(_words(text)), []), ())
    return MetricName(_reading(outside, more), tuple(short))


def _abbreviates(inside: list[str], outside: list[str]) -> bool:
    """Return whether one short word is made of the first letters of some of the words before it, in their order."""
    letters = iter([word[0] for word in outside])
    return len(inside) == 1 and 2 <= len(inside[0]) <= 6 and all(letter in letters for letter in inside[0])


@lru_cache(maxsize=65536)
def _words(text: str) -> tuple[str, ...]:
    """Lower-case words without accents, plurals and signs, each written out; numbers apart from their family."""
    plain = unicodedata.normalize("NFKD", re.sub("['’]s\\b", "", text.replace("^2", "2")))
    plain = re.sub(r"\w+", _parted, plain)
    plain = "".join(char for char in plain.casefold() if not unicodedata.combining(char))
    plain = re.sub(r"(?<![^\W_])p ?@", "precision @", _RECALL.sub("recall @", plain))
    plain = re.sub(r"@ ?k\b", " ", plain)
    plain = _NUMBERED.sub(_numbered, plain).replace("@", " at ")
    return tuple(WORDS.get(word, word) for word in map(_singular, _WORD.findall(plain)))


def _parted(word: re.Match[str]) -> str:
    """Return the words that a word in camel case is made of, where one of them says what is measured."""
    parts = _CAMEL.sub(" ", word[0])
    return parts if parts[-3:] in ("ADE", "FDE") or FAMILIES & {*map(_singular, parts.casefold().split())} else word[0]


def _numbered(match: re.Match[str]) -> str:
    number = float(match[2])
    if match[1] in _OF_PERCENT and 1 < number <= 100:
        number /= 100
    return f"{match[1]} {number:g} "


def _singular(word: str) -> str:
    """Return a word without the s of a plural; "loss", "bias", "flops" and "analysis" have none."""
    if len(word) > 5 and word.endswith("ies"):
        return f"{word[:-3]}y"
    plural = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "as", "ops", "ips"))
    return word[:-1] if plural else word


# Spelling -> form, both as words.
FAMILIES = frozenset(word for form in SPELLINGS for word in form.split()[-1:]) | MEASURES
FORMS = {_words(name): tuple(form.split()) for form, names in SPELLINGS.items() for name in names}
FORMS |= {(*name, "score"): form for name, form in FORMS.items()} | {(form, "score"): (form,) for form in SPELLINGS}


def _standard(words: tuple[str, ...]) -> list[str]:
    """Return words with known spellings replaced by their form, the longest first, and without fillers."""
    form: list[str] = []
    start = 0
    while start < len(words):
        for length in range(min(6, len(words) - start), 0, -1):
            known = FORMS.get(words[start : start + length])
            if known or length == 1:
                form.extend(known or words[start : start + 1])
                start += length
                break
    kept = [word for word in form if word not in FILLER]
    return kept or form


def _reading(words: list[str], more: list[str]) -> Reading:
    """Return what words say, the last one before a link being what is measured; `more` are words in brackets."""
    if len(words) > 2 and words[0] in COUNTS and words[1] in LINKS:
        words = words[2:]
    before = words[: next((at for at, word in enumerate(words) if at and word in LINKS), None)]
    heads = [word for word in before if not word[0].isdigit()][-1:] or before[-1:]
    if heads == ["score"] and len(before) > 1:
        heads = before[-2:]  # "Dice score" is Dice, and a score
    if not FAMILIES & {*heads}:
        heads += [word for word in more if word in FAMILIES]
    own = frozenset(word for word in (*words, *more) if word not in LINKS) or frozenset(words)
    return Reading(own - {"score"} or own, frozenset(heads), frozenset(before), own & NEGATIONS)


@lru_cache(maxsize=65536)
def same_metric(one: MetricName, other: MetricName) -> bool:
    """Return whether two names mean one metric; two abbreviations that agree prove nothing where both are spelt out."""
    pairs = [(one.spelt, other.spelt), *((one.spelt, x) for x in other.short), *((x, other.spelt) for x in one.short)]
    return any(_same(x, y) for x, y in pairs)


def _same(a: Reading, b: Reading) -> bool:
    if not a.words or not b.words or a.negations != b.negations:
        return False
    short, long = sorted((a, b), key=lambda side: len(side.words))
    lacking, added = short.words - long.words, long.words - short.words
    if short.words == {"score"}:
        return "score" in long.heads
    if len(lacking) > SLIPS:
        return False
    for word in sorted(lacking):
        slip = next((near for near in sorted(added) if _is_slip(word, near)), None)
        if slip is None:
            return False
        added -= {slip}
    if added & ALTERING:
        return False
    # What is added may follow ("MAE roll"), but not name another quantity of it ("accuracy gain").
    if not added or short.heads & long.heads or (short.heads & long.before and not long.heads & FAMILIES):
        return True
    return not short.heads & FAMILIES and added <= GENERIC


def _is_slip(word: str, other: str) -> bool:
    """Return whether two words are one letter in ten apart, and begin alike; "mmhal" and "mmhalv" are two names."""
    short, long = sorted((word, other), key=len)
    if word[0] != other[0] or len(long) - len(short) > 1 or not (word + other).isalpha():
        return False
    if long.startswith(short) and long[-1] != long[-2]:  # a letter that should be double is a slip
        return False
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.fuzz import ratio

    return ratio(word, other) >= SLIP and Levenshtein.distance(word, other, score_cutoff=1) <= 1
