"""`bench leaderboard build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.console import err, out

__all__ = ["build"]

_BOARD = Path(__file__).parent


def build(
    board: Annotated[Path, typer.Option(help="Folder with entries/ and verifications/.")] = _BOARD,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the site.")] = Path("site"),
    readme: Annotated[
        Path | None, typer.Option(help="Also write the tables between the leaderboard markers of this file.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with an error when an entry, row or video was left out.")
    ] = False,
) -> None:
    """Build the static site: tables, method pages, history, figures, JSON and CSV. It needs no server."""
    from leaderboard.site.build import build_site
    from leaderboard.site.readme import update_readme

    with err.status("build") as status:
        built = build_site(board, out_folder, status.update)
    for problem in built.problems:
        err.print(str(problem), style="yellow", markup=False, soft_wrap=True)
    out.print(
        f"{built.n_entries} entries, {len(built.tables)} tables, {built.n_pages} pages: {out_folder / 'index.html'}",
        markup=False,
        soft_wrap=True,
    )
    if readme is not None:
        changed = update_readme(readme, built.tables)
        out.print(f"{readme}: {'tables written' if changed else 'tables are up to date'}", markup=False)
    if strict and built.problems:
        raise built.problems[0]
