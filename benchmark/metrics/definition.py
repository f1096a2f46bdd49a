"""What a metric is: data, one function of a sample's observations, and one reduction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["Arrays", "Direction", "Measurement", "Metric", "Observations", "Reason", "Status"]

Arrays = Mapping[str, np.ndarray]
"""The arrays that one extractor wrote."""

Direction = Literal["higher", "lower", "none"]
Status = Literal["ok", "undetected", "failed", "not_applicable"]
Reason = Literal[
    "no_face",
    "no_reference_face",
    "no_hands",
    "silent",
    "too_short",
    "length_mismatch",
    "aspect_mismatch",
    "weights_missing",
    "decode",
    "crash",
    "identical",
]


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
    """`dB`, `px`, `px^2`, or `1` for a pure number."""
    low: float
    """Smallest possible value."""
    high: float
    """Largest possible value."""
    direction: Direction
    """Which way is better; `none` is never ranked."""
    kind: Literal["sample", "set"]
    """Whether one sample has a value or only a whole set of samples."""
    needs: tuple[str, ...]
    """Ids of the extractors whose arrays it reads."""
    on_miss: Literal["excluded", "zero"]
    """What is not found is left out and lowers the coverage, or counts 0."""
    map: Callable[[Observations], Measurement]
    """The value of one sample."""
    reduce: Callable[[Mapping[str, list[float]]], float]
    """The value of the data set, from the values of the samples by identity."""
