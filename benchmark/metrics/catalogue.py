"""All metrics by id, and the ones a protocol asks for."""

from __future__ import annotations

from benchmark.metrics.definition import Metric
from benchmark.metrics.hands import HKC, HKV_STD, HKV_VAR
from benchmark.metrics.reconstruction import PSNR, SSIM
from benchmark.protocol import Protocol
from media.errors import AvatarBenchError

__all__ = ["METRICS", "metrics_of"]

METRICS: dict[str, Metric] = {metric.id: metric for metric in (PSNR, SSIM, HKC, HKV_STD, HKV_VAR)}


def metrics_of(protocol: Protocol) -> list[Metric]:
    """The metrics of `protocol` in its order.

    Raises:
        AvatarBenchError: E503 when the protocol names a metric or a version that this release does not have.
    """
    for rule in protocol.metrics:
        metric = METRICS.get(rule.id)
        if metric is None or (metric.version, metric.on_miss) != (rule.version, rule.on_miss):
            raise AvatarBenchError(
                "E503",
                f"the protocol '{protocol.id}' asks for a metric that this release does not have",
                expected=f"{rule.id}, version {rule.version}, on_miss {rule.on_miss}",
                got="no such metric"
                if metric is None
                else f"version {metric.version}, on_miss {metric.on_miss}",
                fix="install the release that the protocol was written for",
            )
    return [METRICS[rule.id] for rule in protocol.metrics]
