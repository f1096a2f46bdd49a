"""Predictions: a method's video of one sample, checked before it counts, and never made twice."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from benchmark.cache import build_folder, cache_folder, make_folder
from benchmark.checking import Rejected, check_video, unify_codec
from benchmark.contract import Generation, Method, Oracle, Preparation, PreparedOracle
from benchmark.hashing import derive_seed, sha256_file, sha256_json
from benchmark.inputs import SampleInputs
from benchmark.metrics.definition import Reason
from benchmark.results import SCHEMA_VERSION, MethodInfo, PredictionRecord, write_model
from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = [
    "ENVIRONMENT_CODES",
    "Predictor",
    "finished_record",
    "forget_prediction",
    "keep_record",
    "prediction_key",
    "video_path",
]

ENVIRONMENT_CODES = frozenset(
    {"E502", "E601", "E602", "E603", "E701", "E702", "E703", "E704", "E705", "E706", "E707", "E716", "E732"}
)
"""Errors that would meet every sample: they end the run instead of becoming a failed row."""

_REASONS: dict[str, Reason] = {
    "E102": "no_reference_face",
    "E103": "no_reference_face",
    "E203": "silent",
    "E406": "no_other_clip",
    "E717": "not_supported",
    "E721": "length_mismatch",
    "E722": "aspect_mismatch",
    "E723": "length_mismatch",
    "E725": "decode",
}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_VERSION = 2  # of the checks and of how a checked video is kept; part of each key


def video_path(run: Path, method_id: str, sample_id: str) -> Path:
    """Where a prediction stands in the run's folder."""
    return run / "predictions" / method_id / f"{sample_id}.mp4"


def prediction_key(method: MethodInfo, inputs: SampleInputs, device: str, seed: int) -> str:
    """Hash of everything that decides a prediction; paths and clocks are not among it."""
    sample = inputs.sample
    content: list[object] = [_VERSION, method.id, method.version, method.fingerprint, device, seed]
    content += [sample.sample_id, sample.identity_id, sample.transcript, sample.n_frames, sample.fps]
    content += [sample.width, sample.height, sample.seed, inputs.reference_sha256, inputs.audio_sha256]
    if method.privileged:
        content += inputs.ground_truth_content()
    return sha256_json(content)


def finished_record(run: Path, method_id: str, sample_id: str, key: str) -> PredictionRecord | None:
    """The record of a finished prediction: made from the same inputs, and its video unchanged since."""
    path = video_path(run, method_id, sample_id)
    try:
        record = PredictionRecord.model_validate_json(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError, UnicodeDecodeError):
        return None
    if record.key != key or record.schema_version != SCHEMA_VERSION:
        return None
    if record.status == "ok" and not (path.is_file() and sha256_file(path) == record.sha256):
        return None
    return record


def keep_record(run: Path, record: PredictionRecord) -> None:
    """Let a prediction count as finished; the last thing that is written of it."""
    write_model(video_path(run, record.method_id, record.sample_id).with_suffix(".json"), record)


def forget_prediction(run: Path, method_id: str, sample_id: str) -> None:
    """Let a prediction count as unfinished, so that it is made again."""
    video_path(run, method_id, sample_id).with_suffix(".json").unlink(missing_ok=True)


@dataclass(slots=True)
class Predictor:
    """One method at work in one run."""

    info: MethodInfo
    method: Method | Oracle | PreparedOracle
    preparation: Preparation | None
    run: Path
    device: str
    seed: int
    codec: str
    """The protocol's codec, in which every prediction is kept."""

    def predict(self, inputs: SampleInputs) -> tuple[PredictionRecord, Mapping[str, float]]:
        """Generate, check and store one video; it is finished once its record is kept (`keep_record`).

        A crash, or a video that is not what was asked for, becomes a record with status `failed`, and the
        traceback is kept beside it.

        Returns:
            The record, and seconds by stage.

        Raises:
            AvatarBenchError: one of `ENVIRONMENT_CODES`, which concern all samples.
        """
        sample = inputs.sample
        target = video_path(self.run, self.info.id, sample.sample_id)
        make_folder(target.parent)
        forget_prediction(self.run, self.info.id, sample.sample_id)
        key = prediction_key(self.info, inputs, self.device, self.seed)
        timings: dict[str, float] = {}
        record = PredictionRecord(
            method_id=self.info.id, sample_id=sample.sample_id, key=key, status="failed"
        )
        report = target.with_suffix(".error.txt")
        try:
            generation = self._generate(inputs, target, timings)
        except Exception as error:  # whatever a method does wrong is this sample's failure
            if isinstance(error, AvatarBenchError) and error.code in ENVIRONMENT_CODES:
                raise
            if getattr(error, "errno", None) in _FULL:  # PyAV's errors have a number and are no OSError
                raise AvatarBenchError(
                    "E601", "the disk is full", where=target, fix="free some space or write to another disk"
                ) from error
            target.unlink(missing_ok=True)
            with atomic_write(report) as temporary:
                temporary.write_text(traceback.format_exc(), encoding="utf-8")
            message = f"{type(error).__name__}: {error}".splitlines()[0]
            record = record.model_copy(update={"reason": _reason(error), "message": message})
        else:
            report.unlink(missing_ok=True)
            update = {"status": "ok", "sha256": sha256_file(target), "seeds": dict(generation.seeds)}
            update["notes"] = generation.notes
            record = record.model_copy(update=update)
        return record, timings

    def _generate(self, inputs: SampleInputs, target: Path, timings: dict[str, float]) -> Generation:
        """Let the method write into a scratch folder and move the checked video to `target`."""
        sample = inputs.sample
        with _scratch_folder(target) as scratch:
            out = scratch / target.name
            if self.info.privileged and self.preparation is None:
                begin = time.perf_counter()
                generation = cast(Oracle, self.method).generate(sample, inputs.ground_truth, out)
            else:
                method = cast(Method | PreparedOracle, self.method)
                begin = time.perf_counter()
                prepared = self._prepared(method, inputs, scratch / "prepared")
                timings["prepare"] = time.perf_counter() - begin
                begin = time.perf_counter()
                if self.info.privileged:
                    oracle = cast(PreparedOracle, method)
                    generation = oracle.generate(sample, inputs.ground_truth, prepared, out)
                else:
                    generation = cast(Method, method).generate(sample, prepared, out)
            timings["generate"] = time.perf_counter() - begin
            timings.update({f"generate.{stage}": seconds for stage, seconds in generation.timings_s.items()})
            begin = time.perf_counter()
            check_video(out, sample)
            unify_codec(out, self.codec, sample)
            timings["check"] = time.perf_counter() - begin
            os.replace(out, target)
        return generation

    def _prepared(self, method: Method | PreparedOracle, inputs: SampleInputs, empty: Path) -> Path:
        """The folder of the person's own work, made on first use and kept by the content of its inputs."""
        if self.preparation is None:
            return make_folder(empty)
        identity_id = inputs.sample.identity_id
        identity = inputs.sample.identity(derive_seed(self.seed, "identity", identity_id))
        size = [identity.width, identity.height]
        content = [self.info.preparation, self.device, identity_id, identity.seed, size]
        key = sha256_json([*content, inputs.reference_sha256])
        folder = cache_folder() / "prepared" / self.preparation.id / key
        if not folder.is_dir():
            with build_folder(folder) as building:
                method.prepare(identity, building)
        return folder


@contextmanager
def _scratch_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` to write into; the next start sweeps it away if this process is killed."""
    try:
        scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=".part-"))
    except OSError as error:
        full = error.errno in _FULL
        raise AvatarBenchError(
            "E601" if full else "E602",
            "the disk is full" if full else "the output cannot be written",
            where=target,
            got=error.strerror,
            fix="choose another folder with --out",
        ) from error
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _reason(error: Exception) -> Reason:
    if isinstance(error, Rejected):
        return error.reason
    return _REASONS.get(error.code, "crash") if isinstance(error, AvatarBenchError) else "crash"
