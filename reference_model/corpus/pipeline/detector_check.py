"""What landmark detectors see of the made people, against the truth and beside photographs.

`python -m reference_model.corpus.pipeline.detector_check --corpus DIR --photos DIR` prints a table. A detector that
finds a face says that the labels agree with the picture; it does not say that the picture looks real.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from media.errors import AvatarBenchError
from media.image import load_image
from media.landmarks import BodyFinder, FaceMesh, HandDetector
from media.segmentation import PersonSegmenter
from media.video import read_frames
from reference_model.body.template import load_template
from reference_model.corpus.motion.truth import load_truth
from reference_model.corpus.pipeline.filters import THRESHOLDS, face_exposure
from reference_model.corpus.pipeline.plan import Corpus, open_corpus

__all__ = ["Seen", "detect", "main", "sample_clips", "table"]

_INNER_LIPS, _FOREHEAD, _CHIN = (13, 14), 10, 152
_ARM_POSE = (11, 12, 13, 14, 15, 16)  # BlazePose: shoulders, elbows, wrists, left before right
_ARM_KEYPOINTS = ("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist")


class Seen(NamedTuple):
    """What the detectors say of one picture."""

    n_faces: int
    lip_gap: float
    """Face heights; NaN without a face."""
    luminance: float
    """Mean linear luminance of the face; NaN without a face."""
    n_hands: int
    arms: np.ndarray | None
    """[6, 2] px: shoulders, elbows, wrists; None without a body."""
    mask: np.ndarray
    """[H, W] bool."""


class Sample(NamedTuple):
    """One picture of a made person with what is true about it."""

    person: str
    picture: np.ndarray
    alpha: np.ndarray  # [H, W] uint8
    lip_gap: float  # face heights
    arms: np.ndarray  # [6, 2] px
    hands_shown: bool


class Detectors:
    """All of them; a context manager."""

    def __init__(self) -> None:
        self.faces, self.hands = FaceMesh(), HandDetector()
        self.bodies, self.people = BodyFinder(), PersonSegmenter()

    def __enter__(self) -> Detectors:
        return self

    def __exit__(self, *given: object) -> None:
        for detector in (self.faces, self.hands, self.bodies, self.people):
            detector.__exit__(*given)


def detect(picture: np.ndarray, by: Detectors) -> Seen:
    """Run all detectors on a picture [H, W, 3] uint8 sRGB."""
    boxes, points = by.faces.confirmed_faces(picture), by.faces.detect(picture)
    gap = luminance = float("nan")
    if points is not None:
        upper, lower, top, chin = (points[i, :2] for i in (*_INNER_LIPS, _FOREHEAD, _CHIN))
        gap = float(np.linalg.norm(upper - lower) / np.linalg.norm(top - chin))
        luminance = face_exposure(picture, points)[0]
    body = by.bodies.find(picture, boxes[0] if boxes else None, [])
    arms = None if body is None else body.pose[list(_ARM_POSE), :2]
    mask = by.people.probability(picture) > 0.5
    return Seen(len(boxes), gap, luminance, len(by.hands.detect(picture)), arms, mask)


def sample_clips(corpus: Corpus, n_frames: int) -> Iterator[Sample]:
    """Frames spread evenly over the clips of a finished corpus, at another moment of each clip."""
    clips = sorted(corpus.clips)
    wanted: dict[str, list[float]] = defaultdict(list)
    for i in range(n_frames):
        wanted[clips[i % len(clips)]].append((i + 0.5) / n_frames)
    names = load_template().keypoint_names
    keypoints = [names.index(name) for name in _ARM_KEYPOINTS]
    for clip in clips:
        if not wanted[clip]:
            continue
        frames = list(read_frames(corpus.path("clips", clip, "mp4")))
        alphas = list(read_frames(corpus.path("alpha", clip, "mp4")))
        truth = load_truth(corpus.path("truth", clip, "npz"))
        for share in wanted[clip]:
            at = int(share * len(frames))
            size = np.ptp(truth.hands[at], axis=1).max(1)
            # not more: a hand hides some of its own points in every pose
            shown = truth.hands_visible[at].mean(1).min() > 0.75 and size.min() >= THRESHOLDS.least_hand_px
            yield Sample(
                corpus.clips[clip].person, frames[at], alphas[at][..., 0], float(truth.lip_gap[at]),
                truth.keypoints[at][keypoints], bool(shown),
            )  # fmt: skip


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def table(made: Sequence[tuple[Sample, Seen]], photos: Sequence[Seen]) -> str:
    """A Markdown table of what was found."""

    def share(values: Sequence[bool]) -> str:
        return f"{np.mean(values):.3f}" if len(values) else "-"

    def light(group: Sequence[Seen]) -> str:
        values = np.nanpercentile([seen.luminance for seen in group], [5, 50, 95])
        return " ".join(f"{value:.3f}" for value in values)

    shown = [seen for sample, seen in made if sample.hands_shown]
    errors = []
    by_person: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for sample, seen in made:
        if seen.arms is not None:
            width = np.linalg.norm(sample.arms[0] - sample.arms[1])
            errors.append(float(np.linalg.norm(seen.arms - sample.arms, axis=1).mean() / width))
        if np.isfinite(seen.lip_gap):
            by_person[sample.person].append((sample.lip_gap, seen.lip_gap))
    correlations = [np.corrcoef(np.array(pairs).T)[0, 1] for pairs in by_person.values() if len(pairs) > 4]
    pooled = np.corrcoef(np.concatenate([np.array(pairs) for pairs in by_person.values()]).T)[0, 1]
    overlap = [_iou(seen.mask, sample.alpha > 127) for sample, seen in made]
    rows: list[tuple[str, Any, Any]] = [
        ("pictures", len(made), len(photos)),
        ("exactly one face", share([s.n_faces == 1 for _, s in made]), share([s.n_faces == 1 for s in photos])),
        ("pictures whose truth shows both hands", len(shown), "no truth"),
        ("both hands found there", share([s.n_hands == 2 for s in shown]), share([s.n_hands == 2 for s in photos])),
        ("at least one hand there", share([s.n_hands > 0 for s in shown]), share([s.n_hands > 0 for s in photos])),
        ("pose found", share([s.arms is not None for _, s in made]), share([s.arms is not None for s in photos])),
        ("arms from their true places, shoulder widths, median", f"{np.median(errors):.3f}", "no truth"),
        ("mask IoU with the true alpha, mean (least)", f"{np.mean(overlap):.3f} ({min(overlap):.3f})", "no truth"),
        ("lip gap against the true one, r a person, median (least)",
         f"{np.median(correlations):.3f} ({min(correlations):.3f})" if correlations else "-", "no truth"),
        ("the same, all pictures", f"{pooled:.3f}", "no truth"),
        ("face luminance, 5th, 50th, 95th percentile", light([s for _, s in made]), light(photos)),
    ]  # fmt: skip
    lines = ["| | made | photographs |", "|---|---|---|"]
    return "\n".join(lines + [f"| {name} | {a} | {b} |" for name, a, b in rows])


def _photo(path: Path, height: int) -> np.ndarray:
    picture = load_image(path)
    scale = height / picture.shape[0]
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder of a finished corpus")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs, searched through")
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args(arguments)
    try:
        corpus = open_corpus(options.corpus)
        files = sorted(
            path for path in options.photos.rglob("*") if path.suffix.lower() in (".jpg", ".png", ".jpeg")
        )
        with Detectors() as by:
            made = [(sample, detect(sample.picture, by)) for sample in sample_clips(corpus, options.frames)]
            photos = [detect(_photo(path, corpus.spec.height), by) for path in files]
    except AvatarBenchError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    sys.stdout.write(table(made, photos) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
