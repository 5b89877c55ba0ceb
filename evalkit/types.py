"""The frozen records that walk through the rooms; a change to one is a new one."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
Meta = tuple[tuple[str, str], ...]  # what gold says of a paper or an entry: (field, value), each field once
LEAST_WEIGHT, LARGEST_WEIGHT = 1e-6, 1e6


class Action(StrEnum):
    """What an ablation does to its part."""

    REMOVE = "REMOVE"
    REPLACE = "REPLACE"
    ADD = "ADD"


class Portable:
    """A record that travels between processes as what it was made of: by its fields' names, as frozen dataclasses with
    slots do it, packing and unpacking take several times as long."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        names: tuple[str, ...] = self.__match_args__  # type: ignore[attr-defined]
        return type(self), tuple([getattr(self, name) for name in names])


@dataclass(frozen=True, slots=True)
class Document(Portable):
    """A text as it came in at the door; planner and paper are what the path says, if it says anything."""

    path: str
    text: str
    planner: str | None = None
    paper: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnostic(Portable):
    """One thing that was repaired ("note"), doubtful ("warning") or left out ("error"), with its address."""

    severity: Severity
    code: str
    message: str
    path: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Unread(Diagnostic):
    """A document that could not be read at all, with the planner and paper that its path names."""

    planner: str | None = None
    paper: str = ""


@dataclass(frozen=True, slots=True)
class Ablation(Portable):
    """One entry of a plan or of gold. `action` None and empty tuples are unspecified: they agree with everything.

    `draft`: nobody has confirmed it yet; `source`: the sentence that it was taken from; `weight`: how important a gold
    entry is; `meta`: what gold says about it, as (field, value). None of them is part of what it says, so entries are
    equal without them.
    """

    name: str
    part: str
    action: Action | None = None
    replacements: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    draft: bool = field(default=False, compare=False)
    source: str = field(default="", compare=False)
    weight: float = field(default=1.0, compare=False)
    meta: Meta = field(default=(), compare=False)

    @property
    def ablated_part(self) -> str:
        """The part under the name that it has in files."""
        return self.part

    @property
    def replacement(self) -> tuple[str, ...]:
        """The replacements under the name that they have in files."""
        return self.replacements


def entry_tree(entry: Ablation) -> dict[str, Any]:
    """Return an entry as the JSON object that plans and labels hold, without what is unspecified."""
    tree: dict[str, Any] = {"name": entry.name, "ablated_part": entry.part}
    if entry.action:
        tree["action"] = entry.action.value
    if entry.replacements:
        tree["replacement"] = list(entry.replacements)
    if entry.metrics:
        tree["metrics"] = list(entry.metrics)
    if entry.draft:
        tree["draft"] = True
    return tree


@dataclass(frozen=True, slots=True)
class Plan(Portable):
    """One planner's list for one paper, or the gold list of that paper (planner None).

    `about`: what else the document says of the whole list (title, source, review_text, ...), for `convert`. `weight`
    and `meta`: how important a gold paper is, and what gold says about it.
    """

    paper: str
    planner: str | None
    ablations: tuple[Ablation, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    path: str = ""
    trace: str = ""
    sample: str = ""
    about: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    weight: float = field(default=1.0, compare=False)
    meta: Meta = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Pair:
    """A gold entry beside a plan entry: how probable it is that they agree, and what spoke for and against it."""

    gold: int
    plan: int
    part_probability: float
    match_probability: float
    matched: bool
    borderline: bool = False
    decided_by: str = "matcher"
    evidence: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A pair that somebody else is asked about. It says what the entries say, so that equal questions are one.

    `planner` is whose entry it is, which no judge is told and which makes no question another one.
    """

    paper: str
    gold: Ablation
    plan: Ablation
    planner: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Opinion:
    """The answer to a Question: whether the part is shared, whether the entries match fully, and who says so."""

    part: bool
    match: bool
    by: str


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which probability on two entries share a part, or match fully; `low` to `high` is the band of doubt."""

    part: float
    match: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Alignment:
    """Which entries of gold and plan belong together.

    `pairs` are aligned (same part); those with `matched` are full matches as well. `candidates` were considered and
    not aligned, but are worth showing: borderline pairs, and the nearest partner of what was missed or spurious.
    """

    pairs: tuple[Pair, ...]
    missed: tuple[int, ...]
    spurious: tuple[int, ...]
    candidates: tuple[Pair, ...] = ()


RANKS = (1, 3, 5)


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over papers, from which every figure is derived. Field names are the columns of papers.csv.

    A paper's own counts are whole numbers unless several plans of it were averaged or they are `*_expected` under the
    matcher's probabilities; `*_at_K` are about the first K entries of the plan, `ndcg_at_K` and `average_precision` are
    sums of a per-paper figure over `papers`.
    """

    papers: float = 0
    planned: float = 0
    gold_entries: float = 0
    plan_entries: float = 0
    part_gold: float = 0
    part_plan: float = 0
    match_gold: float = 0
    match_plan: float = 0
    aligned_pairs: float = 0
    action_pairs: float = 0
    action_agreed: float = 0
    remove_remove: float = 0
    remove_replace: float = 0
    remove_add: float = 0
    replace_remove: float = 0
    replace_replace: float = 0
    replace_add: float = 0
    add_remove: float = 0
    add_replace: float = 0
    add_add: float = 0
    replacement_pairs: float = 0
    replacement_gold: float = 0
    replacement_plan: float = 0
    replacement_matched: float = 0
    metric_pairs: float = 0
    metric_gold: float = 0
    metric_plan: float = 0
    metric_matched: float = 0
    covered_at_1: float = 0
    covered_at_3: float = 0
    covered_at_5: float = 0
    hits_at_1: float = 0
    hits_at_3: float = 0
    hits_at_5: float = 0
    slots_at_1: float = 0
    slots_at_3: float = 0
    slots_at_5: float = 0
    ndcg_at_1: float = 0
    ndcg_at_3: float = 0
    ndcg_at_5: float = 0
    average_precision: float = 0
    borderline_pairs: float = 0
    match_gold_if_none: float = 0
    match_plan_if_none: float = 0
    match_gold_if_all: float = 0
    match_plan_if_all: float = 0
    match_gold_expected: float = 0
    match_plan_expected: float = 0
    paper_weight: float = 0
    gold_weight: float = 0
    match_weight: float = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in COUNT_NAMES))

    def values(self) -> tuple[float, ...]:
        """Return the sums in the order of COUNT_NAMES."""
        return tuple(getattr(self, name) for name in COUNT_NAMES)


COUNT_NAMES = tuple(field.name for field in fields(Counts))

PlanStatus = Literal["planned", "missing", "empty", "unreadable"]


@dataclass(frozen=True, slots=True)
class PaperScore:
    """One plan against one gold list, as counts; a planner's samples of one paper are scored one by one."""

    paper: str
    planner: str
    counts: Counts
    status: PlanStatus = "planned"
    sample: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """Hits and totals of both sides as AblationBench counts them; its ratios are 0 where there is nothing to divide."""

    plan_hits: int
    plan: int
    gold_hits: int
    gold: int

    @property
    def precision(self) -> float | None:
        """Hits among the plan's; None where there is no plan."""
        return self.plan_hits / self.plan if self.plan else None

    @property
    def recall(self) -> float | None:
        """Hits among gold's; None where there is no gold."""
        return self.gold_hits / self.gold if self.gold else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the two, with the divisions taken out; None where both lists are empty."""
        if not self.plan and not self.gold:
            return None
        if self.plan_hits == self.gold_hits:
            return 2 * self.plan_hits / (self.plan + self.gold)
        below = self.plan_hits * self.gold + self.gold_hits * self.plan
        return 2 * self.plan_hits * self.gold_hits / below if below else 0.0


@dataclass(frozen=True, slots=True)
class CompatScore:
    """One plan by AblationBench's rules; `steps` has the tally after each of its rules is lifted, one after another."""

    task: Literal["author", "reviewer"]
    tally: Tally
    ndcg: float | None
    steps: tuple[tuple[str, Tally], ...] = ()


@dataclass(frozen=True, slots=True)
class ScoredPlan:
    """Everything that is known about one plan once it is scored: the numbers and the evidence for them."""

    gold: Plan
    plan: Plan
    alignment: Alignment
    score: PaperScore
    compat: CompatScore | None = None
