"""The stage "filters": is there one face, are the hands in sight, do lips and sound agree, does skin stay under cloth?

Measured on the encoded clip with the detectors of `media`, beside the truth. The detectors find flat mannequins as well
as people, so passing says that labels and pictures agree, not that a clip looks real.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from media.audio import load_audio
from media.landmarks import FaceMesh, HandDetector
from media.video import read_frames
from reference_model.corpus.pipeline.clip_keys import attempt_of, filter_key, filter_records
from reference_model.corpus.pipeline.content_cache import write_json
from reference_model.corpus.pipeline.plan import FPS, Corpus
from reference_model.corpus.pipeline.speech import load_speech
from reference_model.corpus.pipeline.truth import ClipFacts, clip_facts
from reference_model.corpus.speech.synthesis import SAMPLE_RATE

__all__ = ["THRESHOLDS", "Thresholds", "best_shift", "face_exposure", "judge", "loudness", "make_filters"]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Limits of a clip that passes."""

    most_shift_frames: int = 2
    """Sound against picture; the issue's bound. Viewers notice from about 3 frames (ITU-R BT.1359: +45/-125 ms)."""
    least_lip_correlation: float = 0.5
    """Of detected and true lip gap at the best shift; below it the shift says nothing."""
    least_hands_share: float = 0.4
    """Of sampled frames in which both hands are in the picture: those in which both are detected. The detector finds
    both on 0.70 to 0.78 of good pictures of people, and a clip has few samples."""
    least_hand_px: float = 24.0
    """Wrist to middle finger tip; smaller hands, as in full-body pictures, are not asked for."""
    most_poke_share: float = 0.002
    """Of the pixels of cloth: pixels of skin that cloth should cover."""
    face_luminance: tuple[float, float] = (0.06, 0.62)
    """Mean linear luminance of the face from forehead to chin, darkest to lightest skin."""
    most_clipped_share: float = 0.05
    """Of the face's pixels at 250 or more in all channels."""


THRESHOLDS = Thresholds()

_SAMPLED = 5
"""Frames looked at for faces, hands, exposure and cloth."""
_SCANNED = 75
"""Frames in a row whose lips are followed: 3 s."""
_WIDEST_SHIFT = 6
_INNER_LIPS, _FOREHEAD, _CHIN = (13, 14), 10, 152  # points of the mediapipe face mesh


def make_filters(corpus: Corpus, clips: Sequence[str], advance: Callable[[str], None]) -> None:
    """Judge the current attempt of some clips and write `filters/CLIP.json`, one entry an attempt."""
    (corpus.folder / "filters").mkdir(exist_ok=True)
    with FaceMesh() as faces, HandDetector() as hands:
        for clip in clips:
            attempt = attempt_of(corpus, clip)
            measures = _measure(corpus, clip, faces, hands)
            reasons = judge(measures)
            record = {"attempt": attempt, "key": filter_key(corpus, clip, attempt), "passed": not reasons}
            records = [
                *filter_records(corpus, clip)[:attempt],
                record | {"reasons": reasons, "measures": measures},
            ]
            write_json(corpus.path("filters", clip, "json"), records)
            advance(clip)


def _measure(corpus: Corpus, clip: str, faces: FaceMesh, hands: HandDetector) -> dict[str, Any]:
    path = corpus.path("clips", clip, "mp4")
    frames = list(read_frames(path))
    facts = None if corpus.spec.video_command else clip_facts(corpus, clip)
    chosen = np.linspace(0, len(frames) - 1, _SAMPLED).round().astype(int)
    n_faces, both, shown, light, clipped = [], 0, 0, [], []
    for index in chosen:
        n_faces.append(len(faces.confirmed_faces(frames[index])))
        if facts is None or facts.hand_px[index] >= THRESHOLDS.least_hand_px:
            shown += 1
            both += len(hands.detect(frames[index])) == 2
        points = faces.detect(frames[index])
        if points is not None:
            luminance, share = face_exposure(frames[index], points)
            light.append(luminance)
            clipped.append(share)
    gaps = _lip_gaps(frames[:_SCANNED], faces)
    speech = load_speech(corpus, clip).samples
    wanted = loudness(speech, len(gaps)) if facts is None else facts.lip_gap_mm[: len(gaps)]
    lip_shift, correlation = best_shift(gaps, wanted, _WIDEST_SHIFT)
    sound_shift, _ = best_shift(
        loudness(load_audio(path), len(frames)), loudness(speech, len(frames)), _WIDEST_SHIFT
    )
    return {
        "faces": n_faces,
        "hands_frames": shown,
        "hands_share": round(both / shown, 3) if shown else None,
        "lip_correlation": round(correlation, 3),
        "shift_frames": sound_shift - lip_shift,
        "face_luminance": round(float(np.mean(light)), 4) if light else None,
        "clipped_share": round(float(np.mean(clipped)), 4) if clipped else None,
        "poke_share": None if facts is None else round(_poke(facts, chosen), 5),
    }


def _poke(facts: ClipFacts, chosen: np.ndarray) -> float:
    return max(facts.poke_share(int(index)) for index in chosen[1::2])


def judge(measures: dict[str, Any], thresholds: Thresholds = THRESHOLDS) -> list[str]:
    """Why a clip is rejected; empty where it passes.

    Args:
        measures: faces (count in each sampled frame), hands_frames, hands_share, lip_correlation, shift_frames,
            face_luminance, clipped_share, poke_share; None where a thing was not measured.
        thresholds: The limits.
    """
    low, high = thresholds.face_luminance
    luminance, clipped = measures["face_luminance"], measures["clipped_share"]
    hands, poke = measures["hands_share"], measures["poke_share"]
    failed = {
        "not exactly one face": any(count != 1 for count in measures["faces"]),
        "hands not found": hands is not None and hands < thresholds.least_hands_share,
        "lips do not follow": measures["lip_correlation"] < thresholds.least_lip_correlation,
        "sound and picture apart": abs(measures["shift_frames"]) > thresholds.most_shift_frames,
        "face too dark or too light": luminance is not None and not low <= luminance <= high,
        "face burnt out": clipped is not None and clipped > thresholds.most_clipped_share,
        "skin pokes through cloth": poke is not None and poke > thresholds.most_poke_share,
    }
    return [reason for reason, is_true in failed.items() if is_true]


def _lip_gaps(frames: Sequence[np.ndarray], faces: FaceMesh) -> np.ndarray:
    """Inner-lip gap in face heights, [T]; the value before where no face is found."""
    gaps = np.zeros(len(frames))
    for index, frame in enumerate(frames):
        points = faces.detect(frame)
        if points is None:
            gaps[index] = gaps[index - 1] if index else 0.0
            continue
        upper, lower, top, chin = (points[i, :2] for i in (*_INNER_LIPS, _FOREHEAD, _CHIN))
        gaps[index] = np.linalg.norm(upper - lower) / np.linalg.norm(top - chin)
    return gaps


def best_shift(measured: np.ndarray, wanted: np.ndarray, widest: int) -> tuple[int, float]:
    """How many frames later `measured` is than `wanted`, by the highest correlation.

    Args:
        measured: [T].
        wanted: [T] or longer.
        widest: Shifts of at most so many frames are tried.

    Returns:
        Shift in frames (positive: `measured` is late) and the correlation there; (0, 0.0) where one is constant.
    """
    n = len(measured)
    scores = {}
    for shift in range(-widest, widest + 1):
        first, last = max(0, shift), n + min(0, shift)
        a, b = measured[first:last], wanted[first - shift : last - shift]
        usable = a.std() > 1e-9 and b.std() > 1e-9
        scores[shift] = float(np.corrcoef(a, b)[0, 1]) if usable else 0.0
    best = max(scores, key=lambda shift: (scores[shift], -abs(shift)))
    return (best, scores[best]) if scores[best] > 0 else (0, 0.0)


def loudness(samples: np.ndarray, n_frames: int) -> np.ndarray:
    """Root mean square of the sound during each frame, [n_frames]."""
    length = SAMPLE_RATE // FPS
    padded = np.pad(samples, (0, max(0, n_frames * length - len(samples))))[: n_frames * length]
    return np.sqrt((padded.reshape(n_frames, length) ** 2).mean(1))


def face_exposure(picture: np.ndarray, points: np.ndarray) -> tuple[float, float]:
    """Light on a face.

    Args:
        picture: [H, W, 3] uint8 sRGB.
        points: Face-mesh landmarks, [468 or more, 2 or more] px.

    Returns:
        Mean linear luminance in the hull of the landmarks, 0 to 1, and the share of burnt-out pixels.
    """
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(points[:468, :2].round().astype(np.int32)), (1,))
    face = picture[mask > 0].astype(np.float64)
    if not len(face):
        return 0.0, 0.0
    srgb = face / 255
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    return float((light @ np.array([0.2126, 0.7152, 0.0722])).mean()), float((face.min(1) >= 250).mean())
