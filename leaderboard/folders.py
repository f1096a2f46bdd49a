"""Opening the folder of an entry that nobody has looked at yet.

Nothing is followed out of the folder, nothing is executed or unpickled, and no file is read before its size, and
what it would grow to, is known.
"""

from __future__ import annotations

import os
import resource
import stat
import sys
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from benchmark.features import TRUTH, features_path
from benchmark.hashing import sha256_file
from benchmark.metrics.definition import Metric, SetMetric
from benchmark.results import read_samples
from benchmark.schema import SampleRow
from leaderboard.entries import MAX_JSON_BYTES
from leaderboard.schema import ENTRY, SAMPLES, Entry
from media.errors import AvatarBenchError

__all__ = ["MAX_VIDEO_BYTES", "check_files", "read_feature_file", "read_rows"]

MAX_SAMPLES_BYTES = 64 << 20
MAX_FEATURES_BYTES = 2 << 30
MAX_VIDEO_BYTES = 256 << 20
_MEMORY_BYTES = 2 << 30
_ARRAY_TYPES = (np.dtype("<f4"), np.dtype("<f8"))


def check_files(folder: Path, entry: Entry, metrics: Sequence[Metric | SetMetric]) -> None:
    """Refuse a folder that holds anything but the files of its entry, each as packed.

    Raises:
        AvatarBenchError: E801 for links, devices, paths that leave the folder and files that do not belong there,
            E802 for sizes, E804 for other bytes than were packed.
    """
    for name in entry.files:
        if name.startswith("/") or "\\" in name or ".." in name.split("/") or "\0" in name:
            raise AvatarBenchError(
                "E801",
                "a file that the entry names does not lie in its folder",
                where=folder / ENTRY,
                expected="paths below the folder, such as features/fid/ours.npz",
                got=repr(name),
            )
    allowed = _allowed(entry, metrics)
    found = set()
    for name, size in _walk(folder, "", _folders_of(allowed)):
        found.add(name)
        if name not in allowed:
            raise AvatarBenchError(
                "E801", "the folder holds a file that no entry has", where=folder, got=repr(name)
            )
        if size > allowed[name]:
            raise AvatarBenchError(
                "E802",
                "a file of the entry is too large",
                where=folder / name,
                expected=f"at most {allowed[name]} bytes",
                got=f"{size} bytes",
            )
    _check_listing(folder, entry, found - {ENTRY}, metrics)
    for name, expected in entry.files.items():
        got = sha256_file(folder / name)
        if got != expected:
            raise AvatarBenchError(
                "E804",
                f"{name} is not the file that was packed",
                where=folder / name,
                expected=f"sha256 {expected}",
                got=f"sha256 {got}",
                fix="pack the run again: bench submit RUN",
            )


def read_rows(folder: Path, n_expected: int) -> list[SampleRow]:
    """The rows of an entry.

    Args:
        folder: The entry's folder, whose files were checked.
        n_expected: Samples times metrics; no more are read.

    Raises:
        AvatarBenchError: E802 when there are more or they grow too large, E803 when it is no `samples.parquet`,
            E809 when a value is not finite.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / SAMPLES
    try:
        with _limited_memory():
            with pq.ParquetFile(path) as file:
                meta = file.metadata
                grown = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
                if meta.num_rows > n_expected or grown > MAX_SAMPLES_BYTES:
                    raise AvatarBenchError(
                        "E802",
                        "the rows of the entry are too many or too large",
                        where=path,
                        expected=f"at most {n_expected} rows and {MAX_SAMPLES_BYTES} bytes",
                        got=f"{meta.num_rows} rows and {grown} bytes",
                    )
                if "value" in file.schema_arrow.names:
                    values = file.read(columns=["value"], use_threads=False)["value"].drop_null().to_numpy()
                    if values.dtype.kind == "f" and not np.isfinite(values).all():
                        raise AvatarBenchError(
                            "E809", "a value is not finite", where=path, expected="finite numbers, or null"
                        )
            return read_samples(path)
    except AvatarBenchError as error:
        if error.code != "E504":
            raise
        raise AvatarBenchError(
            "E803", error.what, where=path, expected=error.expected, got=error.got
        ) from error
    except (pa.ArrowException, MemoryError, OSError) as error:
        raise AvatarBenchError(
            "E803",
            "samples.parquet cannot be read in a bounded memory",
            where=path,
            expected=f"rows of a run, within {_MEMORY_BYTES} bytes",
            got=str(error).splitlines()[0] if str(error) else type(error).__name__,
        ) from error


def read_feature_file(
    folder: Path, metric_id: str, owner: str, sample_ids: Collection[str]
) -> Mapping[str, np.ndarray]:
    """Features of one metric and owner, [n, d] by sample id.

    Args:
        folder: The entry's folder, whose files were checked.
        metric_id: A set metric.
        owner: The method, or `TRUTH`.
        sample_ids: The samples of the run.

    Raises:
        AvatarBenchError: E810 when it is not what `benchmark.features.write_features` writes of these samples.
    """
    path = features_path(folder, metric_id, owner)
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {}
            for info in archive.infolist():
                sample_id = info.filename.removesuffix(".npy")
                if sample_id not in sample_ids or sample_id in arrays or info.filename == sample_id:
                    raise ValueError(f"{info.filename!r} is no sample of the run, or stands in it twice")
                if info.compress_type != zipfile.ZIP_STORED or info.file_size > path.stat().st_size:
                    raise ValueError(f"{info.filename!r} is compressed, or larger than its file")
                with archive.open(info) as stream:
                    arrays[sample_id] = _read_array(stream, info.file_size)
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise AvatarBenchError(
            "E810",
            f"the features of {owner} for {metric_id} are not right",
            where=path,
            expected="one uncompressed [n, d] array of finite float32 or float64 a sample",
            got=str(error).splitlines()[0],
        ) from error
    return dict(sorted(arrays.items()))


def _read_array(stream: IO[bytes], size: int) -> np.ndarray:
    """An array of a known number of bytes; its head is believed only where it agrees with them."""
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array of another format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    n_bytes = size - stream.tell()
    if (
        dtype not in _ARRAY_TYPES
        or fortran
        or len(shape) != 2
        or shape[0] * shape[1] * dtype.itemsize != n_bytes
    ):
        raise ValueError(f"an array {dtype} {shape} in {n_bytes} bytes")
    array = np.frombuffer(stream.read(n_bytes), dtype).reshape(shape)  # [n, d]
    if not np.isfinite(array).all():
        raise ValueError("a feature that is not finite")
    return array


def _walk(folder: Path, below: str, folders: set[str]) -> Iterator[tuple[str, int]]:
    """Path and size of each file below a folder; no other folders than these are entered, nothing is followed."""
    with os.scandir(folder) as listing:
        for item in listing:
            name = f"{below}{item.name}"
            state = item.stat(follow_symlinks=False)
            if stat.S_ISDIR(state.st_mode) and name in folders:
                yield from _walk(folder / item.name, f"{name}/", folders)
            elif stat.S_ISREG(state.st_mode):
                yield name, state.st_size
            else:
                raise AvatarBenchError(
                    "E801",
                    "the folder holds something that is not a file of an entry",
                    where=folder,
                    expected="regular files in the folders of an entry; no links and no devices",
                    got=repr(name),
                )


def _folders_of(files: Collection[str]) -> set[str]:
    return {str(parent) for file in files for parent in Path(file).parents}


def _feature_names(entry: Entry, metrics: Sequence[Metric | SetMetric]) -> set[str]:
    root = Path("features")
    return {
        str(root / metric.id / f"{owner}.npz")
        for metric in metrics
        if isinstance(metric, SetMetric)
        for owner in (entry.method, TRUTH)
    }


def _allowed(entry: Entry, metrics: Sequence[Metric | SetMetric]) -> dict[str, int]:
    """Bytes that each file of the entry may have."""
    videos = {f"videos/{sample_id}.mp4": MAX_VIDEO_BYTES for sample_id in entry.plan.sample_ids}
    features = dict.fromkeys(_feature_names(entry, metrics), MAX_FEATURES_BYTES)
    return {ENTRY: MAX_JSON_BYTES, SAMPLES: MAX_SAMPLES_BYTES} | features | videos


def _check_listing(
    folder: Path, entry: Entry, found: set[str], metrics: Sequence[Metric | SetMetric]
) -> None:
    needed = {SAMPLES} | _feature_names(entry, metrics)
    listed = set(entry.files)
    if found != listed or not needed <= listed:
        surplus, missing = sorted(found - listed), sorted((listed | needed) - found)
        raise AvatarBenchError(
            "E801",
            "the folder does not hold the files of its entry",
            where=folder,
            expected=f"{len(listed | needed)} files" + (f", such as {missing[0]}" if missing else ""),
            got=f"{len(found)} files" + (f", such as {surplus[0]}" if surplus else ""),
        )


@contextmanager
def _limited_memory() -> Iterator[None]:
    """Let what grows beyond all measure fail instead of filling the machine (Linux; elsewhere without effect)."""
    if not sys.platform.startswith("linux"):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    ceiling = pages * os.sysconf("SC_PAGE_SIZE") + _MEMORY_BYTES
    if soft != resource.RLIM_INFINITY:
        ceiling = min(ceiling, soft)
    resource.setrlimit(resource.RLIMIT_AS, (ceiling, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
