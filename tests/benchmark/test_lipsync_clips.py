"""The small sync score on made and filmed people, through the engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tiny_engine import register

from benchmark.engine import observe
from benchmark.extractors import Extractor, Networks
from benchmark.hashing import sha256_file
from benchmark.lipsync_extractor import FPS, LIPSYNC, PREPROCESSING, SOUND_BATCH, LipSyncSound
from benchmark.lipsync_features import lip_opening, mel_power
from benchmark.lipsync_network import shipped_network
from benchmark.lipsync_validation import (
    Recording,
    correlation_scorer,
    network_scorer,
    pieces_of,
    separations,
)
from benchmark.manifest import load_dataset
from benchmark.metrics.definition import Observations
from benchmark.metrics.lipsync import LIPSYNC_C, LIPSYNC_D, LIPSYNC_OFFSET
from benchmark.observations import ClipView, Request, SoundView
from benchmark.protocol import load_protocol
from media.audio import load_audio, write_wav
from media.video import probe

SOUND = Extractor(
    "lipsync_sound", "1", "sound", LipSyncSound, PREPROCESSING, "float64", SOUND_BATCH, LIPSYNC, fps=FPS
)
RULE = load_protocol("mini-v1").video


def view(path: Path, n_frames: int, start_s: float = 0.0) -> ClipView:
    info = probe(path)
    return ClipView(path, sha256_file(path), start_s, n_frames, RULE.fps, *RULE.size(info.width, info.height))


def sound_of(path: Path, folder: Path, clip: ClipView) -> SoundView:
    wav = folder / "sound.wav"
    write_wav(wav, load_audio(path, start_s=clip.start_s, duration_s=clip.n_frames / clip.fps))
    return SoundView(wav, sha256_file(wav))


def observe_one(request: Request) -> dict[str, Observations]:
    with Networks() as networks:
        (observed,) = observe([request], networks, pytest.fail)
    found = {}
    for method in request.predictions:
        observations = observed.of(method, ("face_mesh_mp", "lipsync_sound"))
        assert isinstance(observations, Observations)
        found[method] = observations
    return found


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Observations]:
    """A made person's clip, and another clip under the same sound."""
    monkeypatch.setenv("AVATARBENCH_CACHE", str(tmp_path / "cache"))
    register(monkeypatch, SOUND)
    dataset = load_dataset()
    first = next(
        clip for clip in dataset.clips if clip.attributes["framing"] == "half"
    )  # lips are pixels high
    other = next(clip for clip in dataset.clips if clip.identity == first.identity and clip.id != first.id)
    own_view, other_view = (view(dataset.root / clip.media, 110, clip.start_s) for clip in (first, other))
    sound = sound_of(dataset.root / first.sound[0], tmp_path, own_view)
    needs = ("face_mesh_mp", "lipsync_sound")
    predictions = {"own": own_view, "other": other_view}
    return observe_one(Request(first.id, own_view, predictions, needs, (), sound))


def test_own_speech_of_a_made_person_scores_better_than_other_speech(made: Mapping[str, Observations]):
    own, other = (
        {metric.id: metric.map(made[name]).value for metric in (LIPSYNC_C, LIPSYNC_D, LIPSYNC_OFFSET)}
        for name in ("own", "other")
    )
    assert own["lipsync_c_mini"] > other["lipsync_c_mini"]
    assert own["lipsync_d_mini"] < other["lipsync_d_mini"]
    assert own["lipsync_offset_mini"] <= 1


@pytest.fixture(scope="module")
def filmed(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """6.4 s of a filmed man."""
    path = shared_data / "video" / "man_white_shirt.mp4"
    clip = view(path, 160)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVATARBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        with Networks() as networks:
            (observed,) = observe([Request("man", clip, {}, (), ("face_mesh_mp",))], networks, pytest.fail)
    arrays = observed.truth(["face_mesh_mp"])
    assert isinstance(arrays, Mapping)
    samples = np.round(load_audio(path, duration_s=6.4) * 32767).astype(np.int16)
    return Recording("man", 0, lip_opening(arrays["face_mesh_mp"]["points"]), mel_power(samples))


def test_shifts_of_a_filmed_person_are_found_and_loudness_does_not_find_them(filmed: Recording):
    pieces = pieces_of(filmed, 160)
    rows = {row.kind: row for row in separations(pieces, network_scorer(shipped_network()))}
    loudness = {row.kind: row for row in separations(pieces, correlation_scorer)}
    late = [f"{frames} late" for frames in (5, 10, 15)]
    assert [rows[kind].offset_moved for kind in late] == [1.0, 1.0, 1.0]
    assert sum(loudness[kind].offset_moved or 0.0 for kind in late) < 3.0
    assert rows["frozen"].distance_auc == rows["frozen"].confidence_auc == 1.0


def test_the_share_found_and_the_separation_are_those_of_a_score_that_is_known():
    """A score that reads its answer off the first opening: confidence, distance and offset are planted."""
    from benchmark.metrics.lipsync import LipSyncScore

    def score(opening: np.ndarray, power: np.ndarray) -> LipSyncScore:
        own = opening[-1] == power[0, 0]
        return LipSyncScore(2.0 if own else 1.0, 0.5 if own else 1.0, int(np.flatnonzero(opening != opening[0])[0]) - 1
                            if np.ptp(opening) else 0)  # fmt: skip

    ramps = [
        Recording(str(n), 0, np.arange(60) + 100.0 * n, np.full((240, 80), 59 + 100.0 * n)) for n in range(3)
    ]
    rows = {row.kind: row for row in separations(ramps, score)}
    assert (rows["other speech"].n, rows["other speech"].confidence_auc) == (6, 1.0)
    assert (rows["ground truth"].confidence_auc, rows["ground truth"].offset_found) == (0.5, 1.0)
    assert (rows["10 late"].offset_found, rows["10 late"].offset_auc) == (1.0, 1.0)


def test_pieces_overlap_by_half_and_have_lips_throughout():
    opening = np.arange(100.0)
    opening[70] = np.nan
    pieces = pieces_of(Recording("film", 10, opening, np.repeat(np.arange(100.0), 4)[:, None]), 20)
    assert [piece.first for piece in pieces] == [10, 20, 30, 40, 50, 60, 90]
    assert all((piece.power[::4, 0] == piece.opening).all() for piece in pieces)
