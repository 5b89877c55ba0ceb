"""Ask by batches: half the price, within a day. What is out is kept, so that no batch is paid twice.

A batch that was submitted is written down before anything else; whoever asks the same questions again finds it there
and waits on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from evalkit.errors import JudgeError, Stopped
from evalkit.judges.llm.batch_server import (
    ENDED,
    UNTOUCHED,
    Answer,
    BatchServer,
    Line,
    Tell,
    parts_of,
    way_back,
)
from evalkit.judges.llm.budget import Budget
from evalkit.judges.llm.client import LONGEST_WAIT, Client
from evalkit.judges.llm.prompts import Verdict
from evalkit.judges.llm.reply_cache import ReplyCache, SubmittedBatch

MOST_FAILURES = 8  # requests; where more and the greater part of a batch failed, none of them is asked again


class Batches:
    """The batches of one panel. `missing` are the questions without an answer by reason; `given_up` are their keys."""

    def __init__(
        self, cache: ReplyCache, budget: Budget, progress: Callable[[int, int, str], None], tell: Tell
    ) -> None:
        self.cache, self.budget = cache, budget
        self.missing: Counter[str] = Counter()
        self.given_up: set[str] = set()
        self.last_error = ""
        self._progress, self._tell = progress, tell
        self._out: dict[str, tuple[BatchServer, SubmittedBatch]] = {}

    def submit(self, client: Client, keys: Collection[str], lines: Callable[[Collection[str]], Sequence[Line]]) -> None:
        """See that these questions are in batches: find those that are out, and submit the lines of the others."""
        server = BatchServer(client, self.cache, self._tell)
        held = set(self._find(server, keys))
        new = lines([key for key in keys if key not in held])
        fits = self.budget.reserve_batch([line.request.price for line in new])
        for line in new[fits:]:
            self._give_up(line.request.keys.values(), "budget")
        try:
            for part in parts_of(new[:fits]):
                self._add(server, server.submit(part))
        except KeyboardInterrupt:
            raise self._stopped(server, keys) from None

    def _find(self, server: BatchServer, keys: Collection[str]) -> list[str]:
        """Take the batches that hold some of these questions; return the keys of all that they hold."""
        held = []
        for batch in server.out(keys):
            if f"{batch.url} {batch.id}" not in self._out:
                self.budget.take_batch([request.price for request in batch.requests.values()])
                self._tell(f"batch {batch.id}: waiting for it; it was submitted at {batch.since}")
                self._add(server, batch)
            held += [key for request in batch.requests.values() for key in request.keys.values()]
        return held

    def _add(self, server: BatchServer, batch: SubmittedBatch) -> None:
        self._out[f"{batch.url} {batch.id}"] = (server, batch)

    def collect(self, wanted: Collection[str]) -> None:
        """Wait for all that is out and keep the verdicts; ask in growing pauses, until the settings' hours end."""
        settings, started, rounds = self.budget.settings, time.monotonic(), 0
        done = {name: (0, len(batch.requests)) for name, (_, batch) in self._out.items()}
        try:
            while self._out:
                for name, (server, batch) in list(self._out.items()):
                    state = server.state(batch)
                    done[name] = (state.done, len(batch.requests))
                    if state.status in ENDED:
                        self._keep(list(server.answers(batch, state)), set(wanted))
                        self.cache.drop_batch(batch)
                        del self._out[name]
                answered, total = (sum(counts) for counts in zip(*done.values(), strict=True))
                self._progress(answered, total, self.budget.spent())
                pause = min(settings.wait * 2 ** min(rounds, 20), LONGEST_WAIT)
                if self._out and time.monotonic() - started + pause > 3600 * settings.batch_hours:
                    raise JudgeError(f"no end after {settings.batch_hours:g} hours: {way_back(self._batches())}")
                if self._out:
                    time.sleep(pause)
                    rounds += 1
        except KeyboardInterrupt:
            raise self._stopped() from None

    def _batches(self) -> list[SubmittedBatch]:
        return [batch for _, batch in self._out.values()]

    def _stopped(self, server: BatchServer | None = None, keys: Collection[str] = ()) -> Stopped:
        """Return what Ctrl-C ends in: which batches go on, and how to come back to them."""
        self.budget.stopped.set()
        out = {batch.id: batch for batch in (*self._batches(), *(server.out(keys) if server else ()))}
        return Stopped(f"stopped; {way_back(list(out.values()))}")

    def _keep(self, answers: Sequence[Answer], wanted: Collection[str]) -> None:
        """Keep the verdicts of a batch; count the questions that get no answer and are not asked again one by one."""
        verdicts: Mapping[str, Verdict] = {key: own for answer in answers for key, own in answer.verdicts.items()}
        self.cache.put_verdicts(verdicts)
        wrong = sum(answer.reason in ("failed", "unfit") for answer in answers)
        leave = wrong >= MOST_FAILURES and 2 * wrong > len(answers)
        for answer in answers:
            self.last_error = answer.detail or self.last_error
            if answer.reason in UNTOUCHED.values() or (answer.reason and leave):
                self._give_up([key for key in answer.request.keys.values() if key in wanted], answer.reason)

    def _give_up(self, keys: Collection[str], reason: str) -> None:
        self.missing[reason] += len(keys)
        self.given_up.update(keys)
