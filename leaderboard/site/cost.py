"""Time a build and a page's loading: `python -m leaderboard.site.cost [--entries N] [--browser PROGRAM]`.

The board is made up for it: methods of known merit on made people, measured by all metrics of a sample that the
protocol has. `make_board` also serves to look at pages with more methods than anybody has submitted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmark.aggregate import aggregate
from benchmark.environment import Environment, describe_environment
from benchmark.hashing import sha256_file, sha256_text
from benchmark.metrics.catalogue import metrics_of
from benchmark.metrics.definition import Metric
from benchmark.protocol import load_protocol
from benchmark.results import write_model, write_samples
from benchmark.schema import DatasetInfo, MethodInfo, RunPlan, SampleRow
from leaderboard.entries import digest_of
from leaderboard.schema import (
    ENTRIES,
    ENTRY,
    SAMPLES,
    VERIFICATIONS,
    Audit,
    Entry,
    PredictionHash,
    Speed,
    Submission,
    Verification,
    entry_id_of,
)
from leaderboard.site.build import build_site

__all__ = ["main", "make_board", "make_entry"]

_PEOPLE, _CLIPS = 12, 2
_HAIR = ("short", "long", "none")


def make_board(folder: Path, n_entries: int, *, seed: int = 0, n_people: int = _PEOPLE) -> None:
    """Write a board of made-up entries: each method a little worse than the one before, with every badge in turn.

    Args:
        folder: Of the board; made if absent.
        n_entries: How many; each is another method.
        seed: Of all values.
        n_people: Persons, with two clips each.
    """
    rng = np.random.default_rng(seed)
    people = rng.normal(size=n_people)
    for index in range(n_entries):
        merit = 2.0 * (1 - index / max(1, n_entries - 1)) + 0.15 * rng.normal()
        noise = rng.normal(size=(n_people, _CLIPS))
        name = f"method-{index:04d}"
        entry_folder = make_entry(folder, name, merit + 0.5 * people[:, None] + 0.25 * noise, day=index % 300)
        _verify(folder, entry_folder, index)


def make_entry(
    board: Path,
    name: str,
    scores: np.ndarray,
    *,
    protocol_id: str = "mini-v1",
    version: str = "1.0",
    day: int = 0,
    privileged: bool = False,
    submission: Submission | None = None,
    missing: int = 0,
) -> Path:
    """Write one made-up entry.

    Args:
        board: Folder of the board.
        name: Id of the method.
        scores: [people, clips] how good each clip is, about -3 to 3; every metric follows it.
        protocol_id: A protocol of this release.
        version: Of the method.
        day: Days after the first of 2026 on which it was packed.
        privileged: Whether the method saw the truth.
        submission: Who submits; None makes one up.
        missing: Clips that failed.

    Returns:
        The entry's folder.
    """
    protocol = load_protocol(protocol_id)
    metrics = [metric for metric in metrics_of(protocol) if isinstance(metric, Metric)]
    clips = {f"person{i:02d}-{j}": (i, j) for i in range(scores.shape[0]) for j in range(scores.shape[1])}
    method = MethodInfo(
        id=name, version=version, title=f"Made-up method {name}", licence="CC0-1.0", privileged=privileged,
        fingerprint=sha256_text(name), preparation=None,
    )  # fmt: skip
    plan = RunPlan(
        run_id=sha256_text(f"{name} {version} {protocol_id}")[:16],
        package_version="0.1.0",
        protocol_id=protocol.id,
        protocol_sha256=protocol.sha256,
        dataset=DatasetInfo(id="made", sha256=sha256_text("made"), n_clips=len(clips)),
        split=protocol.split,
        sample_ids=tuple(clips),
        methods=(method,),
        seed=0,
        device="cpu",
        notes=(),
    )
    hashes = {clip: sha256_text(f"{name} {clip}") for clip in clips}
    rows = []
    for k, (clip, (i, j)) in enumerate(clips.items()):
        for metric in metrics:
            failed = k < missing
            common = {
                "run_id": plan.run_id, "protocol_id": plan.protocol_id, "protocol_sha256": plan.protocol_sha256,
                "dataset_id": plan.dataset.id, "dataset_sha256": plan.dataset.sha256, "split": plan.split,
                "method_id": name, "method_version": version, "privileged": privileged, "seed": 0,
                "identity_id": f"person{i:02d}", "sample_id": clip, "metric_id": metric.id,
                "metric_version": metric.version, "unit": metric.unit, "direction": metric.direction,
                "n_valid": 0 if failed else 100, "n_total": 100,
                "prediction_sha256": None if failed else hashes[clip],
            }  # fmt: skip
            value = None if failed else _value(metric, float(scores[i, j]))
            status, reason = ("failed", "crash") if failed else ("ok", None)
            rows.append(
                SampleRow.model_validate(common | {"value": value, "status": status, "reason": reason})
            )
    folder = board / ENTRIES / entry_id_of(name, version, plan.run_id)
    folder.mkdir(parents=True)
    write_samples(folder / SAMPLES, rows)
    samples_sha256 = sha256_file(folder / SAMPLES)
    entry = Entry(
        entry_id=folder.name,
        submission=submission or Submission(
            submitter=f"Lab {int(sha256_text(name), 16) % 17}",
            date=(date(2026, 1, 1) + timedelta(day)).isoformat(),
            test_data_seen=False,
            display_name=name.replace("-", " ").capitalize(),
        ),
        plan=plan,
        result=aggregate(plan, protocol, metrics, rows, samples_sha256),
        predictions=tuple(
            PredictionHash(sample_id=clip, identity_id=f"person{i:02d}", sha256=None if k < missing else hashes[clip])
            for k, (clip, (i, _)) in enumerate(sorted(clips.items()))
        ),
        attributes={
            clip: {"age": 20 + 4 * i, "hair": _HAIR[i % 3], "language": "en"} for clip, (i, _) in clips.items()
        },
        environment=_here(),
        speed=Speed(real_time_factor=1.5, first_real_time_factor=2.0, prepare_s=30.0, n_samples=len(clips)),
        files={SAMPLES: samples_sha256},
    )  # fmt: skip
    write_model(folder / ENTRY, entry)
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a board, build its site, and load its first page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1000)
    parser.add_argument("--browser", help="a Chromium to load the page with; needs the package playwright")
    chosen = parser.parse_args(arguments)
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_board(folder / "board", chosen.entries)
        begin, cpu = time.perf_counter(), time.process_time()
        built = build_site(folder / "board", folder / "site", lambda line: None)
        took = f"{time.perf_counter() - begin:.1f} s ({time.process_time() - cpu:.1f} s of processor)"
        size = sum(path.stat().st_size for path in (folder / "site").rglob("*") if path.is_file())
        page = (folder / "site/index.html").stat().st_size
        console.print(f"build: {built.n_entries} entries, {built.n_pages} pages in {took}")
        console.print(f"site: {size / 1e6:.1f} MB, first page {page / 1e6:.2f} MB")
        if chosen.browser:
            for line in _load(folder / "site/index.html", chosen.browser):
                console.print(line)


def _load(page: Path, browser: str) -> list[str]:
    """What a browser says about loading and sorting a page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = chromium.new_page()
        begin = time.perf_counter()
        tab.goto(page.resolve().as_uri(), wait_until="load")
        tab.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")  # painted
        shown = time.perf_counter() - begin
        timing = json.loads(
            tab.evaluate("() => JSON.stringify(performance.getEntriesByType('navigation')[0])")
        )
        sort = tab.evaluate("""() => { const t = performance.now();
            document.querySelector('th[data-key="1"] button').click();
            document.body.offsetHeight; return performance.now() - t; }""")
        chromium.close()
    return [
        f"load: shown after {shown:.2f} s, load event after {timing['loadEventEnd'] / 1000:.2f} s",
        f"sort: {sort / 1000:.2f} s",
    ]


def _value(metric: Metric, score: float) -> float:
    """A possible value of a metric, better for a higher score."""
    sign = -1.0 if metric.direction == "lower" else 1.0
    share = 1 / (1 + np.exp(-sign * score))
    low = metric.low if np.isfinite(metric.low) else 0.0
    high = metric.high if np.isfinite(metric.high) else low + 40.0
    return float(low + share * (high - low))


def _verify(board: Path, folder: Path, index: int) -> None:
    """A verification that was never made, so that all badges are to be seen; every third entry has none."""
    badge = ("audited", "consistent", None)[index % 3]
    if badge is None:
        return
    audit = Audit(entropy="made up", share=0.25, n_samples=_PEOPLE * _CLIPS, samples=())
    found = Verification(
        entry_id=folder.name, digest=digest_of(folder), badge=badge, findings=(), unchecked=(),
        audit=audit if badge == "audited" else None, package_version="0.1.0",
    )  # fmt: skip
    (board / VERIFICATIONS).mkdir(exist_ok=True)
    write_model(board / VERIFICATIONS / f"{folder.name}.json", found)


@cache
def _here() -> Environment:
    return Environment.model_validate(describe_environment())


if __name__ == "__main__":
    main()
