"""OpenAI's Batch API: submit a file of requests, ask how far it is, fetch the results.

The server may be hostile: ids stand in addresses, so they have to look like ids, and a line of results counts only for
the one request that it names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TypeVar

from evalkit.errors import JudgeError
from evalkit.judges.llm.budget import BATCH_PRICE, NoReply, tokens_of
from evalkit.judges.llm.client import Client, Refused
from evalkit.judges.llm.http import LargeResponse, read_tree
from evalkit.judges.llm.openai_protocol import OpenAIProtocol, read_completion
from evalkit.judges.llm.prompts import InvalidReply, Verdict, read_verdicts
from evalkit.judges.llm.reply_cache import BatchRequest, ReplyCache, SubmittedBatch
from evalkit.settings import fingerprint

ENDPOINT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000  # of one batch, by the protocol
LINE_BYTES = 64 << 10  # of one line of results; twenty verdicts with their reasons have a tenth of it
LARGEST_FILE = 512 << 20
TRANSFER = 10  # times as long as a call, to send a file or to fetch one
RUNNING = ("validating", "in_progress", "finalizing", "cancelling")
ENDED = ("completed", "expired", "cancelled", "failed")
# What a line says of a request that its batch never came to; such a request may be in the next batch.
UNTOUCHED = {"batch_expired": "expired", "batch_cancelled": "cancelled"}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}", re.ASCII)

Result = TypeVar("Result")
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Line:
    """A request that is to go into a batch: its line in the file, and what is kept of it."""

    text: bytes
    request: BatchRequest


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request: verdicts by the keys of its questions, or why there are none."""

    request: BatchRequest
    verdicts: Mapping[str, Verdict]
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """How far a batch is, and where its results lie."""

    status: str
    done: int
    total: int
    files: tuple[str, ...]
    errors: str


class UnfitFile(Exception):
    """A file of results that no trying again will make fit."""


def line_of(body: Mapping[str, Any], keys: Mapping[str, str], tokens: int, price: float) -> Line:
    """Return the line of a request of so many tokens, named after its content; in a batch it costs half as much."""
    name = fingerprint([body, dict(keys)])[:32]
    tree = {"custom_id": name, "method": "POST", "url": ENDPOINT, "body": body}
    text = json.dumps(tree, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    return Line(text, BatchRequest(name, keys, tokens, BATCH_PRICE * price))


def parts_of(lines: Sequence[Line]) -> Iterator[Sequence[Line]]:
    """Yield the lines in parts that one batch each may hold."""
    start, size = 0, 0
    for at, line in enumerate(lines):
        if at - start == MOST_REQUESTS or (size + len(line.text) > MOST_BYTES and at > start):
            yield lines[start:at]
            start, size = at, 0
        size += len(line.text)
    if lines[start:]:
        yield lines[start:]


class BatchServer:
    """The batches of one model on one server."""

    def __init__(self, client: Client, cache: ReplyCache, tell: Tell) -> None:
        if not isinstance(client.protocol, OpenAIProtocol):
            raise JudgeError(f"{client.model}: batches are for OpenAI's protocol")
        self.client, self.cache, self._tell = client, cache, tell
        self._api, self._connection = client.protocol.client, client.protocol.connection

    def out(self, keys: Iterable[str]) -> list[SubmittedBatch]:
        """Return the batches that hold these questions."""
        return self.cache.batches(self.client.url, keys)

    def submit(self, lines: Sequence[Line]) -> SubmittedBatch:
        """Submit one batch and keep its id; Ctrl-C waits until it is kept."""
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self._submitted, lines)
            try:
                name = coming.result()
            except KeyboardInterrupt:
                self._keep(coming.result(), lines)  # it is paid for
                raise
        return self._keep(name, lines)

    def _keep(self, name: str, lines: Sequence[Line]) -> SubmittedBatch:
        requests = {line.request.name: line.request for line in lines}
        since = datetime.now(UTC).isoformat(timespec="seconds")
        batch = SubmittedBatch(self.client.url, name, since, requests)
        self.cache.put_batch(batch)
        self._tell(f"batch {name}: {len(lines)} requests submitted to {batch.url}; Ctrl-C loses nothing")
        return batch

    def _submitted(self, lines: Sequence[Line]) -> str:
        """Send a file of requests and make a batch of it; return the batch's id."""
        content = b"".join(line.text for line in lines)

        def upload() -> bytes:
            with self._connection.exchange(TRANSFER):
                files = self._api.files.with_raw_response
                response = files.create(file=("requests.jsonl", content, "application/jsonl"), purpose="batch")
                return bytes(response.http_response.content)

        file = self._patiently("no batch was submitted", lambda: id_in(read_tree(upload())))

        tried: list[str] = []

        def create() -> str:
            # A reply that got lost may have been that of a batch, which would be paid twice.
            if tried and (made := self._made_of(file)):
                return made
            tried.append(file)
            return id_in(read_tree(self._create(file)))

        return self._patiently("no batch was submitted", create)

    def _create(self, file: str) -> bytes:
        with self._connection.exchange():
            response = self._api.batches.with_raw_response.create(
                input_file_id=file, endpoint=ENDPOINT, completion_window="24h"
            )
            return bytes(response.http_response.content)

    def _made_of(self, file: str) -> str:
        """Return the id of the batch that was made of a file, if there is one; a server need not list batches."""
        try:
            with self._connection.exchange():
                response = self._api.batches.with_raw_response.list(limit=100)
                tree = read_tree(bytes(response.http_response.content))
        except self.client.failures:
            return ""
        items = tree.get("data") if isinstance(tree, dict) else None
        found = [item for item in (items if isinstance(items, list) else []) if isinstance(item, dict)]
        return next((id_in(item) for item in found if item.get("input_file_id") == file), "")

    def state(self, batch: SubmittedBatch) -> State:
        """Ask how far a batch is."""

        def ask() -> State:
            with self._connection.exchange():
                response = self._api.batches.with_raw_response.retrieve(batch.id)
                return state_in(read_tree(bytes(response.http_response.content)), len(batch.requests))

        try:
            state = self._patiently(f"batch {batch.id} does not answer", ask, batch)
        except Refused as error:
            raise JudgeError(
                f"{error}; batch {batch.id} was submitted at {batch.since}, and without --judge-batch its pairs are"
                " asked one by one"
            ) from None
        if state.status == "failed":
            self.cache.drop_batch(batch)
            reason = self.client.without_key(state.errors) or "it does not say why"
            raise JudgeError(f"{batch.url}: batch {batch.id} failed before it began: {reason}")
        return state

    def answers(self, batch: SubmittedBatch, state: State) -> Iterator[Answer]:
        """Yield what came of every request of a batch that has ended."""
        lines: dict[str, list[Any]] = {}
        detail = ""
        for file in state.files:
            try:
                what = f"the results of batch {batch.id} do not come"
                read, wrong = lines_of(self._patiently(what, partial(self._file, file, batch), batch))
            except UnfitFile as error:
                read, wrong = [], str(error)
            detail = wrong or detail
            for line in read:
                lines.setdefault(line["custom_id"], []).append(line)
        if unknown := set(lines) - set(batch.requests):
            detail = f"{len(unknown)} results are for requests that were not asked"
        untouched = state.status if state.status in UNTOUCHED.values() else "failed"
        for name, request in batch.requests.items():
            own = lines.get(name, [])
            if len(own) == 1:
                yield self._answer(request, own[0])
            else:
                twice = "a request is answered twice" if own else detail or "the results lack a request"
                yield self._none(request, "unfit" if own else untouched, twice)

    def _file(self, file: str, batch: SubmittedBatch) -> bytes:
        """Fetch a file of results, up to a size in proportion to the batch."""
        largest = min(LARGEST_FILE, (1 << 20) + LINE_BYTES * len(batch.requests))
        with self._connection.exchange(TRANSFER, largest):
            try:
                return bytes(self._api.files.with_raw_response.content(file).http_response.content)
            except self.client.failures as error:
                if isinstance(error, LargeResponse) or isinstance(error.__cause__, LargeResponse):
                    raise UnfitFile("a file of results that is too large") from None
                raise

    def _answer(self, request: BatchRequest, line: Mapping[str, Any]) -> Answer:
        """Return what a line of results says about its request, and count what it used."""
        response, error = line.get("response"), line.get("error")
        body = response.get("body") if isinstance(response, dict) else None
        code = error.get("code") if isinstance(error, dict) else None
        if isinstance(code, str) and code in UNTOUCHED:
            return self._none(request, UNTOUCHED[code], "")
        if not isinstance(response, dict) or response.get("status_code") != 200:
            failure = body.get("error") if isinstance(body, dict) else error
            message = failure.get("message") if isinstance(failure, dict) else None
            return self._none(request, "failed", message if isinstance(message, str) else "a request failed")
        try:
            text, lack, used = read_completion(body)
        except ValueError as wrong:
            return self._none(request, "unfit", str(wrong))
        counted = used[0] or request.tokens, used[1] or tokens_of(text)
        self.client.budget.settle_batch(request.price, self.client.model, counted)
        try:
            read = partial(read_verdicts, ids=list(request.keys))
            verdicts = self.client.parsed(text, lack, read)
        except InvalidReply as wrong:
            return Answer(request, {}, "unfit", self.client.without_key(str(wrong)))
        return Answer(request, {request.keys[name]: verdict for name, verdict in verdicts.items()})

    def _none(self, request: BatchRequest, reason: str, detail: str) -> Answer:
        self.client.budget.settle_batch(request.price, self.client.model, (0, 0))
        return Answer(request, {}, reason, self.client.without_key(detail))

    def _patiently(self, what: str, send: Callable[[], Result], batch: SubmittedBatch | None = None) -> Result:
        """Return what a request brings, or say what did not come and that a batch goes on."""
        try:
            return self.client.patiently(send)
        except NoReply as reason:
            more = f"; {way_back([batch])}" if batch else ""
            raise JudgeError(f"{self.client.url}: {what}: {reason.detail or reason}{more}") from None


def way_back(batches: Sequence[SubmittedBatch]) -> str:
    """Say that batches go on without us, and how to come back to them."""
    if not batches:
        return "what was answered is kept, and the same command goes on from there"
    names = " and ".join(batch.id for batch in batches)
    return f"batch {names} goes on at {batches[0].url}, and the same command waits for it again"


def id_in(tree: Any) -> str:
    """Return the id of a file or a batch; raise ValueError for what is none."""
    name = tree.get("id") if isinstance(tree, dict) else None
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise ValueError("a reply without an id")
    return name


def state_in(tree: Any, requests: int) -> State:
    """Return how far a batch of so many requests is; raise ValueError for what is no batch."""
    status = tree.get("status") if isinstance(tree, dict) else None
    if status not in (*RUNNING, *ENDED):
        raise ValueError("a reply without the status of a batch")
    counts = tree.get("request_counts")
    ended = [counts.get(name) if isinstance(counts, dict) else None for name in ("completed", "failed")]
    done = sum(n for n in ended if type(n) is int and 0 <= n <= requests)
    files = [tree.get(name) for name in ("output_file_id", "error_file_id")]
    if wrong := [file for file in files if file and not (isinstance(file, str) and _ID.fullmatch(file))]:
        raise ValueError(f"{len(wrong)} files without an id")
    errors = tree.get("errors")
    data = errors.get("data") if isinstance(errors, dict) else None
    first = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
    message = first.get("message")
    return State(status, min(done, requests), requests, tuple(filter(None, files)),
                 message if isinstance(message, str) else "")  # fmt: skip


def lines_of(content: bytes) -> tuple[list[dict[str, Any]], str]:
    """Return the lines of a file of results that name their request, and what is wrong with another one."""
    lines, detail = [], ""
    for text in content.splitlines():
        try:
            tree = read_tree(text) if text.strip() else None
        except ValueError:
            tree = {}
        if isinstance(tree, dict) and isinstance(tree.get("custom_id"), str):
            lines.append(tree)
        elif tree is not None:
            detail = "a line of the results is no JSON of a request"
    return lines, detail
