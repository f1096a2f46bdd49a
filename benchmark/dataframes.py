"""A run as pandas tables, for researchers who go on from there.

from benchmark.dataframes import sample_table, summary_table

samples = sample_table("runs/mine")     # one row a method, clip and metric
summary = summary_table("runs/mine")    # one row a method and metric
samples.pivot_table("value", ["method_id", "sample_id"], "metric_id")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.metrics.catalogue import METRICS
from benchmark.results import RESULT, SAMPLES, RunResult, read_model, read_samples
from benchmark.schema import MethodResult, MetricSummary, SampleRow

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["sample_table", "summary_table"]

_RUN_FIELDS = ("run_id", "protocol_id", "protocol_sha256", "split", "seed", "device")


def sample_table(run: str | Path) -> pd.DataFrame:
    """What was measured of each prediction: one row a method, clip and metric.

    Args:
        run: Folder of a scored run.

    Returns:
        The fields of `benchmark.schema.SampleRow`. `value` is NaN where there is none, and then `status` and `reason`
        say why; `n_valid / n_total` is the share of frames or hands that a value rests on.

    Raises:
        AvatarBenchError: E504 where the folder has no scores.
    """
    import pandas as pd

    rows = read_samples(Path(run) / SAMPLES)
    table = pd.DataFrame([row.model_dump() for row in rows], columns=list(SampleRow.model_fields))
    return table.astype({"value": "float64"})


def summary_table(run: str | Path) -> pd.DataFrame:
    """What stands in the table of a run: one row a method and metric.

    Args:
        run: Folder of an aggregated run.

    Returns:
        Protocol and data set, the method and its rank, and the fields of `benchmark.schema.MetricSummary`, the
        interval as `low` and `high`. Metrics that need weights which the protocol does without have rows, too, with
        no value and the reason `weights_missing`.

    Raises:
        AvatarBenchError: E504 where the folder has no result.
    """
    import pandas as pd

    result = read_model(Path(run) / RESULT, RunResult)
    rows = []
    for method in result.methods:
        rows += [_row(result, method) | _summary(summary) for summary in method.metrics]
        rows += [_row(result, method) | _absent(metric_id) for metric_id in result.needs_weights]
    return pd.DataFrame(rows).astype({"value": "float64", "low": "float64", "high": "float64"})


def _row(result: RunResult, method: MethodResult) -> dict[str, Any]:
    run = {name: getattr(result, name) for name in _RUN_FIELDS}
    return run | {
        "dataset_id": result.dataset.id,
        "method_id": method.id,
        "method_version": method.version,
        "privileged": method.privileged,
        "ranked": method.ranked,
        "method_coverage": method.coverage,
    }


def _summary(summary: MetricSummary) -> dict[str, Any]:
    interval = summary.interval
    bounds = {"low": interval and interval.low, "high": interval and interval.high}
    column = METRICS[summary.metric_id].column if summary.metric_id in METRICS else summary.metric_id
    return {"column": column} | summary.model_dump(exclude={"interval"}) | bounds


def _absent(metric_id: str) -> dict[str, Any]:
    metric = METRICS[metric_id]
    facts = {"column": metric.column, "metric_id": metric_id, "metric_version": metric.version}
    facts |= {"kind": metric.kind, "unit": metric.unit, "direction": metric.direction}
    return facts | {"value": None, "low": None, "high": None, "reason": "weights_missing"}
