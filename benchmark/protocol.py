"""Protocols: every number that decides a score, in one versioned file with a hash."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from benchmark.hashing import sha256_json
from media.errors import AvatarBenchError

__all__ = ["MetricRule", "Protocol", "VideoRule", "list_protocols", "load_protocol", "load_same_protocol"]

_FOLDER = Path(__file__).parent / "protocols"
_STRICT = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class VideoRule(BaseModel):
    """The grid on which predictions are made and everything is measured."""

    model_config = _STRICT

    fps: float = Field(gt=0)
    """Frames a second."""
    long_side: int = Field(gt=0, multiple_of=2)
    """Pixels of the longer side; the aspect is kept and both sides are even."""
    max_duration_s: float = Field(gt=0)
    """Longer clips are cut to this, seconds."""
    min_duration_s: float = Field(gt=0)
    """Shorter clips are refused, seconds."""
    codec: Literal["h264-yuv420p"]
    """How predictions are stored before they are scored."""
    crop: Literal["none"] = "none"
    """What is cut off before the size is brought to `long_side`: nothing, the whole picture is scored."""

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height in pixels of a `width` x `height` clip under this rule."""
        scale = self.long_side / max(width, height)
        return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))

    def n_frames(self, duration_s: float) -> int:
        """Whole frames in `duration_s` seconds, cut to the longest allowed clip."""
        # A container states 4.4 s as 4.399999; a thousandth of a frame forgives that.
        return int(min(duration_s, self.max_duration_s) * self.fps + 1e-3)


class MetricRule(BaseModel):
    """One metric of a protocol."""

    model_config = _STRICT

    id: str
    """Id in the catalogue of metrics; it names the variant."""
    version: str
    """Version that the protocol was written for."""
    on_miss: Literal["excluded", "zero"]
    """What a sample, hand or face without a finding costs; `excluded` shows in the coverage."""
    settings: dict[str, int | float | str | tuple[float, ...]] = {}
    """Numbers that the definition rests on; the code must have the same (`benchmark.metrics.settings`)."""
    stands_in_for: str | None = None
    """Id of the metric whose place this one takes where weights are missing, without being it."""


class Protocol(BaseModel):
    """How clips become samples and samples become numbers."""

    model_config = _STRICT

    id: str
    """Name and version."""
    title: str
    """One line for people."""
    split: str
    """Name of the split."""
    video: VideoRule
    """Frame rate, size, length, codec."""
    reference: Literal["first_frame"]
    """Which picture of the person a method sees."""
    audio: Literal["wav-16k-mono"]
    """Which sound a method hears."""
    aggregation: Literal["frames-clip-identity-dataset"]
    """Order of the means of the headline number."""
    metrics: tuple[MetricRule, ...]
    """What is measured."""
    needs_weights: tuple[str, ...] = ()
    """Ids of metrics that cannot be measured here for want of weights and have no honest stand-in; shown as such."""
    min_coverage_ranked: float = Field(ge=0, le=1)
    """A method that is scored on a smaller share of the samples is shown but not ranked."""

    @property
    def sha256(self) -> str:
        """Hash of the meaning: comments and layout of the file do not count.

        A field that came later has as its default what was meant before, and counts only where it says otherwise; so
        a protocol keeps its hash for as long as it keeps its meaning.
        """
        return sha256_json(self.model_dump(mode="json", exclude_defaults=True))


def list_protocols() -> list[Protocol]:
    """The protocols that ship, by id."""
    return [_read(path) for path in sorted(_FOLDER.glob("*.yaml"))]


def load_protocol(name: str) -> Protocol:
    """The protocol called `name`.

    Raises:
        AvatarBenchError: E503 for a name that does not ship (the nearest is given).
    """
    path = _FOLDER / f"{name}.yaml"
    available = sorted(file.stem for file in _FOLDER.glob("*.yaml"))
    if name not in available:
        near = difflib.get_close_matches(name, available, n=1, cutoff=0.4)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise AvatarBenchError(
            "E503",
            f"unknown protocol '{name}'.{hint}",
            expected=f"one of {', '.join(available)}",
            fix="list them with: bench protocols",
        )
    return _read(path)


def load_same_protocol(name: str, sha256: str, run: Path) -> Protocol:
    """The protocol that a run was made with.

    Args:
        name: Its id in the run's plan.
        sha256: Its hash in the run's plan.
        run: The run's folder, for the message.

    Raises:
        AvatarBenchError: E503 when this release has none of that name, or another one.
    """
    protocol = load_protocol(name)
    if protocol.sha256 != sha256:
        raise AvatarBenchError(
            "E503",
            f"the protocol '{name}' is not the one that the run was made with",
            where=run,
            expected=sha256,
            got=protocol.sha256,
            fix="use the release that made the run, or make it again: bench run",
        )
    return protocol


def _read(path: Path) -> Protocol:
    return Protocol.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
