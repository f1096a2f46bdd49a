"""A branch with one entry, prepared in a git repository without touching its working tree."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from leaderboard.schema import ENTRIES
from media.errors import AvatarBenchError

__all__ = ["MAX_BRANCH_BYTES", "branch_of", "prepare_branch", "remove_branch"]

MAX_BRANCH_BYTES = 25 << 20
"""What one entry may weigh in a repository; larger ones are handed over as a folder."""


def branch_of(entry_id: str) -> str:
    """Name of the branch of an entry."""
    return f"submit/{entry_id}"


def prepare_branch(folder: Path, board: Path) -> str:
    """Commit an entry onto a branch of its own, from the repository's current commit; nothing is pushed.

    Args:
        folder: The packed entry.
        board: Folder of the board, in a git repository.

    Returns:
        The branch.

    Raises:
        AvatarBenchError: E815 when there is no repository, the branch stands already or git refuses; E802 when
            the entry is too large for a repository.
    """
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MAX_BRANCH_BYTES:
        raise AvatarBenchError(
            "E802",
            "the entry is too large for a repository",
            where=folder,
            expected=f"at most {MAX_BRANCH_BYTES} bytes",
            got=f"{size} bytes",
            fix="hand the folder over in another way, or pack it with fewer videos",
        )
    root = Path(_git(board, "rev-parse", "--show-toplevel"))
    branch = branch_of(folder.name)
    place = board.resolve().relative_to(root.resolve()) / ENTRIES / folder.name
    if _git(board, "branch", "--list", branch):
        raise AvatarBenchError(
            "E815", "the branch stands already", where=branch, fix=f"git branch -D {branch}, if it may go"
        )
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        _git(board, "worktree", "add", "--quiet", "-b", branch, str(tree), "HEAD")
        try:
            shutil.copytree(folder, tree / place)
            _git(tree, "add", "--force", "--", str(place))
            _git(tree, "commit", "--quiet", "-m", f"Submit {folder.name}", "--", str(place))
        except (AvatarBenchError, OSError):
            _git(board, "worktree", "remove", "--force", str(tree))
            _git(board, "branch", "--quiet", "-D", branch)
            raise
        _git(board, "worktree", "remove", "--force", str(tree))
    return branch


def remove_branch(entry_id: str, board: Path) -> str | None:
    """Remove the branch that `prepare_branch` made; None where there is none.

    Raises:
        AvatarBenchError: E815 when more was committed onto it.
    """
    branch = branch_of(entry_id)
    try:
        found = _git(board, "branch", "--list", branch)
    except AvatarBenchError:  # the board is in no repository
        return None
    if not found:
        return None
    subject = _git(board, "log", "-1", "--format=%s", branch)
    changed = _git(board, "diff", "--name-only", f"{branch}~1", branch).splitlines()
    if subject != f"Submit {entry_id}" or any(f"{ENTRIES}/{entry_id}/" not in name for name in changed):
        raise AvatarBenchError(
            "E815",
            "more was committed onto the branch; it stays",
            where=branch,
            got=f"last commit: {subject}",
        )
    _git(board, "branch", "--quiet", "-D", branch)
    return branch


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=120
        )
    except subprocess.CalledProcessError as error:
        raise AvatarBenchError(
            "E815",
            f"git {arguments[0]} failed",
            where=folder,
            got=(error.stderr.strip().splitlines() or ["no message"])[-1],
            fix="use --board FOLDER in a git repository with a commit, or leave --pr out",
        ) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise AvatarBenchError("E815", "git could not be run", where=folder, got=str(error)) from error
    return done.stdout.strip()
