"""Opening finished runs to compare them: files that belong together, and one method of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmark.comparable import require_comparable
from benchmark.features import TRUTH, features_path, read_features
from benchmark.hashing import sha256_file
from benchmark.metrics.catalogue import metrics_of
from benchmark.metrics.definition import Metric, SetMetric
from benchmark.protocol import load_same_protocol
from benchmark.results import PLAN, RESULT, SAMPLES, read_model, read_samples
from benchmark.schema import MethodResult, RunPlan, RunResult, SampleRow
from media.errors import AvatarBenchError

__all__ = ["RunFiles", "Side", "choose_sides", "metrics_of_run", "open_run_files", "require_same_samples"]


@dataclass(frozen=True, slots=True)
class RunFiles:
    """A finished run."""

    folder: Path
    plan: RunPlan
    result: RunResult
    rows: Sequence[SampleRow]


@dataclass(frozen=True, slots=True)
class Side:
    """One method of a finished run, or of several runs that differ in their seed: samples of all of them are pooled."""

    files: RunFiles
    method: MethodResult
    label: str
    """What it is called beside the other side."""
    others: tuple[RunFiles, ...] = ()
    """The further runs."""

    @property
    def result(self) -> RunResult:
        """The run's result."""
        return self.files.result

    @property
    def seeds(self) -> list[int]:
        """Of all runs."""
        return [files.result.seed for files, _ in self._runs()]

    @property
    def n_samples(self) -> int:
        """Clips of all runs."""
        return sum(files.result.n_samples for files, _ in self._runs())

    @property
    def identity_of(self) -> dict[str, str]:
        """Identity by sample id; samples of the further runs are told by a suffix, here and below."""
        return {
            row.sample_id + suffix: row.identity_id for files, suffix in self._runs() for row in files.rows
        }

    def values(self, metric_id: str) -> dict[str, float]:
        """Values of a sample metric by sample id; samples without one are absent."""
        return {
            row.sample_id + suffix: row.value
            for files, suffix in self._runs()
            for row in files.rows
            if row.method_id == self.method.id and row.metric_id == metric_id and row.value is not None
        }

    def features(self, metric_id: str) -> Mapping[str, np.ndarray]:
        """[n, d] features of a set metric by sample id."""
        return self._features(metric_id, self.method.id)

    def true_features(self, metric_id: str) -> Mapping[str, np.ndarray]:
        """[n, d] features of the true videos by sample id."""
        return self._features(metric_id, TRUTH)

    def with_seeds(self, runs: Sequence[RunFiles]) -> Side:
        """The side with the same method of further runs.

        Raises:
            AvatarBenchError: E504 when a run lacks the method, has another version of it or repeats a seed, E505 when
                it holds other clips or was made by another protocol.
        """
        for files in runs:
            require_same_samples(self.files, files)
            method = _find(files, self.method.id)
            if _content(method) != _content(self.method):
                raise AvatarBenchError(
                    "E504",
                    f"the method '{method.id}' is another one in a run that is to be pooled",
                    where=files.folder,
                    expected=f"version {self.method.version}, fingerprint {self.method.fingerprint}",
                    got=f"version {method.version}, fingerprint {method.fingerprint}",
                    fix="pool runs that differ in nothing but --seed",
                )
        pooled = replace(self, others=tuple(runs))
        if len(set(pooled.seeds)) < len(pooled.seeds):
            raise AvatarBenchError(
                "E504",
                "runs that are pooled repeat a seed, which adds nothing",
                where=", ".join(str(files.folder) for files, _ in pooled._runs()),
                expected="another seed in each",
                got=", ".join(map(str, pooled.seeds)),
            )
        return pooled

    def _runs(self) -> Iterator[tuple[RunFiles, str]]:
        yield self.files, ""
        for number, files in enumerate(self.others, start=2):
            yield files, f" (run {number})"

    def _features(self, metric_id: str, owner: str) -> Mapping[str, np.ndarray]:
        pooled = {}
        for files, suffix in self._runs():
            path = features_path(files.folder, metric_id, owner)
            samples = read_features(files.folder, metric_id, owner)
            _require_hash(path, files.result.features_sha256.get(f"{metric_id}/{owner}"), files.folder)
            pooled |= {name + suffix: rows for name, rows in samples.items()}
        return pooled


def open_run_files(path: Path) -> RunFiles:
    """Open a finished run by its folder or its `result.json`.

    Raises:
        AvatarBenchError: E504 when the run is not finished, or its files do not belong together.
    """
    folder = path.parent if path.name == RESULT else path
    result = read_model(folder / RESULT, RunResult)
    plan = read_model(folder / PLAN, RunPlan)
    rows = read_samples(folder / SAMPLES)
    _require_hash(folder / SAMPLES, result.samples_sha256, folder)
    if plan.run_id != result.run_id:
        raise AvatarBenchError(
            "E504",
            "the result belongs to an older plan of this folder",
            where=folder,
            expected=f"run {plan.run_id}",
            got=f"run {result.run_id}",
            fix=f"bench run --out {folder}, with the same options as before",
        )
    return RunFiles(folder, plan, result, rows)


def require_same_samples(a: RunFiles, b: RunFiles) -> None:
    """Refuse runs that cannot stand beside each other, or that hold other clips.

    Raises:
        AvatarBenchError: E505.
    """
    require_comparable([a.result, b.result])
    only_a, only_b = (sorted(set(x.plan.sample_ids) - set(y.plan.sample_ids)) for x, y in ((a, b), (b, a)))
    if only_a or only_b:
        raise AvatarBenchError(
            "E505",
            "the runs hold different clips",
            expected=f"the {len(a.plan.sample_ids)} clips of run {a.plan.run_id}, such as {(only_a or ['all'])[0]}",
            got=f"{len(only_b)} others in run {b.plan.run_id}, such as {(only_b or ['none'])[0]}",
            fix="make both runs with the same --limit and --sample, or without",
        )


def metrics_of_run(files: RunFiles) -> list[Metric | SetMetric]:
    """The metrics that a run was scored with, by its protocol.

    Raises:
        AvatarBenchError: E503 when this release's protocol of that name is another one.
    """
    plan = files.plan
    protocol = load_same_protocol(plan.protocol_id, plan.protocol_sha256, files.folder)
    return metrics_of(protocol)


def choose_sides(a: RunFiles, b: RunFiles | None, names: Sequence[str]) -> tuple[Side, Side]:
    """The two methods to compare.

    Args:
        a: A run.
        b: Another run, or None to compare two methods of `a`.
        names: One method of `a` and one of `b` (or of `a`); empty where that is plain: of two runs the one method
            of each that the other does not have in the same version, of one run its only two that are no oracles.

    Raises:
        AvatarBenchError: E504 when it is not plain, or a name is not in the run.
    """
    other = a if b is None else b
    if names:
        if len(names) != 2:
            raise AvatarBenchError(
                "E504",
                "two methods are compared",
                where="--methods",
                expected="two names",
                got=", ".join(names),
            )
        first, second = _find(a, names[0]), _find(other, names[1])
    else:
        first, second = _plain_choice(a, other)
    if b is None and first.id == second.id:
        raise AvatarBenchError(
            "E504", "a method is not compared with itself", where="--methods", got=f"{first.id} twice"
        )
    same = first.id == second.id
    labels = [f"{m.id} ({f.plan.run_id[:8]})" if same else m.id for m, f in ((first, a), (second, other))]
    return Side(a, first, labels[0]), Side(other, second, labels[1])


def _plain_choice(a: RunFiles, b: RunFiles) -> tuple[MethodResult, MethodResult]:
    open_a, open_b = ([m for m in files.result.methods if not m.privileged] for files in (a, b))
    if a is b:
        if len(open_a) == 2:
            return open_a[0], open_a[1]
    else:
        own_a = [m for m in open_a if _content(m) not in [_content(o) for o in open_b]]
        own_b = [m for m in open_b if _content(m) not in [_content(o) for o in open_a]]
        if len(own_a) == len(own_b) == 1:
            return own_a[0], own_b[0]
    raise AvatarBenchError(
        "E504",
        "it is not plain which two methods to compare",
        where="--methods",
        expected=f"one of {_names(a)}, and one of {_names(b)}",
        fix="name them: --methods x,y",
    )


def _content(method: MethodResult) -> tuple[str, str, str]:
    return method.id, method.version, method.fingerprint


def _find(files: RunFiles, name: str) -> MethodResult:
    for method in files.result.methods:
        if method.id == name:
            return method
    raise AvatarBenchError(
        "E504",
        f"the run has no method '{name}'",
        where=files.folder,
        expected=f"one of {_names(files)}",
    )


def _names(files: RunFiles) -> str:
    return ", ".join(method.id for method in files.result.methods)


def _require_hash(path: Path, expected: str | None, folder: Path) -> None:
    found = sha256_file(path)
    if found != expected:
        raise AvatarBenchError(
            "E504",
            f"{path.name} has changed since the run was aggregated",
            where=path,
            expected=f"sha256 {expected}",
            got=f"sha256 {found}",
            fix=f"bench aggregate {folder}",
        )
