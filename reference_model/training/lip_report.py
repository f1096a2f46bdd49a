"""How well lips follow speech that the network has not heard, measured on the deformed surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["LipReport", "lip_report"]

_CLOSED_MM = 1.0
_OPEN_MM = 3.0
_REACH_FRAMES = 1
_FALSE_CLOSURE_ALLOWED = 0.10


@dataclass(frozen=True, slots=True)
class LipReport:
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

    def __str__(self) -> str:
        return (
            f"gap r {self.gap_r:.3f}, error {self.gap_error_mm:.2f} mm, closure recall {self.closure_recall:.3f} "
            f"at {self.false_closure:.3f} false, {self.recall_at_tenth:.3f} at 0.100 false "
            f"({self.n_closures} closures)"
        )


def lip_report(predicted: list[np.ndarray], wanted: list[np.ndarray], closure: list[np.ndarray]) -> LipReport:
    """Compare lip gaps.

    Args:
        predicted: Gap of each crop, metres, [T].
        wanted: The animator's gap, metres, [T].
        closure: The lips have to be shut, [T] bool.

    Returns:
        The figures; a crop whose wanted gap does not move counts in none of the correlations.
    """
    correlations = [
        float(np.corrcoef(p, w)[0, 1]) if p.std() > 1e-6 else 0.0
        for p, w in zip(predicted, wanted, strict=True)
        if w.std() > 1e-4
    ]
    lowest = np.concatenate([_lowest_gap(p, c) for p, c in zip(predicted, closure, strict=True)]) * 1e3
    gap, target = np.concatenate(predicted) * 1e3, np.concatenate(wanted) * 1e3
    opened = gap[target > _OPEN_MM]
    threshold = np.quantile(opened, _FALSE_CLOSURE_ALLOWED) if len(opened) else np.nan
    return LipReport(
        gap_r=float(np.mean(correlations)) if correlations else float("nan"),
        gap_error_mm=float(np.abs(gap - target).mean()),
        closure_recall=float((lowest <= _CLOSED_MM).mean()) if len(lowest) else float("nan"),
        false_closure=float((opened <= _CLOSED_MM).mean()) if len(opened) else float("nan"),
        recall_at_tenth=float((lowest <= threshold).mean()) if len(lowest) else float("nan"),
        n_closures=len(lowest),
    )


def _lowest_gap(gap: np.ndarray, closure: np.ndarray) -> np.ndarray:
    """Smallest gap in and around each closure, [closures]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], closure.astype(np.int8), [0]])))
    spans = edges.reshape(-1, 2)
    return np.array([gap[max(0, a - _REACH_FRAMES) : b + _REACH_FRAMES].min() for a, b in spans])
