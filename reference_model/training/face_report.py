"""How well lips follow speech that the network has not heard, and whether it blinks, on the deformed surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = ["FaceCurves", "FaceReport", "face_report"]

_CLOSED_MM = 1.0
_OPEN_MM = 3.0
_REACH_FRAMES = 1
_FALSE_CLOSURE_ALLOWED = 0.10
_LIDS_DOWN = 0.6  # of the lowest that the animator's lids go


class FaceCurves(NamedTuple):
    """A crop of T pictures, predicted or wanted."""

    gap: np.ndarray
    """Gap of the lips, metres, [T]."""
    lid_drop: np.ndarray
    """How far the upper lids stand below their place in the photo, metres, [T]."""


@dataclass(frozen=True, slots=True)
class FaceReport:
    """Figures over all held-out crops."""

    gap_r: float
    """Mean over crops of the correlation of predicted and wanted gap, lag 0."""
    gap_error_mm: float
    """Mean absolute error of the gap."""
    closure_recall: float
    """Share of closures with a frame (within one of it) whose gap is at most 1 mm."""
    false_closure: float
    """Share of frames wanted open (over 3 mm) whose gap is at most 1 mm."""
    recall_at_tenth: float
    """Recall at the threshold that shuts a tenth of the open frames."""
    n_closures: int
    blink_depth: float
    """How far the lids come down where the animator's are down, over how far his do."""

    def __str__(self) -> str:
        return (
            f"gap r {self.gap_r:.3f}, error {self.gap_error_mm:.2f} mm, closure recall {self.closure_recall:.3f} "
            f"at {self.false_closure:.3f} false, {self.recall_at_tenth:.3f} at 0.100 false "
            f"({self.n_closures} closures), blinks {self.blink_depth:.2f} deep"
        )


def face_report(
    predicted: list[FaceCurves], wanted: list[FaceCurves], closure: list[np.ndarray]
) -> FaceReport:
    """Compare lip gaps and lids.

    Args:
        predicted: The network's crops.
        wanted: The animator's.
        closure: The lips have to be shut, [T] bool for each crop.

    Returns:
        The figures; a crop whose wanted gap does not move counts in none of the correlations.
    """
    correlations = [
        float(np.corrcoef(p.gap, w.gap)[0, 1]) if p.gap.std() > 1e-6 else 0.0
        for p, w in zip(predicted, wanted, strict=True)
        if w.gap.std() > 1e-4
    ]
    lowest = np.concatenate([_lowest_gap(p.gap, c) for p, c in zip(predicted, closure, strict=True)]) * 1e3
    gap, target = (np.concatenate([crop.gap for crop in crops]) * 1e3 for crops in (predicted, wanted))
    opened = gap[target > _OPEN_MM]
    threshold = np.quantile(opened, _FALSE_CLOSURE_ALLOWED) if len(opened) else np.nan
    drop, wanted_drop = (np.concatenate([crop.lid_drop for crop in crops]) for crops in (predicted, wanted))
    down = wanted_drop > max(_LIDS_DOWN * wanted_drop.max(), 1e-4)
    return FaceReport(
        gap_r=float(np.mean(correlations)) if correlations else float("nan"),
        gap_error_mm=float(np.abs(gap - target).mean()),
        closure_recall=float((lowest <= _CLOSED_MM).mean()) if len(lowest) else float("nan"),
        false_closure=float((opened <= _CLOSED_MM).mean()) if len(opened) else float("nan"),
        recall_at_tenth=float((lowest <= threshold).mean()) if len(lowest) else float("nan"),
        n_closures=len(lowest),
        blink_depth=float(drop[down].mean() / wanted_drop[down].mean()) if down.any() else float("nan"),
    )


def _lowest_gap(gap: np.ndarray, closure: np.ndarray) -> np.ndarray:
    """Smallest gap in and around each closure, [closures]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], closure.astype(np.int8), [0]])))
    spans = edges.reshape(-1, 2)
    return np.array([gap[max(0, a - _REACH_FRAMES) : b + _REACH_FRAMES].min() for a, b in spans])
