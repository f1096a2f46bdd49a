"""`bench verify`: what can be known of an entry's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from leaderboard.schema import Verification

__all__ = ["EXIT_MISMATCH", "verify"]

EXIT_MISMATCH = 5


def verify(
    entry: Annotated[Path, typer.Argument(help="Folder of the entry.")],
    predictions: Annotated[
        Path | None,
        typer.Option(help="Folder of its predictions: a random share is measured again."),
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="Folder of its data set; default: mini, if it is that one.")
    ] = None,
    share: Annotated[float, typer.Option(help="Share of the clips that an audit measures, up to 1.")] = 0.2,
    entropy: Annotated[
        str | None,
        typer.Option(help="Text to draw the clips with, fixed after the entry was; default: drawn now."),
    ] = None,
    limits: Annotated[
        Path | None, typer.Option(help="YAML with tolerances in place of those that ship.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Board in whose verifications/ the finding is written.")
    ] = None,
) -> None:
    """Check an entry without trusting it: files, coverage, values, clips, aggregates, and with predictions an audit.

    Exit codes: 0 nothing is wrong, 5 something is, 3 the check could not be made.
    """
    from benchmark.console import progress_bar
    from leaderboard.audit import AuditOptions
    from leaderboard.limits import load_limits
    from leaderboard.verification import verify_entry, write_verification
    from media.errors import AvatarBenchError

    if not 0 < share <= 1:
        raise AvatarBenchError(
            "E504",
            "the share is not possible",
            where="--share",
            expected="above 0, up to 1",
            got=f"{share:g}",
        )
    if not entry.is_dir() or (predictions is not None and not predictions.is_dir()):
        missing = entry if not entry.is_dir() else predictions
        raise AvatarBenchError("E801", "the folder is missing", where=missing, expected="a folder")
    options = None if predictions is None else AuditOptions(predictions, share, entropy)
    with progress_bar() as progress:
        found = verify_entry(entry, dataset, options, load_limits(limits), progress)
    _show(found)
    if record is not None:
        _say(f"written to {write_verification(record, found)}", "dim")
    if found.findings:
        raise typer.Exit(EXIT_MISMATCH)


def _show(found: Verification) -> None:
    from leaderboard.audit import detection_probability

    for finding in found.findings:
        _say(f"{finding.code}: {finding.what}", "red")
        for name in ("where", "expected", "got"):
            if getattr(finding, name) is not None:
                _say(f"  {name}: {getattr(finding, name)}", "red")
    for line in found.unchecked:
        _say(f"not checked: {line}", "yellow")
    audit = found.audit
    if audit is not None and audit.samples:
        n, k = audit.n_samples, audit.n_audited
        n_values = sum(len(sample.differences) for sample in audit.samples)
        _say(f"audit: {k} of {n} clips, {n_values} values measured again: "
             f"{', '.join(sample.sample_id for sample in audit.samples)}")  # fmt: skip
        chances = [f"{e} edited: {detection_probability(n, k, e):.0%}" for e in (1, 2, 5, 10) if e <= n]
        _say(f"  an audit of this size finds an entry with so many edited clips: {', '.join(chances)}")
        _say(f"  the same draw again: --entropy {audit.entropy} --share {audit.share:g}", "dim")
    _say(
        f"{found.entry_id}: {found.badge}, {len(found.findings)} findings (digest {found.digest[:16]})",
        "bold",
    )


def _say(line: str, style: str = "") -> None:
    from benchmark.console import out

    out.print(line, style=style, markup=False, soft_wrap=True)
