"""Takes settings, whoever decides, and contents, gives the signature of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from evalkit.matching.calibration import Calibration
from evalkit.scoring.pair import Slip
from evalkit.settings import Settings, content_digest
from evalkit.storage import signature
from evalkit.storage.signature import PlanContent, Signature
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
    return signature.sign(settings, pins, _contents(gold), _contents(plans))


def _contents(plans: Iterable[Plan | Slip]) -> Iterator[PlanContent]:
    for plan in plans:
        digest = plan.said if isinstance(plan, Slip) else content_digest(plan.ablations)
        yield plan.planner, plan.paper, plan.sample, digest
