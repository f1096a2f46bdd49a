"""What a method of the benchmark is, sees and returns. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

__all__ = [
    "ClipSource",
    "Generation",
    "GroundTruth",
    "Identity",
    "Method",
    "MethodSpec",
    "Oracle",
    "Preparation",
    "PreparedOracle",
    "Sample",
]


@dataclass(frozen=True, slots=True)
class Identity:
    """All that the per-person work of a method may see; its cache key covers exactly these fields."""

    identity_id: str
    """Name of the person, `[A-Za-z0-9_-]+`."""
    reference_image: Path
    """PNG of `width` x `height`: the only picture of the person."""
    width: int
    """Pixels, even."""
    height: int
    """Pixels, even."""
    seed: int
    """Seed of every random choice, 0..2^31-1."""


@dataclass(frozen=True, slots=True)
class Sample:
    """All that a method may see of one clip. The true video is not in it, so it cannot leak."""

    sample_id: str
    """Name of the clip, `[A-Za-z0-9_-]+`."""
    identity_id: str
    """Name of the person, `[A-Za-z0-9_-]+`."""
    reference_image: Path
    """PNG of `width` x `height`: the first frame of the clip."""
    audio: Path
    """WAV, 16 kHz mono, 16 bit, exactly `n_frames / fps` seconds."""
    transcript: str | None
    """What is said, where the data set tells."""
    n_frames: int
    """Frames to generate."""
    fps: float
    """Frames a second; frame `i` shows time `i / fps` of the sound."""
    width: int
    """Pixels, even."""
    height: int
    """Pixels, even."""
    seed: int
    """Seed of every random choice, 0..2^31-1."""

    def identity(self, seed: int) -> Identity:
        """The part of the sample that per-person work may see, with the person's own `seed`."""
        return Identity(self.identity_id, self.reference_image, self.width, self.height, seed)


@dataclass(frozen=True, slots=True)
class ClipSource:
    """A stretch of a true video, at its own size and frame rate."""

    media: Path
    """The file."""
    start_s: float
    """Where the stretch begins in the file, seconds."""


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """Where the true video of a sample stands, and videos that it is not; only an `Oracle` is given this."""

    clip: ClipSource
    """The clip itself."""
    other_speech: ClipSource | None
    """Another clip of the same person, at least as long; None where the data set has none."""
    other_identity: ClipSource | None
    """A clip of another person, at least as long; None where the data set has none."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What a method reports about one generated video."""

    video: Path
    """The written file."""
    timings_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage; kept apart from the results."""
    seeds: Mapping[str, int] = field(default_factory=dict)
    """The seeds that were used, by what they decide."""
    notes: tuple[str, ...] = ()
    """What a reader of the results has to know about this video, such as a tail that was cut or padded."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """The per-person work of a method as data; methods that name the same one share its cached folders."""

    id: str
    """Name of the preparation."""
    version: str
    """Raised whenever an equal `Identity` may give other files."""
    sources: tuple[str, ...]
    """Files and folders (`package/path`) whose bytes decide the outcome, as in `MethodSpec.sources`."""
    state: str = ""
    """As in `MethodSpec.state`."""


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """A method as data. An entry point of the group `avatarbench.methods` names one of these."""

    id: str
    """Name on the command line and in every table; equal to the entry point's name."""
    version: str
    """Raised whenever equal input may give another video."""
    title: str
    """One line for people."""
    licence: str
    """SPDX expression of code and weights."""
    factory: str
    """`module:Class`; called as `Class(device)` it gives a `Method`; if privileged an `Oracle`, or a `PreparedOracle`
    where there is a `preparation`."""
    needs: tuple[str, ...] = ()
    """Import names of optional packages without which the method cannot run."""
    sources: tuple[str, ...] = ()
    """Files and folders (`package/path`) whose bytes decide the output: code, weights, prepared arrays.

    Their hash is part of every cache key: a prediction of yesterday's weights is never served for today's.
    """
    state: str = ""
    """`module:ATTRIBUTE` of an object whose `state()` gives plain data of what else decides the output: what stands
    outside of packages, such as another program's checkout. Part of every cache key, as the sources are. Its
    `checks()` are the lines (`benchmark.doctor.Check`) that `bench doctor --method ID` shows."""
    preparation: Preparation | None = None
    """The per-person work; None when there is none, and `prepare` is then not called."""
    privileged: bool = False
    """Sees the ground truth: shown in every row, never ranked."""


class Method(Protocol):
    """A method: it sees one picture and the sound, and writes a video."""

    def prepare(self, identity: Identity, prepared: Path) -> None:
        """Do the per-person work once and leave what `generate` needs in the empty folder `prepared`.

        The folder is cached by `MethodSpec.preparation` and the content of `identity`, so nothing else may decide
        the outcome.
        """
        ...

    def generate(self, sample: Sample, prepared: Path, out: Path) -> Generation:
        """Write the video of `sample` to `out` (`.mp4`): `n_frames` frames of `width` x `height` at `fps`.

        Args:
            sample: What may be seen.
            prepared: The folder that `prepare` filled for this person, or an empty one; read only.
            out: Path of the video; its folder exists.
        """
        ...


class Oracle(Protocol):
    """A control that must see the truth; its rows are marked `privileged` and never ranked."""

    def generate(self, sample: Sample, ground_truth: GroundTruth, out: Path) -> Generation:
        """Write a video made from the truth to `out`; the same duties as `Method.generate`."""
        ...


class PreparedOracle(Protocol):
    """An oracle with per-person work: what it prepares sees no more of the person than any method's does."""

    def prepare(self, identity: Identity, prepared: Path) -> None:
        """As `Method.prepare`, so that the folder can be shared with a method that does not see the truth."""
        ...

    def generate(self, sample: Sample, ground_truth: GroundTruth, prepared: Path, out: Path) -> Generation:
        """As `Oracle.generate`, with the folder that `prepare` filled; read only."""
        ...
