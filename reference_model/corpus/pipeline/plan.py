"""What a corpus is: its options, its people and clips, and where each file stands."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from media.errors import AvatarBenchError
from reference_model.corpus.people.attributes import Attributes, Split, sample_attributes
from reference_model.corpus.pipeline.content_cache import ContentCache, write_json

__all__ = [
    "FPS",
    "PRESETS",
    "SIDE_VIEWS_DEG",
    "Corpus",
    "CorpusSpec",
    "PlannedClip",
    "open_corpus",
    "plan_corpus",
]

FPS = 25
SIDE_VIEWS_DEG = (15, 30, 45)
"""Cameras walked about the person, of test clips."""
TEST_SHARE = 0.10
"""Share of hash values that make a test clip; the split `identity-holdout-10` of the benchmark."""


@dataclass(frozen=True, slots=True)
class CorpusSpec:
    """The options that decide the content of a corpus."""

    split: Split = "train"
    n_people: int = 100
    n_clips: int = 8
    """Of each person."""
    seed: int = 0
    clip_s: float = 4.4
    width: int = 384
    """Pixels, even."""
    height: int = 512
    """Pixels, even."""
    crf: int = 26
    """Quality of the clips' pictures; lower is better."""
    side_views: bool = False
    """Whether test clips are drawn from the side, too."""
    utterances_command: str | None = None
    tts_command: str | None = None
    video_command: str | None = None
    portrait_model: str | None = None

    @property
    def n_frames(self) -> int:
        """Pictures of a clip."""
        return round(self.clip_s * FPS)


PRESETS = {
    "mini": CorpusSpec(split="mini", n_people=12, n_clips=10, side_views=True),
    "mini-heldout": CorpusSpec(split="heldout", n_people=24, n_clips=5, side_views=True),
}
"""The benchmark's made data sets: people, voices and texts that no training corpus has."""


@dataclass(frozen=True, slots=True)
class PlannedClip:
    """A clip before it is made."""

    id: str
    person: str
    index: int
    """Among the person's clips, from 0."""
    is_test: bool
    """Whether the benchmark's split `identity-holdout-10` tests it."""


@dataclass(frozen=True)
class Corpus:
    """A corpus folder and what shall stand in it."""

    folder: Path
    spec: CorpusSpec
    attributes: dict[str, Attributes] = field(repr=False)
    """By person."""
    clips: dict[str, PlannedClip] = field(repr=False)
    """By id."""

    @property
    def cache(self) -> ContentCache:
        """Records of what is finished."""
        return ContentCache(self.folder / "cache")

    def path(self, kind: str, name: str, suffix: str) -> Path:
        """`folder/kind/name.suffix`."""
        return self.folder / kind / f"{name}.{suffix}"

    def read_json(self, kind: str, name: str) -> Any:
        """Content of `folder/kind/name.json`."""
        return json.loads(self.path(kind, name, "json").read_text("utf-8"))

    def seed_of(self, what: str, attempt: int = 0) -> int:
        """A seed of a person or clip, 63 bits, unlike that of any other name, attempt, split or corpus seed."""
        text = f"{self.spec.split}/{self.spec.seed}/{what}/{attempt}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def clips_of(self, person: str) -> list[PlannedClip]:
        """The person's clips in order."""
        return [clip for clip in self.clips.values() if clip.person == person]


def plan_corpus(folder: Path, spec: CorpusSpec) -> Corpus:
    """The people and clips of a corpus; nothing is read or written."""
    digits = len(str(spec.n_people))
    names = [f"{spec.split}{index + 1:0{max(2, digits)}d}" for index in range(spec.n_people)]
    drawn = sample_attributes(spec.n_people, spec.seed, split=spec.split)
    clips = {clip.id: clip for name in names for clip in _clips_of_person(name, spec.n_clips)}
    return Corpus(folder, spec, dict(zip(names, drawn, strict=True)), clips)


def _clips_of_person(person: str, n_clips: int) -> list[PlannedClip]:
    """Clips whose ids make exactly one of them a test clip by the rule of `identity-holdout-10`."""
    for take in itertools.count(1):
        ids = [f"{person}-t{take}-{index + 1:02d}" for index in range(n_clips)]
        hashes = {name: _unit_hash(f"{person}/{name}") for name in ids}
        if sum(value < TEST_SHARE for value in hashes.values()) <= 1:
            tested = min(ids, key=lambda name: hashes[name])
            return [PlannedClip(name, person, index, name == tested) for index, name in enumerate(ids)]
    raise AssertionError("unreachable: itertools.count has no end")


def _unit_hash(name: str) -> float:
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def open_corpus(folder: Path, spec: CorpusSpec | None = None) -> Corpus:
    """Open a corpus folder, or begin one.

    Args:
        folder: The folder; made if a spec is given.
        spec: The options; None takes those of the folder.

    Raises:
        AvatarBenchError: E407 when the folder holds a corpus of other options, or none and no spec is given; E602
            when it cannot be made.
    """
    path = folder / "corpus.json"
    stored = _stored_spec(path)
    if stored is None and spec is None:
        raise AvatarBenchError(
            "E407",
            "the folder holds no corpus",
            where=folder,
            fix="begin one with avatar corpus create --out",
        )
    if stored is not None and spec is not None and stored != spec:
        mine, theirs = asdict(spec), asdict(stored)
        changed = [name for name in mine if mine[name] != theirs[name]]
        raise AvatarBenchError(
            "E407",
            "the folder holds a corpus that was begun with other options",
            where=folder,
            expected=", ".join(f"{name}={theirs[name]!r}" for name in changed),
            got=", ".join(f"{name}={mine[name]!r}" for name in changed),
            fix="repeat the options that it was begun with, or give another folder",
        )
    spec = stored or spec
    assert spec is not None
    if stored is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AvatarBenchError(
                "E602", "the folder cannot be made", where=folder, got=str(error)
            ) from error
        write_json(path, {"format": 1, "spec": asdict(spec)})
    return plan_corpus(folder, spec)


def _stored_spec(path: Path) -> CorpusSpec | None:
    if not path.is_file():
        return None
    try:
        return CorpusSpec(**json.loads(path.read_text("utf-8"))["spec"])
    except (ValueError, KeyError, TypeError) as error:
        raise AvatarBenchError(
            "E407", "the corpus cannot be read", where=path, expected="format 1", got=str(error)
        ) from error
