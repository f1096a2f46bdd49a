"""Observations as data: stretches of videos, what is asked about them, where the answers stand, what came out."""

from __future__ import annotations

import wave
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.cache import cache_folder
from benchmark.extractors import EXTRACTORS, Extractor
from benchmark.hashing import sha256_json
from benchmark.metrics.definition import Arrays, Observations, Reason
from media.audio import SAMPLE_RATE
from media.errors import AvatarBenchError
from media.video import read_frames

__all__ = ["ClipView", "Failure", "Observed", "Request", "SoundView", "Target"]

_DECODING = "1"  # of media.video.read_frames; raised when equal bytes give other frames


@dataclass(frozen=True, slots=True)
class ClipView:
    """A stretch of a video file on a grid of frames."""

    path: Path
    sha256: str
    """Of the file's bytes."""
    start_s: float
    n_frames: int
    fps: float
    width: int
    height: int

    def content(self) -> list[object]:
        """What decides the frames; where the file stands does not."""
        return [self.sha256, self.start_s, self.n_frames, self.fps, self.width, self.height]

    def frames(self) -> Generator[np.ndarray, None, None]:
        """Exactly `n_frames` frames [H, W, 3] uint8; E402 where the file ends before."""
        stream = read_frames(
            self.path,
            fps=self.fps,
            size=(self.width, self.height),
            start_s=self.start_s,
            duration_s=self.n_frames / self.fps,
        )
        count = 0
        for frame in stream:
            count += 1
            yield frame
        if count < self.n_frames:
            raise AvatarBenchError(
                "E402",
                "the video ends too early",
                where=self.path,
                expected=f"{self.n_frames} frames at {self.fps:g} fps",
                got=f"{count} frames",
            )


@dataclass(frozen=True, slots=True)
class SoundView:
    """The sound of a sample, as methods hear it."""

    path: Path
    """A 16 kHz mono WAV of 16-bit integers."""
    sha256: str
    """Of the file's bytes."""

    def content(self) -> list[object]:
        """What decides the samples."""
        return ["sound", self.sha256]

    def samples(self) -> np.ndarray:
        """All samples, [S] int16; E201 where it is not such a file."""
        try:
            with wave.open(str(self.path), "rb") as file:
                form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
                data = file.readframes(file.getnframes())
        except (OSError, EOFError, wave.Error) as error:
            raise AvatarBenchError(
                "E201", "the sound of a sample cannot be read", where=self.path, got=str(error)
            ) from error
        if form != (1, 2, SAMPLE_RATE):
            raise AvatarBenchError(
                "E201",
                "the sound of a sample has another form than it was made with",
                where=self.path,
                expected=f"1 channel, 2 bytes a sample, {SAMPLE_RATE} Hz",
                got="{} channels, {} bytes a sample, {} Hz".format(*form),
            )
        return np.frombuffer(data, "<i2")


@dataclass(frozen=True, slots=True)
class Target:
    """One entry of the store: an extractor on a view, on a view beside the truth, or on a sound."""

    extractor: Extractor
    view: ClipView | SoundView
    truth: ClipView | None
    """None unless the extractor looks at pairs."""

    def place(self) -> Path:
        """Where the entry stands: a function of bytes, grid and extractor alone."""
        truth = None if self.truth is None else self.truth.content()
        key = sha256_json([_DECODING, self.extractor.content(), self.view.content(), truth])
        return cache_folder() / "observations" / self.extractor.id / key[:2] / f"{key}.npz"

    def views(self) -> list[ClipView]:
        """The views whose frames it needs."""
        return [view for view in (self.view, self.truth) if isinstance(view, ClipView)]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no observation."""

    reason: Reason
    """`decode`, `crash` or `not_finite`."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be known of one sample."""

    sample_id: str
    truth: ClipView
    predictions: Mapping[str, ClipView]
    """By method, on the grid of `truth`."""
    needs: Sequence[str]
    """Ids of extractors to run on all predictions, and on the truth where there is a prediction."""
    truth_needs: Sequence[str] = ()
    """Ids of extractors to run on the truth in any case."""
    sound: SoundView | None = None
    """What extractors of the form `sound` hear; needed only where one is asked for."""

    def targets(self) -> dict[tuple[str, str | None], Target]:
        """What is needed, by extractor and method; None stands for the truth, and for the sound."""
        targets: dict[tuple[str, str | None], Target] = {}
        for need in sorted({*self.needs, *self.truth_needs}):
            extractor = EXTRACTORS[need]
            if extractor.form == "sound":
                if self.sound is None:
                    raise ValueError(f"{need} hears the sound of {self.sample_id}, and none was named")
                targets[need, None] = Target(extractor, self.sound, None)
                continue
            paired = extractor.form == "pair"
            if not paired and (self.predictions or need in self.truth_needs):
                targets[need, None] = Target(extractor, self.truth, None)
            if need in self.needs:
                beside = self.truth if paired else None
                for method, view in self.predictions.items():
                    targets[need, method] = Target(extractor, view, beside)
        return targets


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known of one sample."""

    request: Request
    outcomes: Mapping[tuple[str, str | None], Arrays | Failure]
    """By extractor and method; None stands for the truth."""

    def of(self, method: str, needs: Sequence[str]) -> Observations | Failure:
        """What a metric that needs these extractors may read, or why it cannot."""
        prediction: dict[str, Arrays] = {}
        truth: dict[str, Arrays] = {}
        pair: dict[str, Arrays] = {}
        sound: dict[str, Arrays] = {}
        for need in needs:
            form = EXTRACTORS[need].form
            places = {"pair": [(method, pair)], "sound": [(None, sound)]}.get(
                form, [(method, prediction), (None, truth)]
            )
            for whose, arrays in places:
                outcome = self.outcomes[need, whose]
                if isinstance(outcome, Failure):
                    return outcome
                arrays[need] = outcome
        view = self.request.truth
        return Observations(prediction, truth, pair, view.width, view.height, sound)

    def truth(self, needs: Sequence[str]) -> Mapping[str, Arrays] | Failure:
        """The arrays of the true video, or why there are none; for what stands in `truth_needs`."""
        arrays: dict[str, Arrays] = {}
        for need in needs:
            outcome = self.outcomes[need, None]
            if isinstance(outcome, Failure):
                return outcome
            arrays[need] = outcome
        return arrays
