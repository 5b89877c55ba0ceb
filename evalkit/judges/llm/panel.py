"""Ask one or several language models at the same time, keep every answer as it comes, and take their vote."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from evalkit.errors import JudgeError, Stopped
from evalkit.judges.llm.batch_server import Line, Tell, line_of
from evalkit.judges.llm.batches import Batches
from evalkit.judges.llm.budget import BATCH_PRICE, Budget, NoReply, cost, tokens_in, tokens_out
from evalkit.judges.llm.calls import Call, Owners, calls_of, owners_of
from evalkit.judges.llm.client import Client
from evalkit.judges.llm.prompts import (
    SCHEMA,
    Prompt,
    Verdict,
    content,
    messages,
    question_id,
    read_verdicts,
    speaks_to_judge,
)
from evalkit.judges.llm.reply_cache import ReplyCache
from evalkit.metrics.agreement import krippendorff_alpha
from evalkit.settings import JudgeSettings, fingerprint
from evalkit.stats import design_effect_of
from evalkit.types import Opinion, Question

Progress = Callable[[str, int, int, str], None]
Verdicts = dict[Question, Verdict]
MOST_FAILURES = 8  # calls that fail one after another before the rest is left alone


@dataclass(frozen=True, slots=True)
class Outcome:
    """A call's verdicts, or the reason why there are none."""

    call: Call
    verdicts: Verdicts
    reason: str = ""
    detail: str = ""
    error: BaseException | None = None


class Panel:
    """The judges of a run. Call `ask` once; `report` and `spent` then say what happened."""

    def __init__(
        self, settings: JudgeSettings, prompt: Prompt, cache: ReplyCache, *, seed: int, key: Callable[[str], str],
        progress: Progress | None = None, swapped: bool = False, tell: Tell = lambda _: None,
    ) -> None:  # fmt: skip
        if not settings.models:
            raise JudgeError("no judge is named; use --judge MODEL, or `models` in [judge] of the settings")
        self.settings, self.prompt, self.cache, self.seed = settings, prompt, cache, seed
        self.budget = Budget(settings)
        self._progress, self._key, self._swapped, self._tell = progress, key, swapped, tell
        self._clients: dict[str, Client] = {}
        self._batches: Batches | None = None
        self._missing: Counter[str] = Counter()
        self.last_error = ""  # what the server said last when it gave no answer, or what was wrong with its reply
        self._report: dict[str, Any] = {}
        self._asked = 0

    def swapped(self) -> Panel:
        """Return the same judges, who see the two sides of each pair in the other order, on the same budget."""
        panel = Panel(
            self.settings, self.prompt, self.cache, seed=self.seed, key=self._key, progress=self._progress,
            swapped=not self._swapped, tell=self._tell,
        )  # fmt: skip
        panel.budget = self.budget
        return panel

    @property
    def signature(self) -> str:
        """Return who judged, by what wording, and how much was left to the matcher after all."""
        name = self.named(everything=self.settings.everything)
        left = self._report.get("left", {})
        return f"{name} ({sum(left.values())} of {self._report['pairs']} left)" if left else name

    def named(self, *, everything: bool) -> str:
        """Return who judges, by what wording, if all pairs are sent or only the borderline ones."""
        pins = [self.prompt.digest, dict(self.settings.request), self.settings.structured, everything]
        return f"{'+'.join(sorted(self.settings.models))}@{fingerprint(pins)[:12]}"

    def ask(self, questions: Iterable[Question]) -> Mapping[Question, Opinion]:
        """Return the opinions on all questions that were decided; the others are left to the matcher, and counted."""
        owners = owners_of(questions)
        asked = sorted(owners, key=content)
        fair = [question for question in asked if not speaks_to_judge(question)]
        verdicts, calls = self._cached_and_open(fair, owners)
        self._asked = sum(len(call.questions) for call in calls)
        if self.settings.batch and calls:
            self._ask_by_batches(fair, owners)
            verdicts, calls = self._cached_and_open(fair, owners)
        for outcome in self._outcomes(calls):
            verdicts[outcome.call.model].update(outcome.verdicts)
        if fair and not any(verdicts.values()) and set(self.failures) - {"budget"}:
            places = " and ".join(dict.fromkeys(map(self.settings.url_of, self.settings.models)))
            raise JudgeError(f"{places}: none of {len(fair)} pairs was answered ({self.trouble()})")
        opinions = {item: opinion for item in fair if (opinion := vote(item, verdicts)) is not None}
        self._report = self._summary(asked, fair, verdicts, opinions) | _decided(opinions, owners)
        return opinions

    def submit(self, questions: Iterable[Question]) -> None:
        """Submit what `ask` will wait for, where the settings want batches; otherwise do nothing."""
        if self.settings.batch:
            owners = owners_of(questions)
            fair = [question for question in sorted(owners, key=content) if not speaks_to_judge(question)]
            self._submit(fair, owners)

    def _submit(self, fair: Sequence[Question], owners: Owners) -> tuple[Batches, set[str]]:
        """Submit the open questions of each judge, or find them in batches that are out; return the keys of all."""
        if self._batches is None:
            self._batches = Batches(self.cache, self.budget, self._batch_progress, self._tell)
        wanted: set[str] = set()
        for model in self.settings.models:
            open_ = {key: question for question in fair if (key := self._cache_key(model, question))}
            known = self.cache.verdicts(open_)
            open_ = {key: question for key, question in open_.items() if key not in known}
            if open_:
                self._batches.submit(self._client(model), list(open_), partial(self._lines, model, open_, owners))
            wanted |= set(open_)
        return self._batches, wanted

    def _lines(
        self, model: str, questions: Mapping[str, Question], owners: Owners, keys: Collection[str]
    ) -> list[Line]:
        """Return the requests about the questions with these keys, as lines of a batch."""
        client, lines = self._client(model), []
        for call in calls_of(model, [questions[key] for key in keys], owners, self.settings.pairs_per_call):
            sent = messages(self.prompt, call.questions, self.seed, self._swapped)
            own = {question_id(item, self.seed): self._cache_key(model, item) for item in call.questions}
            price = client.price(sent, len(own))
            lines.append(line_of(client.request(sent, SCHEMA, len(own)), own, tokens_in(sent), price))
        return lines

    def _ask_by_batches(self, fair: Sequence[Question], owners: Owners) -> None:
        """Ask by batches, whose verdicts are then in the cache; what failed there is left to ask one by one."""
        batches, wanted = self._submit(fair, owners)
        batches.collect(wanted)
        self.last_error = batches.last_error or self.last_error

    def _batch_progress(self, done: int, total: int, note: str) -> None:
        if self._progress:
            self._progress("waiting for batches", done, total, note)

    def _client(self, model: str) -> Client:
        """Return the client of a judge, which is made when there is something to ask."""
        if model not in self._clients:
            self._clients[model] = Client(self.settings, model, self._key(model), self.budget)
        return self._clients[model]

    def estimate(self, questions: Iterable[Question]) -> list[dict[str, Any]]:
        """Return per judge what `ask` would send: pairs, calls, about how many tokens and how much money."""
        owners = owners_of(questions)
        fair = [question for question in sorted(owners, key=content) if not speaks_to_judge(question)]
        verdicts, calls = self._cached_and_open(fair, owners, out=self.settings.batch)
        rows = []
        for model in verdicts:
            own = [call.questions for call in calls if call.model == model]
            used = (sum(tokens_in(messages(self.prompt, questions, self.seed)) for questions in own),
                    sum(tokens_out(len(questions)) for questions in own))  # fmt: skip
            price = BATCH_PRICE if self.settings.batch else 1.0
            money = price * cost(self.settings, model, *used) if model in self.settings.prices else None
            kept = len(fair) - sum(map(len, own))  # or in a batch that is out
            rows.append({"judge": model, "pairs": len(fair), "kept": kept, "calls": len(own),
                         "tokens_in": used[0], "tokens_out": used[1], "money": money})  # fmt: skip
        return rows

    def _cached_and_open(
        self, questions: Sequence[Question], owners: Owners, *, out: bool = False
    ) -> tuple[dict[str, Verdicts], list[Call]]:
        """Return what each judge has answered before, and calls for what is left to ask.

        Nothing is left of what was given up in a batch; with `out`, neither of what is in a batch that is out.
        """
        verdicts: dict[str, Verdicts] = {}
        calls: list[Call] = []
        for model in self.settings.models:
            keys = {self._cache_key(model, question): question for question in questions}
            verdicts[model] = {keys[key]: verdict for key, verdict in self.cache.verdicts(keys).items()}
            held = set(self._batches.given_up if self._batches else ())
            for batch in self.cache.batches(self.settings.url_of(model), keys) if out else ():
                held |= {key for request in batch.requests.values() for key in request.keys.values()}
            rest = [item for key, item in keys.items() if item not in verdicts[model] and key not in held]
            calls += calls_of(model, rest, owners, self.settings.pairs_per_call)
        return verdicts, calls

    def report(self) -> Mapping[str, Any]:
        """Return what a reader of the run must know; the same whether answers were cached or asked for just now."""
        return self._report

    def spent(self) -> str:
        """Return calls, tokens and money of this time, and which form of replies a server refused."""
        clients = self._clients.values()
        forms = list(dict.fromkeys(client.form for client in clients if client.form != client.forms[0]))
        refused = f", replies as {' and '.join(forms)}" if forms and self.settings.structured else ""
        return self.budget.spent() + refused

    def trouble(self) -> str:
        """Return how many answers did not come this time and why, with the last error; empty if all came."""
        missing = sum(self.failures.values())
        if not missing:
            return ""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.failures.items())
        share = f"{missing} of {self._asked} answers did not come, {missing / self._asked:.0%}: {reasons}"
        return f"{share}; the last error: {self.last_error}" if self.last_error else share

    def _cache_key(self, model: str, question: Question) -> str:
        request = [dict(self.settings.request), self.settings.structured]
        sides = ["swapped"] * self._swapped
        return fingerprint([content(question), self.prompt.digest, model, request, self.seed, *sides])

    def _outcomes(self, calls: Sequence[Call]) -> Iterator[Outcome]:
        """Yield every call's outcome as it comes in, kept before it is passed on; an interrupt loses none of them."""
        if not calls:
            return
        for model in self.settings.models:
            self._client(model)
        work: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        for call in [*calls, *[None] * self.settings.concurrency]:
            work.put(call)
        for _ in range(min(self.settings.concurrency, len(calls))):
            # Daemons, so that a server that hangs cannot hold the program when the user wants to go.
            threading.Thread(target=self._serve, args=(work, done), daemon=True).start()
        failed = 0
        try:
            for count in range(len(calls)):
                outcome = self._settled(done.get())
                failed = failed + 1 if outcome.reason == "failed" else 0
                if failed >= MOST_FAILURES:
                    self.budget.stopped.set()
                if self._progress:
                    self._progress("judging", count + 1, len(calls), self.spent())
                yield outcome
        except KeyboardInterrupt:
            self.budget.stopped.set()
            while not done.empty():
                self._settled(done.get())
            raise Stopped("stopped; what was answered is kept, and the same command goes on from there") from None

    def _settled(self, outcome: Outcome) -> Outcome:
        """Keep an outcome's verdicts, or count why there are none; an error ends it all."""
        if outcome.error is not None:
            self.budget.stopped.set()
            raise outcome.error
        model = outcome.call.model
        self.cache.put_verdicts({self._cache_key(model, item): verdict for item, verdict in outcome.verdicts.items()})
        self._missing[outcome.reason] += len(outcome.call.questions) - len(outcome.verdicts)
        self.last_error = outcome.detail or self.last_error
        return outcome

    def _serve(self, work: queue.SimpleQueue[Call | None], done: queue.SimpleQueue[Outcome]) -> None:
        """Take calls and give outcomes until there are no more."""
        while (call := work.get()) is not None:
            try:
                sent = messages(self.prompt, call.questions, self.seed, self._swapped)
                ids = {question_id(question, self.seed): question for question in call.questions}
                read = partial(read_verdicts, ids=list(ids))
                verdicts = self._clients[call.model].ask(sent, SCHEMA, len(ids), read)
                done.put(Outcome(call, {ids[name]: verdict for name, verdict in verdicts.items()}))
            except NoReply as reason:
                done.put(Outcome(call, {}, str(reason), reason.detail))
            except BaseException as error:
                done.put(Outcome(call, {}, error=error))

    def _summary(
        self, asked: Sequence[Question], fair: Sequence[Question], verdicts: Mapping[str, Verdicts],
        opinions: Mapping[Question, Opinion],
    ) -> dict[str, Any]:  # fmt: skip
        """Return how many pairs were decided, what was left to the matcher and why, how far judges agree."""
        left = Counter({"addresses the judge": len(asked) - len(fair)})
        for item in fair:
            if item not in opinions:
                left["judges undecided" if all(item in own for own in verdicts.values()) else "not answered"] += 1
        facts: dict[str, Any] = {
            "judges": list(self.settings.models),
            "prompt": self.prompt.digest,
            "pairs": len(asked),
            "decided": len(opinions),
            "matches": sum(opinion.match for opinion in opinions.values()),
            "left": {reason: count for reason, count in left.items() if count},
        }
        if len(verdicts) > 1:
            ratings = [[(own[item][:2] if item in own else None) for own in verdicts.values()] for item in fair]
            facts["answered"] = {model: len(own) for model, own in verdicts.items()}
            facts["krippendorff_alpha"] = krippendorff_alpha(ratings)
        return facts

    @property
    def failures(self) -> dict[str, int]:
        """Answers that did not come this time, by reason: failed, unfit, budget, stopped, expired, cancelled."""
        missing = self._missing + (self._batches.missing if self._batches else Counter())
        return {reason: count for reason, count in missing.items() if reason and count}


def _decided(opinions: Mapping[Question, Opinion], owners: Owners) -> dict[str, Any]:
    """Return how many pairs of each planner were decided, how many as matches, and how alike pairs of a paper are."""
    papers: dict[str, dict[str, tuple[int, int]]] = {"": {}}
    for question, opinion in opinions.items():
        for planner in {"", *owners[question]}:
            own = papers.setdefault(planner, {})
            hits, total = own.get(question.paper, (0, 0))
            own[question.paper] = (hits + opinion.match, total + 1)
    facts = {
        planner: {
            "decided": sum(total for _, total in own.values()),
            "matches": sum(hits for hits, _ in own.values()),
            "design_effect": design_effect_of(own),
        }
        for planner, own in sorted(papers.items())
    }
    return {"design_effect": facts.pop("")["design_effect"], "planners": facts}


def vote(question: Question, verdicts: Mapping[str, Verdicts]) -> Opinion | None:
    """Return what more than half of all judges say; one who did not answer abstains, which is neither yes nor no."""
    answered = [own[question] for own in verdicts.values() if question in own]

    def majority(answers: list[bool]) -> bool | None:
        return next((value for value in (True, False) if 2 * answers.count(value) > len(verdicts)), None)

    match, part = majority([verdict.match for verdict in answered]), majority([verdict.part for verdict in answered])
    if match is None or (part is None and not match):
        return None
    if len(verdicts) == 1:
        return Opinion(bool(part), match, next(iter(verdicts)))
    agreed = sum(verdict.match is match for verdict in answered)
    return Opinion(match or bool(part), match, f"{agreed} of {len(verdicts)} judges")
