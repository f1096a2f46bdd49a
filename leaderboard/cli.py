"""The verbs that the leaderboard adds to `bench`; nothing heavy is imported at the top."""

from __future__ import annotations

import typer

from leaderboard.cli_build import build
from leaderboard.cli_reported import reported

__all__ = ["leaderboard"]

leaderboard = typer.Typer(help="The board: its entries, what papers report, its pages.", no_args_is_help=True)


@leaderboard.callback()
def _group() -> None:
    """Keep the group a group while it has a single verb."""


leaderboard.command()(reported)
leaderboard.command()(build)
