"""The data set `mini`, second edition: that the shipped files are what they should be."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest

from benchmark.manifest import MINI, Dataset, load_dataset
from media.landmarks import FaceMesh
from media.video import probe, read_frames
from reference_model.corpus.speech.utterances import is_held_out_variant, talk_texts

INNER_LIPS, FOREHEAD, CHIN = (13, 14), 10, 152  # points of the mediapipe face mesh
LIDS = ((159, 145), (386, 374))


@pytest.fixture(scope="module")
def mini() -> Dataset:
    return load_dataset()


def test_twelve_people_speak_ten_clips_each(mini: Dataset) -> None:
    assert Counter(Counter(clip.identity for clip in mini.clips).values()) == {10: 12}


def test_no_text_and_no_voice_is_one_that_the_networks_learn_from(mini: Dataset) -> None:
    own = {text for kind in talk_texts()["mini"].values() for text in kind}
    assert {clip.transcript for clip in mini.clips} <= own
    assert all(is_held_out_variant(str(clip.attributes["voice"]).partition("+")[2]) for clip in mini.clips)


def test_shipped_clips_are_those_of_the_manifest(mini: Dataset) -> None:
    for clip in mini.clips:
        path = mini.root / clip.media
        assert hashlib.sha256(path.read_bytes()).hexdigest() == clip.sha256
        info = probe(path)
        assert (info.width, info.height, info.fps, info.n_frames, info.has_audio) == (384, 512, 25, 110, True)


def test_shipped_data_set_stays_small() -> None:
    assert sum(path.stat().st_size for path in MINI.rglob("*") if path.is_file()) <= 12_000_000


def test_first_pictures_are_good_reference_images(mini: Dataset) -> None:
    """Eyes open and mouth nearly shut, in the first clip of each person."""
    first = {clip.identity: clip for clip in reversed(mini.clips)}
    with FaceMesh() as faces:
        for clip in first.values():
            points = faces.detect(next(iter(read_frames(mini.root / clip.media))))
            assert points is not None, clip.id
            face = np.linalg.norm(points[FOREHEAD, :2] - points[CHIN, :2])
            gap, *eyes = (
                np.linalg.norm(points[a, :2] - points[b, :2]) / face for a, b in (INNER_LIPS, *LIDS)
            )
            assert gap < max(0.03, 2 / face), clip.id  # two pixels where a face is 41 px high
            assert min(eyes) > 0.02, clip.id
