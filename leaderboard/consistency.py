"""Whether the numbers of an entry follow from its rows and features, and whether these cover the split's clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.features import TRUTH, FeatureFile
from benchmark.hashing import derive_seed, sha256_json, sha256_text
from benchmark.manifest import MINI, Dataset, load_dataset
from benchmark.metrics.catalogue import metrics_of
from benchmark.metrics.definition import Metric, SetMetric
from benchmark.protocol import Protocol, load_protocol
from benchmark.schema import RunPlan, SampleRow
from benchmark.splits import split_dataset
from leaderboard.entries import read_entry
from leaderboard.folders import check_files, read_feature_file, read_rows
from leaderboard.reaggregation import check_aggregate
from leaderboard.schema import Entry
from media.errors import AvatarBenchError

__all__ = ["Checked", "check_entry", "find_dataset"]


@dataclass(frozen=True, slots=True)
class Checked:
    """An entry whose files could be read, and what is wrong with it."""

    folder: Path
    entry: Entry
    protocol: Protocol
    metrics: Sequence[Metric | SetMetric]
    rows: Sequence[SampleRow]
    features: dict[tuple[str, str], FeatureFile]
    problems: Sequence[AvatarBenchError]
    unchecked: Sequence[str]
    """What could not be checked, and why."""


def check_entry(folder: Path, dataset: Dataset | None) -> Checked:
    """Check all of an entry that can be checked without its predictions.

    Args:
        folder: The entry's folder; it may come from anybody.
        dataset: The data set that it was made with, or None where it is not at hand; its manifest is enough.

    Raises:
        AvatarBenchError: E801 to E804, E807, E810 where the entry cannot even be read; what is wrong beyond that
            stands in `problems`.
    """
    entry = read_entry(folder)
    protocol, metrics = _protocol_of(entry, folder)
    check_files(folder, entry, metrics)
    rows = read_rows(folder, len(entry.plan.sample_ids) * len(metrics))
    features = _read_features(folder, entry, metrics)
    problems: list[AvatarBenchError] = []
    unchecked: list[str] = []
    checks: list[Callable[[], None]] = [
        lambda: _check_plan(entry, folder),
        lambda: _check_coverage(entry, rows, metrics, folder),
        lambda: _check_rows(entry, rows, metrics, folder),
    ]
    if dataset is None:
        unchecked.append(
            f"whether the rows cover the test clips: the data set '{entry.plan.dataset.id}' "
            f"({entry.plan.dataset.sha256[:12]}) is not at hand; name it with --dataset"
        )
    else:
        checks.append(lambda: _check_dataset(entry, rows, dataset, folder))
    for check in checks:
        try:
            check()
        except AvatarBenchError as error:
            problems.append(error)
    if not problems:  # what does not cover the run has no aggregate
        try:
            check_aggregate(entry, protocol, metrics, rows, features, folder)
        except AvatarBenchError as error:
            problems.append(error)
    return Checked(folder, entry, protocol, metrics, rows, features, problems, unchecked)


def find_dataset(plan: RunPlan, folder: Path | None) -> Dataset | None:
    """The data set of a run: the folder that is named, or the one that ships if it is that one.

    Raises:
        AvatarBenchError: E808 when the named one is another, E401, E404 when it cannot be read.
    """
    if folder is None:
        shipped = load_dataset(MINI)
        return shipped if shipped.sha256 == plan.dataset.sha256 else None
    dataset = load_dataset(folder)
    if dataset.sha256 != plan.dataset.sha256:
        raise AvatarBenchError(
            "E808",
            "the entry was made with another data set",
            where=folder,
            expected=f"'{dataset.id}', sha256 {dataset.sha256}",
            got=f"'{plan.dataset.id}', sha256 {plan.dataset.sha256}",
            fix="name the entry's data set with --dataset",
        )
    return dataset


def _protocol_of(entry: Entry, folder: Path) -> tuple[Protocol, list[Metric | SetMetric]]:
    try:
        protocol = load_protocol(entry.plan.protocol_id)
        metrics = metrics_of(protocol)
    except AvatarBenchError as error:
        raise AvatarBenchError(
            "E807", error.what, where=folder, expected=error.expected, got=error.got
        ) from error
    if not entry.plan.protocol_sha256 == entry.result.protocol_sha256 == protocol.sha256:
        raise AvatarBenchError(
            "E807",
            f"the entry was made with another protocol than this release's '{protocol.id}'",
            where=folder,
            expected=f"sha256 {protocol.sha256}",
            got=f"sha256 {entry.plan.protocol_sha256}, and in its result {entry.result.protocol_sha256}",
            fix="make and submit the run with this release: bench run, bench submit",
        )
    return protocol, metrics


def _read_features(
    folder: Path, entry: Entry, metrics: Sequence[Metric | SetMetric]
) -> dict[tuple[str, str], FeatureFile]:
    samples = set(entry.plan.sample_ids)
    return {
        (metric.id, owner): FeatureFile(
            entry.files[f"features/{metric.id}/{owner}.npz"],
            read_feature_file(folder, metric.id, owner, samples),
        )
        for metric in metrics
        if isinstance(metric, SetMetric)
        for owner in (entry.method, TRUTH)
    }


def _check_plan(entry: Entry, folder: Path) -> None:
    """The run's id is the hash of what went in, and the method is one of the run's."""
    plan, method = entry.plan, entry.result.methods[0]
    content = plan.model_dump(mode="json", exclude={"schema_version", "run_id"})
    expected = sha256_json(content)[:16]
    if plan.run_id != expected:
        raise AvatarBenchError(
            "E806",
            "the run's id is not the hash of its plan",
            where=folder,
            expected=expected,
            got=plan.run_id,
        )
    info = next((info for info in plan.methods if info.id == method.id), None)
    if info is None or any(getattr(method, name) != value for name, value in info):
        raise AvatarBenchError(
            "E806", "the method is not the one of the run's plan", where=folder, got=method.id
        )


def _check_coverage(
    entry: Entry, rows: Sequence[SampleRow], metrics: Sequence[Metric | SetMetric], folder: Path
) -> None:
    expected = {(sample_id, metric.id) for sample_id in entry.plan.sample_ids for metric in metrics}
    found = Counter((row.sample_id, row.metric_id) for row in rows)
    missing, surplus = sorted(expected - found.keys()), sorted(found.keys() - expected)
    twice = sorted(key for key, count in found.items() if count > 1)
    told = sorted(prediction.sample_id for prediction in entry.predictions)
    wrong = [f"no row of {metric_id} of {sample_id}" for sample_id, metric_id in missing[:1]]
    wrong += [f"a row of {metric_id} of {sample_id}" for sample_id, metric_id in surplus[:1]]
    wrong += [f"two rows of {metric_id} of {sample_id}" for sample_id, metric_id in twice[:1]]
    wrong += [f"hashes of {len(told)} predictions"] * (told != sorted(entry.plan.sample_ids))
    if wrong:
        raise AvatarBenchError(
            "E805",
            "the rows do not cover the run: each clip and metric once",
            where=folder,
            expected=f"{len(expected)} rows, {len(entry.plan.sample_ids)} predictions",
            got=f"{len(rows)} rows; {'; '.join(wrong)}",
        )


def _check_rows(
    entry: Entry, rows: Sequence[SampleRow], metrics: Sequence[Metric | SetMetric], folder: Path
) -> None:
    """Each row says what the plan says, and a value that its metric can have."""
    plan, method = entry.plan, entry.result.methods[0]
    by_id = {metric.id: metric for metric in metrics}
    predictions = {prediction.sample_id: prediction for prediction in entry.predictions}
    same = {
        "run_id": plan.run_id,
        "split": plan.split,
        "method_id": method.id,
        "method_version": method.version,
        "privileged": method.privileged,
    }
    for row in rows:
        where = f"{folder.name}: {row.metric_id} of {row.sample_id}"
        if (row.protocol_id, row.protocol_sha256) != (plan.protocol_id, plan.protocol_sha256):
            raise AvatarBenchError("E807", "a row was made with another protocol", where=where)
        if (row.dataset_id, row.dataset_sha256) != (plan.dataset.id, plan.dataset.sha256):
            raise AvatarBenchError("E808", "a row was made with another data set", where=where)
        metric, prediction = by_id.get(row.metric_id), predictions.get(row.sample_id)
        if metric is None or prediction is None:
            continue  # said by the coverage
        fixed = same | {
            "seed": derive_seed(plan.seed, "sample", row.sample_id),
            "metric_version": metric.version,
            "unit": metric.unit,
            "direction": metric.direction,
            "identity_id": prediction.identity_id,
            "prediction_sha256": prediction.sha256,
        }
        for name, expected in fixed.items():
            if getattr(row, name) != expected:
                raise AvatarBenchError(
                    "E806",
                    f"a row has another {name} than its entry",
                    where=where,
                    expected=str(expected),
                    got=str(getattr(row, name)),
                )
        _check_value(row, metric, where)


def _check_value(row: SampleRow, metric: Metric | SetMetric, where: str) -> None:
    possible = (
        0 <= row.n_valid <= row.n_total
        and (row.value is None or metric.low <= row.value <= metric.high)
        and (row.value is None or metric.kind == "sample")
        and (row.value is None or row.status in ("ok", "undetected"))
        and (row.status != "failed" or row.n_valid == 0 or row.reason is not None)
    )
    if not possible:
        raise AvatarBenchError(
            "E809",
            f"a row of {metric.id} is not possible",
            where=where,
            expected=f"{metric.low:g} to {metric.high:g}, of so many valid as there are",
            got=f"{row.value}, {row.status}, {row.n_valid} of {row.n_total}",
        )


def _check_dataset(entry: Entry, rows: Sequence[SampleRow], dataset: Dataset, folder: Path) -> None:
    """The clips are the split's test clips, or the first of them by the rule of --limit, and what is said of them."""
    plan = entry.plan
    clips = {clip.id: clip for clip in split_dataset(dataset, plan.split).test}
    # A smaller run takes the first clips by hash, so that nobody can choose which.
    allowed = sorted(sorted(clips, key=sha256_text)[: len(plan.sample_ids)])
    if (dataset.sha256, len(dataset.clips)) != (plan.dataset.sha256, plan.dataset.n_clips):
        raise AvatarBenchError("E808", "the entry was made with another data set", where=folder)
    if sorted(plan.sample_ids) != allowed:
        wrong = sorted(set(plan.sample_ids) ^ set(allowed)) or ["a clip twice"]
        raise AvatarBenchError(
            "E808",
            f"the entry's clips are not those that {plan.split} holds out",
            where=folder,
            expected=f"{len(clips)} clips, or the first of them by hash",
            got=f"{len(plan.sample_ids)} clips, differing in {wrong[0]}",
        )
    for row in rows:
        if row.sample_id in clips and row.identity_id != clips[row.sample_id].identity:
            raise AvatarBenchError(
                "E808",
                f"the clip {row.sample_id} is of another person",
                where=folder,
                expected=clips[row.sample_id].identity,
                got=row.identity_id,
            )
    for sample_id, facts in entry.attributes.items():
        if sample_id not in clips or facts != clips[sample_id].attributes:
            raise AvatarBenchError(
                "E808",
                f"the entry tells other facts about {sample_id} than the data set",
                where=folder,
                got=str(facts)[:200],
            )
