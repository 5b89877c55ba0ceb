"""Matchers of other packages: two lists in, probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import InputError
from evalkit.matching.calibration import Calibration, LogisticModel, Models
from evalkit.plugins import load_plugin, plugin_package
from evalkit.settings import MATCHERS
from evalkit.types import Ablation, Thresholds

Matrix = NDArray[np.float64]  # [gold, plan]
Decide = Callable[[Sequence[Ablation], Sequence[Ablation]], tuple[Matrix, Matrix]]
THRESHOLDS = Thresholds(part=0.5, match=0.5, low=0.4, high=0.6)
_NO_MODEL = LogisticModel({}, {}, 0.0)


def is_plugin(matcher: str) -> bool:
    """Return whether a matcher is none of evalkit's own."""
    return matcher not in MATCHERS


def is_encoded(matcher: str) -> bool:
    """Return whether a matcher of evalkit's looks at vectors."""
    return matcher in MATCHERS and matcher != "lexical"


@dataclass(frozen=True, slots=True)
class PluginMatcher:
    """A plug-in's function, which every answer of is checked; `package` and its `fingerprint` enter the signature."""

    name: str
    package: str
    function: Callable[[Sequence[Ablation], Sequence[Ablation]], Any]

    @property
    def calibration(self) -> Calibration:
        """What stands in the place of a fitted calibration: who decides, and its thresholds."""
        pin = "-".join(filter(None, (self.package, str(getattr(self.function, "fingerprint", "")))))
        limits = getattr(self.function, "thresholds", THRESHOLDS)
        return Calibration(pin, self.name, limits, Models(_NO_MODEL, _NO_MODEL, _NO_MODEL), {})

    def __call__(self, gold: Sequence[Ablation], plan: Sequence[Ablation]) -> tuple[Matrix, Matrix]:
        """Return the probabilities [gold, plan] of a shared part and of a full match, to six decimals."""
        shape = (len(gold), len(plan))
        if not gold or not plan:
            return np.zeros(shape), np.zeros(shape)
        try:
            part, match = (np.asarray(table, dtype=np.float64) for table in self.function(gold, plan))
        except (TypeError, ValueError) as error:
            raise InputError(f"{self._words}: expected two tables of numbers [gold, plan]: {error}") from error
        for table in (part, match):
            if table.shape != shape:
                raise InputError(f"{self._words}: expected tables of shape {shape}, found {table.shape}")
            if not ((table >= 0) & (table <= 1)).all():
                raise InputError(f"{self._words}: expected probabilities from 0 to 1")
        if (match > part + 1e-6).any():
            raise InputError(f"{self._words}: expected a match to be no likelier than its part")
        return np.round(part, 6), np.round(match, 6)

    @property
    def _words(self) -> str:
        return f"the matcher {self.name!r} of {self.package}"


def find_plugin(name: str) -> PluginMatcher:
    """Return the matcher that another package calls so."""
    function = load_plugin("matchers", name)
    return PluginMatcher(name, plugin_package("matchers", name), function() if isinstance(function, type) else function)
