"""Writing files so that a reader sees either the old file or the whole new one."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from media.errors import AvatarBenchError

__all__ = ["atomic_write"]

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` and move it over `path` when the block ends without an error.

    The temporary file keeps the suffix of `path`, because encoders choose their container by it, and is
    removed when the block fails. The folder of `path` must exist.

    Args:
        path: Where the finished file shall stand.

    Yields:
        An empty file, in the folder of `path`, to write into.

    Raises:
        AvatarBenchError: E601 when the disk is full, E602 when `path` cannot be written.
    """
    target = Path(path)
    if target.is_dir():
        raise AvatarBenchError(
            "E602", "the output is a folder", where=target, fix="give the path of a file inside the folder"
        )
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise _output_error(target, error) from error
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        # Other OS errors of the block (an input that is missing, say) are not about the output.
        if error.errno in _DISK_FULL or error.filename in (temporary, str(temporary)):
            raise _output_error(target, error) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _output_error(target: Path, error: OSError) -> AvatarBenchError:
    if error.errno in _DISK_FULL:
        return AvatarBenchError(
            "E601", "the disk is full", where=target, fix="free some space or write to another disk"
        )
    if error.errno == errno.ENOENT:
        return AvatarBenchError(
            "E602", "the folder of the output does not exist", where=target, fix=f"mkdir -p {target.parent}"
        )
    return AvatarBenchError(
        "E602",
        "the output cannot be written",
        where=target,
        got=error.strerror,
        fix="choose a folder that you may write to",
    )
