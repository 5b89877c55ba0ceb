"""Declare features beside the code that computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Family = Literal["lexical", "embedding", "logic"]
Lists = TypeVar("Lists")  # what gold lists and plans bring to the features of one table
Function = Callable[[Lists], ArrayLike]
Declared = Callable[[Callable[[Lists], ArrayLike]], Callable[[Lists], ArrayLike]]


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: what it is made from, the reason that it belongs to, and what it sees, in words.

    The version is raised when it sees something else than before: calibrations fitted to the earlier one are refused.
    """

    name: str
    family: Family
    reason: str
    description: str
    version: int = 1


class FeatureTable(Generic[Lists]):
    """Features and their functions, in the order in which they are declared."""

    def __init__(self, family: Family, reason: str) -> None:
        self.family, self.reason = family, reason
        self.features: list[Feature] = []
        self._functions: list[tuple[slice, Function[Lists]]] = []

    def declare(self, described: Mapping[str, str], *, reason: str = "", version: int = 1) -> Declared[Lists]:
        """Decorate the function of features, given with what each sees; it returns [feature, lists, gold, plan]."""
        rows = slice(len(self.features), len(self.features) + len(described))
        self.features += [
            Feature(name, self.family, reason or self.reason, text, version) for name, text in described.items()
        ]

        def register(function: Function[Lists]) -> Function[Lists]:
            self._functions.append((rows, function))
            return function

        return register

    def add(self, name: str, sees: str, function: Function[Lists], *, reason: str = "", version: int = 1) -> None:
        """Add one feature, what it sees, and the function that computes it: [lists, gold, plan]."""
        self.declare({name: sees}, reason=reason, version=version)(function)

    def compute(self, lists: Lists, shape: tuple[int, int, int]) -> NDArray[np.float64]:
        """Return every feature of every pair of lists, [lists, gold, plan, feature]."""
        values = np.empty((len(self.features), *shape))
        for rows, function in self._functions:
            values[rows] = function(lists)
        return values.transpose(1, 2, 3, 0)
