"""Which results may stand beside each other: those made by one protocol, on the same clips of the same data."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.schema import RunResult
from media.errors import AvatarBenchError

__all__ = ["require_comparable"]


def require_comparable(results: Sequence[RunResult]) -> None:
    """Refuse to put numbers into one table that were made differently.

    Seeds, devices and releases may differ: comparing those is a fair question, and they are shown.

    Raises:
        AvatarBenchError: E505 when protocol, data set, split or number of clips differ.
    """
    for other in results[1:]:
        _require_same(results[0], other)


def _require_same(first: RunResult, other: RunResult) -> None:
    facts = {
        "protocol": [f"{run.protocol_id} ({run.protocol_sha256[:12]})" for run in (first, other)],
        "data set": [f"{run.dataset.id} ({run.dataset.sha256[:12]})" for run in (first, other)],
        "split": [run.split for run in (first, other)],
        "number of clips": [str(run.n_samples) for run in (first, other)],
    }
    same = (
        first.protocol_sha256 == other.protocol_sha256,
        first.dataset.sha256 == other.dataset.sha256,
        first.split == other.split,
        first.n_samples == other.n_samples,
    )
    differing = [name for name, equal in zip(facts, same, strict=True) if not equal]
    if differing:
        raise AvatarBenchError(
            "E505",
            f"the runs {first.run_id} and {other.run_id} differ in {', '.join(differing)}",
            expected=", ".join(f"{name} {facts[name][0]}" for name in differing),
            got=", ".join(f"{name} {facts[name][1]}" for name in differing),
            fix="make both runs with the same --protocol, --dataset, --split and clips",
        )
