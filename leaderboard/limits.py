"""How far numbers may move, by metric: data in `limits.yaml`, or in a file of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.metrics.definition import Metric, SetMetric
from media.errors import AvatarBenchError

__all__ = ["Limit", "Limits", "Tolerance", "load_limits"]

_OURS = Path(__file__).with_name("limits.yaml")
_Size = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a value may be from the expected one."""

    absolute: float
    relative: float

    def around(self, expected: float) -> float:
        """Largest allowed distance from `expected`."""
        return self.absolute + self.relative * abs(expected)


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    drift: tuple[_Size, _Size] | None = None
    audit: tuple[_Size, _Size] | None = None
    quality: _Size | None = None
    critical: _Size | None = None


class _Features(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    drift: _Size
    audit: _Size


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    units: dict[str, _Rule]
    metrics: dict[str, _Rule] = {}
    features: _Features


@dataclass(frozen=True, slots=True)
class Limit:
    """What one metric may do; see the head of `limits.yaml`."""

    drift: Tolerance
    audit: Tolerance
    quality: float
    critical: float | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What all metrics may do."""

    file: _File
    where: Path

    @property
    def features_drift(self) -> float:
        """Relative distance of a sample's features, same machine."""
        return self.file.features.drift

    @property
    def features_audit(self) -> float:
        """Relative distance of a sample's features, another machine."""
        return self.file.features.audit

    def of(self, metric: Metric | SetMetric) -> Limit:
        """The limit of a metric.

        Raises:
            AvatarBenchError: E823 when neither its unit nor the metric itself has one.
        """
        own = self.file.metrics.get(metric.id, _Rule()).model_dump(exclude_unset=True)
        rule = self.file.units.get(metric.unit, _Rule()).model_dump(exclude_unset=True) | own
        missing = [name for name in ("drift", "audit", "quality") if rule.get(name) is None]
        if missing:
            raise AvatarBenchError(
                "E823",
                f"the metric '{metric.id}' has no limit for {', '.join(missing)}",
                where=self.where,
                expected=f"a rule for the unit '{metric.unit}' or for the metric",
            )
        return Limit(
            Tolerance(*rule["drift"]), Tolerance(*rule["audit"]), rule["quality"], rule.get("critical")
        )


def load_limits(path: Path | None = None) -> Limits:
    """The limits that ship, with those of the user's file in place of them where it has some.

    Raises:
        AvatarBenchError: E823 when the file is not right.
    """
    data: dict[str, Any] = yaml.safe_load(_OURS.read_text(encoding="utf-8"))
    where = path or _OURS
    try:
        if path is not None:
            own = yaml.safe_load(path.read_text(encoding="utf-8"))
            if not isinstance(own, dict) or not all(isinstance(part, dict) for part in own.values()):
                raise ValueError("not a mapping of units, metrics and features")
            for part, rules in own.items():
                before = data.get(part, {})
                for name, rule in rules.items():
                    kept = before.get(name)
                    before[name] = kept | rule if isinstance(kept, dict) and isinstance(rule, dict) else rule
                data[part] = before
        return Limits(_File.model_validate(data), where)
    except (OSError, ValidationError, ValueError, yaml.YAMLError) as error:
        got = (
            f"{'.'.join(map(str, error.errors()[0]['loc']))}: {error.errors()[0]['msg']}"
            if isinstance(error, ValidationError)
            else str(error).splitlines()[0]
        )
        raise AvatarBenchError(
            "E823", "the limits are not right", where=where, expected="units, metrics and features", got=got
        ) from error
