"""Rank correlations with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, norm, spearmanr

__all__ = ["Estimate", "kendall", "spearman"]


@dataclass(frozen=True)
class Estimate:
    """A statistic with a confidence interval; NaN where it is undefined."""

    value: float
    low: float
    high: float


def spearman(
    scores: Sequence[float], values: Sequence[float], *, confidence: float = 0.95
) -> Estimate:
    """Return Spearman ρ with a confidence interval.

    The interval is Fisher's, tanh(artanh ρ ± z·σ), with σ² = (1 + ρ²/2) / (n − 3) after Bonett &
    Wright, "Sample size requirements for estimating Pearson, Kendall and Spearman correlations"
    (Psychometrika 2000). It is an approximation for n of about 10 and more with few ties. Where
    ρ is 1 or -1, it is taken half a step below, a step being what swapping two neighbours changes.

    ρ is NaN if n < 2 or one side holds nothing but equal numbers. For n < 4 the interval is
    everything from -1 to 1.
    """
    if _is_undefined(scores, values):
        return Estimate(math.nan, math.nan, math.nan)
    count, rho = len(scores), float(spearmanr(scores, values).statistic)
    variance = (1 + rho**2 / 2) / (count - 3) if count > 3 else math.inf
    return _fisher(rho, variance, 6 / (count**3 - count), confidence)


def kendall(
    scores: Sequence[float], values: Sequence[float], *, confidence: float = 0.95
) -> Estimate:
    """Return Kendall τ-b with a confidence interval.

    As for :func:`spearman`, with σ² = 0.437 / (n − 4) after Fieller, Hartley & Pearson, "Tests
    for rank correlation coefficients. I" (Biometrika 1957); from -1 to 1 for n < 5.
    """
    if _is_undefined(scores, values):
        return Estimate(math.nan, math.nan, math.nan)
    count, tau = len(scores), float(kendalltau(scores, values).statistic)
    variance = 0.437 / (count - 4) if count > 4 else math.inf
    return _fisher(tau, variance, 2 / (count * (count - 1)), confidence)


def _is_undefined(scores: Sequence[float], values: Sequence[float]) -> bool:
    return min(len(set(scores)), len(set(values))) < 2


def _fisher(value: float, variance: float, half_step: float, confidence: float) -> Estimate:
    """Return ``value`` with an interval that is symmetric in artanh."""
    value = min(1.0, max(-1.0, value))  # rounding may exceed them
    nearest = 1 - half_step
    center: npt.NDArray[np.float64] = np.arctanh(np.clip(value, -nearest, nearest))
    width = norm.ppf((1 + confidence) / 2) * math.sqrt(variance)
    low, high = np.tanh(center - width), np.tanh(center + width)
    return Estimate(value, min(value, float(low)), max(value, float(high)))
