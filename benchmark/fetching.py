"""`bench weights fetch`: brings weights into the cache. No other verb downloads anything.

From a mirror (`AVATARBENCH_MIRROR`, the base URL of a served folder of weights) files come one by one under the names
that they have in the cache; from their sources, two of them come out of one zip.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from benchmark.cache import make_folder
from benchmark.downloading import Transfer, download
from benchmark.hashing import sha256_file
from benchmark.locking import file_lock
from benchmark.weights import expected_facts, find_weight, verify_weight, weights_folder
from benchmark.weights_catalogue import WEIGHTS, Archive, Weight
from benchmark.weights_lock import FileFacts, record_file
from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = ["Fetched", "fetch_weight", "mirror_url"]

MIRROR_VARIABLE = "AVATARBENCH_MIRROR"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What `fetch_weight` did."""

    path: Path
    downloaded: bool
    """False when everything stood there already."""
    recorded: bool
    """Whether a hash was recorded for the first time: it says what was found, not that it is the published file."""


def mirror_url() -> str | None:
    """The mirror's base URL without a closing slash; None where none is named."""
    return os.environ.get(MIRROR_VARIABLE, "").strip().rstrip("/") or None


def fetch_weight(weight: Weight, transfer: Transfer) -> Fetched:
    """Make a weight ready for `weight_path`, downloading what is missing or damaged in the cache.

    Files of an offline folder are only checked, and their hashes recorded where none is published. Who fetches the
    same weight at the same time waits, and then finds it there.

    Raises:
        AvatarBenchError: E502 when an offline folder holds wrong or incomplete files, or the source or mirror sends
            nothing or something else; E601, E602 when the cache cannot be written; E504 for a wrong mirror URL.
    """
    cache = make_folder(weights_folder())
    source = Path(weight.url).name if weight.archive else weight.id
    with file_lock(cache / f".{source}.lock", wait=True):
        found = find_weight(weight)
        if found.folder is None or found.folder == cache:
            _remove_damaged(weight, cache)
            missing = find_weight(weight, (cache,)).missing
            recorded = _download(weight, missing, cache, transfer)
            return Fetched(cache / weight.file, bool(missing), _record_unknown(weight, cache) or recorded)
        if found.missing:
            raise AvatarBenchError(
                "E502",
                f"an offline folder holds only a part of the weights '{weight.id}'",
                where=found.folder,
                expected=", ".join(found.missing),
                fix="complete the folder, or take it out of AVATARBENCH_WEIGHTS",
            )
        recorded = _record_unknown(weight, found.folder)
        facts = expected_facts(weight)
        for name in weight.names:
            verify_weight(weight, found.folder / name, facts[name])
        return Fetched(found.folder / weight.file, False, recorded)


def _remove_damaged(weight: Weight, cache: Path) -> None:
    facts = expected_facts(weight)
    for name in weight.names:
        path = cache / name
        if path.is_file() and facts[name].sha256 is not None and not _matches(path, facts[name]):
            path.unlink()


def _matches(path: Path, facts: FileFacts) -> bool:
    return facts.bytes in (None, path.stat().st_size) and sha256_file(path) == facts.sha256


def _record_unknown(weight: Weight, folder: Path) -> bool:
    """Record the hashes of files that stand in `folder` and for which none is known; whether there were any."""
    facts = expected_facts(weight)
    unknown = [name for name in weight.names if facts[name].sha256 is None]
    for name in unknown:
        path = folder / name
        found = FileFacts(bytes=path.stat().st_size, sha256=sha256_file(path))
        record_file(weights_folder(), weight.id, name, found, weight.revision)
    return bool(unknown)


def _download(weight: Weight, names: tuple[str, ...], cache: Path, transfer: Transfer) -> bool:
    """Download files of a weight; whether a hash was recorded."""
    mirror = mirror_url()
    if weight.archive is not None and mirror is None and names:
        _download_archive(weight, weight.archive, cache, transfer)
        return False
    facts = expected_facts(weight)
    recorded = False
    for name in names:
        url = f"{mirror}/{quote(name)}" if mirror else _source_url(weight, name)
        got = download(url, cache / name, facts[name], transfer)
        if facts[name].sha256 is None:
            record_file(cache, weight.id, name, got, weight.revision)
            recorded = True
    return recorded


def _source_url(weight: Weight, name: str) -> str:
    return f"{weight.url}/{quote(Path(name).name)}" if weight.parts else weight.url


def _download_archive(weight: Weight, archive: Archive, cache: Path, transfer: Transfer) -> None:
    """Download the zip of a weight and take out all weights that it holds, so that it comes over the net once."""
    packed = cache / Path(weight.url).name
    download(weight.url, packed, FileFacts(bytes=archive.bytes, sha256=archive.sha256), transfer)
    try:
        with zipfile.ZipFile(packed) as opened:
            for other in WEIGHTS.values():
                if other.url == weight.url and other.archive is not None:
                    _unpack(opened, other.archive.member, other, cache)
    finally:
        packed.unlink(missing_ok=True)


def _unpack(opened: zipfile.ZipFile, member: str, weight: Weight, cache: Path) -> None:
    target = cache / weight.file
    make_folder(target.parent)
    with atomic_write(target) as temporary:
        with opened.open(_member(opened, member)) as packed, open(temporary, "wb") as stream:
            shutil.copyfileobj(packed, stream, 1 << 20)
        verify_weight(weight, temporary, expected_facts(weight)[weight.file])


def _member(opened: zipfile.ZipFile, member: str) -> zipfile.ZipInfo:
    """The file of this name, in whatever folder of the zip: releases differ in that."""
    fitting = [info for info in opened.infolist() if Path(info.filename).name == member]
    if len(fitting) != 1:
        raise AvatarBenchError(
            "E502", "the zip of weights does not hold a file once", where=opened.filename, expected=member
        )
    return fitting[0]
