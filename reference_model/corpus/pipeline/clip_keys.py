"""Keys of the stages: what each output of a corpus depends on, and which attempt of a clip is the current one."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from reference_model.corpus.pipeline.content_cache import content_key, source_version
from reference_model.corpus.pipeline.plan import Corpus

__all__ = [
    "MOST_REDRAWS",
    "attempt_of",
    "clips_key",
    "draw_key",
    "filter_key",
    "filter_records",
    "motion_key",
    "person_key",
    "portrait_key",
    "speech_key",
    "truth_key",
    "utterances_key",
]

MOST_REDRAWS = 3
"""A clip that a filter rejects is made again with its next seed at most so often."""

_PACKAGE = "reference_model.corpus"


@functools.cache
def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _data(*names: str) -> list[str]:
    """Hashes of data files of the package `reference_model`."""
    return [_file_hash(Path(__file__).parents[2] / name) for name in names]


def utterances_key(corpus: Corpus) -> str:
    """Of `utterances.jsonl`."""
    spec = corpus.spec
    return content_key(
        people=[asdict(person) for person in corpus.attributes.values()],
        clips=list(corpus.clips),
        options=[spec.split, spec.seed, spec.clip_s, spec.utterances_command],
        texts=_data("corpus/speech/talk.txt", "corpus/speech/sentences.txt"),
        source=source_version(f"{_PACKAGE}.pipeline.texts", f"{_PACKAGE}.speech.espeak_worker"),
    )


def speech_key(corpus: Corpus, clip: str) -> str:
    """Of `speech/CLIP.*`: hangs on the clip's own line of `utterances.jsonl` only."""
    lines = (corpus.folder / "utterances.jsonl").read_text("utf-8").splitlines()
    return content_key(
        row=next(line for line in lines if line.startswith(f'{{"clip": "{clip}",')),
        options=[corpus.spec.clip_s, corpus.spec.tts_command],
        source=source_version(f"{_PACKAGE}.pipeline.speech", f"{_PACKAGE}.speech.espeak_worker"),
    )


def person_key(corpus: Corpus, person: str) -> str:
    """Of `people/PERSON.*`."""
    return content_key(
        attributes=asdict(corpus.attributes[person]),
        options=[corpus.seed_of(person), corpus.spec.width, corpus.spec.height],
        data=_data("body/template.npz"),
        source=source_version(f"{_PACKAGE}.pipeline.people"),
    )


def portrait_key(corpus: Corpus, person: str) -> str:
    """Of `portraits/PERSON.png`."""
    model = corpus.spec.portrait_model
    return content_key(
        person=person_key(corpus, person),
        model=None if model is None else [model, _file_hash(Path(model) / "model_index.json")],
        source=source_version(f"{_PACKAGE}.pipeline.people", f"{_PACKAGE}.pipeline.external"),
    )


def motion_key(corpus: Corpus, clip: str, attempt: int | None = None) -> str:
    """Of `motion/CLIP.*`; of the current attempt unless another is asked for."""
    return content_key(
        speech=_told_key(corpus, "speech", clip),
        person=_told_key(corpus, "people", corpus.clips[clip].person),
        seed=corpus.seed_of(clip, attempt_of(corpus, clip) if attempt is None else attempt),
        source=source_version(f"{_PACKAGE}.pipeline.motion"),
    )


def draw_key(corpus: Corpus, clip: str, attempt: int | None = None) -> str:
    """Of a clip's pictures from all its cameras."""
    spec = corpus.spec
    return content_key(
        motion=motion_key(corpus, clip, attempt),
        options=[*_size(corpus), spec.side_views and corpus.clips[clip].is_test],
        source=source_version(f"{_PACKAGE}.pipeline.draw_stage", f"{_PACKAGE}.drawing.draw"),
    )


def clips_key(corpus: Corpus, clip: str, attempt: int | None = None) -> str:
    """Of the encoded videos of a clip, made people's or those of `--video-command`."""
    if corpus.spec.video_command is None:
        pictures = draw_key(corpus, clip, attempt)
    else:
        portrait = _told_key(corpus, "portraits", corpus.clips[clip].person)
        pictures = content_key(portrait=portrait, command=corpus.spec.video_command, size=_size(corpus))
    return content_key(
        pictures=pictures,
        speech=_told_key(corpus, "speech", clip),
        source=source_version(f"{_PACKAGE}.pipeline.clips"),
    )


def _size(corpus: Corpus) -> list[int]:
    return [corpus.spec.width, corpus.spec.height, corpus.spec.crf]


def truth_key(corpus: Corpus, clip: str, attempt: int | None = None) -> str:
    """Of `truth/CLIP.npz` and `sealed/CLIP.npz`."""
    return content_key(
        motion=motion_key(corpus, clip, attempt),
        source=source_version(f"{_PACKAGE}.pipeline.truth"),
    )


def filter_key(corpus: Corpus, clip: str, attempt: int) -> str:
    """Of one attempt's line in `filters/CLIP.json`."""
    return content_key(
        clip=clips_key(corpus, clip, attempt),
        truth=None if corpus.spec.video_command else truth_key(corpus, clip, attempt),
        source=source_version(f"{_PACKAGE}.pipeline.filters"),
    )


def _told_key(corpus: Corpus, stage: str, item: str) -> str | None:
    """The key that an earlier stage finished the item with: it travels with the folder to a GPU machine."""
    return corpus.cache.key_of(stage, item)


def filter_records(corpus: Corpus, clip: str) -> list[dict]:
    """What the filters said of the clip's attempts so far."""
    path = corpus.path("filters", clip, "json")
    return json.loads(path.read_text("utf-8")) if path.is_file() else []


def attempt_of(corpus: Corpus, clip: str) -> int:
    """Which attempt of a clip is to be made or stands: the first that no filter has rejected, or the last allowed.

    A rejection counts only for the very content that was rejected, so a change of an earlier stage starts anew.
    """
    records = filter_records(corpus, clip)
    for attempt in range(MOST_REDRAWS):
        rejected = (
            attempt < len(records)
            and not records[attempt]["passed"]
            and records[attempt]["key"] == filter_key(corpus, clip, attempt)
        )
        if not rejected:
            return attempt
    return MOST_REDRAWS
