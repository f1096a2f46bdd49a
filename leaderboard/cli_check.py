"""`bench check`: the regression gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["EXIT_GATE", "check"]

EXIT_GATE = 4


def check(
    run: Annotated[
        Path | None, typer.Argument(help="The run to judge; left out: score frozen predictions again.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="The accepted run or entry (with RUN), or a folder of frozen predictions."),
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", "-m", help="Only this method; may be repeated.")
    ] = None,
    limits: Annotated[Path | None, typer.Option(help="YAML with limits in place of those that ship.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the report here, too.")] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Let what scoring gives now be what is expected.")
    ] = False,
    freeze: Annotated[
        Path | None, typer.Option(help="Freeze predictions of RUN into this folder, small and short.")
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="With --freeze: folder of the run's data set; default: mini.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="With --freeze: so many clips.")] = 2,
    seconds: Annotated[float, typer.Option(help="With --freeze: length of each clip.")] = 2.4,
) -> None:
    """Stop a change that makes a metric or a method worse.

    `bench check --against FROZEN`: do the same predictions still score the same? (drift; CPU, no download)
    `bench check RUN --against ACCEPTED`: is the run worse than the accepted one? (quality)

    Exit codes: 0 passed, 4 failed, 3 the comparison could not be made.
    """
    from media.errors import AvatarBenchError

    if freeze is not None and run is not None and against is None:
        return _freeze(run, freeze, dataset, method or [], samples, seconds)
    if freeze is not None or against is None or (accept and run is not None):
        raise AvatarBenchError(
            "E504",
            "it is not plain what to check",
            where="bench check",
            expected="--against FROZEN [--accept], RUN --against ACCEPTED, or RUN --freeze FOLDER",
        )
    if run is None:
        return _drift(against, limits, markdown, accept)
    return _quality(run, against, method or [], limits, markdown)


def _drift(folder: Path, limits: Path | None, markdown: Path | None, accept: bool) -> None:
    from benchmark.console import out, progress_bar
    from leaderboard.drift import compare_frozen
    from leaderboard.frozen import read_frozen, score_frozen, write_expected
    from leaderboard.gate_report import drift_markdown
    from leaderboard.limits import load_limits

    found = load_limits(limits)
    frozen = read_frozen(folder)
    with progress_bar() as progress:
        scored = score_frozen(frozen, progress)
    report = compare_frozen(frozen, scored, found)
    _say(drift_markdown(report), markdown)
    if accept:
        write_expected(frozen, scored)
        out.print(f"accepted: {folder} now expects these values", markup=False, soft_wrap=True)
    elif not report.passed:
        raise typer.Exit(EXIT_GATE)


def _quality(
    run: Path, against: Path, methods: list[str], limits: Path | None, markdown: Path | None
) -> None:
    from benchmark.console import err
    from leaderboard.gate_report import quality_markdown
    from leaderboard.limits import load_limits
    from leaderboard.quality import judge_quality, open_reference_run

    found = load_limits(limits)
    candidate, reference = open_reference_run(run), open_reference_run(against)
    with err.status("compare") as status:
        report = judge_quality(candidate, reference, methods, found, status.update)
    _say(quality_markdown(report), markdown)
    if not report.passed:
        raise typer.Exit(EXIT_GATE)


def _freeze(
    run: Path, folder: Path, dataset: Path | None, methods: list[str], n_samples: int, seconds: float
) -> None:
    from benchmark.console import out, progress_bar
    from benchmark.manifest import load_dataset
    from benchmark.results import PLAN, read_model
    from benchmark.schema import RunPlan
    from leaderboard.drift import compare_frozen
    from leaderboard.freezing import freeze
    from leaderboard.frozen import score_frozen
    from leaderboard.limits import load_limits
    from media.errors import AvatarBenchError

    plan = read_model(run / PLAN, RunPlan)
    found = load_dataset(dataset)
    if found.sha256 != plan.dataset.sha256:
        raise AvatarBenchError(
            "E822",
            "the data set is not the one that the run was made with",
            where=found.root,
            expected=f"'{plan.dataset.id}', sha256 {plan.dataset.sha256}",
            got=f"'{found.id}', sha256 {found.sha256}",
            fix="name the run's data set with --dataset",
        )
    chosen = methods or [info.id for info in plan.methods if not info.privileged]
    with progress_bar() as progress:
        frozen = freeze(run, found, folder, chosen, n_samples, seconds, progress)
        report = compare_frozen(frozen, score_frozen(frozen, progress), load_limits())
    n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    n_videos = sum(map(len, frozen.expected.predictions.values()))
    lines = [f"froze {n_videos} predictions of {', '.join(chosen)} under {plan.protocol_id}: {folder}, "
             f"{n_bytes / 1000:.0f} kB, {len(frozen.expected.values)} values"]  # fmt: skip
    if report.unguarded:
        lines.append(
            f"not guarded, because the clips give no value: {', '.join(report.unguarded)}; try --seconds"
        )
    for line in (*lines, f"check with: bench check --against {folder}"):
        out.print(line, markup=False, soft_wrap=True)
    if not report.passed:  # what scores otherwise the second time cannot be a reference
        raise AvatarBenchError(
            "E822", "scoring the frozen predictions twice gives other values", where=folder
        )


def _say(text: str, markdown: Path | None) -> None:
    from benchmark.cache import make_folder
    from benchmark.console import out
    from media.files import atomic_write

    out.print(text, markup=False, soft_wrap=True, end="")
    if markdown is not None:
        make_folder(markdown.parent)
        with atomic_write(markdown) as temporary:
            temporary.write_text(text, encoding="utf-8")
