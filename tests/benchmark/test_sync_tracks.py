"""Faces followed through a clip: against the rules written down plainly, scipy's filter and scenedetect's cuts."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scenedetect.detectors import ContentDetector
from scipy.interpolate import interp1d
from scipy.signal import medfilt

from benchmark.face_tracks import (
    CANONICAL,
    FULLBODY,
    CutDetector,
    FaceTracker,
    Profile,
    crop_face,
    smooth_boxes,
)
from benchmark.s3fd import suppress_overlaps

SMALL = Profile(scale=1.0, min_side=20.0, min_found=10)
SQUARE = np.array([40.0, 50.0, 80.0, 90.0])


def noise(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def follow(faces: list[list[np.ndarray]], profile: Profile = SMALL, frames: list[np.ndarray] | None = None):
    """The tracks of faces given frame by frame."""
    tracker = FaceTracker(profile)
    still = noise(0)
    for index, found in enumerate(faces):
        tracker.add(still if frames is None else frames[index], np.array(found).reshape(-1, 4))
    tracker.end()
    return tracker.tracks


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def tracks_one_after_another(faces: list[list[np.ndarray]]) -> list[list[tuple[int, np.ndarray]]]:
    """The rule as the reference code walks: all frames for one track, then all that is left for the next."""
    left = [list(found) for found in faces]
    tracks: list[list[tuple[int, np.ndarray]]] = []
    while any(left):
        track: list[tuple[int, np.ndarray]] = []
        for index, found in enumerate(left):
            if not track and found:
                track.append((index, found.pop(0)))
            elif track and index - track[-1][0] <= 25:
                fits = [n for n, face in enumerate(found) if overlap(face, track[-1][1]) > 0.5]
                if fits:
                    track.append((index, found.pop(fits[0])))
        tracks.append(track)
    return tracks


def wandering_faces(seed: int, n_frames: int = 90) -> list[list[np.ndarray]]:
    """Three faces that move, meet, are missed at times and come in any order."""
    rng = np.random.default_rng(seed)
    centres = np.array([[40.0, 40.0], [90.0, 60.0], [120.0, 80.0]])
    faces = []
    for _ in range(n_frames):
        centres += rng.normal(0, 2.5, centres.shape)
        halves = rng.uniform(13, 17, 3)
        boxes = np.concatenate([centres - halves[:, None], centres + halves[:, None]], axis=1)
        boxes = boxes[rng.random(3) < 0.8]
        faces.append(list(boxes[suppress_overlaps(boxes, rng.random(len(boxes)), 0.1)]))
    return faces


@pytest.mark.parametrize("seed", range(8))
def test_one_pass_gives_the_tracks_of_one_pass_a_track(seed: int):
    faces = wandering_faces(seed)
    expected = [track for track in tracks_one_after_another(faces) if len(track) > SMALL.min_found]
    found = follow(faces)
    assert len(found) >= 2
    by_start = sorted(found, key=lambda track: (track.frames[0], track.boxes[0].tolist()))
    for track, other in zip(
        by_start, sorted(expected, key=lambda track: (track[0][0], track[0][1].tolist())), strict=True
    ):
        assert track.frames == [index for index, _ in other]
        np.testing.assert_array_equal(track.boxes, [box for _, box in other])
        assert len(track.crops) == len(track)


@pytest.mark.parametrize(("missing", "n_tracks"), [(23, 1), (24, 1), (25, 2)])
def test_a_face_may_be_missed_for_24_frames(missing: int, n_tracks: int):
    faces = [[SQUARE]] * 20 + [[]] * missing + [[SQUARE]] * 20
    tracks = follow(faces)
    assert len(tracks) == n_tracks
    assert sum(len(track) for track in tracks) == (40 + missing if n_tracks == 1 else 40)


@pytest.mark.parametrize(("step", "n_tracks"), [(13, 1), (14, 2)])
def test_a_face_must_overlap_with_the_last_by_more_than_half(step: int, n_tracks: int):
    moved = SQUARE + np.array([step, 0, step, 0])  # 27/53 and 26/54 of the union
    assert len(follow([[SQUARE]] * 15 + [[moved]] * 15)) == n_tracks


def test_a_track_needs_more_found_faces_and_a_larger_mean_box_than_the_limits():
    assert len(follow([[SQUARE]] * 10)) == 0
    assert len(follow([[SQUARE]] * 11)) == 1
    tall = np.array([40.0, 50.0, 45.0, 70.5])
    assert len(follow([[tall]] * 11)) == 1
    assert len(follow([[tall - [0, 0, 0, 0.6]]] * 11)) == 0


def test_profiles_see_the_smallest_face_that_they_are_for_with_as_many_pixels():
    assert CANONICAL.scale * CANONICAL.min_side == FULLBODY.scale * 40 == 25


def test_crops_are_those_of_medians_over_the_filled_track():
    rng = np.random.default_rng(5)
    frames = [noise(index) // 16 + 100 for index in range(60)]  # no cuts
    found = [index for index in range(3, 55) if index not in (9, 10, 11, 30)]
    boxes = {index: SQUARE + rng.normal(0, 3, 4) for index in found}
    boxes[40] = boxes[40] - [20, 0, 0, 0]
    (track,) = follow([[boxes[index]] if index in boxes else [] for index in range(60)], frames=frames)
    filled = interp1d(found, np.array([boxes[index] for index in found]), axis=0)(np.arange(3, 55))
    half = medfilt(np.maximum(filled[:, 2] - filled[:, 0], filled[:, 3] - filled[:, 1]) / 2, 13)
    x, y = (medfilt((filled[:, side] + filled[:, side + 2]) / 2, 13) for side in (0, 1))
    assert len(track.crops) == 52
    for number, crop in enumerate(track.crops):
        border = int(half[number] * 1.8)
        padded = np.pad(frames[3 + number], ((border,) * 2, (border,) * 2, (0, 0)), constant_values=110)
        cx, cy, s = x[number] + border, y[number] + border, half[number]
        region = padded[int(cy - s) : int(cy + 1.8 * s), int(cx - 1.4 * s) : int(cx + 1.4 * s)]
        np.testing.assert_array_equal(crop, cv2.resize(region, (224, 224)))


def test_smoothing_sees_zeros_beyond_the_track():
    boxes = np.cumsum(np.random.default_rng(0).uniform(0, 2, (30, 4)), axis=0) + np.array([0, 0, 40, 40])
    centres, halves = smooth_boxes(boxes)
    np.testing.assert_array_equal(centres[:, 0], medfilt((boxes[:, 0] + boxes[:, 2]) / 2, 13))
    np.testing.assert_array_equal(halves, medfilt((boxes[:, 2:] - boxes[:, :2]).max(axis=1) / 2, 13))


def test_a_face_at_the_border_is_filled_up_with_grey():
    white = np.full((100, 100, 3), 255, np.uint8)
    crop = crop_face(white, np.array([5.0, 95.0]), 20.0)
    assert crop.shape == (224, 224, 3)
    assert (crop[:80, 120:] == 255).all()
    assert (crop[150:] == 110).all()
    assert (crop[:, :60] == 110).all()


def test_a_face_that_leaves_and_returns_gives_two_tracks_and_two_people_give_two():
    away = follow([[SQUARE]] * 20 + [[]] * 30 + [[SQUARE]] * 25)
    assert [len(track) for track in away] == [20, 25]
    other = SQUARE + np.array([60, 0, 60, 0])
    pair = follow([[SQUARE, other] if index % 2 else [other, SQUARE] for index in range(20)])
    assert [len(track) for track in pair] == [20, 20]
    assert len({track.boxes[0][0] for track in pair}) == 2
    assert all(np.ptp(np.array(track.boxes), axis=0).max() == 0 for track in pair)


def test_a_track_ends_at_a_cut():
    dark, bright = noise(1) // 8, 255 - noise(2) // 8
    frames = [dark] * 40 + [bright] * 40
    tracks = follow([[SQUARE]] * 80, frames=frames)
    assert [(track.frames[0], track.frames[-1]) for track in tracks] == [(0, 39), (40, 79)]
    assert max(crop.max() for crop in tracks[0].crops) < 112
    assert min(crop.min() for crop in tracks[1].crops) > 100


@pytest.mark.parametrize("seed", range(6))
def test_cuts_are_those_of_scenedetect(seed: int):
    rng = np.random.default_rng(seed)
    frames, picture = [], noise(seed, 200, 300)
    for _ in range(150):
        if rng.random() < 0.06:
            picture = rng.integers(0, 256, (200, 300, 3), np.uint8)
            if rng.random() < 0.5:
                picture = picture // 4  # flashes follow one another
        frames.append(picture)
    small = [cv2.resize(frame, (256, 171), interpolation=cv2.INTER_LINEAR) for frame in frames]
    canonical, ours = ContentDetector(), CutDetector()
    expected = [
        cut
        for index, frame in enumerate(small)
        for cut in canonical.process_frame(index, frame[..., ::-1].copy())
    ]
    found = [ours.add(frame) for frame in frames]
    assert [cut for cut in found if cut is not None] == expected
    assert len(expected) >= 2


def test_few_pictures_are_held_while_a_face_is_followed():
    tracker = FaceTracker(replace(SMALL, min_found=1000))
    for index in range(300):
        found = [] if index % 60 > 40 else [SQUARE]  # missed for 19 frames at a time
        tracker.add(noise(index) // 16 + 100, np.array(found).reshape(-1, 4))
        assert len(tracker._pictures) <= 15 + 25 + 6 + 1
