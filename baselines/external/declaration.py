"""What an external method is, as data: its tools, and the stages that lead from a sample to a video.

Imports nothing heavy: `bench methods` reads these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmark.contract import GroundTruth, Identity, MethodSpec, Preparation, Sample

if TYPE_CHECKING:
    from baselines.external.runner import ExternalOracle, ExternalRunner
    from benchmark.doctor import Check

__all__ = [
    "ExternalMethod",
    "Job",
    "Licence",
    "Limit",
    "Output",
    "Requirement",
    "Rule",
    "Scope",
    "Stage",
    "Tool",
    "Value",
    "Video",
    "Weight",
    "method_spec",
    "reported_row",
]

_COLUMNS = ("IQA", "ASE", "SyncC", "SyncD", "HKC", "CSIM", "SSIM", "PSNR", "FID", "FVD")

Scope = Literal["identity", "sample", "truth"]
"""What a stage may see: the reference picture; the sample; the sample and the true video (privileged rows)."""

Value = str | int | float | bool
"""Of a method's parameter."""


@dataclass(frozen=True, slots=True)
class Licence:
    """Under which terms a tool may be used."""

    code: str
    """SPDX expression, or what the repository states."""
    weights: str
    """The same of its weights, with those of third parties."""
    notice: str = ""
    """What a user must know and accept (`licence_accepted` in the settings) before the tool is run."""


@dataclass(frozen=True, slots=True)
class Weight:
    """A file or folder that the tool's authors publish apart from the code."""

    path: str
    """Below the checkout, or a glob with exactly one match that matters."""
    source: str
    """Where it is published, as its page is called there."""
    sha256: str | None = None
    """Of a file, where it is known."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """The machine and the Python environment that the tool was published for."""

    python: str
    packages: tuple[str, ...]
    """The pins that decide whether it runs, such as `torch==2.4.0`."""
    memory_gb: str
    """GPU memory, as published or reported."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A line that a tool is known to print when it fails, and what it means."""

    pattern: str
    """Regular expression over its log."""
    code: str
    """Error code."""
    meaning: str
    """What went wrong, as a sentence."""
    fix: str
    """What to do next."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A published program: one checkout, one environment, one licence. Several methods may use it."""

    id: str
    """Its section in the settings."""
    title: str
    repository: str
    """Owner and name."""
    commit: str
    """The commit that the adapter was written against."""
    paper: str
    licence: Licence
    requirement: Requirement
    files: tuple[str, ...]
    """Files below the checkout that the adapter runs or relies on."""
    weights: tuple[Weight, ...] = ()
    programs: tuple[str, ...] = ()
    """Absolute paths, or names on the environment's PATH, of programs that the tool starts itself."""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables that it needs. All others but a few are removed."""
    faults: tuple[Rule, ...] = ()
    """How it is known to fail."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a stage may take before it counts as hung."""

    base_s: float
    per_second_s: float = 0.0
    """For each second of the clip."""


@dataclass(frozen=True, slots=True)
class Output:
    """Something that a stage must leave behind."""

    name: str
    """Under which later stages find it."""
    pattern: str
    """Glob with placeholders, absolute once they are filled. It must match exactly one fresh file or folder."""
    copy: bool = True
    """False: it stays where the tool looks for it later, and is only remembered."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step: a Python function, a command, or a function that writes the inputs of a command.

    The outputs are cached. The key covers this declaration, `sources`, the parameters that it names, the tool's
    checkout, weights and environment, the keys of `needs`, and all that `scope` lets the stage see.
    """

    id: str
    scope: Scope
    needs: tuple[str, ...] = ()
    """Earlier stages whose outputs it reads."""
    parameters: tuple[str, ...] = ()
    """Names of the method's parameters that it may see; only these enter its key."""
    write: str = ""
    """`module:function`, called as `function(job) -> Mapping[str, str] | None`; the strings fill placeholders."""
    tool: Tool | None = None
    """Whose checkout it uses; None for a pure conversion."""
    command: tuple[str, ...] = ()
    """Argument list; the first is a program of the tool's environment. Empty: `write` is all there is.

    Placeholders are `{inputs}` (the folder that `write` filled), `{run}`, `{checkout}`, `{seed}`, `{n_frames}`,
    `{fps}`, `{width}`, `{height}`, `{done_ID}` for each of `needs`, the parameters, and what `write` returned.
    """
    cwd: str = "."
    """Below the checkout."""
    environment: tuple[tuple[str, str], ...] = ()
    crash_after_output: bool = False
    """The tool is known to write its output and crash afterwards; its exit code then does not matter."""
    outputs: tuple[Output, ...] = ()
    """Of a command. What a stage without one writes into its folder is its output."""
    sources: tuple[str, ...] = ()
    """Files and folders (`package/path`) whose bytes decide what `write` does."""
    limit: Limit = Limit(900, 30)


@dataclass(frozen=True, slots=True)
class Job:
    """What the Python part of a stage is given."""

    run: str
    """A name for files, `[a-z0-9]+`: equal for equal content, different otherwise."""
    identity: Identity
    sample: Sample | None
    """None in a stage of the scope `identity`."""
    ground_truth: GroundTruth | None
    """Only in the scope `truth`."""
    done: Mapping[str, Path]
    """The folders of the outputs of `Stage.needs`."""
    parameters: Mapping[str, Value]
    checkout: Path | None
    """Of the stage's tool."""
    folder: Path
    """Empty; to write into. What a command reads of the sample is copied here: docker shows it no other folder."""

    @property
    def clip(self) -> Sample:
        """The sample of a stage that has one."""
        assert self.sample is not None, "a stage of the scope 'identity' sees no sample"
        return self.sample


@dataclass(frozen=True, slots=True)
class Video:
    """How the tool's video is to be read. A function gives it, `ExternalMethod.read`."""

    path: Path
    size: tuple[int, int]
    """Width and height that the tool's own rules give, px; another size is an error."""
    n_frames: int
    """Frames that its rules give; see `tolerance`."""
    fps: float
    """Of its pictures in time. The container may state another rate, see `container_fps`."""
    container_fps: float
    """What the file must state."""
    lead_frames: int = 0
    """Frames before the one that belongs to time 0."""
    region: tuple[float, float, float, float] | None = None
    """Left, top, width and height, px, of what the sample's whole picture became; None is all of the video."""
    tolerance: int = 1
    """By how many frames the tool's count is known to vary."""
    first_frame: Path | None = None
    """A picture that frame 0, before `lead_frames` are dropped, has to resemble."""
    notes: tuple[str, ...] = ()
    """What a reader of the results has to know about this video."""


@dataclass(frozen=True, slots=True)
class ExternalMethod:
    """A row of the table."""

    id: str
    version: str
    """Of the adapter; raised when equal input may give another video."""
    title: str
    stages: tuple[Stage, ...]
    """In order. Those of the scope `identity` come first; they are the per-person work."""
    read: str
    """`module:function`, called as `function(job) -> Video` with `job.done` of all stages."""
    sources: tuple[str, ...]
    """Files and folders (`package/path`) of the adapter."""
    parameters: tuple[tuple[str, Value], ...] = ()
    """Defaults; the settings may change them, and what they changed is part of every key."""
    refuse: str = ""
    """`module:function`, called as `function(sample, parameters) -> str`: why it cannot do this sample, or ''."""
    privileged: bool = False
    """Sees the truth."""
    status: str = "not run with its real weights here"
    """How far the adapter has been tried."""
    reported: tuple[tuple[str, float], ...] = field(default=())
    """What the paper of the benchmark reports for it, by column."""

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools of its stages, each once."""
        return tuple({stage.tool.id: stage.tool for stage in self.stages if stage.tool}.values())

    def __call__(self, device: str) -> ExternalRunner | ExternalOracle:
        """The method that the benchmark runs; what the settings or the machine lack is an error now."""
        from baselines.external.runner import ExternalOracle, ExternalRunner

        return ExternalOracle(self, device) if self.privileged else ExternalRunner(self, device)

    def checks(self) -> Iterator[Check]:
        """What `bench doctor --method ID` shows of its tools."""
        from baselines.external.preflight import checks_of

        return checks_of(self)

    def state(self) -> object:
        """What decides the outcome outside of our packages: parameters, checkouts, weights, environments."""
        from baselines.external.state import method_state

        return method_state(self)


def reported_row(*values: float) -> tuple[tuple[str, float], ...]:
    """A method's row of table 2 of the benchmark's paper, in the order of its columns."""
    return tuple(zip(_COLUMNS, values, strict=True))


def method_spec(method: ExternalMethod, name: str) -> MethodSpec:
    """The spec under which the benchmark finds an external method.

    Args:
        method: The declaration.
        name: `module:ATTRIBUTE` of the declaration.
    """
    personal = tuple(stage for stage in method.stages if stage.scope == "identity")
    shared = tuple(sorted({"baselines/external", "media", *(s for stage in personal for s in stage.sources)}))
    licences = dict.fromkeys(f"{tool.licence.code}; weights: {tool.licence.weights}" for tool in method.tools)
    preparation = Preparation(f"{method.id}_stages", method.version, shared, state=name)
    return MethodSpec(
        id=method.id,
        version=method.version,
        title=f"{method.title} ({method.status})",
        licence=" | ".join(licences),
        factory=name,
        sources=tuple(sorted({"baselines/external", "media", *method.sources})),
        preparation=preparation if personal else None,
        privileged=method.privileged,
        state=name,
    )
