"""The signature of a run: one line that pins its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version

from evalkit.settings import Settings, fingerprint

PlanContent = tuple[str | None, str, str, str]
"""Planner, paper, sample, and the hash of the entries."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What pins the numbers of a run. Two runs may be compared when nothing but `plans` differs."""

    version: str
    settings: str
    matcher: str
    calibration: str
    model: str
    alignment: str
    thresholds: str
    missing: str
    top_k: str
    seed: str
    gold: str
    plans: str
    judge: str = "none"

    def __str__(self) -> str:
        return "|".join(f"{name}:{value}" for name, value in asdict(self).items())

    @property
    def digest(self) -> str:
        """Return twelve hex digits that stand for the whole line where it would be too long."""
        return fingerprint(asdict(self))[:12]

    def differences(self, other: Signature) -> dict[str, tuple[str, str]]:
        """Return the items in which two signatures differ, plans left aside."""
        ours, theirs = asdict(self), asdict(other)
        return {name: (ours[name], theirs[name]) for name in ours if name != "plans" and ours[name] != theirs[name]}


def sign(
    settings: Settings, pins: Mapping[str, str], gold: Iterable[PlanContent], plans: Iterable[PlanContent]
) -> Signature:
    """Return the signature of a run; `pins` say who decides which entries match."""
    return Signature(
        version=version("evalkit"),
        settings=settings.digest,
        alignment=settings.alignment,
        **pins,
        missing=settings.missing,
        top_k=str(settings.top_k or "all"),
        seed=str(settings.seed),
        gold=content_hash(gold),
        plans=content_hash(plans),
    )


def content_hash(plans: Iterable[PlanContent]) -> str:
    """Return twelve hex digits that stand for what plans say, whatever their files and order."""
    return fingerprint(sorted([planner or "", paper, sample, digest] for planner, paper, sample, digest in plans))[:12]
