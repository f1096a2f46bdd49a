"""Downloading one file over HTTP: resumable, checked, and in place only when it is whole.

The bytes go into `.<name>.part` beside the target; `.<name>.part.json` names the URL and the validator (ETag) that
they came with. A later call asks for the rest (RFC 9110: Range with If-Range) and starts anew where the server has
another file by now. The caller sees to it that no two processes fetch the same target at once.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmark.cache import make_folder
from benchmark.hashing import sha256_file
from benchmark.weights_lock import FileFacts
from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = ["Transfer", "download"]

Transfer = Callable[[str, int, int | None], None]
"""Is told (file name, bytes that stand, bytes in all or None where the server does not say)."""

_CHUNK = 1 << 20
_ATTEMPTS = 5  # in a row without a new byte
_PAUSE_S = 1.0  # more before each further attempt
_TIMEOUT_S = 30.0
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the server will send: `body` begins at byte `start` of `total`."""

    body: http.client.HTTPResponse
    start: int
    total: int | None
    validator: str | None


class _Cut(Exception):
    """The connection ended before the file did."""


def download(url: str, target: Path, expected: FileFacts, transfer: Transfer) -> FileFacts:
    """Fetch `url` into `target`, which appears whole or not at all.

    Args:
        url: http or https.
        target: Where the file shall stand; its folder is made.
        expected: Size and SHA-256 that it must have, where they are known.
        transfer: Is told how far it is.

    Returns:
        Size and SHA-256 of the file.

    Raises:
        AvatarBenchError: E502 when the server cannot be reached, refuses, breaks off again and again, or sends a
            file of another size or hash (which is removed); E601 when the disk is full (what came stands and is
            resumed); E602 when the folder cannot be written; E504 when `url` is not http or https.
    """
    if not url.startswith(("http://", "https://")):
        raise AvatarBenchError(
            "E504",
            "weights are fetched over http or https",
            where=url,
            fix="for a folder: AVATARBENCH_WEIGHTS",
        )
    make_folder(target.parent)
    part = _Part(target)
    try:
        _fill(url, part, expected, transfer)
        facts = FileFacts(bytes=part.size, sha256=sha256_file(part.path))
        if expected.sha256 not in (None, facts.sha256):
            part.remove()
            raise _wrong_file(url, f"sha256 {expected.sha256}", f"sha256 {facts.sha256}")
        part.finish()
    except OSError as error:
        raise _disk_error(target, error) from error
    return facts


@dataclass(frozen=True, slots=True)
class _Origin:
    """What the bytes of a part are the beginning of."""

    url: str
    validator: str | None
    total: int | None


class _Part:
    """The unfinished file, and what it is the beginning of."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.part")
        self.origin = target.with_name(f".{target.name}.part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def read_origin(self, url: str) -> _Origin | None:
        """Where the part's bytes came from; None where that was not `url`, or is not known."""
        try:
            origin = _Origin(**json.loads(self.origin.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return origin if origin.url == url else None

    def begin(self, origin: _Origin) -> None:
        self.remove()
        with atomic_write(self.origin) as temporary:
            temporary.write_text(json.dumps(asdict(origin)), encoding="utf-8")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.origin.unlink(missing_ok=True)

    def finish(self) -> None:
        os.replace(self.path, self.target)
        self.origin.unlink(missing_ok=True)


def _fill(url: str, part: _Part, expected: FileFacts, transfer: Transfer) -> None:
    """Ask for what is missing until the part is whole."""
    attempts = 0
    while True:
        before = part.size
        try:
            _receive(url, part, expected, transfer)
            return
        except _Cut as error:
            attempts = 1 if part.size > before else attempts + 1
            if attempts == _ATTEMPTS:
                raise AvatarBenchError(
                    "E502",
                    "the connection broke off again and again",
                    where=url,
                    got=f"{part.size} bytes; {error}",
                    fix="start the same command again; it goes on where it stopped",
                ) from error
            time.sleep(_PAUSE_S * (attempts - 1))


def _receive(url: str, part: _Part, expected: FileFacts, transfer: Transfer) -> None:
    origin = part.read_origin(url)
    start = 0
    if origin is not None and (origin.validator or expected.sha256):  # else nothing tells two files apart
        start = part.size
        if start == origin.total:
            return
    answer = _ask(url, start, origin)
    with answer.body:
        if expected.bytes is not None and answer.total not in (None, expected.bytes):
            part.remove()
            raise _wrong_file(url, f"{expected.bytes} bytes", f"{answer.total} bytes")
        if answer.total is None and expected.sha256 is None:
            raise _unreachable(url, "no length, so a file that breaks off would look like a whole one")
        if answer.total is not None:
            _check_space(part.target, answer.total - answer.start)
        if answer.start == 0:
            part.begin(_Origin(url, answer.validator, answer.total))
        size = _append(answer, part, transfer)
    whole = answer.total if answer.total is not None else expected.bytes
    if whole is not None and size < whole:
        raise _Cut(f"{whole} bytes were announced")


def _append(answer: _Answer, part: _Part, transfer: Transfer) -> int:
    size = answer.start
    with open(part.path, "ab") as stream:
        transfer(part.target.name, size, answer.total)
        while chunk := _read(answer.body):
            stream.write(chunk)
            size += len(chunk)
            transfer(part.target.name, size, answer.total)
        stream.flush()
        os.fsync(stream.fileno())
    return size


def _read(body: http.client.HTTPResponse) -> bytes:
    try:
        return body.read1(_CHUNK)  # what has come; a slow server shall not keep it from the disk
    except (http.client.HTTPException, OSError) as error:
        raise _Cut(str(error) or type(error).__name__) from error


def _ask(url: str, start: int, origin: _Origin | None) -> _Answer:
    """Send the request; the answer begins at `start`, or at 0 where the server has another file or no ranges."""
    headers = {"User-Agent": "avatarbench", "Accept-Encoding": "identity"}
    if start and origin is not None:
        headers["Range"] = f"bytes={start}-"
        if origin.validator:
            headers["If-Range"] = origin.validator
    try:
        body = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:  # the file is shorter by now than the part
            return _ask(url, 0, None)
        raise _unreachable(url, f"HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _unreachable(url, str(error.reason)) from error
    except (http.client.HTTPException, OSError) as error:
        raise _Cut(str(error) or type(error).__name__) from error
    if body.status == 206:
        if origin is not None and body.headers.get("Content-Range") == (
            f"bytes {start}-{origin.total - 1}/{origin.total}" if origin.total else None
        ):
            return _Answer(body, start, origin.total, origin.validator)
        body.close()
        return _ask(url, 0, None)
    length = body.headers.get("Content-Length")
    tag = body.headers.get("ETag") or body.headers.get("Last-Modified")
    strong = tag if tag and not tag.startswith("W/") else None  # If-Range compares strong validators only
    return _Answer(body, 0, int(length) if length else None, strong)


def _check_space(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise AvatarBenchError(
            "E601",
            "the disk is full",
            where=target.parent,
            expected=f"{needed / 1e6:.1f} MB free",
            got=f"{free / 1e6:.1f} MB",
            fix="free some space, or set AVATARBENCH_CACHE to another disk",
        )


def _unreachable(url: str, reason: str) -> AvatarBenchError:
    return AvatarBenchError(
        "E502",
        "the weights cannot be downloaded",
        where=url,
        got=reason,
        fix="try again later, name a mirror in AVATARBENCH_MIRROR, or put the file into a folder named in "
        "AVATARBENCH_WEIGHTS",
    )


def _wrong_file(url: str, expected: str, got: str) -> AvatarBenchError:
    return AvatarBenchError(
        "E502",
        "the server sent another file than the published one; it was removed",
        where=url,
        expected=expected,
        got=got,
        fix="look at the mirror or proxy that answered; a file from there must not be opened",
    )


def _disk_error(target: Path, error: OSError) -> AvatarBenchError:
    if error.errno in _DISK_FULL:
        return AvatarBenchError(
            "E601",
            "the disk is full",
            where=target.parent,
            fix="free some space, then start again: what came already is kept",
        )
    return AvatarBenchError(
        "E602",
        "the weights cannot be written",
        where=target,
        got=error.strerror or str(error),
        fix="make the folder writable, or set AVATARBENCH_CACHE to another one",
    )
