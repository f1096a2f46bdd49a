"""Features of set metrics: one file a metric and method below `features/`, with one array a sample."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.cache import make_folder
from benchmark.hashing import sha256_file
from benchmark.metrics.definition import Metric, SetMetric
from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = ["TRUTH", "FeatureFile", "features_path", "load_features", "read_features", "write_features"]

TRUTH = "truth"
"""Stands for the true videos where a method's id is expected."""

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest date that a zip can hold


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """The features of one metric and method."""

    sha256: str
    """Of the file's bytes."""
    samples: Mapping[str, np.ndarray]
    """[n, d] by sample id, sorted."""


def features_path(run: Path, metric_id: str, method_id: str) -> Path:
    """Where the features of a metric and method (or of `TRUTH`) stand in the run's folder."""
    return run / "features" / metric_id / f"{method_id}.npz"


def write_features(run: Path, metric_id: str, method_id: str, samples: Mapping[str, np.ndarray]) -> None:
    """Write features, whole or not at all; equal arrays give equal bytes (`np.savez` writes the clock).

    Args:
        run: Folder of the run.
        metric_id: The set metric.
        method_id: The method, or `TRUTH`.
        samples: [n, d] by sample id; float32 or float64, the same d in all.

    Raises:
        AvatarBenchError: E601 or E602.
    """
    widths = {array.shape[1:] for array in samples.values()}
    if len(widths) > 1 or any(array.ndim != 2 for array in samples.values()):
        shapes = {name: array.shape for name, array in samples.items()}
        raise ValueError(f"features of {metric_id} must all be [n, d] with one d, got {shapes}")
    path = features_path(run, metric_id, method_id)
    make_folder(path.parent)
    with (
        atomic_write(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for sample_id in sorted(samples):
            content = io.BytesIO()
            array = np.ascontiguousarray(samples[sample_id])
            np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{sample_id}.npy", _EPOCH), content.getvalue())


def read_features(run: Path, metric_id: str, method_id: str) -> dict[str, np.ndarray]:
    """Read what `write_features` wrote: [n, d] by sample id, sorted.

    Raises:
        AvatarBenchError: E504 where the file is absent or damaged.
    """
    path = features_path(run, metric_id, method_id)
    fix = f"bench score {run}"
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in sorted(stored.files)}
    except FileNotFoundError as error:
        raise AvatarBenchError(
            "E504",
            f"the run has no features of {method_id} for {metric_id}",
            where=run,
            expected=str(path.relative_to(run)),
            fix=fix,
        ) from error
    except (zipfile.BadZipFile, ValueError, EOFError, KeyError) as error:
        raise AvatarBenchError(
            "E504", "the file of features is damaged", where=path, got=str(error), fix=fix
        ) from error


def load_features(
    run: Path, method_ids: Iterable[str], metrics: Sequence[Metric | SetMetric]
) -> dict[tuple[str, str], FeatureFile]:
    """The features of all set metrics among `metrics`, of the methods and of the truth.

    Returns:
        Features by (metric id, method id), as `aggregate` takes them; empty where no metric is a set metric.

    Raises:
        AvatarBenchError: E504 where a file is absent or damaged.
    """
    wanted = [metric.id for metric in metrics if isinstance(metric, SetMetric)]
    owners = [*method_ids, TRUTH]
    return {
        (metric, owner): FeatureFile(
            samples=read_features(run, metric, owner), sha256=sha256_file(features_path(run, metric, owner))
        )
        for metric in wanted
        for owner in owners
    }
