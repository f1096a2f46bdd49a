"""The stages of a corpus in order, each resumable and skipped where its outputs are up to date."""

from __future__ import annotations

import fcntl
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from media.errors import AvatarBenchError
from media.files import atomic_write
from media.processes import end_with_parent
from reference_model.corpus.people.attributes import attribute_tables
from reference_model.corpus.pipeline import clip_keys
from reference_model.corpus.pipeline.clip_keys import MOST_REDRAWS, attempt_of
from reference_model.corpus.pipeline.clips import make_clips
from reference_model.corpus.pipeline.draw_stage import PARTS, Device, drawing_outputs, make_drawing
from reference_model.corpus.pipeline.filters import make_filters
from reference_model.corpus.pipeline.manifest import write_attributes, write_filters, write_manifest
from reference_model.corpus.pipeline.motion import make_motion
from reference_model.corpus.pipeline.people import make_people, make_portraits
from reference_model.corpus.pipeline.plan import Corpus, open_corpus
from reference_model.corpus.pipeline.speech import make_speech
from reference_model.corpus.pipeline.texts import make_utterances
from reference_model.corpus.pipeline.truth import make_truth

__all__ = ["STAGES", "create_corpus"]

Advance = Callable[[str, int, int], None]
"""Called with the stage, how many of its items are up to date, and how many there are."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """A stage that makes one item at a time."""

    name: str
    per_person: bool
    make: Callable[..., None]
    """`make(corpus, items, advance)` makes items in order and reports each."""
    key: Callable[[Corpus, str], str]
    outputs: Callable[[Corpus, str], list[Path]]


def _at(*places: tuple[str, str]) -> Callable[[Corpus, str], list[Path]]:
    return lambda corpus, item: [corpus.path(folder, item, suffix) for folder, suffix in places]


def _drawn(corpus: Corpus, clip: str) -> list[Path]:
    return [path for part in PARTS for path in drawing_outputs(corpus, clip, part)]


_ITEM_STAGES = (
    _Stage("speech", False, make_speech, clip_keys.speech_key, _at(("speech", "wav"), ("speech", "json"))),
    _Stage("people", True, make_people, clip_keys.person_key, _at(("people", "npz"), ("people", "json"))),
    _Stage("portraits", True, make_portraits, clip_keys.portrait_key, _at(("portraits", "png"))),
    _Stage("motion", False, make_motion, clip_keys.motion_key, _at(("motion", "npz"), ("motion", "json"))),
    _Stage("drawing", False, make_drawing, clip_keys.draw_key, _drawn),
    _Stage("clips", False, make_clips, clip_keys.clips_key, _at(("clips", "mp4"))),
    _Stage("truth", False, make_truth, clip_keys.truth_key, _at(("truth", "npz"), ("sealed", "npz"))),
    _Stage(
        "filters",
        False,
        make_filters,
        lambda corpus, clip: clip_keys.filter_key(corpus, clip, attempt_of(corpus, clip)),
        _at(("filters", "json")),
    ),
)
_BY_NAME = {stage.name: stage for stage in _ITEM_STAGES}
STAGES = ("attributes", "utterances", *_BY_NAME, "manifest")
"""Names of the stages, in order."""
_REDRAWN = ("motion", "drawing", "clips", "truth", "filters")


def create_corpus(
    corpus: Corpus, advance: Advance, *, stages: Sequence[str] = STAGES, jobs: int = 1, device: Device = "cpu"
) -> None:
    """Make a corpus, or what is missing of it.

    Args:
        corpus: An opened corpus.
        advance: Progress.
        stages: Which stages to run; the earlier ones must have run before.
        jobs: Processes that work side by side on people and clips.
        device: Where clips are drawn.

    Raises:
        AvatarBenchError: E407 when an earlier stage is missing, E604 while another process works on the folder; what
            the stages raise.
    """
    with _only_process(corpus.folder):
        _first_stages(corpus, advance, stages)
        for stage in _ITEM_STAGES:
            if stage.name in stages and _applies(corpus, stage.name):
                _run(corpus, stage, advance, jobs, device)
        if "filters" in stages:
            for _ in range(MOST_REDRAWS):
                if not _redraw_rejected(corpus, advance, jobs, device):
                    break
        if "manifest" in stages:
            _require_inputs(corpus, "manifest")
            write_filters(corpus)
            write_manifest(corpus)
            advance("manifest", 1, 1)


def _first_stages(corpus: Corpus, advance: Advance, stages: Sequence[str]) -> None:
    if "attributes" in stages:
        write_attributes(corpus)
        with atomic_write(corpus.folder / "attributes.md") as path:
            path.write_text(attribute_tables(list(corpus.attributes.values())), "utf-8")
        advance("attributes", len(corpus.attributes), len(corpus.attributes))
    if "utterances" in stages:
        key, path = clip_keys.utterances_key(corpus), corpus.folder / "utterances.jsonl"
        if not corpus.cache.is_done("utterances", "all", key, [path]):
            done = iter(range(1, len(corpus.clips) + 1))
            make_utterances(corpus, lambda _: advance("utterances", next(done), len(corpus.clips)))
            corpus.cache.finish("utterances", "all", key)


def _applies(corpus: Corpus, stage: str) -> bool:
    """Whether the corpus has the stage: with pictures from elsewhere nobody is made, with videos nothing is drawn."""
    if stage == "people":
        return corpus.spec.portrait_model is None
    return stage not in ("motion", "drawing", "truth") or corpus.spec.video_command is None


_NEEDS = {
    "speech": ("utterances",),
    "portraits": ("people",),
    "motion": ("speech", "people"),
    "drawing": ("motion",),
    "clips": ("speech", "drawing"),
    "truth": ("motion",),
    "filters": ("clips", "truth"),
    "manifest": ("filters",),
}


def _require_inputs(corpus: Corpus, stage: str) -> None:
    """Refuse to run a stage whose inputs were never made."""
    needs = _NEEDS.get(stage, ())
    if stage == "clips" and corpus.spec.video_command is not None:
        needs = ("speech", "portraits")
    for needed in needs:
        if not _applies(corpus, needed):
            continue
        missing = [item for item in _items(corpus, needed) if corpus.cache.key_of(needed, item) is None]
        if missing:
            raise AvatarBenchError(
                "E407",
                f"the stage {stage!r} needs the stage {needed!r} first",
                where=corpus.folder,
                got=f"{len(missing)} of its items are missing, such as {missing[0]}",
                fix=f"run avatar corpus create --out {corpus.folder} --stage {needed}, or without --stage",
            )


def _items(corpus: Corpus, stage: str) -> list[str]:
    if stage == "utterances":
        return ["all"]
    return list(corpus.attributes if _BY_NAME[stage].per_person else corpus.clips)


def _pending(corpus: Corpus, stage: _Stage) -> dict[str, str]:
    """Items that are not up to date, with the key they will have."""
    keys = {item: stage.key(corpus, item) for item in _items(corpus, stage.name)}
    return {
        item: key
        for item, key in keys.items()
        if not corpus.cache.is_done(stage.name, item, key, stage.outputs(corpus, item))
    }


def _run(corpus: Corpus, stage: _Stage, advance: Advance, jobs: int, device: Device) -> None:
    _require_inputs(corpus, stage.name)
    pending = _pending(corpus, stage)
    total = len(_items(corpus, stage.name))
    done = total - len(pending)
    advance(stage.name, done, total)
    for _ in _made(corpus, stage.name, list(pending), jobs, device):
        done += 1
        advance(stage.name, done, total)


def _made(corpus: Corpus, stage: str, items: list[str], jobs: int, device: Device) -> Iterator[str]:
    """Make items, in this process or spread over several; yields each finished one."""
    groups = _groups(corpus, stage, items)
    if jobs == 1 or len(groups) < 2:
        for group in groups:
            for item in group:
                _make_group(corpus.folder, stage, [item], device)
                yield item
        return
    context = multiprocessing.get_context("spawn")  # numba's and mediapipe's threads do not survive a fork
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=end_with_parent) as pool:
        work = {pool.submit(_make_group, corpus.folder, stage, group, device): group for group in groups}
        try:
            for future in as_completed(work):
                future.result()
                yield from work[future]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _groups(corpus: Corpus, stage: str, items: list[str]) -> list[list[str]]:
    """Items that one process makes one after the other: a person's clips, because people take seconds to load."""
    if _BY_NAME[stage].per_person:
        return [[item] for item in items]
    by_person: dict[str, list[str]] = {}
    for item in items:
        by_person.setdefault(corpus.clips[item].person, []).append(item)
    return list(by_person.values())


def _make_group(folder: Path, stage: str, items: Sequence[str], device: Device) -> None:
    torch.set_num_threads(1)  # two torch threads beside numba are several times slower
    corpus, chosen = open_corpus(folder), _BY_NAME[stage]
    make = partial(chosen.make, device=device) if stage == "drawing" else chosen.make
    for item in items:
        key = chosen.key(corpus, item)  # before the work: a filter that rejects moves the current attempt on
        make(corpus, [item], lambda _: None)
        corpus.cache.finish(stage, item, key)


def _redraw_rejected(corpus: Corpus, advance: Advance, jobs: int, device: Device) -> bool:
    """Make rejected clips again with their next seed; returns whether there were any."""
    if not _pending(corpus, _BY_NAME["filters"]):
        return False
    for name in _REDRAWN:
        if _applies(corpus, name):
            _run(corpus, _BY_NAME[name], advance, jobs, device)
    return True


@contextmanager
def _only_process(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; it falls with the process, however that ends."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AvatarBenchError(
                "E604", "another process works on this corpus", where=folder, fix="wait until it has ended"
            ) from error
        yield
