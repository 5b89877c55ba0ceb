"""Draft gold from reviews: the ablations a reviewer asks for, each with the sentence that asks for it.

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
from evalkit.judges.llm import Client, Prompt, ReplyCache
from evalkit.judges.llm.budget import Budget, NoReply
from evalkit.judges.llm.prompts import InvalidReply, escaped_json, fence, list_schema, read_list
from evalkit.settings import JudgeSettings, fingerprint
from evalkit.storage.discovery import documents
from evalkit.text import normalise
from evalkit.types import Action, Diagnostic, Document

FEWEST_WORDS, FEWEST_SIGNS = 3, 10  # of a quote: "Remove the encoder." says what is asked, "..." and "the" do not
FIELDS = ("quote", "name", "ablated_part", "action", "replacement", "metrics")
_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
SCHEMA = list_schema(
    "entries",
    {
        **{name: {"type": "string"} for name in FIELDS[:3]},
        "action": {"type": ["string", "null"], "enum": [*Action.__members__, None]},
        "replacement": _TEXTS,
        "metrics": _TEXTS,
    },
)


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
    """Read every review below a path: objects with `review_text`, or files that are the review itself."""
    reviews: list[Review] = []
    for document in documents(source, planners=False):
        if isinstance(document, Diagnostic):
            raise InputError(f"{document.path}: {document.message}")
        reviews.extend(_reviews(document))
    if not reviews:
        raise InputError(
            f"{source}: no review found (objects with `review_text`, or text files named after their paper)"
        )
    papers = [review.paper for review in reviews]
    if twice := next((paper for paper in papers if papers.count(paper) > 1), None):
        raise InputError(f"{source}: {twice!r} has more than one review; join them into one text")
    return reviews


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
    """Yield the objects of a JSON or JSONL document; nothing of any other."""
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

    def __init__(self, settings: JudgeSettings, prompt: Prompt, cache: ReplyCache, key: Callable[[str], str]) -> None:
        if len(settings.models) != 1:
            raise InputError("gold extract asks one model: name it with --judge MODEL")
        self.settings, self.prompt, self.cache, self.budget = settings, prompt, cache, Budget(settings)
        self._key = key

    def drafts(self, reviews: Sequence[Review]) -> Iterator[Draft]:
        """Yield a draft for every review, in order; each reply is kept as it comes."""
        keys = [self._cache_key(review) for review in reviews]
        known = self.cache.replies(keys)
        rest = [review for review, key in zip(reviews, keys, strict=True) if key not in known]
        client = self._client() if rest else None
        with ThreadPoolExecutor(self.settings.concurrency) as pool:
            coming = pool.map(lambda review: self._reply(client, review), rest) if client else iter(())
            for review, key in zip(reviews, keys, strict=True):
                text, failed = (known[key], "") if key in known else next(coming)
                if not failed:
                    self.cache.put_reply(key, text)
                yield Draft(review, failed=failed) if failed else draft_of(review, text)

    def _client(self) -> Client:
        model = self.settings.models[0]
        return Client(self.settings, model, self._key(model), self.budget)

    def _cache_key(self, review: Review) -> str:
        pins = [review.text, self.prompt.digest, self.settings.models, dict(self.settings.request)]
        return fingerprint([*pins, self.settings.structured])

    def _reply(self, client: Client, review: Review) -> tuple[str, str]:
        """Return a reply that fits, or why there is none."""

        def checked(reply: str) -> str:
            read_entries(reply)
            return reply

        sent = self.prompt.messages(fence=fence([review.text]), review=escaped_json(review.text))
        try:
            return client.ask(sent, SCHEMA, 10, checked), ""
        except NoReply as reason:
            return "", ": ".join(filter(None, (str(reason), reason.detail)))


def read_entries(text: str) -> list[dict[str, Any]]:
    """Return the entries of a reply, strictly as they were asked for."""
    entries = read_list(text, "entries")
    for entry in entries:
        if set(entry) != set(FIELDS):
            raise InvalidReply("an entry has other fields than were asked for")
        if not all(isinstance(entry[name], str) and entry[name].strip() for name in FIELDS[:3]):
            raise InvalidReply("a quote, a name or a part is missing")
        if entry["action"] is not None and entry["action"] not in Action.__members__:
            raise InvalidReply("an action is none of REMOVE, REPLACE and ADD")
        lists = (entry["replacement"], entry["metrics"])
        if not all(isinstance(value, list) and all(isinstance(item, str) for item in value) for value in lists):
            raise InvalidReply("options or metrics are no list of texts")
    return [dict(entry) for entry in entries]


def draft_of(review: Review, text: str) -> Draft:
    """Return the entries of a reply as gold holds them, without those whose quote is not in the review."""
    replies, review_words = read_entries(text), f" {normalise(review.text)} "
    entries = []
    for reply in replies:
        if _stands_in(reply["quote"], review_words):
            entry = {"name": reply["name"].strip(), "ablated_part": reply["ablated_part"].strip()}
            # What the reviewer left open is left out.
            entry |= {name: reply[name] for name in ("action", "replacement", "metrics") if reply[name]}
            entries.append({**entry, "source": reply["quote"].strip(), "draft": True})
    return Draft(review, tuple(entries), len(replies) - len(entries))


def _stands_in(quote: str, review: str) -> bool:
    """Return whether a quote is a passage of a review, both normalised, and long enough to say something."""
    words = [word for word in normalise(quote).split() if any(map(str.isalpha, word))]
    long_enough = len(words) >= FEWEST_WORDS and sum(map(len, words)) >= FEWEST_SIGNS
    return long_enough and f" {normalise(quote)} " in review


def gold_file(draft: Draft, settings: JudgeSettings, prompt: Prompt) -> str:
    """Return a draft as the JSON of a gold file."""
    review = draft.review
    tree: dict[str, Any] = {"paper": review.paper, "extracted_by": settings.models[0], "prompt": prompt.digest}
    if review.suggestions is not None:
        tree["num_ablation_suggestions"] = review.suggestions
    tree |= {"ablations": list(draft.entries), "review_text": review.text}
    return json.dumps(tree, indent=1, ensure_ascii=False) + "\n"


def summary(drafts: Iterable[Draft]) -> list[str]:
    """Return what a person must know before confirming anything."""
    lines = []
    for draft in drafts:
        count, known = len(draft.entries), draft.review.suggestions
        line = f"{draft.review.paper}: {count} draft entries"
        if known is not None and known != count:
            line += f", {known} are known to be suggested"
        if draft.invented:
            line += f"; {draft.invented} left out whose sentence is not in the review"
        lines.append(f"{draft.review.paper}: no draft ({draft.failed})" if draft.failed else line)
    return lines
