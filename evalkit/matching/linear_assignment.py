"""Solve small linear sum assignments without loading scipy, which takes longer than all assignments of most runs.

Of equally good assignments it takes the one that scipy takes: by shortest augmenting paths, row after row, the columns
looked at from the last one on, and of columns as near as each other one that is free before one that is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

SMALL = 24  # rows or columns; beyond that loading scipy pays

Costs = Sequence[Sequence[float]]


def largest_assignment(worth: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the pairs of row and column, each once, whose worth is largest in total, by rows."""
    if max(worth.shape) > SMALL:
        from scipy.optimize import linear_sum_assignment

        rows, columns = linear_sum_assignment(worth, maximize=True)
        return list(zip(rows.tolist(), columns.tolist(), strict=True))
    if worth.shape[0] <= worth.shape[1]:
        return list(enumerate(_columns_of_rows((-worth).tolist())))
    return sorted((row, column) for column, row in enumerate(_columns_of_rows((-worth.T).tolist())))


def _columns_of_rows(costs: Costs) -> list[int]:
    """Return the column of each row in a cheapest assignment of all rows; there are as many columns or more."""
    row_prices, column_prices = [0.0] * len(costs), [0.0] * len(costs[0]) if costs else []
    column_of, row_of = [-1] * len(row_prices), [-1] * len(column_prices)
    for start in range(len(costs)):
        distances, before, passed = _shortest_path(costs, start, row_prices, column_prices, row_of)
        total = distances[passed[-1]]
        row_prices[start] += total
        for column in passed[:-1]:
            row_prices[row_of[column]] += total - distances[column]
            column_prices[column] -= total - distances[column]
        column, row = passed[-1], -1
        while row != start:
            row = before[column]
            row_of[column] = row
            column_of[row], column = column, column_of[row]
    return column_of


def _shortest_path(
    costs: Costs, row: int, row_prices: Sequence[float], column_prices: Sequence[float], row_of: Sequence[int]
) -> tuple[list[float], list[int], list[int]]:
    """Return the cheapest path from a row to a free column: how far each column is, the row before each, and the
    columns that were passed, the free one last."""
    distances, before = [inf] * len(row_of), [-1] * len(row_of)
    waiting, passed = list(range(len(row_of) - 1, -1, -1)), list[int]()
    reached = 0.0
    while row >= 0:
        costs_here, price, nearest, place = costs[row], row_prices[row], inf, -1
        for index, column in enumerate(waiting):
            distance = reached + costs_here[column] - price - column_prices[column]
            if distance < distances[column]:
                distances[column], before[column] = distance, row
            distance = distances[column]
            if distance < nearest or (distance == nearest and row_of[column] < 0):
                nearest, place = distance, index
        reached = nearest
        passed.append(waiting[place])
        waiting[place] = waiting[-1]
        waiting.pop()
        row = row_of[passed[-1]]
    return distances, before, passed
