"""Runs the stages of a method: each once for equal content, and again only where it was interrupted."""

from __future__ import annotations

import glob
import importlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from baselines.external.declaration import Job, Output, Scope, Stage, Tool, Value
from baselines.external.environments import container_name, full_command, gpus_for, variables_for
from baselines.external.failures import explain
from baselines.external.launcher import end_orphans, launch
from baselines.external.settings import ToolSettings, settings_of
from baselines.external.state import digest, parameter_state, tool_state
from benchmark.cache import cache_folder, make_folder
from benchmark.contract import ClipSource, GroundTruth, Identity, Sample
from benchmark.hashing import sha256_file, sha256_json, sha256_text
from benchmark.locking import file_lock
from benchmark.registry import hash_sources
from benchmark.results import read_json, write_json
from media.errors import AvatarBenchError

__all__ = ["Finished", "Seen", "StageRunner", "call"]

_VERSION = 1  # of how stages are run and kept
_RECORD, _INPUTS, _OUTPUTS, _LOGS = "stage.json", "inputs", "outputs", "logs"
_RUN_LENGTH = 16
_CLOCK_S = 0.05  # file times are coarser than the clock


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to see of a clip; a stage is shown the part of its scope."""

    identity: Identity
    sample: Sample | None = None
    ground_truth: GroundTruth | None = None

    def of(self, stage: Stage) -> Seen:
        """The part that a stage may see."""
        if stage.scope == "identity":
            return Seen(self.identity)
        return self if stage.scope == "truth" else replace(self, ground_truth=None)

    def content(self) -> list[object]:
        """Plain data of it, files by their hash; names of clips and people do not matter."""
        person = self.identity
        found: list[object] = [sha256_file(person.reference_image), person.width, person.height]
        if self.sample is None:
            return [*found, person.seed]
        clip = self.sample
        found += [sha256_file(clip.audio), clip.transcript, clip.n_frames, clip.fps, clip.seed]
        if self.ground_truth is not None:
            source: ClipSource = self.ground_truth.clip
            found += [sha256_file(source.media), source.start_s]
        return found


@dataclass(frozen=True, slots=True)
class Finished:
    """A stage that is done."""

    key: str
    folder: Path
    """Of its outputs: each under its name, a link where it stays in the checkout."""
    seconds: float
    """That the stage took when it was made."""
    scope: Scope

    def forget(self) -> None:
        """Let the stage run again the next time, because what it left behind is of no use.

        Not the person's: hours of work are not thrown away for what one clip could not use.
        """
        if self.scope != "identity":
            (self.folder.parent / _RECORD).unlink(missing_ok=True)


class StageRunner:
    """Runs the stages of one method."""

    def __init__(self, parameters: Mapping[str, Value], device: str) -> None:
        self._parameters = parameters
        self._device = device

    def run(self, stages: tuple[Stage, ...], seen: Seen) -> dict[str, Finished]:
        """Run stages in order; what stands already is taken.

        Raises:
            AvatarBenchError: E70x, E711-E719 and what the Python steps raise.
        """
        done: dict[str, Finished] = {}
        for stage in stages:
            needs = {name: done[name] for name in stage.needs}
            done[stage.id] = self._run(stage, seen.of(stage), needs)
        return done

    def _run(self, stage: Stage, seen: Seen, needs: Mapping[str, Finished]) -> Finished:
        settings = None if stage.tool is None else settings_of(stage.tool)
        key = self._key(stage, seen, needs, settings)
        place = make_folder(_home()) / f"{stage.id}-{key}"
        with ExitStack() as stack:
            note = stack.enter_context(_lock(f"stage {stage.id} {key}"))
            finished = _finished(stage, key, place)
            if finished is not None:
                return finished
            if stage.command and settings is not None:
                note = stack.enter_context(self._alone(settings))
            shutil.rmtree(place, ignore_errors=True)
            for name in (_INPUTS, _LOGS):
                make_folder(place / name)
            checkout = None if settings is None else settings.checkout
            folders = {name: stage_done.folder for name, stage_done in needs.items()}
            run = f"ab{key[:_RUN_LENGTH]}"
            known = {name: self._parameters[name] for name in stage.parameters}
            what = (seen.identity, seen.sample, seen.ground_truth)
            job = Job(run, *what, folders, known, checkout, place / _INPUTS)
            begin = time.monotonic()
            try:
                values = dict(call(stage.write, job) or {}) if stage.write else {}
            except AvatarBenchError:
                for needed in needs.values():
                    needed.forget()
                raise
            if stage.command and stage.tool is not None and settings is not None:
                kept = self._command(stage, stage.tool, settings, job, values, place, note)
            else:
                os.rename(place / _INPUTS, place / _OUTPUTS)
                kept = {path.name: str(path.relative_to(place)) for path in (place / _OUTPUTS).iterdir()}
            digests = {name: digest(place / path) for name, path in kept.items()}
            record = {"key": key, "outputs": kept, "digests": digests, "seconds": time.monotonic() - begin}
            write_json(place / _RECORD, record)
            return Finished(key, place / _OUTPUTS, record["seconds"], stage.scope)

    def _key(
        self, stage: Stage, seen: Seen, needs: Mapping[str, Finished], settings: ToolSettings | None
    ) -> str:
        state = None if stage.tool is None or settings is None else tool_state(stage.tool, settings)
        declared = asdict(stage) | {"tool": None, "limit": None}
        before = {name: finished.key for name, finished in needs.items()}
        known = {name: self._parameters[name] for name in stage.parameters}
        content = [_VERSION, declared, hash_sources(stage.sources), state, parameter_state(known), before]
        return sha256_json(json.loads(json.dumps([*content, *seen.content()])))[:32]

    @contextmanager
    def _alone(self, settings: ToolSettings) -> Iterator[Path]:
        """Work in a checkout alone, since most tools write into their own, and alone on its GPUs.

        Yields:
            Where the launch's note stands; what a killed benchmark left running there has been ended.
        """
        with ExitStack() as stack:
            for gpu in sorted(gpus_for(settings, self._device)):
                stack.enter_context(_lock(f"gpu {gpu} of {socket.gethostname()}"))
            note = stack.enter_context(_lock(f"checkout {settings.checkout.resolve()}"))
            end_orphans(note)
            yield note

    def _command(
        self,
        stage: Stage,
        tool: Tool,
        settings: ToolSettings,
        job: Job,
        values: Mapping[str, str],
        place: Path,
        note: Path,
    ) -> dict[str, str]:
        """Run the stage's command and take its outputs; returns where each is, below `place`."""
        filled = _placeholders(job, stage, values)
        # A word that is filled with nothing is left out: that is how an option depends on a parameter.
        arguments = [word for word in (_fill(word, filled, stage) for word in stage.command) if word]
        cwd = settings.checkout / stage.cwd
        variables = variables_for(tool, stage, settings, self._device)
        writable = (settings.checkout, _home())
        where = f"[tools.{tool.id}]"
        command = full_command(
            arguments, settings, variables, cwd=cwd, writable=writable, run=job.run, where=where
        )
        write_json(
            place / _LOGS / "command.json", {"command": command, "cwd": str(cwd), "variables": variables}
        )
        seconds = 0.0 if job.sample is None else job.sample.n_frames / job.sample.fps
        limit_s = settings.time_factor * (stage.limit.base_s + stage.limit.per_second_s * seconds)
        begin = time.time() - _CLOCK_S
        ended = launch(
            command,
            cwd=cwd,
            variables=variables,
            logs=place / _LOGS,
            limit_s=limit_s,
            note=note,
            container=container_name(job.run) if settings.environment.kind == "docker" else None,
        )
        found = {output.name: _find(output, filled, begin, place, stage) for output in stage.outputs}
        explain(stage, tool, ended, found, place / _LOGS, settings)
        make_folder(place / _OUTPUTS)
        return {output.name: _take(output, found[output.name], place) for output in stage.outputs}


def call(name: str, *arguments: object) -> Any:
    """Call the function `module:function`."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)(*arguments)


def _home() -> Path:
    return cache_folder().expanduser().absolute() / "external"


@contextmanager
def _lock(name: str) -> Iterator[Path]:
    """Hold the lock of that name, waiting for it; yields a path beside it for notes of its holder."""
    folder = make_folder(_home() / "locks")
    path = folder / sha256_text(name)[:16]
    with file_lock(path, wait=True):
        yield path.with_suffix(".json")


def _finished(stage: Stage, key: str, place: Path) -> Finished | None:
    """What a stage left behind, if it is whole and unchanged."""
    record = read_json(place / _RECORD)
    if record.get("key") != key:
        return None
    for name, path in record["outputs"].items():
        if not (place / path).exists() or digest(place / path) != record["digests"][name]:
            return None
    return Finished(key, place / _OUTPUTS, float(record["seconds"]), stage.scope)


def _placeholders(job: Job, stage: Stage, values: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, object] = {name: value for name, value in job.parameters.items()}
    found |= {"inputs": job.folder, "run": job.run, "checkout": job.checkout}
    found |= {"width": job.identity.width, "height": job.identity.height}
    if job.sample is None:
        found["seed"] = job.identity.seed
    else:
        found |= {"seed": job.sample.seed, "n_frames": job.sample.n_frames, "fps": f"{job.sample.fps:g}"}
    found |= {f"done_{name}": folder for name, folder in job.done.items()}
    return {name: str(value) for name, value in found.items()} | dict(values)


def _fill(text: str, values: Mapping[str, str], stage: Stage, *, escape: bool = False) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in values:
            raise AvatarBenchError(
                "E732",
                f"the stage '{stage.id}' uses the placeholder {{{name}}}, which nothing fills",
                expected=f"one of {', '.join(sorted(values))}",
                got=text,
            )
        return glob.escape(values[name]) if escape else values[name]

    return re.sub(r"\{(\w+)\}", value, text)


def _find(output: Output, values: Mapping[str, str], begin: float, place: Path, stage: Stage) -> Path | None:
    """The one fresh match of an output's pattern; None where there is none. All of `place` is fresh."""
    pattern = _fill(output.pattern, values, stage, escape=True)
    matches = [Path(name) for name in glob.glob(pattern)]
    fresh = [path for path in matches if path.is_relative_to(place) or _changed(path) >= begin]
    if len(fresh) > 1:
        raise AvatarBenchError(
            "E714",
            f"the stage '{stage.id}' left several files where one was expected",
            where=pattern,
            got=", ".join(sorted(path.name for path in fresh)),
        )
    return fresh[0] if fresh else None


def _changed(path: Path) -> float:
    """When a file, or the newest one in a folder, was last written."""
    if path.is_file():
        return path.stat().st_mtime
    return max((file.stat().st_mtime for file in path.rglob("*") if file.is_file()), default=0.0)


def _take(output: Output, found: Path | None, place: Path) -> str:
    assert found is not None, "explain() raises for a missing output"
    target = place / _OUTPUTS / output.name
    if not output.copy:
        target.symlink_to(found.absolute())
    elif found.is_relative_to(place):
        shutil.move(found, target)
    elif found.is_dir():
        shutil.copytree(found, target)
    else:
        shutil.copy2(found, target)
    return str(target.relative_to(place))
