"""Takes reviews, gives draft gold: the ablations a reviewer asks for, each with the sentence that asks for it.

An entry whose sentence does not stand in the review is left out and counted: a model may not invent what was asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import InputError
from evalkit.judges.llm.client import Client, GaveUp, Meter
from evalkit.judges.llm.costs import call_cost
from evalkit.judges.llm.prompts import Prompt, Unfit, fence, harmless, read_list
from evalkit.judges.llm.replies import Kept
from evalkit.settings import JudgeSettings, fingerprint
from evalkit.storage.discovery import documents
from evalkit.text import normalise
from evalkit.types import Action, Diagnostic, Document

FIELDS = ("quote", "name", "ablated_part", "action", "replacement", "metrics")
_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["entries"],
    "properties": {
        "entries": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": list(FIELDS),
                "properties": {
                    **{name: {"type": "string"} for name in FIELDS[:3]},
                    "action": {"type": ["string", "null"], "enum": [*Action.__members__, None]},
                    "replacement": _TEXTS,
                    "metrics": _TEXTS,
                },
            },
        }
    },
}


@dataclass(frozen=True, slots=True)
class Review:
    """A review of one paper, and how many ablations it is known to ask for, if that is known."""

    paper: str
    text: str
    suggestions: int | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """What was made of a review: entries as JSON will hold them, and what was left out or went wrong."""

    review: Review
    entries: tuple[dict[str, Any], ...] = ()
    invented: int = 0
    failed: str = ""


def read_reviews(source: str | Path) -> list[Review]:
    """Every review below a path: objects with `review_text`, or files that are the review itself."""
    found: list[Review] = []
    for document in documents(source, planners=False):
        if isinstance(document, Diagnostic):
            raise InputError(f"{document.path}: {document.message}")
        found.extend(_reviews(document))
    if not found:
        raise InputError(
            f"{source}: no review found (objects with `review_text`, or text files named after their paper)"
        )
    papers = [review.paper for review in found]
    if twice := next((paper for paper in papers if papers.count(paper) > 1), None):
        raise InputError(f"{source}: {twice!r} has more than one review; join them into one text")
    return found


def _reviews(document: Document) -> Iterator[Review]:
    trees = list(_objects(document.text))
    if not trees and not document.text.lstrip().startswith(("{", "[")) and document.text.strip():
        yield Review(document.paper or "", document.text.strip(), None, document.path)
    for tree in trees:
        text = tree.get("review_text")
        if isinstance(text, list):
            text = "\n\n".join(map(str, text))
        if isinstance(text, str) and text.strip():
            paper = tree.get("paper") or tree.get("paper_id") or tree.get("id") or document.paper
            count = tree.get("num_ablation_suggestions")
            yield Review(str(paper), text.strip(), count if isinstance(count, int) else None, document.path)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The objects of a JSON or JSONL document; nothing of any other."""
    try:
        tree = json.loads(text)
        yield from (item for item in (tree if isinstance(tree, list) else [tree]) if isinstance(item, dict))
    except ValueError:
        for line in text.split("\n"):
            try:
                item = json.loads(line)
            except ValueError:
                continue
            if isinstance(item, dict):
                yield item


class Extractor:
    """One model that reads reviews; what it said is kept, and asked for only once."""

    def __init__(self, settings: JudgeSettings, prompt: Prompt, kept: Kept, key: Callable[[], str]) -> None:
        if len(settings.models) != 1:
            raise InputError("gold extract asks one model: name it with --judge MODEL")
        self.settings, self.prompt, self.kept, self.meter = settings, prompt, kept, Meter(settings)
        self._key = key

    def drafts(self, reviews: Sequence[Review]) -> Iterator[Draft]:
        """A draft for every review, in order; each reply is kept as it comes."""
        keys = [self._name(review) for review in reviews]
        known = self.kept.replies(keys)
        rest = [review for review, key in zip(reviews, keys, strict=True) if key not in known]
        client = Client(self.settings, self.settings.models[0], self._key(), self.meter) if rest else None
        with ThreadPoolExecutor(self.settings.concurrency) as pool:
            coming = pool.map(lambda review: self._reply(client, review), rest) if client else iter(())
            for review, key in zip(reviews, keys, strict=True):
                text, failed = (known[key], "") if key in known else next(coming)
                if not failed:
                    self.kept.keep_reply(key, text)
                yield Draft(review, failed=failed) if failed else _draft(review, text)

    def _name(self, review: Review) -> str:
        pins = [review.text, self.prompt.digest, self.settings.models, dict(self.settings.request)]
        return fingerprint([*pins, self.settings.structured])

    def _reply(self, client: Client, review: Review) -> tuple[str, str]:
        """A reply that fits, or why there is none; one that does not fit is asked for once more."""
        mark = fence([review.text])
        sent = self.prompt.messages(fence=mark, review=harmless(review.text))
        reserve = call_cost(self.settings, client.model, sent, 10)
        try:
            for _ in range(2):
                reply = client.ask(sent, SCHEMA, reserve)
                try:
                    if reply.complete and read_entries(reply.text) is not None:
                        return reply.text, ""
                except Unfit:
                    continue
        except GaveUp as reason:
            return "", str(reason)
        return "", "unfit"


def read_entries(text: str) -> list[dict[str, Any]]:
    """The entries of a reply, strictly as they were asked for."""
    entries = read_list(text, "entries")
    for entry in entries:
        if set(entry) != set(FIELDS):
            raise Unfit("an entry has other fields than were asked for")
        if not all(isinstance(entry[name], str) and entry[name].strip() for name in FIELDS[:3]):
            raise Unfit("a quote, a name or a part is missing")
        if entry["action"] is not None and entry["action"] not in Action.__members__:
            raise Unfit("an action is none of REMOVE, REPLACE and ADD")
        if not all(_texts(entry[name]) for name in ("replacement", "metrics")):
            raise Unfit("options or metrics are no list of texts")
    return [dict(entry) for entry in entries]


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _draft(review: Review, text: str) -> Draft:
    said = read_entries(text)
    review_words = " ".join(normalise(review.text).split())
    honest = [entry for entry in said if " ".join(normalise(entry["quote"]).split()) in review_words]
    return Draft(review, tuple(map(_entry, honest)), len(said) - len(honest))


def _entry(said: dict[str, Any]) -> dict[str, Any]:
    """An entry as gold holds it; what the reviewer left open is left out."""
    entry = {"name": said["name"].strip(), "ablated_part": said["ablated_part"].strip()}
    entry |= {name: said[name] for name in ("action", "replacement", "metrics") if said[name]}
    return entry | {"source": said["quote"].strip(), "draft": True}


def gold_file(draft: Draft, settings: JudgeSettings, prompt: Prompt) -> str:
    """A draft as the JSON of a gold file."""
    review = draft.review
    tree: dict[str, Any] = {"paper": review.paper, "extracted_by": settings.models[0], "prompt": prompt.digest}
    if review.suggestions is not None:
        tree["num_ablation_suggestions"] = review.suggestions
    tree |= {"ablations": list(draft.entries), "review_text": review.text}
    return json.dumps(tree, indent=1, ensure_ascii=False) + "\n"


def summary(drafts: Iterable[Draft]) -> list[str]:
    """What a person must know before confirming anything."""
    lines = []
    for draft in drafts:
        count, known = len(draft.entries), draft.review.suggestions
        said = f"{draft.review.paper}: {count} draft entries"
        if known is not None and known != count:
            said += f", {known} are known to be suggested"
        if draft.invented:
            said += f"; {draft.invented} left out whose sentence is not in the review"
        lines.append(f"{draft.review.paper}: no draft ({draft.failed})" if draft.failed else said)
    return lines
