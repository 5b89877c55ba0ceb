"""Takes settings, whoever decides, and contents, gives the signature of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version

from evalkit.matching.probability import Calibration
from evalkit.scoring.pair import Slip
from evalkit.settings import Settings, Signature, content_digest, fingerprint
from evalkit.types import Plan, Thresholds


def matcher_pins(settings: Settings, calibration: Calibration, limits: Thresholds, model: str) -> dict[str, str]:
    """What a signature says of a matcher."""
    return {
        "matcher": settings.matcher,
        "calibration": calibration.id,
        "model": model,
        "thresholds": f"{limits.part:g}/{limits.match:g}",
    }


def sign(
    settings: Settings, pins: Mapping[str, str], gold: Iterable[Plan | Slip], plans: Iterable[Plan | Slip]
) -> Signature:
    """A signature; `pins` say who decided."""
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


def content_hash(plans: Iterable[Plan | Slip]) -> str:
    """Twelve hex digits that stand for what plans say, whatever files they came in and in whatever order."""
    return fingerprint(sorted([plan.planner or "", plan.paper, plan.sample, _said(plan)] for plan in plans))[:12]


def _said(plan: Plan | Slip) -> str:
    """The hash of the entries that are scored."""
    return plan.said if isinstance(plan, Slip) else content_digest(plan.ablations)
