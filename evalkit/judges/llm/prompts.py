"""Build the messages for a judge, and read the verdicts in its reply.

Entries come from untrusted documents. They travel as JSON without angle brackets between two fences that no text can
know beforehand, the sides have no names and stand in an order drawn from the seed, and a reply counts only when it
answers exactly the ids that were asked.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from evalkit.errors import SettingsError
from evalkit.settings import fingerprint, read_toml
from evalkit.types import Ablation, Question

Messages = list[dict[str, str]]
MOST_OBJECTS = 20  # that are looked for in a reply; each costs a look at the rest of it
# Texts that speak to a judge instead of describing an ablation, once they are `_folded`; such a pair is not sent. There
# are other ways to say so: this list spares calls and catches the plain ones, and what guards the verdicts is the rest.
_SPEAKS_TO_JUDGE = re.compile(
    r"\b(ignore|disregard|forget|override|bypass)\b.{0,40}\b(instruction|rule|prompt|above|previous|criteria|guideline)"
    r"|\b(do not|don.?t|never) (follow|obey|apply)\b.{0,30}\b(instruction|rule|prompt|criteria|guideline)"
    r"|\bpay no attention\b|\bnew instructions? ?:"
    r"|\b(answer|reply|respond|output|return|say)\b.{0,20}\b(match|true|yes|same part)\b"
    r"|\b(match|same part|verdict|answer)\b.{0,12}(\bis|\bto|=|:)[ \"']*(true|yes|match)\b"
    r"|\b(system|developer) prompt\b|\bas (a|an|the) (judge|evaluator|grader|ai|language model)\b"
    r"|\b(dear|note to|attention|hello|hey)\b.{0,8}\b(judge|grader|evaluator|assistant)\b"
    r"|\byou (are|must|should|will|have to)\b.{0,40}\b(judge|grader|evaluator|accept|agree|match|true)\b"
    r"|\b(both|two|these) (entries|pairs)\b.{0,40}\b(identical|equivalent|same|match)\b"
    r"|\b(always|please)\b.{0,20}\b(choose|pick|accept|decide)\b.{0,20}\b(true|match|everything)\b"
    r"|\bmark\b.{0,30}\b(as )?(a )?(match|true|correct)\b|[\"']?same part[\"']? ?:",
    re.DOTALL,
)
# Letters of other scripts, and digits, that stand for a Latin letter in a word that is to look like another one.
_LOOKALIKES = str.maketrans("аеорсухіјѕԁһӏкмтвнԛԝαεορτυικνχη0134@$5!", "aeopcyxijsdhlkmtbhqwaeoptuikvxnoieaassi")
_SPACED = re.compile(r"(?<!\w)(?:\w[\s.\-*]+){3,}\w(?!\w)")


class Verdict(NamedTuple):
    """What one language model said about one pair."""

    part: bool
    match: bool
    reason: str


class InvalidReply(Exception):
    """A reply that does not fit what was asked; the message says how."""


CUT_OFF = "the reply is cut off; `max_tokens` in [judge.request] permits a longer one"


def refused(words: object) -> str:
    """Return the sentence about a model that refuses to answer, in its words where it has some."""
    quoted = f": {words}" if isinstance(words, str) and words.strip() else ""
    return f"the model, or a filter before it, refuses to answer{quoted}"


def list_schema(key: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of an object with one list of objects, every property required and no other allowed."""
    strict = {"type": "object", "additionalProperties": False}
    item = {**strict, "required": list(properties), "properties": dict(properties)}
    return {**strict, "required": [key], "properties": {key: {"type": "array", "items": item}}}


SCHEMA = list_schema(
    "answers",
    {
        "id": {"type": "string"},
        "reason": {"type": "string"},
        "same_part": {"type": "boolean"},
        "match": {"type": "boolean"},
    },
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """The wording of a question: what stands before everything, and what holds the data."""

    system: str
    user: str

    @property
    def digest(self) -> str:
        """Return twelve hex digits that change with every word."""
        return fingerprint([self.system, self.user])[:12]

    def messages(self, **data: str) -> Messages:
        """Return the messages for some data, which go into the user's message and never into the system's."""
        return [{"role": "system", "content": self.system.strip()},
                {"role": "user", "content": self.user.strip().format(**data)}]  # fmt: skip


def parse_prompt(text: str, path: str, places: Sequence[str]) -> Prompt:
    """Read a prompt from TOML with `system` and `user`; `user` must have these places for data."""
    table = read_toml(text, path)
    try:
        prompt = Prompt(table["system"], table["user"])
        filled = prompt.messages(**{place: f"<{place}>" for place in places})[1]["content"]
    except (KeyError, AttributeError, ValueError, IndexError) as error:
        raise SettingsError(f"{path}: expected TOML with the texts `system` and `user`: {error!r}") from error
    if absent := [place for place in places if f"<{place}>" not in filled]:
        raise SettingsError(f"{path}: `user` has no place for {{{absent[0]}}}")
    return prompt


def speaks_to_judge(question: Question) -> bool:
    """Return whether one of the two entries speaks to the judge; such a pair is not asked about."""
    texts = (text for e in (question.gold, question.plan) for text in (e.name, e.part, *e.replacements))
    return any(_SPEAKS_TO_JUDGE.search(form) for text in texts for form in _folded(text))


def _folded(text: str) -> tuple[str, str]:
    """Return a text without case, compatibility forms, accents and format characters; then with lookalikes folded too.

    Underscores are spaces, and letters that stand apart are one word.
    """
    kept = (c for c in unicodedata.normalize("NFKD", text).casefold() if unicodedata.category(c) not in ("Cf", "Mn"))
    plain = " ".join("".join(kept).replace("_", " ").split())
    joined = _SPACED.sub(lambda letters: re.sub(r"\W", "", letters[0]), plain)
    return plain, re.sub(r"\S*[^\W\d_]\S*", lambda word: word[0].translate(_LOOKALIKES), joined)


def content(question: Question) -> tuple[Any, ...]:
    """Return what a question says, as something to sort and to hash."""

    def fields(entry: Ablation) -> tuple[Any, ...]:
        return (entry.name, entry.part, entry.action or "", entry.replacements, entry.metrics)

    return (question.paper, fields(question.gold), fields(question.plan))


def question_id(question: Question, seed: int) -> str:
    """Return a question's id, from its content and the seed: the same each time, and nothing its text could name."""
    return hashlib.sha256(f"{seed}:{fingerprint(content(question))}".encode()).hexdigest()[:8]


def gold_first(question: Question, seed: int, swapped: bool = False) -> bool:
    """Return whether gold is side A, which is drawn by the pair's id; with `swapped` it is the other side."""
    return (int(question_id(question, seed), 16) % 2 == 0) != swapped


def messages(prompt: Prompt, questions: Sequence[Question], seed: int, swapped: bool = False) -> Messages:
    """Return what is sent for a batch of questions of one paper."""
    pairs = []
    for question in questions:
        name, sides = question_id(question, seed), [_shown(question.gold), _shown(question.plan)]
        if not gold_first(question, seed, swapped):
            sides.reverse()
        pairs.append({"id": name, "A": sides[0], "B": sides[1]})
    ids = [str(pair["id"]) for pair in pairs]
    return prompt.messages(fence=fence(ids), pairs=escaped_json(pairs), ids=", ".join(ids))


def _shown(entry: Ablation) -> dict[str, Any]:
    """Return an entry as the judge sees it: without metrics, which decide nothing, and without what is unspecified."""
    shown: dict[str, Any] = {"name": entry.name, "ablated_part": entry.part}
    if entry.action:
        shown["action"] = entry.action.value
    if entry.replacements:
        shown["replacement"] = list(entry.replacements)
    return shown


def fence(ids: Sequence[str]) -> str:
    """Return a line that no text in the data can contain, since it is made of a hash over them all."""
    return f"=====DATA-{hashlib.sha256(' '.join(ids).encode()).hexdigest()[:16]}====="


def escaped_json(data: object) -> str:
    """Return JSON on one line, without a sign that could close a tag or start a line of its own."""
    text = json.dumps(data, ensure_ascii=False)
    for sign in "<>\u2028\u2029\x85":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode("utf-8", "replace").decode()


def read_verdicts(text: str, ids: Sequence[str]) -> dict[str, Verdict]:
    """Return the verdicts in a reply: strict JSON that answers exactly these ids."""
    verdicts: dict[str, Verdict] = {}
    for answer in read_list(text, "answers"):
        if set(answer) != {"id", "reason", "same_part", "match"}:
            raise InvalidReply("an answer has other fields than id, reason, same_part and match")
        name, reason, part, match = (answer[field] for field in ("id", "reason", "same_part", "match"))
        if not (isinstance(name, str) and isinstance(reason, str)):
            raise InvalidReply("an id or a reason is no text")
        if not (isinstance(part, bool) and isinstance(match, bool)):
            raise InvalidReply("a verdict is neither true nor false")
        if name not in ids or name in verdicts:
            raise InvalidReply("an id was not asked, or is answered twice")
        if match and not part:
            raise InvalidReply("a match without the same part")
        verdicts[name] = Verdict(part, match, reason[:300].encode("utf-8", "replace").decode())
    if len(verdicts) < len(ids):
        raise InvalidReply(f"{len(ids) - len(verdicts)} of {len(ids)} ids are not answered")
    return verdicts


def read_list(text: str, key: str) -> list[Mapping[str, Any]]:
    """Return the list of objects that a reply consists of, or holds after prose, thinking or in a fence."""
    try:
        tree = json.loads(text)
    except RecursionError as error:
        raise InvalidReply("not JSON, or cut off") from error
    except ValueError:
        tree = _object_in(text, key)
    if not isinstance(tree, dict) or set(tree) != {key} or not isinstance(tree[key], list):
        raise InvalidReply(f"not an object with the one list {key!r}")
    if not all(isinstance(item, dict) for item in tree[key]):
        raise InvalidReply(f"{key!r} holds something that is no object")
    return list(tree[key])


def _object_in(text: str, key: str) -> Any:
    """Return the one JSON object in a text that begins with a key; what was thought before does not count."""
    answer = text.rpartition("</think>")[2]
    if "<think>" in answer:
        raise InvalidReply("the thinking comes to no end")
    found, decoder, start = [], json.JSONDecoder(), re.compile(rf'\{{\s*"{key}"\s*:')
    place = start.search(answer)
    for _ in range(MOST_OBJECTS):
        if place is None:
            break
        try:
            tree, end = decoder.raw_decode(answer, place.start())
            found.append(tree)
        except (ValueError, RecursionError):
            end = place.end()  # words about the object, or one that is cut off
        place = start.search(answer, end)
    if len(found) != 1 or place is not None:
        raise InvalidReply("more than one JSON object" if found else "not JSON, or cut off")
    return found[0]
