"""Time a build and a page's loading: `python -m leaderboard.site.cost [--entries N] [--browser PROGRAM]`.

The board is made up for it: methods of known merit on twelve made people, two clips each.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from leaderboard.site.build import build_site
from leaderboard.site.made_entries import make_board

__all__ = ["main"]

_LOADS = 5
_SORT = """() => {
    const begin = performance.now();
    document.querySelector('th[data-key="1"] button').click();
    document.body.offsetHeight;  // makes the browser lay it out now
    return performance.now() - begin;
}"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a board, build its site, and load its first page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1000)
    parser.add_argument("--protocol", default="mini-v1")
    parser.add_argument("--browser", help="a Chromium to load the page with; needs the package playwright")
    chosen = parser.parse_args(arguments)
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_board(folder / "board", chosen.entries, chosen.protocol)
        begin, cpu = time.perf_counter(), time.process_time()
        built = build_site(folder / "board", folder / "site", lambda line: None)
        took = f"{time.perf_counter() - begin:.1f} s ({time.process_time() - cpu:.1f} s of processor)"
        size = sum(path.stat().st_size for path in (folder / "site").rglob("*") if path.is_file())
        page = (folder / "site/index.html").stat().st_size
        console.print(f"build: {built.n_entries} entries, {built.n_pages} pages in {took}")
        console.print(f"site: {size / 1e6:.1f} MB, first page {page / 1e6:.2f} MB")
        if chosen.browser:
            console.print(_load(folder / "site/index.html", chosen.browser))


def _load(page: Path, browser: str) -> str:
    """Loading and sorting a page in a browser, each the best of `_LOADS` new tabs."""
    from playwright.sync_api import sync_playwright

    shown, sorted_ = [], []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for _ in range(_LOADS):
            tab = chromium.new_context().new_page()
            begin = time.perf_counter()
            tab.goto(page.resolve().as_uri(), wait_until="load")
            tab.evaluate(
                "() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
            )  # painted
            shown.append(time.perf_counter() - begin)
            sorted_.append(tab.evaluate(_SORT) / 1000)
            tab.context.close()
        chromium.close()
    return f"first page: shown after {min(shown):.2f} s, sorted in {min(sorted_):.2f} s (best of {_LOADS})"


if __name__ == "__main__":
    main()
