"""Statistics over tracks: bootstrap intervals, paired tests, and their correction.

The tracks of a data set are a sample, so figures have confidence intervals. Functions take scores
(tracks, sources) in dB and leave out values that are not finite.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from ..options import TESTS

_SEED = 1
_RESAMPLES = 9999


class Interval(NamedTuple):
    """Figure with its confidence interval.

    Attributes:
        value: the figure; NaN if no track has a score.
        low: lower end of the interval; NaN for fewer than two tracks.
        high: upper end.
        n: number of tracks with a score.
    """

    value: float
    low: float
    high: float
    n: int


def interval(
    scores: np.ndarray, *, mean: bool, level: float = 0.95, resamples: int = _RESAMPLES
) -> Interval:
    """Return the mean or median over tracks with its bootstrap interval.

    Tracks are drawn with replacement, with all sources of a track together. For several sources the
    figure is the mean of their figures. The interval is bias-corrected and accelerated (BCa), or
    the plain percentiles if BCa is not defined, as for equal scores.

    Args:
        scores: (tracks,) of one source, or (tracks, sources), in dB.
        mean: whether the figure is the mean over tracks instead of the median.
        level: confidence level.
        resamples: number of bootstrap samples.

    Returns:
        The figure and its interval; deterministic.
    """
    from scipy.stats import bootstrap

    table = _finite(scores)
    table = table[np.isfinite(table).any(axis=1)]
    how = np.nanmean if mean else np.nanmedian
    value = _statistic(table, how)
    if len(table) < 2 or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"), len(table))

    def statistic(numbers: np.ndarray, axis: int) -> np.ndarray:
        # (..., tracks) of numbers of tracks -> (...)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # no track of the draw has a score
            return np.nanmean(how(table[numbers.astype(int)], axis=axis - 1), axis=-1)

    options = {"confidence_level": level, "n_resamples": resamples, "vectorized": True}
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a degenerate distribution
            found = bootstrap(
                (np.arange(len(table)),),
                statistic,
                method=method,
                rng=np.random.default_rng(_SEED),
                **options,
            ).confidence_interval
        low, high = float(found.low), float(found.high)
        if np.isfinite([low, high]).all():
            return Interval(value, low, high, len(table))
    return Interval(value, float("nan"), float("nan"), len(table))


def paired_test(one: np.ndarray, two: np.ndarray, test: str = "wilcoxon") -> float:
    """Return the p-value of a paired test of two models on the same tracks.

    Args:
        one: (tracks,) in dB.
        two: the same tracks, in the same order.
        test: "wilcoxon", the signed-rank test, or "permutation", a test of the mean difference with
            all permutations of signs, or 9999 random ones.

    Returns:
        The two-sided p-value: 1 if all scores are equal, NaN without a common track.

    Raises:
        UserError: for an unknown test, or different numbers of tracks.
    """
    from scipy import stats

    if test not in TESTS:
        raise UserError(f"unknown test {test!r}; valid: {', '.join(TESTS)}")
    one, two = np.asarray(one, float), np.asarray(two, float)
    if one.shape != two.shape:
        raise UserError(f"a paired test needs the same tracks, got {one.shape} and {two.shape}")
    differences = (one - two)[np.isfinite(one) & np.isfinite(two)]
    if not len(differences):
        return float("nan")
    if not differences.any():
        return 1.0
    if test == "wilcoxon":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few tracks
            return float(stats.wilcoxon(differences).pvalue)
    found = stats.permutation_test(
        (differences,),
        lambda values, axis: values.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_RESAMPLES,
        rng=np.random.default_rng(_SEED),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values with Holm's correction for the number of tests (Holm, 1979).

    Args:
        p_values: p-values of all tests; NaN means no test, and stays.

    Returns:
        Corrected p-values in the same order, at most 1.
    """
    values = np.asarray(p_values, float)
    corrected = np.full(len(values), np.nan)
    made = np.flatnonzero(np.isfinite(values))
    highest = 0.0
    for rank, index in enumerate(made[np.argsort(values[made], kind="stable")]):
        highest = max(highest, min(1.0, (len(made) - rank) * values[index]))
        corrected[index] = highest
    return corrected.tolist()


def compare_pairs(
    scores: Mapping[str, np.ndarray], *, mean: bool, test: str = "wilcoxon"
) -> list[dict]:
    """Compare every pair of models on the same tracks.

    Args:
        scores: scores (tracks,) by model, for the same tracks.
        mean: as in `interval`, for the differences.
        test: as in `paired_test`.

    Returns:
        For each pair `first`, `second`, `difference` (the mean or median over tracks of the first
        minus the second), its `low` and `high`, the number `n` of tracks, `p`, and `p_holm`,
        corrected for the number of pairs.
    """
    names = list(scores)
    pairs = [(a, b) for index, a in enumerate(names) for b in names[index + 1 :]]
    p_values = [paired_test(scores[a], scores[b], test) for a, b in pairs]
    results = []
    for (a, b), p, corrected in zip(pairs, p_values, holm(p_values), strict=True):
        difference = interval(_finite(scores[a]) - _finite(scores[b]), mean=mean)
        results.append(
            {
                "first": a,
                "second": b,
                "difference": difference.value,
                "low": difference.low,
                "high": difference.high,
                "n": difference.n,
                "p": p,
                "p_holm": corrected,
            }
        )
    return results


def _finite(scores: np.ndarray) -> np.ndarray:
    """Return (tracks, sources) with NaN for values that are not finite."""
    table = np.array(scores, float)
    table = table[:, None] if table.ndim == 1 else table
    return np.where(np.isfinite(table), table, np.nan)


def _statistic(table: np.ndarray, how: Callable) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a source without a score on any track
        return float(np.mean(how(table, axis=0))) if len(table) else float("nan")
