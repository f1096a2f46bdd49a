"""Finding hands, and telling whose they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from media._body import Body
from media._mediapipe import HandRegionGraph, RegionHand, points_of, quiet, start_solution
from media._views import View

__all__ = ["DetectedHand", "HandDetector", "HandLandmarks", "Side", "hands_of_body"]

Side = Literal["left", "right"]
_HAND_LENGTH_M = 0.19  # wrist to middle finger tip of an adult
_MIRRORED_LABEL: dict[Side, str] = {"left": "Right", "right": "Left"}  # the label assumes a mirrored picture


@dataclass(frozen=True, slots=True)
class HandLandmarks:
    """One hand of a person in a photograph."""

    points: np.ndarray
    """x, y in px of the image, z in the same scale about the wrist (smaller is nearer) [21, 3]."""
    world: np.ndarray
    """Metres about the hand's centre [21, 3], axes as in the image."""
    score: float
    """The landmark model's confidence that there is a hand, 0.5..1; says little about single points."""


@dataclass(frozen=True, slots=True)
class DetectedHand:
    """One hand in a video frame."""

    points: np.ndarray
    """x, y in px of the image, z in the same scale about the wrist (smaller is nearer) [21, 3]."""
    world: np.ndarray
    """Metres about the hand's centre [21, 3]."""
    score: float
    """Confidence of the label left or right, 0.5..1. NOT a confidence of the keypoints: it is near 1 for a
    blurred hand whose side is plain, and near 0.5 for a sharp one that could be either."""
    handedness: Side
    """The person's side as the model guesses it from the hand alone; two hands may get the same."""


class HandDetector:
    """Both hands of a frame by palm detection and landmarks; a context manager without memory between frames.

    Args:
        min_detection: Threshold of the palm detector.
        min_presence: Threshold of the landmark model's presence score.
    """

    _MAX_HANDS = 2

    def __init__(self, min_detection: float = 0.5, min_presence: float = 0.5) -> None:
        self._graph = start_solution(
            "hands",
            "Hands",
            static_image_mode=True,
            max_num_hands=self._MAX_HANDS,
            model_complexity=1,
            min_detection_confidence=min_detection,
            min_tracking_confidence=min_presence,
        )

    def __enter__(self) -> HandDetector:
        return self

    def __exit__(self, *_: object) -> None:
        self._graph.close()

    def detect(self, image: np.ndarray) -> list[DetectedHand]:
        """Up to two hands of a frame [H, W, 3] uint8 sRGB, the surest label first."""
        height, width = image.shape[:2]
        longest = max(height, width)
        # A square view: MediaPipe shears the turned regions of other pictures. Resolution stays as it is.
        return self.detect_in(image, View.around(np.array([width / 2, height / 2]), longest, longest))

    def detect_in(self, image: np.ndarray, view: View) -> list[DetectedHand]:
        """Up to two hands of a view that is not mirrored, in px of the image."""
        with quiet():
            result: Any = self._graph.process(view.take(image))
        hands = [
            DetectedHand(
                points=view.to_image(points_of(points, view.size)),
                world=points_of(world, 1.0),
                score=float(label.classification[0].score),
                handedness="right" if label.classification[0].label == "Left" else "left",
            )
            for points, world, label in zip(
                result.multi_hand_landmarks or (),
                result.multi_hand_world_landmarks or (),
                result.multi_handedness or (),
                strict=True,
            )
        ]
        return sorted(hands, key=lambda hand: -hand.score)


class _Region(NamedTuple):
    """Where to look for a hand: a square that is turned with the fingers."""

    centre: np.ndarray  # [2] px of the image
    side: float  # px of the image
    angle: float  # rad, clockwise from up


class _Candidate(NamedTuple):
    hand: HandLandmarks
    cost: float  # 0 fits the body perfectly


def hands_of_body(image: np.ndarray, body: Body) -> dict[Side, HandLandmarks]:
    """The hands at the ends of one person's arms.

    Palm detections near a wrist, and regions that the body's wrist and knuckles suggest, are read by the
    landmark model again and again until its region settles. Of what it takes for hands the pair that fits
    the arms best is kept, and averaged over several turns and sizes of the region.

    Args:
        image: [H, W, 3] uint8 sRGB.
        body: The person.

    Returns:
        The hands that were found, by the person's own side.
    """
    length = _HAND_LENGTH_M * body.pixels_per_metre
    candidates: dict[Side, list[_Candidate]] = {}
    graph = HandRegionGraph()
    # A low threshold here: the landmark model's presence score decides.
    with HandDetector(min_detection=0.3) as palms:
        everywhere = palms.detect(image)
        for side in _SIDES:
            wrist = body.pose[_ARM[side].wrist, :2]
            near = everywhere + palms.detect_in(image, View.around(wrist, 5.0 * length, 512))
            regions = [
                _region_of(hand.points)
                for hand in near
                if np.linalg.norm(hand.points[0, :2] - wrist) < _REACH * length
            ]
            regions += _suggested_regions(body, side, length)
            settled = [_settle(graph, image, region, length) for region in regions]
            candidates[side] = [_judge(hand, side, wrist, length) for hand in settled if hand is not None]
    chosen = _best_pair(candidates["left"], candidates["right"], length)
    hands: dict[Side, HandLandmarks] = {side: _averaged(graph, image, hand) for side, hand in chosen.items()}
    graph.close()
    return hands


class _Arm(NamedTuple):
    elbow: int
    wrist: int
    pinky: int
    index: int


_SIDES: tuple[Side, Side] = ("left", "right")
_ARM: dict[Side, _Arm] = {"left": _Arm(13, 15, 17, 19), "right": _Arm(14, 16, 18, 20)}  # of BlazePose's 33
_REACH = 1.2  # hand lengths that the hand's wrist may lie away from the body's
_MIN_PRESENCE = 0.5
_MISSING_COST = 2.0  # above what a hand at a wrist can cost
_PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]  # without finger tips: they curl


def _suggested_regions(body: Body, side: Side, length: float) -> list[_Region]:
    """Regions beyond the wrist in the direction of the body's knuckles and of the forearm, in two sizes."""
    arm = _ARM[side]
    wrist = body.pose[arm.wrist, :2]
    knuckles = (body.pose[arm.pinky, :2] + body.pose[arm.index, :2]) / 2 - wrist
    forearm = wrist - body.pose[arm.elbow, :2]
    regions = []
    for direction in (knuckles, forearm):
        unit = direction / max(float(np.linalg.norm(direction)), 1e-6)
        angle = float(np.arctan2(unit[0], -unit[1]))
        regions += [_Region(wrist + 0.5 * length * unit, size * length, angle) for size in (1.6, 2.4)]
    return regions


def _region_of(points: np.ndarray) -> _Region:
    """Region of a hand [21, 3] as MediaPipe frames it: twice the palm's box, moved towards the fingers."""
    direction = points[[6, 10, 14], :2].mean(axis=0) - points[0, :2]
    angle = float(np.arctan2(direction[0], -direction[1]))
    across, along = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    turned = points[_PALM, :2] @ np.stack([across, along], axis=1)  # [12, 2], fingers up
    low, high = turned.min(axis=0), turned.max(axis=0)
    middle = (low + high) / 2 - (0.0, 0.1 * (high - low)[1])
    return _Region(middle[0] * across + middle[1] * along, 2.0 * float((high - low).max()), angle)


def _read(graph: HandRegionGraph, image: np.ndarray, region: _Region, mirrored: bool = False) -> RegionHand:
    """Run the landmark model on a region of the image; results in px and axes of the image."""
    view = View.around(region.centre, 2.0 * region.side, 512, mirrored)
    angle = -region.angle if mirrored else region.angle
    seen = graph.read(
        view.take(image), view.from_image(region.centre), region.side * view.size / view.side, angle
    )
    world = seen.world * (-1.0, 1.0, 1.0) if mirrored else seen.world
    return seen._replace(points=view.to_image(seen.points), world=world)


def _settle(graph: HandRegionGraph, image: np.ndarray, region: _Region, length: float) -> RegionHand | None:
    """Follow the landmarks' own region until it stands still; None where no hand of a fitting size is."""
    seen = _read(graph, image, region)
    for _ in range(4):
        if seen.presence < 0.1:
            return None
        following = _read(graph, image, _region_of(seen.points))
        moved = np.linalg.norm(following.points - seen.points, axis=1).mean()
        seen = following
        if moved < 0.03 * length:
            break
    extent = np.linalg.norm(np.ptp(seen.points[:, :2], axis=0))
    inside = ((seen.points[:, :2] > 0) & (seen.points[:, :2] < image.shape[1::-1])).all(axis=1).mean()
    fits = 0.4 * length < extent < 1.8 * length and inside > 0.5
    return seen if fits and seen.presence >= _MIN_PRESENCE else None


def _judge(seen: RegionHand, side: Side, wrist: np.ndarray, length: float) -> _Candidate:
    """Distance to the body's wrist in hand lengths, doubt about the hand, and doubt about its side."""
    away = float(np.linalg.norm(seen.points[0, :2] - wrist)) / length
    wrong_side = 2.0 * seen.label_score - 1.0 if seen.label != _MIRRORED_LABEL[side] else 0.0
    cost = away + (1.0 - seen.presence) + 0.3 * wrong_side
    hand = HandLandmarks(seen.points, seen.world, seen.presence)
    return _Candidate(hand, cost if away < _REACH else np.inf)


def _best_pair(left: list[_Candidate], right: list[_Candidate], length: float) -> dict[Side, HandLandmarks]:
    """The cheapest pair that is not twice the same hand; a side may stay empty."""
    nobody = _Candidate(HandLandmarks(np.full((21, 3), np.inf), np.zeros((21, 3)), 0.0), _MISSING_COST)

    def cost(pair: tuple[_Candidate, _Candidate]) -> float:
        a, b = pair
        if a is not nobody and b is not nobody:
            # By the palms alone: folded hands lie on each other, but their wrists are apart.
            apart = np.linalg.norm(a.hand.points[[0, 9], :2] - b.hand.points[[0, 9], :2], axis=1)
            if (apart < 0.35 * length).all():
                return np.inf
        return a.cost + b.cost

    best = min(((a, b) for a in (*left, nobody) for b in (*right, nobody)), key=cost)
    return {side: one.hand for side, one in zip(_SIDES, best, strict=True) if one is not nobody}


def _averaged(graph: HandRegionGraph, image: np.ndarray, hand: HandLandmarks) -> HandLandmarks:
    """Median over turned, scaled and mirrored regions: one reading scatters by 2 % of the hand's length."""
    region = _region_of(hand.points)
    readings = [
        _read(graph, image, _Region(region.centre, region.side * scale, region.angle + turn), mirrored)
        for mirrored in (False, True)
        for scale, turn in ((1.0, 0.0), (1.1, 0.2), (0.95, -0.2))
    ]
    return HandLandmarks(
        points=np.median([reading.points for reading in readings], axis=0),
        world=np.median([reading.world for reading in readings], axis=0),
        score=float(np.median([reading.presence for reading in readings])),
    )
