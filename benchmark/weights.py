"""The weights that metrics need: what they are, where they may stand, and the check before anything opens them.

Nothing here touches the network. `benchmark.fetching` downloads, and only `bench weights fetch` calls it.

A file is looked for in the folders that `AVATARBENCH_WEIGHTS` names (separated as in PATH), then in the cache. The
first folder that has it decides: a damaged file there is refused and never passed over, because a user who names a
folder means it. Its SHA-256 is compared before the path is handed out, because TorchScript, ONNX and pickle files can
run code or crash readers when they are opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.cache import cache_folder
from benchmark.hashing import sha256_file, sha256_json
from benchmark.weights_catalogue import WEIGHTS, Archive, Weight
from benchmark.weights_lock import FileFacts, read_lock
from media.errors import AvatarBenchError

__all__ = [
    "FOLDERS_VARIABLE",
    "WEIGHTS",
    "Archive",
    "FoundWeight",
    "Weight",
    "expected_facts",
    "find_weight",
    "look_up_weight",
    "search_folders",
    "verify_weight",
    "weight_path",
    "weight_sha256",
    "weights_folder",
]

FOLDERS_VARIABLE = "AVATARBENCH_WEIGHTS"


@dataclass(frozen=True, slots=True)
class FoundWeight:
    """What stands on this machine of a weight; nothing has been hashed."""

    weight: Weight
    folder: Path | None
    """The first folder that has any of its files."""
    missing: tuple[str, ...]
    """Those of its files that are not in `folder`; all of them where there is no folder."""


# Path, size, time of change and inode of files whose hash this process has computed: one_align alone has 16 GB.
_hashed: dict[tuple[str, int, int, int], str] = {}


def weight_path(weight_id: str) -> Path:
    """The file of a weight (the folder of `one_align`), after its SHA-256 was compared.

    Args:
        weight_id: A key of `WEIGHTS`.

    Raises:
        AvatarBenchError: E502 when the file is missing, damaged, or of a weight whose hash nobody has recorded yet.
            E504 for an id that does not exist.
    """
    weight = look_up_weight(weight_id)
    found = find_weight(weight)
    if found.folder is None or found.missing:
        raise _missing_error(found)
    facts = expected_facts(weight)
    for name in weight.names:
        verify_weight(weight, found.folder / name, facts[name])
    return found.folder / weight.file


def look_up_weight(weight_id: str) -> Weight:
    """The weight of this id; E504 where there is none."""
    try:
        return WEIGHTS[weight_id]
    except KeyError:
        raise AvatarBenchError(
            "E504",
            f"there are no weights '{weight_id}'",
            expected=f"one of {', '.join(WEIGHTS)}",
            fix="bench weights list",
        ) from None


def weight_sha256(weight_id: str) -> str:
    """The SHA-256 that the weight must have, for keys of what was computed with it; reads no weights.

    For a folder it is the hash over names and hashes of its files.

    Raises:
        AvatarBenchError: E502 when it is to be recorded at the first fetch and there was none; E504 as above.
    """
    weight = look_up_weight(weight_id)
    facts = expected_facts(weight)
    unknown = [name for name in weight.names if facts[name].sha256 is None]
    if unknown:
        raise _unrecorded_error(weight, weights_folder() / unknown[0])
    if weight.parts:
        return sha256_json({name: facts[name].sha256 for name in weight.names})
    return str(facts[weight.file].sha256)


def weights_folder() -> Path:
    """Where fetched weights stand: a folder of the user's cache that `bench doctor --clean` leaves alone."""
    return cache_folder() / "weights"


def search_folders() -> tuple[Path, ...]:
    """The folders of `AVATARBENCH_WEIGHTS` in order, then the cache's."""
    named = os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)
    return (*(Path(name).expanduser() for name in named if name.strip()), weights_folder())


def find_weight(weight: Weight, folders: tuple[Path, ...] | None = None) -> FoundWeight:
    """Look for the files of a weight, which must all stand in one folder; opens none of them."""
    for folder in search_folders() if folders is None else folders:
        missing = tuple(name for name in weight.names if not (folder / name).is_file())
        if len(missing) < len(weight.names):
            return FoundWeight(weight, folder, missing)
    return FoundWeight(weight, None, weight.names)


def expected_facts(weight: Weight) -> Mapping[str, FileFacts]:
    """Size and SHA-256 that each file of a weight must have: the registry's, else what the first fetch recorded."""
    if weight.sha256 is not None:
        return {weight.file: FileFacts(bytes=weight.bytes, sha256=weight.sha256)}
    locked = read_lock(weights_folder()).get(weight.id)
    known = locked.files if locked is not None and locked.revision == weight.revision else {}
    return {name: known.get(name, FileFacts()) for name in weight.names}


def verify_weight(weight: Weight, path: Path, facts: FileFacts) -> None:
    """Compare size and SHA-256 of one file of a weight with `facts`; E502 where they differ or are not known."""
    if facts.sha256 is None:
        raise _unrecorded_error(weight, path)
    try:
        size = path.stat().st_size
        actual = _sha256_once(path) if facts.bytes in (None, size) else None
    except OSError as error:
        raise AvatarBenchError(
            "E502", f"the weights '{weight.id}' cannot be read", where=path, got=error.strerror
        ) from error
    if actual != facts.sha256:
        raise AvatarBenchError(
            "E502",
            f"the weights '{weight.id}' are not the published ones, or are damaged",
            where=path,
            expected=f"sha256 {facts.sha256}" if actual else f"{facts.bytes} bytes",
            got=f"sha256 {actual}" if actual else f"{size} bytes",
            fix=f"bench weights fetch {weight.id} replaces it"
            if path.is_relative_to(weights_folder())
            else f"put the right file there, or take the folder out of {FOLDERS_VARIABLE}",
        )


def _sha256_once(path: Path) -> str:
    status = path.stat()
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ino)
    if key not in _hashed:
        _hashed[key] = sha256_file(path)
    return _hashed[key]


def _missing_error(found: FoundWeight) -> AvatarBenchError:
    weight = found.weight
    return AvatarBenchError(
        "E502",
        f"the weights '{weight.id}' ({weight.purpose}) are missing",
        where=found.folder or "; ".join(_describe_folders()),
        expected=", ".join(found.missing),
        fix=f"bench weights fetch {weight.id}, or name a folder that has them in {FOLDERS_VARIABLE}",
    )


def _describe_folders() -> Iterator[str]:
    for folder in search_folders():
        yield str(folder) if folder.is_dir() else f"{folder} (no such folder)"


def _unrecorded_error(weight: Weight, path: Path) -> AvatarBenchError:
    return AvatarBenchError(
        "E502",
        f"no SHA-256 of the weights '{weight.id}' has been published or recorded, so they are not opened",
        where=path,
        fix=f"bench weights fetch {weight.id} records it, also for files that stand in an offline folder",
    )
