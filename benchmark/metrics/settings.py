"""The numbers that decide the paper's metrics beside the video rule, as the code has them.

A protocol may state them for its readers, and is refused where it states another number than the code uses. What
changes a value raises the metric's version all the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.face_tracks import CANONICAL
from benchmark.identity import CROP_SIDE, DETECTION_SIDE, SCORE_THRESHOLD
from benchmark.metrics.hands import MIN_PRESENCE, REFERENCE_SIDE
from benchmark.metrics.sync import MAX_SHIFT
from benchmark.paper_networks import FRAME_STEP, WINDOW
from benchmark.qalign import LEVEL_SCORES, PAD_COLOUR, SIDE

__all__ = ["SETTINGS", "Setting"]

Setting = int | float | str | tuple[float, ...]

_QALIGN: dict[str, Setting] = {
    "frames_a_second": 1,
    "side": SIDE,
    "pad_colour": PAD_COLOUR,
    "level_scores": LEVEL_SCORES,
}
_SYNC: dict[str, Setting] = {
    "face_scale": CANONICAL.scale,
    "min_faces": CANONICAL.min_found,
    "min_face_px": CANONICAL.min_side,
    "max_shift": MAX_SHIFT,
}
_FACE: dict[str, Setting] = {
    "detection_side": DETECTION_SIDE,
    "detection_score": SCORE_THRESHOLD,
    "crop_side": CROP_SIDE,
}
_KEYPOINTS: dict[str, Setting] = {"short_side": REFERENCE_SIDE, "min_found": MIN_PRESENCE}

SETTINGS: Mapping[str, Mapping[str, Setting]] = {
    "iqa": _QALIGN | {"word": "quality"},
    "ase": _QALIGN | {"word": "aesthetics"},
    **dict.fromkeys(("sync_c", "sync_d", "sync_offset"), _SYNC),
    **dict.fromkeys(("csim", "csim_strict"), _FACE),
    **dict.fromkeys(("akd_hand_mp", "akd_face_mp", "hkv_std", "hkv_var"), _KEYPOINTS),
    **{key: {"every_nth_frame": FRAME_STEP} for key in ("fid", "kid")},
    **{key: {"window_frames": WINDOW} for key in ("fvd_sgv16", "kvd_sgv16")},
}
"""By metric id."""
