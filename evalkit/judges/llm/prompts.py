"""Takes questions, gives the messages for a judge; takes its reply, gives verdicts, or says why it does not fit.

Entries come from untrusted documents. They travel as JSON without angle brackets between two fences that no text can
know beforehand, the sides have no names and stand in an order drawn from the seed, and a reply counts only when it
answers exactly the ids that were asked.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from evalkit.errors import SettingsError
from evalkit.settings import fingerprint
from evalkit.types import Ablation, Question

Messages = list[dict[str, str]]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["answers"],
    "properties": {
        "answers": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["id", "reason", "same_part", "match"],
                "properties": {
                    "id": {"type": "string"},
                    "reason": {"type": "string"},
                    "same_part": {"type": "boolean"},
                    "match": {"type": "boolean"},
                },
            },
        }
    },
}
# Texts that speak to a judge instead of describing an ablation; such a pair is never sent.
_ADDRESSED = re.compile(
    r"\b(ignore|disregard|forget|override)\b.{0,40}\b(instruction|rule|prompt|above|previous|criteria)"
    r"|\b(answer|reply|respond|output|return|say)\b.{0,20}\b(match|true|yes|same_part)\b"
    r"|\b(system|developer) prompt\b|\bas (a|an|the) (judge|evaluator|grader|ai|language model)\b"
    r"|\bmark\b.{0,30}\b(as )?(a )?(match|true|correct)\b|[\"']?same_part[\"']?\s*:",
    re.IGNORECASE | re.DOTALL,
)


class Verdict(NamedTuple):
    """What one judge said about one pair."""

    part: bool
    match: bool
    reason: str


class Unfit(Exception):
    """A reply that does not fit what was asked; the message says how."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The wording of a question: what stands before everything, and what holds the data."""

    system: str
    user: str

    @property
    def digest(self) -> str:
        """Twelve hex digits that change with every word."""
        return fingerprint([self.system, self.user])[:12]

    def messages(self, **data: str) -> Messages:
        """The messages for some data; the data go into the user's message and never into the system's."""
        return [{"role": "system", "content": self.system.strip()},
                {"role": "user", "content": self.user.strip().format(**data)}]  # fmt: skip


def parse_prompt(text: str, path: str, places: Sequence[str]) -> Prompt:
    """A prompt from TOML with `system` and `user`; `user` must have these places for data."""
    try:
        table = tomllib.loads(text)
        prompt = Prompt(table["system"], table["user"])
        said = prompt.messages(**{place: f"<{place}>" for place in places})[1]["content"]
    except (tomllib.TOMLDecodeError, KeyError, AttributeError, ValueError, IndexError) as error:
        raise SettingsError(f"{path}: expected TOML with the texts `system` and `user`: {error!r}") from error
    if absent := [place for place in places if f"<{place}>" not in said]:
        raise SettingsError(f"{path}: `user` has no place for {{{absent[0]}}}")
    return prompt


def addressed(question: Question) -> bool:
    """Whether one of the two entries speaks to the judge; what it wants to say is then nobody's verdict."""
    return any(_ADDRESSED.search(text) for entry in (question.gold, question.plan) for text in _texts(entry))


def _texts(entry: Ablation) -> tuple[str, ...]:
    """The texts that are sent; metrics are not."""
    return (entry.name, entry.part, *entry.replacements)


def content(question: Question) -> tuple[Any, ...]:
    """What a question says, as something to sort and to hash."""
    return (question.paper, _fields(question.gold), _fields(question.plan))


def _fields(entry: Ablation) -> tuple[str, str, str, tuple[str, ...], tuple[str, ...]]:
    return (entry.name, entry.part, entry.action or "", entry.replacements, entry.metrics)


def identity(question: Question, seed: int) -> str:
    """A question's id: from its content and the seed, so the same each time, and nothing its own text could name."""
    return hashlib.sha256(f"{seed}:{fingerprint(content(question))}".encode()).hexdigest()[:8]


def messages(prompt: Prompt, questions: Sequence[Question], seed: int) -> Messages:
    """What is sent for a batch of questions of one paper."""
    pairs = [_pair(question, seed) for question in questions]
    ids = [pair["id"] for pair in pairs]
    return prompt.messages(fence=fence(ids), pairs=harmless(pairs), ids=", ".join(ids))


def _pair(question: Question, seed: int) -> dict[str, Any]:
    """One pair with sides A and B; which of them is gold is drawn by its id."""
    name = identity(question, seed)
    sides = [_shown(question.gold), _shown(question.plan)]
    if int(name, 16) % 2:
        sides.reverse()
    return {"id": name, "A": sides[0], "B": sides[1]}


def _shown(entry: Ablation) -> dict[str, Any]:
    """An entry as the judge sees it: without metrics, which decide nothing, and without what is unspecified."""
    shown: dict[str, Any] = {"name": entry.name, "ablated_part": entry.part}
    if entry.action:
        shown["action"] = entry.action.value
    if entry.replacements:
        shown["replacement"] = list(entry.replacements)
    return shown


def fence(ids: Sequence[str]) -> str:
    """A line that no text in the data can contain, since it is made of a hash over them all."""
    return f"=====DATA-{hashlib.sha256(' '.join(ids).encode()).hexdigest()[:16]}====="


def harmless(data: object) -> str:
    """JSON on as few lines as it needs, without a sign that could close a tag or start a line of its own."""
    text = json.dumps(data, ensure_ascii=False)
    for sign in "<>\u2028\u2029\x85":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode("utf-8", "replace").decode()


def read_verdicts(text: str, ids: Sequence[str]) -> dict[str, Verdict]:
    """The verdicts in a reply: strict JSON that answers exactly these ids."""
    answers = read_list(text, "answers")
    found: dict[str, Verdict] = {}
    for answer in answers:
        if set(answer) != {"id", "reason", "same_part", "match"}:
            raise Unfit("an answer has other fields than id, reason, same_part and match")
        name, reason, part, match = (answer[field] for field in ("id", "reason", "same_part", "match"))
        if not (isinstance(name, str) and isinstance(reason, str)):
            raise Unfit("an id or a reason is no text")
        if not (isinstance(part, bool) and isinstance(match, bool)):
            raise Unfit("a verdict is neither true nor false")
        if name not in ids or name in found:
            raise Unfit("an id was not asked, or is answered twice")
        if match and not part:
            raise Unfit("a match without the same part")
        found[name] = Verdict(part, match, reason[:300])
    if len(found) < len(ids):
        raise Unfit(f"{len(ids) - len(found)} of {len(ids)} ids are not answered")
    return found


def read_list(text: str, key: str) -> list[Mapping[str, Any]]:
    """The list of objects that a reply consists of."""
    try:
        tree = json.loads(text)
    except ValueError as error:
        raise Unfit("not JSON, or cut off") from error
    if not isinstance(tree, dict) or set(tree) != {key} or not isinstance(tree[key], list):
        raise Unfit(f"not an object with the one list {key!r}")
    if not all(isinstance(item, dict) for item in tree[key]):
        raise Unfit(f"{key!r} holds something that is no object")
    return list(tree[key])
