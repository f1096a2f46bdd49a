"""What a run is: its plan, made from what a user asks for, checked whole before anything is written."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmark.cache import make_folder
from benchmark.contract import MethodSpec
from benchmark.environment import resolve_device
from benchmark.hashing import sha256_json, sha256_text
from benchmark.inputs import SampleInputs, make_inputs
from benchmark.locking import run_lock
from benchmark.manifest import Dataset, load_dataset
from benchmark.metrics.catalogue import metrics_of
from benchmark.protocol import Protocol, load_protocol, load_same_protocol
from benchmark.registry import fingerprint, preparation_fingerprint
from benchmark.results import (
    PLAN,
    RESULT,
    SAMPLES,
    DatasetInfo,
    MethodInfo,
    RunPlan,
    read_model,
    write_model,
)
from benchmark.splits import split_dataset
from media.errors import AvatarBenchError

__all__ = [
    "PlannedRun",
    "Progress",
    "Run",
    "RunOptions",
    "choose_samples",
    "open_run",
    "plan_run",
    "propose_run",
    "read_samples_of",
    "start_run",
]

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, total)`; `total` is 0 for a message that is no step."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a user asks for."""

    methods: tuple[MethodSpec, ...]
    protocol: str = "mini-v1"
    dataset: Path | None = None
    """None is the data set that ships."""
    out: Path | None = None
    """None is `runs/<run id>`."""
    device: str = "auto"
    seed: int = 0
    split: str | None = None
    """None is the protocol's split."""
    limit: int | None = None
    """Only so many of the split's samples, in the order of their names' hashes; None is all."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run as it would be: nothing of it has been written yet."""

    folder: Path
    plan: RunPlan
    protocol: Protocol
    dataset: Dataset


@dataclass(frozen=True, slots=True)
class Run:
    """A planned run: everything that was asked for stands and can be read."""

    folder: Path
    plan: RunPlan
    protocol: Protocol
    samples: tuple[SampleInputs, ...]


def propose_run(options: RunOptions, *, elsewhere: bool = False) -> PlannedRun:
    """Make the plan, and check all that a user can get wrong but the clips themselves; nothing is written.

    Args:
        options: What is asked for.
        elsewhere: The methods will run on other machines, so the device is not looked for on this one.

    Raises:
        AvatarBenchError: E401, E403, E5xx.
    """
    _check_numbers(options)
    protocol = load_protocol(options.protocol)
    metrics_of(protocol)
    dataset = load_dataset(options.dataset)
    split = split_dataset(dataset, options.split or protocol.split)
    notes = list(split.notes)
    sample_ids = sorted((clip.id for clip in split.test), key=sha256_text)[: options.limit]
    if len(sample_ids) < len(split.test):
        notes.append(f"Only {len(sample_ids)} of the {len(split.test)} test clips were taken (--limit).")
    content = {
        "package_version": version("avatarbench"),
        "protocol_id": protocol.id,
        "protocol_sha256": protocol.sha256,
        "dataset": DatasetInfo(id=dataset.id, sha256=dataset.sha256, n_clips=len(dataset.clips)).model_dump(),
        "split": split.id,
        "sample_ids": sorted(sample_ids),
        "methods": [_method_info(spec).model_dump() for spec in options.methods],
        "seed": options.seed,
        "device": _device_elsewhere(options.device) if elsewhere else resolve_device(options.device),
        "notes": notes,
    }
    plan = RunPlan.model_validate({"run_id": sha256_json(content)[:16], **content})
    return PlannedRun(options.out or Path("runs") / plan.run_id, plan, protocol, dataset)


def start_run(planned: PlannedRun, progress: Progress) -> None:
    """Write the plan into the run's folder; results of another plan that stood there are removed.

    Raises:
        AvatarBenchError: E601, E602, or E604 when another process works on the run.
    """
    folder = make_folder(planned.folder)
    with run_lock(folder):
        if (folder / PLAN).is_file():
            before = _run_that_stands(folder)
            if before == planned.plan.run_id:
                return
            progress(f"{folder} held the run {before}; it now becomes {planned.plan.run_id}", 0, 0)
            # First the results go, then the plan changes: at no moment do numbers stand beside a plan that did
            # not make them. Predictions stay; those whose key still fits are used.
            (folder / RESULT).unlink(missing_ok=True)
            (folder / SAMPLES).unlink(missing_ok=True)
            shutil.rmtree(folder / "features", ignore_errors=True)
        write_model(folder / PLAN, planned.plan)


def _run_that_stands(folder: Path) -> str:
    """Id of the run in a folder.

    Raises:
        AvatarBenchError: E504 when its plan.json is none of a benchmark run, of any release.
    """
    try:
        return read_model(folder / PLAN, RunPlan).run_id
    except AvatarBenchError as error:
        text = (folder / PLAN).read_text(encoding="utf-8", errors="replace")
        if '"run_id"' in text and '"protocol_sha256"' in text:
            return "of another format"
        raise AvatarBenchError(
            "E504",
            "the folder holds a plan.json that is not of a run; nothing was changed",
            where=folder,
            fix="choose another folder with --out, or move that file away",
        ) from error


def plan_run(options: RunOptions, progress: Progress) -> Run:
    """Check all that a user can get wrong, the clips too, and only then write the plan.

    Raises:
        AvatarBenchError: E4xx, E5xx, E60x and, for the clips' sound, E2xx.
    """
    planned = propose_run(options)
    samples = read_samples_of(planned, planned.plan.sample_ids, progress)
    start_run(planned, progress)
    return Run(planned.folder, planned.plan, planned.protocol, samples)


def open_run(
    folder: Path, dataset: Path | None, progress: Progress, samples: Iterable[str] | None = None
) -> Run:
    """A run that was planned before, with its data set checked to be the same.

    Args:
        folder: The run's folder.
        dataset: Folder of the data set; None is the one that ships.
        progress: Told of each sample that is read.
        samples: Read only these samples; None is all.

    Raises:
        AvatarBenchError: E504 when the folder is not a run or has no such sample, E503 or E401 when protocol
            or data have changed.
    """
    plan = read_model(folder / PLAN, RunPlan)
    protocol = load_same_protocol(plan.protocol_id, plan.protocol_sha256, folder)
    found = load_dataset(dataset)
    if found.sha256 != plan.dataset.sha256:
        raise AvatarBenchError(
            "E401",
            "the data set is not the one that the run was made with",
            where=found.root,
            expected=f"'{plan.dataset.id}', sha256 {plan.dataset.sha256}",
            got=f"'{found.id}', sha256 {found.sha256}",
            fix="name the run's data set with --dataset",
        )
    planned = PlannedRun(folder, plan, protocol, found)
    chosen = choose_samples(plan, samples)
    return Run(folder, plan, protocol, read_samples_of(planned, sorted(chosen), progress))


def choose_samples(plan: RunPlan, names: Iterable[str] | None) -> frozenset[str]:
    """The samples of the plan that were named; all of them for None.

    Raises:
        AvatarBenchError: E504 for a name that is not in the plan (the nearest is given).
    """
    if names is None:
        return frozenset(plan.sample_ids)
    chosen = frozenset(names)
    for name in sorted(chosen.difference(plan.sample_ids)):
        near = difflib.get_close_matches(name, plan.sample_ids, n=1, cutoff=0.4)
        raise AvatarBenchError(
            "E504",
            f"the run has no sample '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
            where="--sample",
            expected=f"one of the {len(plan.sample_ids)} test clips of {plan.split}",
        )
    return chosen


def read_samples_of(
    planned: PlannedRun, sample_ids: Sequence[str], progress: Progress
) -> tuple[SampleInputs, ...]:
    """Bring clips onto the protocol's grid, in the order of their names.

    Raises:
        AvatarBenchError: E402 and E2xx for a clip that cannot be used.
    """
    clips = {clip.id: clip for clip in planned.dataset.clips}
    with_others = any(method.privileged for method in planned.plan.methods)
    samples = []
    for done, sample_id in enumerate(sorted(sample_ids)):
        progress(f"read {sample_id}", done, len(sample_ids))
        clip = clips[sample_id]
        inputs = make_inputs(
            planned.dataset, clip, planned.protocol, planned.plan.seed, with_others=with_others
        )
        samples.append(inputs)
    progress("read", len(sample_ids), len(sample_ids))
    return tuple(samples)


def _check_numbers(options: RunOptions) -> None:
    if not 0 <= options.seed < 2**31:
        raise AvatarBenchError(
            "E504",
            "the seed is out of range",
            where="--seed",
            expected="0 to 2147483647",
            got=str(options.seed),
        )
    if options.limit is not None and options.limit < 1:
        raise AvatarBenchError(
            "E504", "a run needs a sample", where="--limit", expected="at least 1", got=str(options.limit)
        )


def _device_elsewhere(name: str) -> str:
    if name not in ("cpu", "cuda"):
        raise AvatarBenchError(
            "E504",
            "the jobs of a cluster need to be told their device",
            where="--device",
            expected="cpu or cuda",
            got=name,
        )
    return name


def _method_info(spec: MethodSpec) -> MethodInfo:
    return MethodInfo(
        id=spec.id,
        version=spec.version,
        title=spec.title,
        licence=spec.licence,
        privileged=spec.privileged,
        fingerprint=fingerprint(spec),
        preparation=None if spec.preparation is None else preparation_fingerprint(spec.preparation),
    )
