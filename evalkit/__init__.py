"""Score generated ablation plans against reference ablations: `evalkit.score(pred, gold)`.

Names are loaded when they are first used, so that importing evalkit loads neither torch nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.comparison import compare as compare
    from evalkit.errors import EvalkitError as EvalkitError
    from evalkit.pipeline import score_run as score
    from evalkit.reading import read_plans as read_plans
    from evalkit.records import Ablation as Ablation
    from evalkit.records import Action as Action
    from evalkit.records import Plan as Plan
    from evalkit.runs import Run as Run
    from evalkit.runs import load_run as load_run
    from evalkit.scorer import Reward as Reward
    from evalkit.scorer import Scorer as Scorer
    from evalkit.settings import Settings as Settings

_HOMES = {
    "Ablation": "records",
    "Action": "records",
    "EvalkitError": "errors",
    "Plan": "records",
    "Reward": "scorer",
    "Run": "runs",
    "Scorer": "scorer",
    "Settings": "settings",
    "compare": "comparison",
    "load_run": "runs",
    "read_plans": "reading",
    "score": "pipeline:score_run",
}
__all__ = [
    "Ablation",
    "Action",
    "EvalkitError",
    "Plan",
    "Reward",
    "Run",
    "Scorer",
    "Settings",
    "compare",
    "load_run",
    "read_plans",
    "score",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'evalkit' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(f"evalkit.{module}"), attribute or name)


def __dir__() -> list[str]:
    return __all__
