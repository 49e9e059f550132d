"""Distributions of a forecast: density, distribution function, quantiles, mean and draws, in NumPy alone.

Parameters stand in the last axis of an array, in the unit of what is forecast:

    normal             mean, deviation
    student_t          location, spread, degrees of freedom (above 1)
    negative_binomial  mean m, dispersion α: the variance is m + α m²; of counts 0, 1, 2 …
    mixture            M weights, M means, M deviations of normal distributions
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

DistributionName = Literal["normal", "student_t", "negative_binomial", "mixture"]
_erf = np.frompyfunc(math.erf, 1, 1)
_log_gamma = np.frompyfunc(math.lgamma, 1, 1)
_HALVINGS = 100


def log_prob(name: DistributionName, parameters: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The natural logarithm of the density of y, or of a count's probability. Args: y: […] as parameters […, K]."""
    if name == "normal":
        return _log_normal(y, parameters[..., 0], parameters[..., 1])
    if name == "student_t":
        location, spread, freedom = np.moveaxis(parameters, -1, 0)
        z, half = (y - location) / spread, (freedom + 1) / 2
        whole = lgamma(half) - lgamma(freedom / 2) - np.log(freedom * math.pi) / 2 - np.log(spread)
        return whole - half * np.log1p(z * z / freedom)
    if name == "negative_binomial":
        mean, r = parameters[..., 0], 1 / parameters[..., 1]
        counted = lgamma(y + r) - lgamma(r) - lgamma(y + 1)
        return counted + r * np.log(r / (r + mean)) + y * np.log(mean / (r + mean))
    weights, means, deviations = np.split(parameters, 3, axis=-1)
    each = np.log(weights) + _log_normal(y[..., None], means, deviations)
    top = each.max(-1)
    return top + np.log(np.exp(each - top[..., None]).sum(-1))


def cdf(name: DistributionName, parameters: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The probability of at most y. Args: as of `log_prob`."""
    if name == "normal":
        return _normal_cdf((y - parameters[..., 0]) / parameters[..., 1])
    if name == "student_t":
        location, spread, freedom = np.moveaxis(parameters, -1, 0)
        z = (y - location) / spread
        tail = incomplete_beta(freedom / 2, 0.5, freedom / (freedom + z * z)) / 2
        return np.where(z > 0, 1 - tail, tail)
    if name == "negative_binomial":
        mean, r = parameters[..., 0], 1 / parameters[..., 1]
        found = incomplete_beta(r, np.maximum(np.floor(y), 0) + 1, r / (r + mean))
        return np.where(y < 0, 0.0, found)
    weights, means, deviations = np.split(parameters, 3, axis=-1)
    return (weights * _normal_cdf((y[..., None] - means) / deviations)).sum(-1)


def mean(name: DistributionName, parameters: np.ndarray) -> np.ndarray:
    """What is expected, […]."""
    if name == "mixture":
        weights, means, _ = np.split(parameters, 3, axis=-1)
        return (weights * means).sum(-1)
    return parameters[..., 0]


def quantiles(name: DistributionName, parameters: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """[…, Q]: below which y lies with the probability of each level; of counts the least that is not above it."""
    from statistics import NormalDist  # here: with what it imports it takes longer than the rest of a runtime's start

    found = []
    for level in levels:
        if name == "normal":
            found.append(parameters[..., 0] + parameters[..., 1] * NormalDist().inv_cdf(level))
        elif name == "student_t":
            found.append(_student_quantile(parameters, NormalDist().inv_cdf(level), level))
        elif name == "negative_binomial":
            found.append(_least_count(parameters, level))
        else:
            found.append(_halved(parameters, level))
    return np.stack(found, -1)


def draw(name: DistributionName, parameters: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A random y of each, […]."""
    if name == "negative_binomial":
        r = 1 / parameters[..., 1]
        return generator.poisson(generator.gamma(r) * parameters[..., 0] / r).astype(np.float64)
    if name == "student_t":
        return parameters[..., 0] + parameters[..., 1] * generator.standard_t(parameters[..., 2])
    z = generator.standard_normal(parameters.shape[:-1])
    if name == "normal":
        return parameters[..., 0] + parameters[..., 1] * z
    weights, means, deviations = np.split(parameters, 3, axis=-1)
    which = (generator.random(z.shape)[..., None] > weights.cumsum(-1)[..., :-1]).sum(-1)[..., None]
    return (np.take_along_axis(means, which, -1) + np.take_along_axis(deviations, which, -1) * z[..., None])[..., 0]


def lgamma(x: np.ndarray) -> np.ndarray:
    """log Γ(x), float64."""
    return np.asarray(_log_gamma(x), np.float64)


def incomplete_beta(a: np.ndarray, b: np.ndarray | float, x: np.ndarray) -> np.ndarray:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz's method).

    Source: Abramowitz and Stegun 1964, 26.5.8.
    """
    a, b, x = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64), np.asarray(x, np.float64))
    is_far = x > (a + 1) / (a + b + 2)  # there the fraction of 1 − I_{1−x}(b, a) is the quicker one
    a, b, x = np.where(is_far, b, a), np.where(is_far, a, b), np.where(is_far, 1 - x, x)
    with np.errstate(divide="ignore"):
        front = np.exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * np.log(x) + b * np.log1p(-x)) / a
    tiny = 1e-300
    c, d = np.ones_like(x), 1 - (a + b) * x / (a + 1)
    d = 1 / np.where(np.abs(d) < tiny, tiny, d)
    found, is_open = d, np.ones(d.shape, bool)
    for m in range(1, 300):
        for top in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                    -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):  # fmt: skip
            d, c = 1 + top * d, 1 + top / c
            d, c = 1 / np.where(np.abs(d) < tiny, tiny, d), np.where(np.abs(c) < tiny, tiny, c)
            found = np.where(is_open, found * d * c, found)
        is_open &= np.abs(d * c - 1) >= 1e-14
        if not is_open.any():
            break
    return np.where(is_far, 1 - front * found, front * found)


def _log_normal(y: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    return -(((y - mean) / deviation) ** 2) / 2 - np.log(deviation) - math.log(2 * math.pi) / 2


def _normal_cdf(z: np.ndarray) -> np.ndarray:
    return (1 + np.asarray(_erf(z / math.sqrt(2)), np.float64)) / 2


def _student_quantile(parameters: np.ndarray, normal: float, level: float) -> np.ndarray:
    """By Newton's steps from the normal quantile, which is nearer to the middle: from there they never go too far."""
    location, spread, freedom = np.moveaxis(parameters, -1, 0)
    standard = np.stack([np.zeros_like(freedom), np.ones_like(freedom), freedom], -1)
    z = np.full_like(freedom, normal)
    is_open = np.ones(z.shape, bool)  # each stops for itself: its bits do not depend on the others
    for _ in range(_HALVINGS):
        step = (level - cdf("student_t", standard, z)) / np.exp(log_prob("student_t", standard, z))
        z = np.where(is_open, z + step, z)
        is_open &= np.abs(step) >= 1e-10
        if not is_open.any():
            break
    return location + spread * z


def _halved(parameters: np.ndarray, level: float) -> np.ndarray:
    """Where the distribution function of a mixture reaches a level."""
    _, means, deviations = np.split(parameters, 3, axis=-1)
    middle, reach = means.mean(-1), np.ptp(means, axis=-1) + deviations.max(-1)
    is_above = _above("mixture", parameters, level)
    low, high = middle - reach, middle + reach
    for _ in range(200):
        if not (wrong := is_above(low)).any():
            break
        low = np.where(wrong, middle - 2 * (middle - low), low)
    for _ in range(200):
        if not (wrong := ~is_above(high)).any():
            break
        high = np.where(wrong, middle + 2 * (high - middle), high)
    for _ in range(_HALVINGS):
        half = (low + high) / 2
        above = is_above(half)
        low, high = np.where(above, low, half), np.where(above, half, high)
    return (low + high) / 2


def _least_count(parameters: np.ndarray, level: float) -> np.ndarray:
    is_above = _above("negative_binomial", parameters, level)
    low, high = np.full(parameters.shape[:-1], -1.0), np.maximum(np.ceil(parameters[..., 0]), 1.0)
    while (wrong := ~is_above(high)).any():
        low, high = np.where(wrong, high, low), np.where(wrong, 2 * high, high)
    while (high - low > 1).any():
        half = np.floor((low + high) / 2)
        above = is_above(half)
        low, high = np.where(above, low, half), np.where(above, half, high)
    return high


def _above(name: DistributionName, parameters: np.ndarray, level: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda y: cdf(name, parameters, y) >= level
