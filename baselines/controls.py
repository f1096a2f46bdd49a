"""Controls: the rungs of the sanity ladder. A metric that cannot order the ones it claims to see measures nothing.

`frozen` is a method like any other. The rest are oracles: they are made from true videos, carry the sample's sound,
and are shown but never ranked. What one rung changes it changes alone, by an amount that its class states.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.contract import ClipSource, Generation, GroundTruth, Identity, MethodSpec, Sample

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "BLUR",
    "CODEC",
    "FROZEN",
    "GROUND_TRUTH",
    "NOISE",
    "OTHER_SPEECH",
    "SHIFT",
    "WRONG_IDENTITY",
    "Blurred",
    "Coded",
    "Frozen",
    "Noisy",
    "OtherSpeech",
    "Shifted",
    "TrueVideo",
    "WrongIdentity",
    "true_pictures",
]

_SOURCES = ("baselines/controls.py", "media")


class Frozen:
    """Shows the reference picture for as long as the sound lasts: no motion at all."""

    def __init__(self, device: str) -> None:
        del device  # nothing is computed

    def prepare(self, identity: Identity, prepared: Path) -> None:
        """Nothing to do: the picture is all there is."""

    def generate(self, sample: Sample, prepared: Path, out: Path) -> Generation:
        """Repeat the picture `n_frames` times."""
        from media.image import load_image

        pictures = itertools.repeat(load_image(sample.reference_image), sample.n_frames)
        return _write(sample, pictures, out)


class TrueVideo:
    """Passes the truth through the same grid and codec as every prediction: the ceiling."""

    def __init__(self, device: str) -> None:
        del device  # nothing is computed

    def generate(self, sample: Sample, ground_truth: GroundTruth, out: Path) -> Generation:
        """Decode, resample and encode the true clip."""
        return _write(sample, true_pictures(sample, ground_truth), out)


class Coded(TrueVideo):
    """The truth at a low quality of H.264, CRF `crf` where every prediction has 12."""

    crf = 38

    def generate(self, sample: Sample, ground_truth: GroundTruth, out: Path) -> Generation:
        """Decode, resample and encode the true clip, badly."""
        return _write(sample, true_pictures(sample, ground_truth), out, crf=self.crf)


class Shifted(TrueVideo):
    """The truth, its pictures `delay_s` late against the sound: 5 frames at 25 a second.

    SyncNet searches 15 frames to either side, so that the delay lies well inside. The first picture is repeated
    until the rest arrives.
    """

    delay_s = 0.2

    def generate(self, sample: Sample, ground_truth: GroundTruth, out: Path) -> Generation:
        """Hold the first picture, then show the true clip without its end."""
        delay = round(self.delay_s * sample.fps)
        pictures = true_pictures(sample, ground_truth)
        first = next(pictures)
        late = itertools.chain(itertools.repeat(first, delay + 1), pictures)
        return _write(sample, itertools.islice(late, sample.n_frames), out)


class Blurred(TrueVideo):
    """The truth under a Gaussian of standard deviation `sigma` times the long side: 4 px at 512."""

    sigma = 1 / 128

    def generate(self, sample: Sample, ground_truth: GroundTruth, out: Path) -> Generation:
        """Blur each picture of the true clip by the same amount."""
        import cv2

        deviation_px = self.sigma * max(sample.width, sample.height)
        pictures = (
            cv2.GaussianBlur(picture, (0, 0), deviation_px, borderType=cv2.BORDER_REFLECT_101)
            for picture in true_pictures(sample, ground_truth)
        )
        return _write(sample, pictures, out)


class Noisy(TrueVideo):
    """The truth with Gaussian noise of standard deviation `sigma` on the scale 0..255, drawn for each value anew.

    Values are rounded and clipped to 0..255. The codec that follows takes some of the noise away, more of it from
    the colours than from the brightness.
    """

    sigma = 20.0

    def generate(self, sample: Sample, ground_truth: GroundTruth, out: Path) -> Generation:
        """Add noise of the sample's seed to each picture of the true clip."""
        import numpy as np

        random = np.random.default_rng(sample.seed)

        def spoilt(picture: np.ndarray) -> np.ndarray:
            noise = random.standard_normal(picture.shape, np.float32) * np.float32(self.sigma)
            return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)

        generation = _write(sample, map(spoilt, true_pictures(sample, ground_truth)), out)
        return Generation(generation.video, seeds={"noise": sample.seed})


class OtherSpeech(TrueVideo):
    """Pictures of another clip of the same person under this clip's sound: the right person, the wrong words."""

    def generate(self, sample: Sample, ground_truth: GroundTruth, out: Path) -> Generation:
        """Show the other clip, as long as this one lasts."""
        other = _available(ground_truth.other_speech, sample, "of the same person")
        return _write(sample, _other_pictures(sample, other), out)


class WrongIdentity(TrueVideo):
    """A clip of another person under this clip's sound: real pictures, everything else wrong."""

    def generate(self, sample: Sample, ground_truth: GroundTruth, out: Path) -> Generation:
        """Show the other person, as long as this clip lasts."""
        other = _available(ground_truth.other_identity, sample, "of another person")
        return _write(sample, _other_pictures(sample, other), out)


def _write(
    sample: Sample, pictures: Iterator[np.ndarray], out: Path, *, crf: int | None = None
) -> Generation:
    """Encode pictures with the sample's sound, by default as every prediction is encoded."""
    from media.audio import load_audio
    from media.video import write_video

    sound = load_audio(sample.audio)
    if crf is None:
        write_video(out, pictures, sample.fps, audio=sound)
    else:
        write_video(out, pictures, sample.fps, audio=sound, crf=crf)
    return Generation(out)


def true_pictures(sample: Sample, ground_truth: GroundTruth) -> Iterator[np.ndarray]:
    """The true clip on the sample's grid, [H, W, 3] uint8 each: what the prediction is compared with."""
    from media.video import read_frames

    return read_frames(
        ground_truth.clip.media,
        fps=sample.fps,
        size=(sample.width, sample.height),
        start_s=ground_truth.clip.start_s,
        duration_s=sample.n_frames / sample.fps,
    )


def _other_pictures(sample: Sample, source: ClipSource) -> Iterator[np.ndarray]:
    """Another clip on the sample's grid, its aspect kept: scaled to cover the picture, the centre cut out."""
    import cv2

    from media.video import read_frames

    duration_s = sample.n_frames / sample.fps
    for picture in read_frames(source.media, fps=sample.fps, start_s=source.start_s, duration_s=duration_s):
        height, width = picture.shape[:2]
        scale = max(sample.width / width, sample.height / height)
        size = (max(sample.width, round(width * scale)), max(sample.height, round(height * scale)))
        scaled = (
            picture if size == (width, height) else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        )
        left, top = (size[0] - sample.width) // 2, (size[1] - sample.height) // 2
        yield scaled[top : top + sample.height, left : left + sample.width]


def _available(source: ClipSource | None, sample: Sample, whose: str) -> ClipSource:
    if source is not None:
        return source
    from media.errors import AvatarBenchError

    raise AvatarBenchError(
        "E406",
        f"the data set has no other clip {whose} that is as long as '{sample.sample_id}'",
        expected=f"a clip of at least {sample.n_frames / sample.fps:g} s",
        fix="leave this control out, or add such a clip to the data set.",
    )


def _oracle(method_id: str, title: str, factory: type[TrueVideo]) -> MethodSpec:
    return MethodSpec(
        id=method_id,
        version="1",
        title=title,
        licence="Apache-2.0",
        factory=f"{factory.__module__}:{factory.__name__}",
        sources=_SOURCES,
        privileged=True,
    )


FROZEN = MethodSpec(
    id="frozen",
    version="1",
    title="The reference picture, without any motion",
    licence="Apache-2.0",
    factory="baselines.controls:Frozen",
    sources=_SOURCES,
)
GROUND_TRUTH = _oracle("ground_truth", "The true video through the benchmark's codec", TrueVideo)
CODEC = _oracle("codec", f"The true video at a low quality of H.264 (CRF {Coded.crf})", Coded)
SHIFT = _oracle("shift", f"The true video, {Shifted.delay_s * 1000:.0f} ms late against the sound", Shifted)
BLUR = _oracle("blur", "The true video under a Gaussian of 1/128 of the long side", Blurred)
NOISE = _oracle("noise", f"The true video with Gaussian noise of {Noisy.sigma:g} of 255", Noisy)
OTHER_SPEECH = _oracle("other_speech", "Another clip of the same person under this sound", OtherSpeech)
WRONG_IDENTITY = _oracle("wrong_identity", "A clip of another person under this sound", WrongIdentity)
