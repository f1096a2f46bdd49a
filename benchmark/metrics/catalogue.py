"""All metrics by id, and the ones a protocol asks for."""

from __future__ import annotations

from benchmark.metrics.definition import Metric, SetMetric
from benchmark.metrics.hands import HKC, HKV_STD, HKV_VAR
from benchmark.metrics.identity import CSIM, CSIM_STRICT
from benchmark.metrics.identity_mini import FACE_LIKENESS
from benchmark.metrics.keypoints import AKD_FACE, AKD_HAND
from benchmark.metrics.lipsync import LIPSYNC_C, LIPSYNC_D, LIPSYNC_OFFSET
from benchmark.metrics.paper_features import FID, FVD, KID, KVD
from benchmark.metrics.person import PSNR_PERSON, SSIM_PERSON
from benchmark.metrics.quality_mini import CLARITY
from benchmark.metrics.quality_qalign import ASE, IQA
from benchmark.metrics.random_features import FD_RANDOM_FRAMES, FD_RANDOM_WINDOWS, KD_RANDOM_FRAMES
from benchmark.metrics.reconstruction import PSNR, SSIM
from benchmark.metrics.settings import SETTINGS
from benchmark.metrics.sync import (
    SYNC_C,
    SYNC_C_FULLBODY,
    SYNC_D,
    SYNC_D_FULLBODY,
    SYNC_OFFSET,
    SYNC_OFFSET_FULLBODY,
)
from benchmark.protocol import MetricRule, Protocol
from media.errors import AvatarBenchError

__all__ = ["METRICS", "metrics_of", "missing_metrics"]

METRICS: dict[str, Metric | SetMetric] = {
    metric.id: metric
    for metric in (
        *(PSNR, SSIM, PSNR_PERSON, SSIM_PERSON, HKC, HKV_STD, HKV_VAR, AKD_HAND, AKD_FACE),
        *(FD_RANDOM_FRAMES, KD_RANDOM_FRAMES, FD_RANDOM_WINDOWS),
        *(SYNC_C, SYNC_D, SYNC_OFFSET, SYNC_C_FULLBODY, SYNC_D_FULLBODY, SYNC_OFFSET_FULLBODY),
        *(FID, KID, FVD, KVD, CSIM, CSIM_STRICT, IQA, ASE),
        *(LIPSYNC_C, LIPSYNC_D, LIPSYNC_OFFSET, CLARITY, FACE_LIKENESS),
    )
}


def missing_metrics(protocol: Protocol) -> dict[str, str]:
    """What `protocol` asks for and this release does not have: by metric id, what there is instead."""
    missing = {}
    for rule in protocol.metrics:
        metric = METRICS.get(rule.id)
        if metric is None:
            missing[rule.id] = "no such metric"
        elif (metric.version, metric.on_miss) != (rule.version, rule.on_miss):
            asked = f"not version {rule.version}, on_miss {rule.on_miss}"
            missing[rule.id] = f"version {metric.version}, on_miss {metric.on_miss}, {asked}"
        elif other := _other_settings(rule):
            missing[rule.id] = other
    return missing


def _other_settings(rule: MetricRule) -> str:
    """Settings that the rule states otherwise than the code has them; empty where they agree."""
    own = SETTINGS.get(rule.id, {})
    differing = [name for name, value in rule.settings.items() if own.get(name) != value]
    return "; ".join(f"{name} {own.get(name, 'unknown')}, not {rule.settings[name]}" for name in differing)


def metrics_of(protocol: Protocol) -> list[Metric | SetMetric]:
    """The metrics of `protocol` in its order.

    Raises:
        AvatarBenchError: E503 when the protocol names metrics or versions that this release does not have; all of
            them are listed.
    """
    missing = missing_metrics(protocol)
    if missing:
        raise AvatarBenchError(
            "E503",
            f"the protocol '{protocol.id}' asks for metrics that this release does not have "
            f"({len(missing)} of {len(protocol.metrics)})",
            expected=", ".join(rule.id for rule in protocol.metrics),
            got="; ".join(f"{metric_id}: {found}" for metric_id, found in missing.items()),
            fix="choose another protocol (bench protocols), or install the release that this one was written for",
        )
    return [METRICS[rule.id] for rule in protocol.metrics]
