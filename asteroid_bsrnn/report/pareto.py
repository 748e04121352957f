"""Which models no other beats in both score and cost."""

from __future__ import annotations

from collections.abc import Sequence


def front(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """Indices of the points on the Pareto front, from the cheapest to the dearest.

    A point is on it unless another costs no more and scores no less, and is better in one of both.

    Args:
        costs: of each point; less is better.
        scores: of each point; more is better.

    >>> front([1, 2, 3, 4], [5.0, 4.0, 6.0, 6.0])
    [0, 2]
    """
    order = sorted(range(len(costs)), key=lambda index: (costs[index], -scores[index]))
    kept: list[int] = []
    for index in order:
        last = kept[-1] if kept else None
        same = last is not None and (costs[last], scores[last]) == (costs[index], scores[index])
        if last is None or scores[index] > scores[last] or same:
            kept.append(index)
    return kept
