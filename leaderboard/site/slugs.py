"""Names of pages: plain, short, and different also where a file system ignores case."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from benchmark.hashing import sha256_text

__all__ = ["unique_slugs"]

_LONGEST = 60


def unique_slugs(names: Mapping[str, str]) -> dict[str, str]:
    """A file name without its ending for each key.

    Args:
        names: What to call each key; a name that two keys share, or that had to be changed, gets the first digits of
            the hash of its key.
    """
    plain = {key: _plain(name) for key, name in names.items()}
    count = Counter(plain.values())
    return {
        key: slug if count[slug] == 1 and slug == names[key] else f"{slug}-{sha256_text(key)[:8]}"
        for key, slug in plain.items()
    }


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower())[:_LONGEST].strip("-") or "x"
