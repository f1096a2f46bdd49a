"""Building the site: from a board of entries to a folder of pages, whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.statistics import ALPHA, LEVEL
from leaderboard.entries import LoadedEntry, load_entries
from leaderboard.reported import GROUPS, PAPER, load_claims, load_reported
from leaderboard.reported.claims import check_claim
from leaderboard.site.breakdown import break_down
from leaderboard.site.capabilities import read_capabilities
from leaderboard.site.downloads import reported_csv, table_csv, table_json
from leaderboard.site.figures import Dot, Figure, measured_dots, place_figure
from leaderboard.site.model import Breakdown, Clip, Line, MethodPage, Table
from leaderboard.site.ranking import MIN_PEOPLE
from leaderboard.site.render import STATIC, render
from leaderboard.site.scores import Scores, read_scores
from leaderboard.site.slugs import unique_slugs
from leaderboard.site.tables import line_of, make_tables, require_known_metrics
from leaderboard.site.videos import TRUTH_METHOD, copy_videos
from media.errors import AvatarBenchError

__all__ = ["MARKER", "Built", "build_site"]

MARKER = ".avatarbench-site"
"""Names a folder as a built site, which the next build may replace."""
_SIZES = {"wide": (760.0, 430.0), "narrow": (350.0, 340.0)}


@dataclass(frozen=True, slots=True)
class Built:
    """What a build has made."""

    tables: tuple[Table, ...]
    n_entries: int
    n_pages: int
    problems: tuple[AvatarBenchError, ...]
    """Entries, rows and videos that were left out."""


def build_site(board: Path, out: Path, report: Callable[[str], None]) -> Built:
    """Build the pages of all entries of `board` into `out`.

    Args:
        board: Folder with `entries/` and `verifications/`.
        out: Folder of the site; a site that stands there is replaced when the new one is complete.
        report: Takes one line about what is done now.

    Raises:
        AvatarBenchError: E801 when `board` is no board, E842 when `out` holds anything but a site, E602 when it
            cannot be written.
    """
    _require_site_or_nothing(out)
    report("read the entries")
    loaded = load_entries(board)
    problems = list(loaded.problems)
    scores: dict[str, Scores] = {}
    entries = []
    for entry in loaded.entries:
        try:
            require_known_metrics(entry)
            scores[entry.entry.entry_id] = read_scores(entry)
            entries.append(entry)
        except AvatarBenchError as error:
            problems.append(error)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.part-", dir=out.parent) as folder:
            site = Path(folder) / "site"
            site.mkdir()
            tables, n_pages = _write_site(site, entries, scores, problems, report)
            _replace(out, site, Path(folder) / "old")
    except OSError as error:
        raise AvatarBenchError("E602", "the site cannot be written", where=out, got=str(error)) from error
    return Built(tables, len(entries), n_pages, tuple(problems))


def _require_site_or_nothing(out: Path) -> None:
    if out.exists() and not (out / MARKER).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise AvatarBenchError(
            "E842",
            "the folder holds something that is no site, and is left alone",
            where=out,
            expected=f"no folder, an empty one, or a site that was built before (with {MARKER})",
            fix="name another folder with --out",
        )


def _replace(out: Path, site: Path, old: Path) -> None:
    if out.exists():
        out.rename(old)
    try:
        site.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise


def _write_site(
    site: Path,
    entries: Sequence[LoadedEntry],
    scores: dict[str, Scores],
    problems: list[AvatarBenchError],
    report: Callable[[str], None],
) -> tuple[tuple[Table, ...], int]:
    report(f"rank {len(entries)} entries")
    slugs = unique_slugs({entry.method.id: entry.method.id for entry in entries})
    made = make_tables(entries, scores, slugs)
    tables = tuple(table for table, _ in made)
    (site / MARKER).write_text("Built by: bench leaderboard build\n", encoding="utf-8")
    shutil.copytree(STATIC, site / "static")
    pages = {
        "index.html": (
            "index.html.j2",
            0,
            _table_content(tables[0]) if tables else {"table": None, "figures": None},
        )
    }
    for table in tables[1:]:
        pages[f"tables/{table.slug}.html"] = ("index.html.j2", 1, _table_content(table))
    pages["paper.html"] = ("paper.html.j2", 0, _paper_content())
    pages["history.html"] = ("history.html.j2", 0, {"entries": _history(made, slugs)})
    pages["rules.html"] = ("rules.html.j2", 0, {})
    report("copy videos")
    for page in _method_pages(site, made, scores, slugs, problems):
        pages[f"methods/{page.slug}.html"] = ("method.html.j2", 1, {"page": page})
    report(f"write {len(pages)} pages")
    common = {"tables": tables, "n_methods": len(slugs), "n_entries": len(entries), "alpha": ALPHA, "level": LEVEL,
              "min_people": MIN_PEOPLE}  # fmt: skip
    for name, (template, depth, content) in pages.items():
        _write(site / name, render(template, depth, here=name, **common, **content))
    for table in tables:
        _write(site / f"data/{table.slug}.json", table_json(table))
        _write(site / f"data/{table.slug}.csv", table_csv(table))
    _write(site / "data/reported.csv", reported_csv(load_reported()))
    return tables, len(pages)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _table_content(table: Table) -> dict[str, object]:
    found = measured_dots(table)
    content: dict[str, object] = {"table": table, "figures": None, "provenance": _dialogs(table)}
    if found is not None:
        x, y, area, dots = found
        content |= {"figures": _both_sizes(dots), "axes": (x, y, area)}
    return content


def _dialogs(table: Table) -> dict[str, object]:
    """What a click on a line's provenance shows: facts by name, one text where all lines share it."""
    texts: dict[tuple[str, bool], list[str | None]] = {}
    for place, line in enumerate(table.lines):
        for fact in line.provenance:
            texts.setdefault((fact.name, fact.mono), [None] * len(table.lines))[place] = fact.value
    return {
        "titles": [f"{line.title} {line.version}" for line in table.lines],
        "facts": [
            (name, mono, values[0] if len(set(values)) == 1 else values)
            for (name, mono), values in texts.items()
        ],
    }


def _paper_content() -> dict[str, object]:
    tables = load_reported()
    comparisons = tables[0]
    dots = [
        Dot(
            method.name,
            method.values["IQA"].value,
            method.values["SyncC"].value,
            method.values["HKC"].value,
            "best" if method.group == "ours" else "reference" if method.group == "video" else "other",
        )
        for method in comparisons.methods
    ]
    return {
        "capabilities": read_capabilities(),
        "figures": _both_sizes(dots),
        "reported": tables,
        "groups": GROUPS,
        "paper": PAPER,
        "claims": [check_claim(claim, comparisons) for claim in load_claims()],
    }


def _both_sizes(dots: Sequence[Dot]) -> dict[str, Figure]:
    return {name: place_figure(dots, *size) for name, size in _SIZES.items()}


def _history(
    made: Sequence[tuple[Table, list[LoadedEntry]]], slugs: dict[str, str]
) -> list[tuple[Table, Line, bool]]:
    """All entries, newest first, and whether each is the newest of its method."""
    found = []
    for table, members in made:
        current = {line.entry_id for line in table.lines}
        for loaded in members:
            line = line_of(loaded, table.columns, slugs[loaded.method.id])
            found.append((table, line, line.entry_id in current))
    return sorted(found, key=lambda entry: (entry[1].date, entry[1].entry_id), reverse=True)


def _method_pages(
    site: Path,
    made: Sequence[tuple[Table, list[LoadedEntry]]],
    scores: dict[str, Scores],
    slugs: dict[str, str],
    problems: list[AvatarBenchError],
) -> list[MethodPage]:
    lines: dict[str, list[tuple[Table, Line]]] = defaultdict(list)
    history: dict[str, dict[str, list[Line]]] = defaultdict(lambda: defaultdict(list))
    clips: dict[str, dict[str, tuple[Clip, ...]]] = defaultdict(dict)
    breakdowns: dict[str, dict[str, tuple[Breakdown, ...]]] = defaultdict(dict)
    for table, members in made:
        by_id = {loaded.entry.entry_id: loaded for loaded in members}
        truths: dict[str, Clip] = {}
        for line in sorted(table.lines, key=lambda line: line.method_id != TRUTH_METHOD):
            loaded = by_id[line.entry_id]
            lines[line.slug].append((table, line))
            shown = copy_videos(loaded, truths, site, problems)
            if line.method_id == TRUTH_METHOD:
                truths |= {clip.sample_id: clip for clip in shown}
            clips[line.slug][line.entry_id] = shown
            breakdowns[line.slug][line.entry_id] = break_down(
                loaded.entry, table.columns, scores[line.entry_id]
            )
        for loaded in sorted(
            members, key=lambda m: (m.entry.submission.date, m.entry.entry_id), reverse=True
        ):
            slug = slugs[loaded.method.id]
            history[slug][table.slug].append(line_of(loaded, table.columns, slug))
    return [
        MethodPage(
            slug,
            tuple(found),
            {table: tuple(past) for table, past in history[slug].items()},
            breakdowns[slug],
            clips[slug],
        )
        for slug, found in lines.items()
    ]
