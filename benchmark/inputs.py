"""From a clip of the data set to what a method sees: first frame, sound, and the numbers of the video."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmark.cache import build_folder, cache_folder
from benchmark.contract import Sample
from benchmark.hashing import derive_seed, sha256_file, sha256_json
from benchmark.manifest import Clip, Dataset
from benchmark.observations import ClipView
from benchmark.protocol import Protocol
from media.audio import SAMPLE_RATE, load_audio, write_wav
from media.errors import AvatarBenchError
from media.video import probe

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


def make_inputs(dataset: Dataset, clip: Clip, protocol: Protocol, seed: int) -> SampleInputs:
    """Bring one clip onto the protocol's grid; the files stand in the cache, keyed by content.

    The sound is cut to exactly `n_frames / fps` seconds; where a file's sound ends before its picture,
    silence fills the rest.

    Args:
        dataset: The clip's data set.
        clip: A test clip.
        protocol: Frame rate, size and length.
        seed: Seed of the run.

    Raises:
        AvatarBenchError: E402 when the clip is absent, damaged, too short or not the file that the manifest
            names; E2xx when its sound cannot be used.
    """
    media = dataset.root / clip.media
    duration_s, width, height = _measure(media, clip)
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
    key = sha256_json([_VERSION, clip.sha256, clip.start_s, n_frames, rule.fps, size, protocol.audio])
    truth = ClipView(media, clip.sha256, clip.start_s, n_frames, rule.fps, *size)
    folder = cache_folder() / "inputs" / key
    if not folder.is_dir():
        with build_folder(folder) as building, _as_clip_error(clip, media):
            _write_reference(building / _REFERENCE, truth)
            _write_audio(building / _AUDIO, media, clip, n_frames / rule.fps)
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
    )


def _measure(media: Path, clip: Clip) -> tuple[float, int, int]:
    """Usable seconds, width and height of a clip, after its bytes were compared with the manifest."""
    if not media.is_file():
        raise AvatarBenchError(
            "E402", f"the clip '{clip.id}' is missing", where=media, fix="restore the file or remove its line"
        )
    if not os.access(media, os.R_OK):
        raise AvatarBenchError("E402", f"the clip '{clip.id}' may not be read", where=media)
    found = sha256_file(media)
    if found != clip.sha256:
        raise AvatarBenchError(
            "E402",
            f"the clip '{clip.id}' is not the file that the manifest describes",
            where=media,
            expected=f"sha256 {clip.sha256}",
            got=f"sha256 {found}",
            fix="restore the original file",
        )
    with _as_clip_error(clip, media):
        info = probe(media)
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


def _write_audio(path: Path, media: Path, clip: Clip, duration_s: float) -> None:
    samples = load_audio(media, start_s=clip.start_s, duration_s=duration_s)  # [S] float32
    wanted = round(duration_s * SAMPLE_RATE)
    padded = np.zeros(wanted, np.float32)
    padded[: min(wanted, samples.size)] = samples[:wanted]
    write_wav(path, padded)
