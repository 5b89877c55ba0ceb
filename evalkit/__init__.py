"""Score generated ablation plans against reference ablations: `evalkit.score(pred, gold)`.

Names are loaded when they are first used, so that importing evalkit loads neither torch nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.comparison import compare as compare
    from evalkit.errors import EvalkitError as EvalkitError
    from evalkit.scoring.load import read_plans as read_plans
    from evalkit.scoring.pipeline import score as score
    from evalkit.scoring.scorer import Reward as Reward
    from evalkit.scoring.scorer import Scorer as Scorer
    from evalkit.settings import Settings as Settings
    from evalkit.storage.runs import Run as Run
    from evalkit.storage.runs import load_run as load_run
    from evalkit.types import Ablation as Ablation
    from evalkit.types import Action as Action
    from evalkit.types import Plan as Plan

_HOMES = {
    "Ablation": "types",
    "Action": "types",
    "EvalkitError": "errors",
    "Plan": "types",
    "Reward": "scoring.scorer",
    "Run": "storage.runs",
    "Scorer": "scoring.scorer",
    "Settings": "settings",
    "compare": "comparison",
    "load_run": "storage.runs",
    "read_plans": "scoring.load",
    "score": "scoring.pipeline",
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
    return getattr(import_module(f"evalkit.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
