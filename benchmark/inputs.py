"""From a clip of the data set to what a method sees: first frame, sound, and the numbers of the video."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from benchmark.cache import build_folder, cache_folder
from benchmark.contract import ClipSource, GroundTruth, Sample
from benchmark.hashing import derive_seed, sha256_file, sha256_json, sha256_text
from benchmark.manifest import Clip, Dataset
from benchmark.observations import ClipView
from benchmark.protocol import Protocol
from media.audio import SAMPLE_RATE, load_audio, write_wav
from media.errors import AvatarBenchError
from media.video import VideoInfo, probe

__all__ = ["SampleInputs", "make_inputs"]

_VERSION = 1  # of the making of inputs; raised when equal clips would give other files
_REFERENCE, _AUDIO = "reference.png", "audio.wav"


@dataclass(frozen=True, slots=True)
class SampleInputs:
    """A sample, its truth, and the hashes of all that goes in."""

    sample: Sample
    truth: ClipView
    reference_sha256: str
    """SHA-256 of the reference PNG."""
    audio_sha256: str
    """SHA-256 of the WAV."""
    other_speech: ClipView | None
    """Another clip of the same person on the sample's grid; None where the data set has none."""
    other_identity: ClipView | None
    """A clip of another person on the sample's grid; None where the data set has none."""

    @property
    def ground_truth(self) -> GroundTruth:
        """What an oracle is given beside the sample."""
        return GroundTruth(_source(self.truth), _maybe(self.other_speech), _maybe(self.other_identity))

    def ground_truth_content(self) -> list[object]:
        """What decides `ground_truth`: bytes and times of the three videos, not where they stand."""
        views = (self.truth, self.other_speech, self.other_identity)
        return [None if view is None else view.content() for view in views]


def make_inputs(
    dataset: Dataset, clip: Clip, protocol: Protocol, seed: int, *, with_others: bool = True
) -> SampleInputs:
    """Bring one clip onto the protocol's grid; the files stand in the cache, keyed by content.

    The sound comes from the video, or from the file of its own that the manifest names, and is cut to exactly
    `n_frames / fps` seconds; where it ends before the picture, silence fills the rest.

    The clips that the privileged controls need beside the sample's own are chosen from all clips of the data set,
    train clips too: of those that are at least as long and whose files stand here, the first one from a place that
    the hash of the sample's id names. So the choice is the same for every split and every part of a run.

    Args:
        dataset: The clip's data set.
        clip: A test clip.
        protocol: Frame rate, size and length.
        seed: Seed of the run.
        with_others: Choose the other clips; without a privileged method nobody needs them.

    Raises:
        AvatarBenchError: E402 when the clip is absent, damaged, too short or not the file that the manifest
            names, or when a clip that was chosen beside it is damaged; E2xx when its sound cannot be used.
    """
    media, sound = (dataset.root / path for path in (clip.media, clip.sound[0]))
    duration_s, width, height = _measure(media, clip)
    _check_bytes(sound, clip.sound[1], clip)
    rule = protocol.video
    n_frames = rule.n_frames(duration_s)
    if n_frames < rule.min_duration_s * rule.fps:
        raise AvatarBenchError(
            "E402",
            f"the clip '{clip.id}' is too short",
            where=media,
            expected=f"at least {rule.min_duration_s:g} s",
            got=f"{duration_s:.3f} s",
        )
    size = rule.size(width, height)
    key = sha256_json(
        [_VERSION, clip.sha256, clip.sound[1], clip.start_s, n_frames, rule.fps, size, protocol.audio]
    )
    truth = ClipView(media, clip.sha256, clip.start_s, n_frames, rule.fps, *size)
    folder = cache_folder() / "inputs" / key
    if not folder.is_dir():
        with build_folder(folder) as building, _as_clip_error(clip, media):
            _write_reference(building / _REFERENCE, truth)
            _write_audio(building / _AUDIO, sound, clip.start_s, n_frames / rule.fps)
    sample = Sample(
        sample_id=clip.id,
        identity_id=clip.identity,
        reference_image=folder / _REFERENCE,
        audio=folder / _AUDIO,
        transcript=clip.transcript,
        n_frames=n_frames,
        fps=rule.fps,
        width=size[0],
        height=size[1],
        seed=derive_seed(seed, "sample", clip.id),
    )
    return SampleInputs(
        sample=sample,
        truth=truth,
        reference_sha256=sha256_file(sample.reference_image),
        audio_sha256=sha256_file(sample.audio),
        other_speech=_choose(dataset, clip, truth, same_person=True) if with_others else None,
        other_identity=_choose(dataset, clip, truth, same_person=False) if with_others else None,
    )


def _choose(dataset: Dataset, clip: Clip, truth: ClipView, *, same_person: bool) -> ClipView | None:
    """Another clip of the same person or one of somebody else, at least as long as `truth`."""
    # Clips of one person stand side by side: only among themselves does the hashed place choose evenly.
    clips = [c for c in dataset.clips if c.identity == clip.identity] if same_person else dataset.clips
    for other in _from_a_hashed_place(clips, clip.id):
        if (other.identity == clip.identity) != same_person or _share_frames(clip, other):
            continue
        media = dataset.root / other.media
        stated = other.duration_s
        too_short = stated is not None and not _fills(stated, truth)
        if too_short or not media.is_file():  # a machine that only tests need not hold the train clips
            continue
        duration_s, _, _ = _measure(media, other)
        if _fills(duration_s, truth):
            return replace(truth, path=media, sha256=other.sha256, start_s=other.start_s)
    return None


def _from_a_hashed_place(clips: Sequence[Clip], name: str) -> Iterator[Clip]:
    """All clips once, in order, from a place that hangs on `name` alone."""
    if clips:
        start = int(sha256_text(name), 16) % len(clips)
        yield from (clips[(start + step) % len(clips)] for step in range(len(clips)))


def _fills(duration_s: float, truth: ClipView) -> bool:
    return duration_s * truth.fps + 1e-3 >= truth.n_frames  # a container states 4.4 s as 4.399999


def _share_frames(one: Clip, other: Clip) -> bool:
    """Whether two clips are one stretch of one file, in part or whole; one without a duration has no end."""
    if one.sha256 != other.sha256:
        return False
    ends = [clip.start_s + clip.duration_s if clip.duration_s else float("inf") for clip in (one, other)]
    return one.start_s < ends[1] and other.start_s < ends[0]


def _source(view: ClipView) -> ClipSource:
    return ClipSource(view.path, view.start_s)


def _maybe(view: ClipView | None) -> ClipSource | None:
    return None if view is None else _source(view)


def _measure(media: Path, clip: Clip) -> tuple[float, int, int]:
    """Usable seconds, width and height of a clip, after its bytes were compared with the manifest."""
    _check_bytes(media, clip.sha256, clip)
    with _as_clip_error(clip, media):
        info = _info(media, _stamp(media))
    available = info.duration_s - clip.start_s
    wanted = available if clip.duration_s is None else clip.duration_s
    if wanted - available > 0.5 / info.fps:
        raise AvatarBenchError(
            "E402",
            f"the clip '{clip.id}' ends after its video",
            where=media,
            expected=f"start_s + duration_s up to {info.duration_s:.3f} s",
            got=f"{clip.start_s + wanted:.3f} s",
            fix="correct start_s and duration_s in the manifest",
        )
    return min(wanted, available), info.width, info.height


def _check_bytes(path: Path, sha256: str, clip: Clip) -> None:
    """Refuse a file of a clip that is absent, or is not the one that the manifest describes."""
    if not path.is_file():
        raise AvatarBenchError(
            "E402", f"the clip '{clip.id}' is missing", where=path, fix="restore the file or remove its line"
        )
    if not os.access(path, os.R_OK):
        raise AvatarBenchError("E402", f"the clip '{clip.id}' may not be read", where=path)
    found = _digest(path, _stamp(path))
    if found != sha256:
        raise AvatarBenchError(
            "E402",
            f"the clip '{clip.id}' is not the file that the manifest describes",
            where=path,
            expected=f"sha256 {sha256}",
            got=f"sha256 {found}",
            fix="restore the original file",
        )


def _stamp(path: Path) -> tuple[int, int]:
    """When a file was last written, ns, and its bytes: what tells that it has to be read again."""
    state = os.stat(path)
    return state.st_mtime_ns, state.st_size


# Many clips are stretches of one file, and one clip stands beside several others: a file is read once a process.
@lru_cache(maxsize=4096)
def _digest(media: Path, stamp: tuple[int, int]) -> str:
    del stamp
    return sha256_file(media)


@lru_cache(maxsize=4096)
def _info(media: Path, stamp: tuple[int, int]) -> VideoInfo:
    del stamp
    return probe(media)


@contextmanager
def _as_clip_error(clip: Clip, media: Path) -> Iterator[None]:
    """Say which clip an unreadable video is; errors of its sound have telling codes of their own."""
    try:
        yield
    except AvatarBenchError as error:
        if error.code != "E206":
            raise
        raise AvatarBenchError(
            "E402", f"the clip '{clip.id}' is not a video that can be read", where=media, got=error.what
        ) from error


def _write_reference(path: Path, view: ClipView) -> None:
    """Write the first frame, having decoded all of them: a clip that breaks off must be found first."""
    first: np.ndarray | None = None
    for frame in view.frames():
        first = frame if first is None else first
    assert first is not None, "a view has at least one frame"
    encoded, data = cv2.imencode(".png", cv2.cvtColor(first, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode a {first.shape} image as PNG")
    path.write_bytes(data.tobytes())


def _write_audio(path: Path, sound: Path, start_s: float, duration_s: float) -> None:
    samples = load_audio(sound, start_s=start_s, duration_s=duration_s)  # [S] float32
    wanted = round(duration_s * SAMPLE_RATE)
    padded = np.zeros(wanted, np.float32)
    padded[: min(wanted, samples.size)] = samples[:wanted]
    write_wav(path, padded)
