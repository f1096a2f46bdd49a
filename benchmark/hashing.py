"""Content hashes: of files, of plain data, and seeds that come from names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

__all__ = ["derive_seed", "sha256_file", "sha256_json", "sha256_text", "sha256_tree", "shard_of"]

_CHUNK = 1 << 20


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_json(data: object) -> str:
    """SHA-256 of plain data in one canonical spelling: sorted keys, no spaces, no NaN."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return sha256_text(text)


def sha256_text(text: str) -> str:
    """Hexadecimal SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def shard_of(sample_id: str, n_shards: int) -> int:
    """The shard, 0..`n_shards`-1, that a sample belongs to: it hangs on the sample's name alone."""
    return int(sha256_text(sample_id), 16) % n_shards


def sha256_tree(base: Path, paths: Iterable[str]) -> str:
    """SHA-256 over names and bytes of files and whole folders below `base`, compiled Python left out.

    A path that does not exist counts as absent and does not raise: weights may still be missing, and whoever
    loads them says so better.
    """
    entries: list[tuple[str, str]] = []
    for name in sorted(set(paths)):
        root = base / name
        files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
        kept = [file for file in files if "__pycache__" not in file.parts]
        entries += [(file.relative_to(base).as_posix(), sha256_file(file)) for file in kept]
        if not kept:
            entries.append((name, "absent"))
    return sha256_json(entries)


def derive_seed(seed: int, *names: str) -> int:
    """A seed in 0..2^31-1 from the run's seed and a name: independent of order and number of samples."""
    return int(sha256_json([seed, *names])[:8], 16) >> 1
