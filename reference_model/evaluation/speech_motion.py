"""Do lips, hands, lids and head move as the animator's do, for people and sentences that no training has seen?

`avatar evaluate-motion --corpus DIR` compares the model with the truth of a made corpus, whose motion alone is needed;
`--clips` compares the lips with those of real talkers. Truth and model go through the same measures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from media.errors import AvatarBenchError
from reference_model.corpus.pipeline.plan import Corpus
from reference_model.evaluation.curves import lag_correlation, shift_control, travel_per_second
from reference_model.evaluation.surface_motion import BodyShape, MotionCurves, SurfaceMotion
from reference_model.innovations import sample_innovations
from reference_model.training.face_report import FaceCurves, face_report
from reference_model.training.regularisers import fast_power

__all__ = ["blink_count", "evaluate_clips", "evaluate_corpus", "nearest_apexes", "stroke_ends"]

FPS = 25
_LIDS_DOWN = 0.5  # of a full blink
_FULL_BLINK_M = 0.006
_STROKE_M_S = 0.20
"""A wrist that is slower makes no stroke."""
_CHANCE_SHIFTS = 20


def stroke_ends(wrist: np.ndarray, fps: float = FPS) -> np.ndarray:
    """When strokes of a wrist end: a quarter of the speed is left after a peak of more than `_STROKE_M_S`.

    Args:
        wrist: [T, 3] metres.
        fps: Frames a second.

    Returns:
        Seconds, [apexes].
    """
    speed = np.linalg.norm(np.diff(wrist, axis=0), axis=-1) * fps  # [T - 1], between pictures
    ends, peak = [], 0.0
    for t in range(len(speed)):
        peak = max(peak, speed[t])
        if peak > _STROKE_M_S and speed[t] < 0.25 * peak:
            ends.append((t + 0.5) / fps)
            peak = 0.0
    return np.array(ends)


def nearest_apexes(onsets: Sequence[float] | np.ndarray, apexes: np.ndarray) -> np.ndarray:
    """Seconds from each stressed onset to the nearest apex, [onsets]; infinite where there is none."""
    if not len(apexes):
        return np.full(len(onsets), np.inf)
    return np.abs(np.asarray(onsets)[:, None] - apexes[None]).min(1)


def blink_count(lid_drop: np.ndarray) -> int:
    """How often the lids go down by more than half of a full blink."""
    down = np.concatenate([[False], lid_drop > _LIDS_DOWN * _FULL_BLINK_M])
    return int((down[1:] & ~down[:-1]).sum())


def evaluate_corpus(
    motion: SurfaceMotion, corpus: Corpus, advance: Callable[[str], None] = lambda _: None
) -> dict[str, float]:
    """Figures over all clips of a made corpus; see `docs/training.md` for what each means.

    Args:
        motion: The model.
        corpus: Its stages up to motion must stand.
        advance: Called with each finished clip.

    Raises:
        AvatarBenchError: E407, a stage is missing.
    """
    clips = [_Clip(motion, corpus, clip) for clip in corpus.clips]
    clips = [clip for clip in clips if clip.load(advance)]
    n = len(clips)
    lips = motion.lips
    errors = {"true": [], "shuffled": [], "silent": []}
    for index, clip in enumerate(clips):
        other = next(  # another person's sound
            (clips[(index + k) % n] for k in range(1, n) if clips[(index + k) % n].person != clip.person), clip
        )  # fmt: skip
        sounds = {"true": None, "shuffled": other.samples, "silent": np.zeros_like(clip.samples)}
        for name, samples in sounds.items():
            found = clip.found if samples is None else clip.driven(samples)
            error = np.linalg.norm((found.face - clip.truth.face)[:, lips], axis=-1)
            errors[name].append(1000 * float(error.mean()))
        advance(f"{clip.name} sounds")
    report = face_report(
        [FaceCurves(clip.found.gap, clip.found.lid_drop) for clip in clips],
        [FaceCurves(clip.truth.gap, clip.truth.lid_drop) for clip in clips],
        [clip.closed for clip in clips],
    )
    mean = {name: float(np.mean(values)) for name, values in errors.items()}
    figures: dict[str, float] = {
        "clips": float(n),
        "lip_error_mm": mean["true"],
        "lip_error_shuffled_mm": mean["shuffled"],
        "lip_error_silent_mm": mean["silent"],
        "lip_error_true_over_shuffled": mean["true"] / mean["shuffled"],
        "lip_error_true_over_silent": mean["true"] / mean["silent"],
        "lip_gap_r": report.gap_r,
        "closure_recall": report.closure_recall,
        "false_closure": report.false_closure,
        "closures": float(report.n_closures),
    }
    return figures | _apex_figures(clips) | _statistics(motion, clips)


class _Clip:
    """One clip of a corpus, true and as the model does it."""

    def __init__(self, motion: SurfaceMotion, corpus: Corpus, name: str) -> None:
        self.name, self.person = name, corpus.clips[name].person
        self._motion, self._corpus = motion, corpus

    def load(self, advance: Callable[[str], None]) -> bool:
        from reference_model.corpus.motion.motion_file import load_motion
        from reference_model.corpus.people.arm_pose import solve_arms
        from reference_model.corpus.people.person import read_body
        from reference_model.corpus.pipeline.speech import load_speech
        from reference_model.corpus.speech.visemes import closed_pictures, lip_tracks

        corpus = self._corpus
        path = corpus.path("motion", self.name, "npz")
        if not path.is_file():
            raise AvatarBenchError(
                "E407", "the corpus lacks the stage motion", where=corpus.folder,
                fix=f"avatar corpus create --out {corpus.folder} --stage motion, with the corpus's other options",
            )  # fmt: skip
        told = corpus.read_json("motion", self.name)
        self.events = told["events"]
        utterance = load_speech(corpus, self.name)
        look, body, _ = read_body(corpus.path("people", self.person, "npz"))
        rest = solve_arms(_template(), body.joints, look.arms)
        done = load_motion(path)
        # As in the benchmark: the avatar is made of the clip's first picture, and stands in its expression.
        self._body = BodyShape(body.vertices, body.joints, rest, done.actions[0])
        n = len(done.actions)
        self.samples = utterance.samples
        self._innovations = sample_innovations(n, told["seed"], FPS)
        self.closed = closed_pictures(lip_tracks(utterance.padded(0.0, 1.0)), n)
        self.truth = self._motion.of_actions(done.actions, done.rotations, self._body)
        self.found = self.driven(self.samples)
        advance(self.name)
        return True

    def driven(self, samples: np.ndarray) -> MotionCurves:
        """The model's motion for some sound, with the clip's own innovations and person."""
        return self._motion.of_speech(samples, self._innovations, self._body)


def _template() -> Any:
    from reference_model.body.template import load_template

    return load_template()


def _apex_figures(clips: Sequence[_Clip]) -> dict[str, float]:
    """Apexes of the model's and the animator's wrists against the stressed onsets that true gestures belong to."""
    rng = np.random.default_rng(0)
    found, true, chance = [], [], []
    for clip in clips:
        onsets = [
            gesture["onset_s"] for gesture in clip.events["gestures"] if gesture.get("onset_s") is not None
        ]
        if not onsets:
            continue
        length = len(clip.found.gap) / FPS
        ours = _apexes(clip.found)
        found.append(nearest_apexes(onsets, ours))
        true.append(nearest_apexes(onsets, _apexes(clip.truth)))
        shifted = (np.asarray(onsets)[None] + rng.uniform(0.3, length - 0.3, (_CHANCE_SHIFTS, 1))) % length
        chance.append(nearest_apexes(shifted.ravel(), ours))
    if not found:
        return {}
    return {
        "gestures": float(sum(map(len, found))),
        "apex_median_s": float(np.median(np.concatenate(found))),
        "apex_median_truth_s": float(np.median(np.concatenate(true))),
        "apex_median_chance_s": float(np.median(np.concatenate(chance))),
    }


def _apexes(curves: MotionCurves) -> np.ndarray:
    return np.concatenate([stroke_ends(curves.wrists[:, side]) for side in range(2)])


def _statistics(motion: SurfaceMotion, clips: Sequence[_Clip]) -> dict[str, float]:
    """How much moves, ours over the truth's."""
    seconds = sum(len(clip.found.gap) for clip in clips) / FPS
    blinks = [
        sum(blink_count(getattr(clip, which).lid_drop) for clip in clips) for which in ("found", "truth")
    ]
    calm, figures = motion.calm, {}
    for name, points in (("head", lambda c: c.head), ("wrist", lambda c: c.wrists[:, 0])):
        ours, true = (
            float(np.mean([_travel(points(getattr(clip, which))) for clip in clips])) for which in ("found", "truth")
        )  # fmt: skip
        figures |= {f"{name}_travel_m_s": ours, f"{name}_travel_over_truth": ours / max(true, 1e-9)}
    power = {}
    for which in ("found", "truth"):
        face = [_fast(getattr(clip, which).face[:, calm]) for clip in clips]
        wrists = [_fast(getattr(clip, which).wrists) for clip in clips]
        power[which] = (float(np.mean(face)), float(np.mean(wrists)))
    return {
        "blinks_per_minute": blinks[0] / seconds * 60,
        "blinks_over_truth": blinks[0] / max(1, blinks[1]),
        **figures,
        "face_power_over_10hz_mm2": power["found"][0],
        "face_power_over_truth": power["found"][0] / max(power["truth"][0], 1e-12),
        "wrist_power_over_10hz_mm2": power["found"][1],
        "wrist_power_over_truth": power["found"][1] / max(power["truth"][1], 1e-12),
    }


def _travel(points: np.ndarray) -> float:
    return travel_per_second(points, 1.0, FPS)


def _fast(points: np.ndarray) -> float:
    """Mean power above 10 Hz of points [T, n, 3] metres, mm^2 summed over the axes."""
    return float(fast_power(torch.from_numpy(1000 * points)[None].double(), FPS).sum(-1).mean())


def evaluate_clips(motion: SurfaceMotion, clips: Sequence[Path], seeds: int = 3) -> dict[str, Any]:
    """The model's lip gap against that of real people who say the same, as a detector sees them.

    Args:
        motion: The model, on the mean face: no avatar is drawn.
        clips: Videos with sound.
        seeds: Performances that are averaged.

    Returns:
        For each clip and for the mean over clips: r at the best lag within two pictures, the lag, and the 99th
        percentile of the same statistic over 200 circular shifts.
    """
    from media.audio import load_audio
    from media.video import read_frames
    from reference_model.evaluation.tracking import face_curves, fill_gaps

    rows: dict[str, Any] = {}
    chances = []
    for clip in clips:
        real = fill_gaps(face_curves(read_frames(clip, fps=FPS)).lip_gap)
        samples = load_audio(clip)
        gaps = [
            motion.of_speech(samples, sample_innovations(len(real), seed, FPS)).gap for seed in range(seeds)
        ]
        gap = np.maximum(np.mean(gaps, 0), 0.0)  # lips that overlap look shut
        best, chance = lag_correlation(gap, real), shift_control(gap, real)
        chances.append(chance)
        rows[clip.name] = {
            "r": best.r, "lag_frames": best.lag_frames, "chance_99": float(np.quantile(chance, 0.99)),
        }  # fmt: skip
    mean = float(np.mean([row["r"] for row in rows.values()]))
    rows["mean"] = {"r": mean, "chance_99": float(np.quantile(np.mean(chances, 0), 0.99))}
    return rows
