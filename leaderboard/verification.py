"""Verifying an entry: what can be known of its numbers, and the badge that follows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmark.cache import make_folder
from benchmark.plan import Progress
from benchmark.results import write_model
from leaderboard.audit import AuditOptions, audit_entry
from leaderboard.consistency import check_entry, find_dataset
from leaderboard.entries import digest_of, read_entry
from leaderboard.limits import Limits
from leaderboard.schema import VERIFICATIONS, Audit, Badge, Finding, Verification
from media.errors import AvatarBenchError

__all__ = ["verify_entry", "write_verification"]

_ENTRY_CODES = frozenset(f"E8{number:02}" for number in range(1, 13))
"""Errors that say something about the entry; others (a full disk, missing weights) are about this machine."""


def verify_entry(
    folder: Path, dataset_folder: Path | None, audit: AuditOptions | None, limits: Limits, progress: Progress
) -> Verification:
    """Check an entry, and audit it where its predictions are given.

    Args:
        folder: The entry's folder; it may come from anybody.
        dataset_folder: Its data set; None is the one that ships, if it is that one.
        audit: Where its predictions are; None makes no audit.
        limits: How far a value that is measured again may be off.
        progress: Told of each step.

    Raises:
        AvatarBenchError: E801, E802, E803 when there is no entry that could be named; what the machine lacks.
    """
    entry = read_entry(folder)
    digest = digest_of(folder)
    found_audit: Audit | None = None
    problems: Sequence[AvatarBenchError] = ()
    unchecked: list[str] = []
    try:
        dataset = find_dataset(entry.plan, dataset_folder)
        checked = check_entry(folder, dataset)
        problems = checked.problems
        unchecked += checked.unchecked
        if audit is not None and dataset is None:
            unchecked.append("the predictions: an audit needs the data set; name it with --dataset")
        elif audit is not None and dataset is not None and not problems:
            found_audit, problems = audit_entry(checked, digest, dataset, audit, limits, progress)
    except AvatarBenchError as error:
        if error.code not in _ENTRY_CODES:
            raise
        problems = [error]
    if digest_of(folder) != digest:
        problems = [
            *problems,
            AvatarBenchError("E804", "the entry changed while it was verified", where=folder),
        ]
    return Verification(
        entry_id=entry.entry_id,
        digest=digest,
        badge=_badge(problems, unchecked, found_audit),
        findings=tuple(_finding(problem, folder) for problem in problems),
        unchecked=tuple(unchecked),
        audit=found_audit,
        package_version=version("avatarbench"),
        date=date.today().isoformat(),
    )


def write_verification(board: Path, verification: Verification) -> Path:
    """Keep what was found beside a board's entries; an older finding about the entry is replaced.

    Raises:
        AvatarBenchError: E601, E602.
    """
    path = make_folder(board / VERIFICATIONS) / f"{verification.entry_id}.json"
    write_model(path, verification)
    return path


def _badge(problems: Sequence[AvatarBenchError], unchecked: Sequence[str], audit: Audit | None) -> Badge:
    if problems or unchecked:
        return "self-reported"
    return "audited" if audit is not None and audit.samples else "consistent"


def _finding(error: AvatarBenchError, folder: Path) -> Finding:
    """What is told of an error; where the entry stands on this machine is nobody's business."""
    where = None if error.where is None else error.where.replace(str(folder), folder.name)
    return Finding(code=error.code, what=error.what, where=where, expected=error.expected, got=error.got)
