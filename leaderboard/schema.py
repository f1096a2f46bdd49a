"""The data of the leaderboard, as strict models: entries, what verification found, and what a paper reports.

An entry is one method of one run:

    entries/<entry id>/
        entry.json                        an `Entry`
        samples.parquet                   the rows of the method alone (`benchmark.results.read_samples`)
        features/<metric>/<method>.npz    of each set metric, of the method and of the truth
        videos/<sample>.mp4               predictions to look at; there may be none
    verifications/<entry id>.json         a `Verification`, written by `bench verify --record`

An entry declares no badge. `leaderboard.entries` computes it from the verification, which counts only while the
entry's digest is the one that was verified.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from benchmark.environment import Environment
from benchmark.schema import RunPlan, RunResult

__all__ = [
    "ENTRIES",
    "ENTRY",
    "ENTRY_SCHEMA_VERSION",
    "SAMPLES",
    "VERIFICATIONS",
    "Audit",
    "AuditedSample",
    "Badge",
    "Difference",
    "Entry",
    "Finding",
    "PredictionHash",
    "Speed",
    "Submission",
    "Verification",
    "entry_id_of",
    "is_plain_name",
]

ENTRY_SCHEMA_VERSION = 1
"""Of `entry.json` and of a verification."""
ENTRIES, VERIFICATIONS = "entries", "verifications"
ENTRY, SAMPLES = "entry.json", "samples.parquet"

Badge = Literal["self-reported", "consistent", "audited"]
"""Nothing but the format is known to be right; all numbers follow from rows and features that cover the split's
clips; and a random share of the rows was measured again from the predictions."""

_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,119}$"
_SHA256 = r"^[0-9a-f]{64}$"
_URL = r"^https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~:/?#@!$&()*+,;=%-]*)?$"


def is_plain_name(name: str) -> bool:
    """Whether a name can be a file's: ASCII letters, digits, `_`, `-` and `.`, none leading but `_`."""
    return re.fullmatch(_NAME, name) is not None


def _without_markup(text: str) -> str:
    """Refuse what could act in a page or a terminal; pages escape in addition."""
    for sign in text:
        if sign in "<>`" or (
            unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and sign != "\n"
        ):
            raise ValueError(f"the character {sign!r} is not allowed in a text")
    return text


def _refuse_markup(data: object) -> None:
    """The same for every text in plain data, keys too: models of the benchmark take any text."""
    if isinstance(data, str):
        _without_markup(data)
    elif isinstance(data, dict):
        for key, value in data.items():
            _without_markup(key)
            _refuse_markup(value)
    elif isinstance(data, list):
        for value in data:
            _refuse_markup(value)


Name = Annotated[str, StringConstraints(pattern=_NAME)]
Sha256 = Annotated[str, StringConstraints(pattern=_SHA256)]
Url = Annotated[str, StringConstraints(pattern=_URL, max_length=500)]
Line = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=r"^[^\n]+$"),
    AfterValidator(_without_markup),
]
Text = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_without_markup)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Submission(_Strict):
    """Who submits, and what only they can say."""

    submitter: Line
    """Name of a person or group."""
    date: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\d$")]
    """Day of packing, ISO 8601."""
    test_data_seen: bool
    """Whether the method, or a network in it, was trained on test clips."""
    display_name: Line | None = None
    """What the table calls the method; null is the method's title."""
    paper: Url | None = None
    code: Url | None = None
    predictions: Url | None = None
    """Where the predictions can be had for an audit."""
    note: Text | None = None
    """What a reader of the numbers should know."""


class PredictionHash(_Strict):
    """One predicted video; the video itself is not part of the entry."""

    sample_id: Name
    identity_id: Name
    sha256: Sha256 | None
    """Of the file; null where the method failed on the sample."""


class Speed(_Strict):
    """How fast the method was, by the rule of `benchmark.efficiency`; never verified."""

    real_time_factor: float | None
    """Median seconds of generation a second of video; below 1 is real time."""
    first_real_time_factor: float | None
    """The same of the first sample, which pays for loading."""
    prepare_s: float | None
    """Median seconds of per-person work."""
    n_samples: int


class Entry(_Strict):
    """Content of `entry.json`."""

    schema_version: Literal[1] = ENTRY_SCHEMA_VERSION
    entry_id: Name
    """`<method>-<method version>-<first 8 digits of the run's id>`, and the name of the folder."""
    submission: Submission
    plan: RunPlan
    """The whole run's plan, of which `run_id` is the hash."""
    result: RunResult
    """The run's result with this method alone; `samples_sha256` and `features_sha256` are of this folder's files."""
    predictions: tuple[PredictionHash, ...]
    """One a sample of the plan, by sample id."""
    attributes: dict[Name, dict[Line, Line | int | float | bool]]
    """Facts about the clips from the data set's manifest, by sample id, for tables by attribute; may be empty."""
    environment: Environment
    """Where the run was started."""
    speed: Speed
    files: dict[str, Sha256]
    """Of all other files of the folder, by path with `/`."""

    @property
    def method(self) -> str:
        """Id of the method."""
        return self.result.methods[0].id

    @property
    def group(self) -> tuple[str, str, str, int]:
        """What entries must share to stand in one ranking: protocol, data set, split and number of clips."""
        return (
            self.result.protocol_sha256,
            self.result.dataset.sha256,
            self.result.split,
            self.result.n_samples,
        )

    @model_validator(mode="after")
    def _is_one_method(self) -> Self:
        if len(self.result.methods) != 1:
            raise ValueError(f"an entry is one method, not {len(self.result.methods)}")
        method = self.result.methods[0]
        for name in (method.id, method.version, *self.plan.sample_ids):
            if not is_plain_name(name):
                raise ValueError(f"{name!r} is not a plain name")
        if len(set(self.plan.sample_ids)) < len(self.plan.sample_ids):
            raise ValueError("a sample stands in the plan twice")
        _refuse_markup(self.model_dump(mode="json"))
        if self.entry_id != entry_id_of(method.id, method.version, self.plan.run_id):
            raise ValueError("entry_id does not name the method, its version and the run")
        return self


def entry_id_of(method_id: str, version: str, run_id: str) -> str:
    """Name of the entry of a method in a run."""
    return f"{method_id}-{version}-{run_id[:8]}"


class Finding(_Strict):
    """One thing that verification found to be wrong."""

    code: Annotated[str, StringConstraints(pattern=r"^E8\d\d$")]
    what: str
    where: str | None = None
    expected: str | None = None
    got: str | None = None


class Difference(_Strict):
    """A value that was measured again."""

    metric_id: str
    submitted: float | None
    measured: float | None
    tolerance: float
    agrees: bool


class AuditedSample(_Strict):
    """One sample that was measured again."""

    sample_id: str
    differences: tuple[Difference, ...]


class Audit(_Strict):
    """A random share of the samples, measured again from the predictions."""

    entropy: str
    """What the choice was drawn with; fixed after the entry's digest was."""
    share: float = Field(gt=0, le=1)
    n_samples: int
    """Samples with a prediction, of which was drawn."""
    samples: tuple[AuditedSample, ...]

    @property
    def n_audited(self) -> int:
        """Samples drawn."""
        return len(self.samples)


class Verification(_Strict):
    """What `bench verify` found."""

    schema_version: Literal[1] = ENTRY_SCHEMA_VERSION
    entry_id: Name
    digest: Sha256
    """Of the entry that was verified, see `leaderboard.entries.digest_of`."""
    badge: Badge
    findings: tuple[Finding, ...]
    """What is wrong; an entry with a finding has no badge above `self-reported`."""
    unchecked: tuple[str, ...]
    """What could not be checked, and why."""
    audit: Audit | None
    package_version: str
    """Release that verified."""
    date: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\d$")]
    """Day of the verification, ISO 8601."""
