"""An external method behind the benchmark's contract."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from baselines.external.declaration import ExternalMethod, Job, Value, Video
from baselines.external.preflight import check_method
from baselines.external.settings import parameters_of, settings_of
from baselines.external.stages import Finished, Seen, StageRunner, call
from baselines.external.state import commit_of
from baselines.external.videos import write_aligned
from benchmark.contract import Generation, GroundTruth, Identity, Sample
from benchmark.results import write_json
from media.errors import AvatarBenchError

__all__ = ["ExternalOracle", "ExternalRunner"]

_IDENTITY = "identity.json"


class ExternalRunner:
    """Runs a declared method's stages and reads the video that they leave.

    Raises:
        AvatarBenchError: E701-E707 when something is missing; see `bench doctor --method ID`.
    """

    def __init__(self, method: ExternalMethod, device: str) -> None:
        check_method(method)
        self._method = method
        self._parameters = parameters_of(method)
        self._stages = StageRunner(self._parameters, device)
        self._notes = (*_changed_tools(method), *_changed_parameters(method, self._parameters))

    def prepare(self, identity: Identity, prepared: Path) -> None:
        """Run the stages that see only the person; their outputs stay in the cache of stages."""
        personal = tuple(stage for stage in self._method.stages if stage.scope == "identity")
        self._stages.run(personal, Seen(identity))
        write_json(prepared / _IDENTITY, {"seed": identity.seed})

    def generate(self, sample: Sample, prepared: Path, out: Path) -> Generation:
        """Run all stages that are not done, and write the sample's frames of the video."""
        return self._generate(sample, None, prepared, out)

    def _generate(
        self, sample: Sample, ground_truth: GroundTruth | None, prepared: Path | None, out: Path
    ) -> Generation:
        method = self._method
        reason = call(method.refuse, sample, self._parameters) if method.refuse else ""
        if reason:
            raise AvatarBenchError("E717", f"'{method.id}' cannot do '{sample.sample_id}': {reason}")
        identity = sample.identity(_seed_of(prepared, sample.seed))
        done = self._stages.run(method.stages, Seen(identity, sample, ground_truth))
        video = self._read(sample, identity, done, out)
        try:
            notes = write_aligned(sample, video, out)
        except AvatarBenchError:
            for made in done.values():
                if video.path.is_relative_to(made.folder):
                    made.forget()
            raise
        scopes = {stage.id: stage.scope for stage in method.stages}
        seconds = {name: made.seconds for name, made in done.items() if scopes[name] != "identity"}
        return Generation(out, seconds, {"sample": sample.seed}, (*notes, *self._notes))

    def _read(self, sample: Sample, identity: Identity, done: dict[str, Finished], out: Path) -> Video:
        folders = {name: made.folder for name, made in done.items()}
        run = f"ab{done[self._method.stages[-1].id].key[:16]}"
        job = Job(run, identity, sample, None, folders, self._parameters, None, out.parent)
        video = call(self._method.read, job)
        assert isinstance(video, Video), f"{self._method.read} returned no Video"
        return video


class ExternalOracle(ExternalRunner):
    """The same for a row that sees the truth."""

    def generate(  # type: ignore[override]
        self, sample: Sample, ground_truth: GroundTruth, place: Path, out: Path | None = None
    ) -> Generation:
        """Run all stages, those of the scope `truth` with the true video.

        Called as `(sample, ground_truth, prepared, out)`, or without `prepared` where nothing is prepared.
        """
        if out is None:
            return self._generate(sample, ground_truth, None, place)
        return self._generate(sample, ground_truth, place, out)


def _changed_tools(method: ExternalMethod) -> Iterator[str]:
    """Tools that are not the published ones: a reader of the results must know."""
    for tool in method.tools:
        found = commit_of(settings_of(tool).checkout)
        if found.commit != tool.commit:
            yield f"{tool.id} at commit {found.commit or 'unknown'} instead of {tool.commit}"
        if found.changes is not None:
            yield f"{tool.id} with changed files (difference {found.changes[:12]})"


def _changed_parameters(method: ExternalMethod, parameters: Mapping[str, Value]) -> Iterator[str]:
    for name, default in method.parameters:
        if parameters[name] != default:
            yield f"{name} = {parameters[name]!r} instead of {default!r}"


def _seed_of(prepared: Path | None, otherwise: int) -> int:
    """The person's seed that `prepare` was given; methods without per-person work have none."""
    path = None if prepared is None else prepared / _IDENTITY
    if path is None or not path.is_file():
        return otherwise
    return int(json.loads(path.read_text(encoding="utf-8"))["seed"])
