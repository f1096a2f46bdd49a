"""Faces followed through a clip and cut out, as SyncNet's pipeline does it, but in one pass and without files.

The rules are those of run_pipeline.py in joonson/syncnet_python: shots end at cuts; a face continues a track when it
overlaps with the track's last box by more than half, at most 25 frames later; gaps are filled by straight lines; the
box's centre and size pass a median over 13 frames. The reference code reads all frames several times. Here a frame is
kept only until no track can need it: cuts are known 15 frames later, and boxes are settled when the next face has been
found, at most 25 frames later, and 6 more have been seen.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

__all__ = [
    "CANONICAL",
    "FULLBODY",
    "CutDetector",
    "FaceTracker",
    "Profile",
    "Track",
    "crop_face",
    "smooth_boxes",
]

MIN_OVERLAP = 0.5
"""Intersection over union with the last box that a face must exceed to continue a track."""
MAX_GAP = 25
"""Frames from one face of a track to the next."""
MEDIAN = 13
"""Frames of the median filter; outside of the track it sees zeros."""
CROP_SCALE = 0.4
SIDE = 224
GREY = 110
"""Of what lies outside of the picture."""
CUT_THRESHOLD = 27.0
MIN_SHOT = 15
"""Frames in which a second cut is merged with the first."""
_CUT_SIDE = 256.0  # longer side of the pictures that cuts are looked for in


@dataclass(frozen=True, slots=True)
class Profile:
    """How small a face may be, and how short a track."""

    scale: float
    """Of the pictures that the detector sees."""
    min_side: float
    """A track's mean box must be wider or higher than this, px."""
    min_found: int
    """A track must have more found faces than this."""


CANONICAL = Profile(scale=0.25, min_side=100.0, min_found=100)
"""The defaults of joonson/syncnet_python. The smallest face has 25 px in the picture that the detector sees."""
FULLBODY = Profile(scale=0.625, min_side=32.0, min_found=50)
"""For people shown from head to foot: a face of 40 px has those same 25 px."""


class CutDetector:
    """Finds cuts as PySceneDetect 0.6.7's ContentDetector does at its defaults.

    The score of a frame is the mean absolute change of hue, saturation and value (OpenCV's uint8 HSV) since the last
    one, at a longer side of 256 px. Cuts that follow within 15 frames are merged into the last of them.
    """

    def __init__(self) -> None:
        self._index = -1
        self._last: np.ndarray | None = None
        self._last_above = 0
        self._merge_start: int | None = None
        self._has_cut = False

    def add(self, frame: np.ndarray) -> int | None:
        """The number of the frame that begins a new shot, where that is known from this frame [H, W, 3] uint8 RGB on.

        It is this frame, or one that came 15 frames ago.
        """
        self._index += 1
        above = self._score(frame) >= CUT_THRESHOLD
        index, since = self._index, self._index - self._last_above
        if above:
            self._last_above = index
        if self._merge_start is not None:
            merged = self._last_above - self._merge_start
            if above or since < MIN_SHOT or merged < MIN_SHOT:
                return None
            self._merge_start = None
            return self._last_above
        if not above:
            return None
        if since >= MIN_SHOT:
            self._has_cut = True
            return index
        if self._has_cut:
            self._merge_start = index
        return None

    def _score(self, frame: np.ndarray) -> float:
        import cv2  # lists of metrics, which need only the profiles, do not wait for it

        height, width = frame.shape[:2]
        factor = max(height, width) / _CUT_SIDE
        if factor > 1:
            size = (max(1, round(width / factor)), max(1, round(height / factor)))
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV).astype(np.int32)
        last, self._last = self._last, hsv
        if last is None:
            return 0.0
        return float(np.abs(hsv - last).sum(axis=(0, 1)).sum() / (hsv.shape[0] * hsv.shape[1]) / 3)


@dataclass(slots=True, eq=False)
class Track:
    """One face through a shot."""

    frames: list[int]
    """Where it was found."""
    boxes: list[np.ndarray]
    """[4] left, top, right, bottom in px, one for each of `frames`."""
    crops: list[np.ndarray] = field(default_factory=list)
    """[224, 224, 3] uint8, from the first found frame on, as far as boxes are settled."""

    def __len__(self) -> int:
        """Frames from the first to the last."""
        return self.frames[-1] - self.frames[0] + 1

    def filled(self, begin: int = 0) -> np.ndarray:
        """Boxes from frame number `begin` of the track to its last, gaps filled by straight lines, [n, 4]."""
        wanted = np.arange(self.frames[0] + begin, self.frames[-1] + 1)
        before = bisect_right(self.frames, wanted[0]) - 1
        found, boxes = self.frames[before:], np.stack(self.boxes[before:])
        return np.stack([np.interp(wanted, found, boxes[:, side]) for side in range(4)], axis=1)

    def mean_side(self) -> float:
        """The mean width or height of `filled`, whichever is larger, px."""
        boxes = self.filled()
        return float((boxes[:, 2:] - boxes[:, :2]).mean(axis=0).max())


class FaceTracker:
    """Follows all faces of a clip and cuts them out."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._cuts = CutDetector()
        self._waiting: deque[np.ndarray] = deque()  # faces of frames that may still begin a new shot
        self._pictures: dict[int, np.ndarray] = {}
        self._n_seen = 0
        self._n_followed = 0
        self._starts: set[int] = set()
        self._live: list[Track] = []
        self.tracks: list[Track] = []
        """Those that have ended and are long and large enough."""

    def add(self, frame: np.ndarray, faces: np.ndarray) -> None:
        """Take the next frame [H, W, 3] uint8 and its faces [n, 4 or more] left, top, right, bottom in px."""
        start = self._cuts.add(frame)
        if start is not None:
            self._starts.add(start)
        self._pictures[self._n_seen] = frame
        self._waiting.append(faces[:, :4])
        self._n_seen += 1
        if len(self._waiting) > MIN_SHOT:
            self._follow()

    def end(self) -> None:
        """End all tracks; `tracks` is complete."""
        while self._waiting:
            self._follow()
        self._retire(self._live)
        self._live, self._pictures = [], {}

    def _follow(self) -> None:
        """Give the faces of the oldest waiting frame to tracks, in the order in which the tracks began."""
        index, faces = self._n_followed, list(self._waiting.popleft())
        self._n_followed += 1
        if index in self._starts:
            self._retire(self._live)
            self._live = []
        for track in self._live:
            for place, face in enumerate(faces):
                if _overlap(face, track.boxes[-1]) > MIN_OVERLAP:  # of one frame, only one face can
                    track.frames.append(index)
                    track.boxes.append(faces.pop(place))
                    break
        self._live += [Track([index], [face]) for face in faces]
        ended = [track for track in self._live if index - track.frames[-1] >= MAX_GAP]
        self._retire(ended)
        self._live = [track for track in self._live if track not in ended]
        for track in self._live:
            self._crop(track, len(track) - MEDIAN // 2)
        needed = min((track.frames[0] + len(track.crops) for track in self._live), default=self._n_followed)
        for old in [number for number in self._pictures if number < needed]:
            del self._pictures[old]

    def _retire(self, tracks: Iterable[Track]) -> None:
        """Keep the tracks that are long and large enough, and finish their crops."""
        for track in tracks:
            if len(track.frames) > self._profile.min_found and track.mean_side() > self._profile.min_side:
                self._crop(track, len(track))
                self.tracks.append(track)

    def _crop(self, track: Track, until: int) -> None:
        """Cut out the frames of a track up to number `until`, whose boxes will not change any more."""
        done = len(track.crops)
        if until <= done:
            return
        begin = max(0, done - MEDIAN)  # what the median needs, and a margin whose own medians are not used
        centres, halves = smooth_boxes(track.filled(begin))
        for number in range(done, until):
            picture = self._pictures[track.frames[0] + number]
            track.crops.append(crop_face(picture, centres[number - begin], halves[number - begin]))


def smooth_boxes(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres [n, 2] px (x, y) and half sides [n] px of boxes [n, 4], each by a median over 13 frames.

    Zeros stand before the first and behind the last frame.
    """
    values = np.concatenate(
        [(boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2],
        axis=1,
    )
    padded = np.pad(values, ((MEDIAN // 2, MEDIAN // 2), (0, 0)))
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(padded, MEDIAN, axis=0), axis=-1)
    return smooth[:, :2], smooth[:, 2]


def crop_face(frame: np.ndarray, centre: np.ndarray, half: float, scale: float = CROP_SCALE) -> np.ndarray:
    """The square around the lower part of a face: 2.8 half sides wide, from one above the centre to 1.8 below.

    Args:
        frame: [H, W, 3] uint8.
        centre: x and y of the box, px.
        half: Half of its longer side, px.
        scale: How much of the box is added at the sides and, twice, below.

    Returns:
        [224, 224, 3] uint8, grey where the picture has ended.
    """
    import cv2

    border = int(half * (1 + 2 * scale))  # the reference code rounds in the picture with this border
    x, y = centre + border
    top, bottom = int(y - half) - border, int(y + half * (1 + 2 * scale)) - border
    left, right = int(x - half * (1 + scale)) - border, int(x + half * (1 + scale)) - border
    height, width = frame.shape[:2]
    region = np.full((bottom - top, right - left, 3), GREY, np.uint8)
    inside = frame[max(top, 0) : max(min(bottom, height), 0), max(left, 0) : max(min(right, width), 0)]
    row, column = max(-top, 0), max(-left, 0)
    region[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return cv2.resize(region, (SIDE, SIDE))


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes [4]."""
    shared = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))
