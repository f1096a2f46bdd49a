"""The last stage: what stands in a corpus, as lines that the benchmark and people read."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from media.errors import AvatarBenchError
from media.files import atomic_write
from reference_model.corpus.pipeline.clip_keys import filter_records
from reference_model.corpus.pipeline.content_cache import write_json
from reference_model.corpus.pipeline.plan import Corpus, PlannedClip

__all__ = ["export_dataset", "tool_versions", "write_attributes", "write_filters", "write_manifest"]

_LICENCE = "CC0-1.0"
_TOOLS = (
    "numpy",
    "scipy",
    "numba",
    "torch",
    "opencv-contrib-python",
    "av",
    "espeakng-loader",
    "anny",
    "mediapipe",
)


def tool_versions() -> dict[str, str]:
    """Versions of Python and of the packages that a corpus hangs on; "absent" where one is not installed."""
    versions = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(
            "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows), "utf-8"
        )


def write_attributes(corpus: Corpus) -> None:
    """Write `attributes.jsonl`: one line a person, with its seed."""
    rows = (
        {"person": name, "seed": corpus.seed_of(name)} | asdict(a) for name, a in corpus.attributes.items()
    )
    _write_lines(corpus.folder / "attributes.jsonl", rows)


def write_filters(corpus: Corpus) -> None:
    """Write `filters.jsonl`: one line a clip with all its attempts; rejected clips are those not in the manifest."""
    rows = []
    for clip in corpus.clips:
        records = filter_records(corpus, clip)
        told = [{name: value for name, value in record.items() if name != "key"} for record in records]
        rows.append({"clip": clip, "passed": records[-1]["passed"], "attempts": told})
    _write_lines(corpus.folder / "filters.jsonl", rows)


def write_manifest(corpus: Corpus) -> None:
    """Write `manifest.jsonl`, the benchmark's list of the clips that passed, and tools into `corpus.json`.

    Raises:
        AvatarBenchError: E407 when the filters rejected every clip.
    """
    passed = [clip for clip in corpus.clips.values() if filter_records(corpus, clip.id)[-1]["passed"]]
    if not passed:
        raise AvatarBenchError(
            "E407",
            "the filters rejected every clip of the corpus",
            where=corpus.folder / "filters.jsonl",
            fix="read the reasons there; very small pictures are rejected, because no face is found in them",
        )
    _write_lines(corpus.folder / "manifest.jsonl", (_line(corpus, clip) for clip in passed))
    write_json(
        corpus.folder / "corpus.json", {"format": 1, "spec": asdict(corpus.spec), "tools": tool_versions()}
    )


def _line(corpus: Corpus, clip: PlannedClip) -> dict[str, Any]:
    media = corpus.path("clips", clip.id, "mp4")
    speech = corpus.read_json("speech", clip.id)
    records = filter_records(corpus, clip.id)
    person = asdict(corpus.attributes[clip.person])
    return {
        "id": clip.id,
        "identity": clip.person,
        "media": media.relative_to(corpus.folder).as_posix(),
        "start_s": 0.0,
        "duration_s": corpus.spec.clip_s,
        "sha256": hashlib.sha256(media.read_bytes()).hexdigest(),
        "transcript": speech["text"],
        "licence": _LICENCE,
        "attributes": person
        | {
            "age_stratum": corpus.attributes[clip.person].age_stratum,
            "language": speech["language"],
            "voice": speech["voice"]["name"],
            "speech_times": speech["times"],
            "made": corpus.spec.video_command is None,
            "seed": str(corpus.seed_of(clip.id, len(records) - 1)),
            "attempt": len(records) - 1,
            "drawn_on": corpus.cache.record("pictures", clip.id).get("device", "elsewhere"),
        },
    }


def export_dataset(corpus: Corpus, out: Path) -> int:
    """Copy what a benchmark data set needs into a folder: manifest, clips and the table of attributes.

    Clips that an earlier edition left in the folder are removed.

    Args:
        corpus: A finished corpus.
        out: The folder; made if absent.

    Returns:
        Bytes of the data set.

    Raises:
        AvatarBenchError: E407 when the corpus is not finished, E602 when the folder cannot be written.
    """
    manifest = corpus.folder / "manifest.jsonl"
    if not manifest.is_file():
        raise AvatarBenchError(
            "E407",
            "the corpus is not finished",
            where=corpus.folder,
            fix="run avatar corpus create on it again",
        )
    media = [json.loads(line)["media"] for line in manifest.read_text("utf-8").splitlines()]
    try:
        (out / "clips").mkdir(parents=True, exist_ok=True)
        for old in (out / "clips").glob("*.mp4"):
            if f"clips/{old.name}" not in media:
                old.unlink()
        names = [*media, "attributes.md", "manifest.jsonl"]
        for name in names:
            with atomic_write(out / name) as temporary:
                shutil.copyfile(corpus.folder / name, temporary)
    except OSError as error:
        raise AvatarBenchError("E602", "the folder cannot be written", where=out, got=str(error)) from error
    return sum((out / name).stat().st_size for name in names)


def rejected_clips(corpus: Corpus) -> list[str]:
    """Clips that no attempt brought past the filters."""
    return [clip for clip in corpus.clips if not filter_records(corpus, clip)[-1]["passed"]]
