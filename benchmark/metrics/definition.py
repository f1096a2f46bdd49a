"""What a metric is: data and pure functions, of one sample (`Metric`) or of a whole set (`SetMetric`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

__all__ = [
    "Arrays",
    "Direction",
    "GroupDistance",
    "Measurement",
    "Metric",
    "Observations",
    "Reason",
    "SetMetric",
    "Status",
    "set_measurement",
]

Arrays = Mapping[str, np.ndarray]
"""The arrays that one extractor wrote."""

Direction = Literal["higher", "lower", "none"]
Status = Literal["ok", "undetected", "failed", "not_applicable"]
Reason = Literal[
    "no_face",
    "no_reference_face",
    "no_hands",
    "no_person",
    "silent",
    "too_short",
    "length_mismatch",
    "aspect_mismatch",
    "weights_missing",
    "decode",
    "crash",
    "identical",
    "not_finite",
    "no_other_clip",
    "not_supported",
    "set_only",
    "too_few",
]
"""Why there is no value. `set_only`: one sample has none, the whole set has one. `too_few`: the set is too small."""

GroupDistance = Callable[[Sequence[int], Sequence[int]], float]
"""Distance between two unions of groups of features, each a list of the groups' numbers."""


@dataclass(frozen=True, slots=True)
class Observations:
    """All that is known of one prediction, by extractor id."""

    prediction: Mapping[str, Arrays]
    """Of the generated video."""
    truth: Mapping[str, Arrays]
    """Of the true video."""
    pair: Mapping[str, Arrays]
    """Of both, frame by frame."""
    width: int
    """Pixels of both videos."""
    height: int
    """Pixels of both videos."""
    sound: Mapping[str, Arrays] = field(default_factory=dict)
    """Of the sound that the person speaks, the same for all methods."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric's outcome for one sample. Null only with a reason."""

    value: float | None
    n_valid: int
    """Frames or hands that the value rests on."""
    n_total: int
    """Frames or hands that were expected."""
    status: Status = "ok"
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as data."""

    id: str
    """Names the variant; never reused for another definition."""
    version: str
    """Raised when equal observations give another value."""
    column: str
    """Short name in tables."""
    variant: str
    """The definition in one line, shown below tables."""
    unit: str
    """`dB`, `px`, `px^2`, `frame`, or `1` for a pure number."""
    low: float
    """Smallest possible value."""
    high: float
    """Largest possible value."""
    direction: Direction
    """Which way is better; `none` is never ranked."""
    kind: Literal["sample"]
    """One sample has a value; see `SetMetric` for the others."""
    needs: tuple[str, ...]
    """Ids of the extractors whose arrays it reads."""
    on_miss: Literal["excluded", "zero"]
    """What is not found is left out and lowers the coverage, or counts 0."""
    map: Callable[[Observations], Measurement]
    """The value of one sample."""
    reduce: Callable[[Mapping[str, list[float]]], float]
    """The value of the data set, from the values of the samples by identity."""
    orders: tuple[tuple[str, str], ...] = ()
    """Pairs of rungs of the sanity ladder (better, worse) that the metric must tell apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMetric:
    """A metric of a whole set of samples as data: a distance between two clouds of features (FID, FVD, KID...)."""

    id: str
    """Names the variant; never reused for another definition."""
    version: str
    """Raised when equal observations give another value."""
    column: str
    """Short name in tables."""
    variant: str
    """The definition in one line, shown below tables."""
    unit: str
    """`1`, or what a distance is measured in."""
    low: float
    """Smallest possible value: 0 of a Frechet distance, minus infinity of an unbiased MMD^2."""
    high: float
    """Largest possible value."""
    direction: Direction
    """Which way is better; `none` is never ranked."""
    kind: Literal["set"] = "set"
    """Only a whole set of samples has a value."""
    needs: tuple[str, ...]
    """Ids of the extractors whose arrays `features` reads, of the generated and of the true video."""
    on_miss: Literal["excluded"] = "excluded"
    """A sample without features is left out and lowers the coverage."""
    features: Callable[[Mapping[str, Arrays]], np.ndarray]
    """From one clip's arrays by extractor id (`Observations.prediction`, or `.truth`) to [n, d], n may be 0."""
    distance: Callable[[np.ndarray, np.ndarray], float]
    """From [n, d] of a method and [m, d] of the truth to the value."""
    groups: Callable[[Sequence[np.ndarray]], GroupDistance] | None = None
    """The same distance for many unions of the same groups, where that is cheaper than one by one."""
    depends_on_n: bool
    """Whether the expected value changes with the number of features, as that of a Frechet distance does."""
    orders: tuple[tuple[str, str], ...] = ()
    """Pairs of rungs of the sanity ladder (better, worse) that the metric must tell apart."""


def set_measurement(prediction: np.ndarray, truth: np.ndarray) -> Measurement:
    """What the row of one sample says for a set metric: how many features it adds, and no value.

    Args:
        prediction: [n, d] features of the generated video.
        truth: [m, d] features of the true video.
    """
    n_valid, n_total = len(prediction), len(truth)
    if n_total == 0:
        return Measurement(None, 0, 0, "not_applicable", "too_short")
    if n_valid == 0:
        return Measurement(None, 0, n_total, "undetected", "too_few")
    return Measurement(None, n_valid, n_total, "ok", "set_only")
