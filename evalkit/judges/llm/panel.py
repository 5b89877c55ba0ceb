"""Takes questions, gives opinions: one or several judges, asked at the same time, every answer kept as it comes."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from evalkit.errors import JudgeError, Stopped
from evalkit.judges.llm.client import Client, GaveUp, Meter
from evalkit.judges.llm.costs import call_cost, cost, tokens_in, tokens_out
from evalkit.judges.llm.prompts import (
    SCHEMA,
    Prompt,
    Unfit,
    Verdict,
    addressed,
    content,
    identity,
    messages,
    read_verdicts,
)
from evalkit.judges.llm.replies import Kept
from evalkit.metrics.agreement import krippendorff_alpha
from evalkit.settings import JudgeSettings, fingerprint
from evalkit.types import Opinion, Question

Progress = Callable[[str, int, int, str], None]
Verdicts = dict[Question, Verdict]
HOPELESS = 8  # batches that fail one after another before the rest is left alone


@dataclass(frozen=True, slots=True)
class Batch:
    """Questions of one paper that go to one model in one call."""

    model: str
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a batch: verdicts, or the reason why there are none."""

    batch: Batch
    verdicts: Verdicts
    reason: str = ""
    error: BaseException | None = None


class Panel:
    """The judges of a run. Call `ask` once; `report` and `spent` then say what happened."""

    def __init__(
        self, settings: JudgeSettings, prompt: Prompt, kept: Kept, *, seed: int, key: Callable[[], str],
        progress: Progress | None = None,
    ) -> None:  # fmt: skip
        if not settings.models:
            raise JudgeError("no judge is named; use --judge MODEL, or `models` in [judge] of the settings")
        self.settings, self.prompt, self.kept, self.seed = settings, prompt, kept, seed
        self.meter = Meter(settings)
        self._progress, self._key = progress, key
        self._clients: dict[str, Client] = {}
        self._left: Counter[str] = Counter()
        self._report: dict[str, Any] = {}

    @property
    def signature(self) -> str:
        """Who judged, by what wording, and how much was left to the matcher after all."""
        pins = [self.prompt.digest, dict(self.settings.request), self.settings.structured, self.settings.everything]
        name = f"{'+'.join(sorted(self.settings.models))}@{fingerprint(pins)[:12]}"
        left = self._report.get("left", {})
        return f"{name} ({sum(left.values())} of {self._report['pairs']} left)" if left else name

    def ask(self, questions: Iterable[Question]) -> Mapping[Question, Opinion]:
        """The opinions on all questions that were decided; the others are left to the matcher, and counted."""
        asked = sorted(set(questions), key=content)
        fair = [question for question in asked if not addressed(question)]
        found, batches = self._open(fair)
        for outcome in self._outcomes(batches):
            found[outcome.batch.model].update(outcome.verdicts)
        opinions = {item: opinion for item in fair if (opinion := vote(item, found)) is not None}
        self._report = self._facts(asked, fair, found, opinions)
        return opinions

    def estimate(self, questions: Iterable[Question]) -> list[dict[str, Any]]:
        """Per judge, what `ask` would send: pairs, calls, about how many tokens and how much money."""
        fair = [question for question in sorted(set(questions), key=content) if not addressed(question)]
        found, batches = self._open(fair)
        rows = []
        for model, known in found.items():
            own = [batch for batch in batches if batch.model == model]
            sizes = [
                (tokens_in(messages(self.prompt, batch.questions, self.seed)), tokens_out(len(batch.questions)))
                for batch in own
            ]
            used = sum(size[0] for size in sizes), sum(size[1] for size in sizes)
            money = cost(self.settings, model, *used) if model in self.settings.prices else None
            rows.append({"judge": model, "pairs": len(fair), "kept": len(known), "calls": len(own),
                         "tokens_in": used[0], "tokens_out": used[1], "money": money})  # fmt: skip
        return rows

    def _open(self, questions: Sequence[Question]) -> tuple[dict[str, Verdicts], list[Batch]]:
        """What each judge has answered before, and batches of what is left to ask."""
        found = {model: self._kept(model, questions) for model in self.settings.models}
        return found, [
            batch for model, known in found.items()
            for batch in cut(model, [item for item in questions if item not in known], self.settings.pairs_per_call)
        ]  # fmt: skip

    def report(self) -> Mapping[str, Any]:
        """What a reader of the run must know; the same whether answers were kept or asked for just now."""
        return self._report

    def spent(self) -> str:
        """Calls, tokens and money of this time."""
        return self.meter.spent()

    def key(self, model: str, question: Question) -> str:
        """Under what a verdict is kept."""
        request = [dict(self.settings.request), self.settings.structured]
        return fingerprint([content(question), self.prompt.digest, model, request, self.seed])

    def _kept(self, model: str, questions: Sequence[Question]) -> Verdicts:
        keys = {self.key(model, question): question for question in questions}
        return {keys[key]: verdict for key, verdict in self.kept.get(keys).items()}

    def _outcomes(self, batches: Sequence[Batch]) -> Iterator[Outcome]:
        """Every batch's outcome as it comes in, kept before it is passed on; an interrupt loses none of them."""
        if not batches:
            return
        self._clients = {model: Client(self.settings, model, self._key(), self.meter) for model in self.settings.models}
        work: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        for batch in [*batches, *[None] * self.settings.concurrency]:
            work.put(batch)
        for _ in range(min(self.settings.concurrency, len(batches))):
            # Daemons, so that a server that hangs cannot hold the program when the user wants to go.
            threading.Thread(target=self._serve, args=(work, done), daemon=True).start()
        failed = 0
        try:
            for count in range(len(batches)):
                outcome = self._settled(done.get())
                failed = failed + 1 if outcome.reason == "failed" else 0
                if failed >= HOPELESS:
                    self.meter.stopped.set()
                if self._progress:
                    self._progress("judging", count + 1, len(batches), self.spent())
                yield outcome
        except KeyboardInterrupt:
            self.meter.stopped.set()
            while not done.empty():
                self._settled(done.get())
            raise Stopped("stopped; what was answered is kept, and the same command goes on from there") from None

    def _settled(self, outcome: Outcome) -> Outcome:
        """Keep an outcome's verdicts, or count why there are none; an error ends it all."""
        if outcome.error is not None:
            self.meter.stopped.set()
            raise outcome.error
        self.kept.keep({self.key(outcome.batch.model, item): said for item, said in outcome.verdicts.items()})
        self._left[outcome.reason] += len(outcome.batch.questions) - len(outcome.verdicts)
        return outcome

    def _serve(self, work: queue.SimpleQueue[Batch | None], done: queue.SimpleQueue[Outcome]) -> None:
        """A worker: batches in, outcomes out, until there are no more."""
        while (batch := work.get()) is not None:
            try:
                done.put(self._judge(batch))
            except BaseException as error:
                done.put(Outcome(batch, {}, error=error))

    def _judge(self, batch: Batch) -> Outcome:
        """Ask for one batch; a reply that does not fit is asked for once more."""
        client, sent = self._clients[batch.model], messages(self.prompt, batch.questions, self.seed)
        ids = {identity(question, self.seed): question for question in batch.questions}
        reserve = call_cost(self.settings, batch.model, sent, len(ids))
        try:
            for _ in range(2):
                reply = client.ask(sent, SCHEMA, reserve)
                try:
                    if not reply.complete:
                        raise Unfit("cut off")
                    found = read_verdicts(reply.text, list(ids))
                except Unfit:
                    continue
                return Outcome(batch, {ids[name]: verdict for name, verdict in found.items()})
        except GaveUp as reason:
            return Outcome(batch, {}, str(reason))
        return Outcome(batch, {}, "unfit")

    def _facts(
        self, asked: Sequence[Question], fair: Sequence[Question], found: Mapping[str, Verdicts],
        opinions: Mapping[Question, Opinion],
    ) -> dict[str, Any]:  # fmt: skip
        """The report: how many pairs were decided, what was left to the matcher and why, how far judges agree."""
        left = Counter({"addresses the judge": len(asked) - len(fair)})
        for item in fair:
            if item not in opinions:
                left["judges undecided" if all(item in known for known in found.values()) else "not answered"] += 1
        ratings = [[(known[item][:2] if item in known else None) for known in found.values()] for item in fair]
        facts: dict[str, Any] = {
            "judges": list(self.settings.models),
            "prompt": self.prompt.digest,
            "pairs": len(asked),
            "decided": len(opinions),
            "matches": sum(opinion.match for opinion in opinions.values()),
            "left": {reason: count for reason, count in left.items() if count},
        }
        if len(found) > 1:
            facts["answered"] = {model: len(known) for model, known in found.items()}
            facts["krippendorff_alpha"] = krippendorff_alpha(ratings)
        return facts

    @property
    def failures(self) -> dict[str, int]:
        """Answers that did not come this time, by reason: failed, unfit, budget, stopped."""
        return {reason: count for reason, count in self._left.items() if reason and count}


def cut(model: str, questions: Sequence[Question], size: int) -> Iterator[Batch]:
    """Batches of at most `size` questions, each of one paper."""
    for _, group in groupby(questions, key=lambda question: question.paper):
        items = tuple(group)
        yield from (Batch(model, items[at : at + size]) for at in range(0, len(items), size))


def vote(question: Question, found: Mapping[str, Verdicts]) -> Opinion | None:
    """What more than half of all judges say; one who did not answer abstains, and abstaining is neither yes nor no."""
    said = [known[question] for known in found.values() if question in known]
    match, part = (_majority([verdict[at] for verdict in said], len(found)) for at in (1, 0))
    if match is None or (part is None and not match):
        return None
    if len(found) == 1:
        return Opinion(bool(part), match, next(iter(found)))
    agreed = sum(verdict.match is match for verdict in said)
    return Opinion(match or bool(part), match, f"{agreed} of {len(found)} judges")


def _majority(said: Sequence[Any], judges: int) -> bool | None:
    """True or False when more than half of all judges say so, else None."""
    return next((value for value in (True, False) if 2 * said.count(value) > judges), None)
