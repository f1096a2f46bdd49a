"""`bench dataset import | verify | split | show`: verbs only; what they do stands in `benchmark.datasets`.

Nothing heavy is imported at the top, so that the lists of `bench` answer at once.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from benchmark.console import err, out, progress_bar

if TYPE_CHECKING:
    from benchmark.datasets.importing import ImportReport
    from benchmark.splits import Split

__all__ = ["dataset"]

EXIT_BAD_INPUT = 3
_LINES = 20  # of a table by identity; the file that --json writes has all of them

dataset = typer.Typer(name="dataset", help="Import, verify, split and show data sets.", no_args_is_help=True)

_Folder = Annotated[Path | None, typer.Argument(help="Folder of the data set; default: the mini data set.")]


@dataset.command("import")
def import_(
    layout: Annotated[
        str,
        typer.Argument(
            help="seamless-interaction, casual-conversations-v1, casual-conversations-v2, or folder."
        ),
    ],
    root: Annotated[Path, typer.Argument(help="The data set as it was downloaded and unpacked.")],
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of the manifest; default: ROOT itself.")
    ] = None,
) -> None:
    """Write the manifest of a data set: clips of 2 to 10 s in which the person speaks."""
    from benchmark.datasets.importing import import_dataset

    with progress_bar() as progress:
        report = import_dataset(layout, root, out_folder, progress)
    _show_import(report)


@dataset.command()
def verify(folder: _Folder = None) -> None:
    """Decode everything, compare hashes, lengths and sound, and list every problem."""
    from benchmark.datasets.verifying import verify_dataset
    from benchmark.manifest import MINI

    with progress_bar() as progress:
        found = verify_dataset(folder or MINI, progress)
    for problem in found.problems:
        err.print(str(problem), style="red", markup=False, soft_wrap=True)
    if found.problems:
        err.print(f"{len(found.problems)} problems in {found.n_clips} clips, {found.n_files} files.")
        raise typer.Exit(EXIT_BAD_INPUT)
    out.print(f"{found.n_clips} clips in {found.n_files} files: all right.")


@dataset.command()
def split(
    folder: _Folder = None,
    name: Annotated[str, typer.Option("--split", help="identity-holdout-10 or unseen-identity.")] = (
        "identity-holdout-10"
    ),
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the ids of both sides here.")
    ] = None,
) -> None:
    """Show which clips a split tests and which it leaves to train on."""
    from benchmark.datasets.summary import count_sides
    from benchmark.manifest import load_dataset
    from benchmark.splits import split_dataset

    data = load_dataset(folder)
    made = split_dataset(data, name)
    table = Table("identity", "test", "train", header_style="bold", title=f"{made.id} of {data.id}")
    counts = count_sides(made)
    for count in counts[:_LINES]:
        table.add_row(count.identity, str(count.n_test), str(count.n_train))
    if len(counts) > _LINES:
        table.add_row(f"... {len(counts) - _LINES} more", "", "", style="dim")
    tested = sum(count.n_test > 0 for count in counts)
    table.add_section()
    table.add_row(f"{len(counts)} identities, {tested} tested", str(len(made.test)), str(len(made.train)))
    out.print(table)
    for note in made.notes:
        out.print(note, style="yellow", markup=False)
    if json_file is not None:
        _write_ids(json_file, made, data.id, data.sha256)
        out.print(f"The ids stand in {json_file}.", markup=False)


@dataset.command()
def show(folder: _Folder = None) -> None:
    """Show how many clips, people and hours a data set has, and what is known of them."""
    from benchmark.datasets.summary import summarise
    from benchmark.manifest import load_dataset

    data = load_dataset(folder)
    summary = summarise(data)
    table = Table(
        "clips", "identities", "videos", "hours", "with transcript", header_style="bold", title=data.id
    )
    table.add_row(
        str(summary.n_clips),
        str(summary.n_identities),
        str(summary.n_recordings),
        f"{summary.hours:.3f}",
        str(summary.n_transcripts),
    )
    out.print(table)
    for licence, count in summary.licences:
        out.print(f"licence: {licence} ({count} clips)", markup=False)
    out.print(f"sha256: {data.sha256}")
    if summary.attributes:
        facts = Table("attribute", "clips", "values", "most frequent (clips, people)", header_style="bold")
        for fact in summary.attributes:
            common = "; ".join(f"{value} ({clips}, {people})" for value, clips, people in fact.common)
            more = "; ..." if fact.n_values > len(fact.common) else ""
            facts.add_row(escape(fact.name), str(fact.n_clips), str(fact.n_values), escape(common + more))
        out.print(facts)


def _show_import(report: ImportReport) -> None:
    hours = sum(clip.duration_s or 0.0 for clip in report.clips) / 3600  # an import states all durations
    people = len({clip.identity for clip in report.clips})
    out.print(f"{len(report.clips)} clips of {people} people in {report.manifest}", markup=False)
    out.print(
        f"{hours:.3f} h; {report.unused_speech_s:.1f} s of speech in utterances too "
        f"short for a clip; {report.n_learnt} facts of files learnt, {report.n_reused} known from before."
    )
    if report.skipped:
        table = Table("files", "gave no clip because", "for example", header_style="bold")
        reasons = Counter(skip.reason for skip in report.skipped)
        for reason, count in reasons.most_common():
            example = next(skip for skip in report.skipped if skip.reason == reason)
            table.add_row(str(count), escape(reason), escape(example.file))
        out.print(table)
        out.print(f"All of them: {report.manifest.with_name('skipped.jsonl')}", markup=False)


def _write_ids(path: Path, made: Split, dataset_id: str, sha256: str) -> None:
    from media.files import atomic_write

    content = {
        "split": made.id,
        "dataset": {"id": dataset_id, "sha256": sha256},
        "test": sorted(clip.id for clip in made.test),
        "train": sorted(clip.id for clip in made.train),
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
