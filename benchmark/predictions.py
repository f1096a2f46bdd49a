"""Predictions: a method's video of one sample, checked before it counts, and never made twice."""

from __future__ import annotations

import errno
import os
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from benchmark.cache import build_folder, cache_folder, make_folder
from benchmark.contract import Generation, GroundTruth, Method, Oracle, Preparation
from benchmark.hashing import derive_seed, sha256_file, sha256_json
from benchmark.inputs import SampleInputs
from benchmark.metrics.definition import Reason
from benchmark.results import SCHEMA_VERSION, MethodInfo, PredictionRecord, write_model
from media.errors import AvatarBenchError
from media.files import atomic_write
from media.video import probe, read_frames

__all__ = ["ENVIRONMENT_CODES", "Predictor", "finished_record", "prediction_key", "video_path"]

ENVIRONMENT_CODES = frozenset({"E502", "E601", "E602", "E603"})
"""Errors that would meet every sample: they end the run instead of becoming a failed row."""

_REASONS: dict[str, Reason] = {"E102": "no_reference_face", "E103": "no_reference_face", "E203": "silent"}
_FPS_TOLERANCE = 1e-3


class _Rejected(Exception):
    """The method returned, but what it wrote is not the video that was asked for."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


def video_path(run: Path, method_id: str, sample_id: str) -> Path:
    """Where a prediction stands in the run's folder."""
    return run / "predictions" / method_id / f"{sample_id}.mp4"


def prediction_key(method: MethodInfo, inputs: SampleInputs, device: str, seed: int) -> str:
    """Hash of everything that decides a prediction; paths and clocks are not among it."""
    sample = inputs.sample
    content: list[object] = [method.id, method.version, method.fingerprint, device, seed]
    content += [sample.sample_id, sample.identity_id, sample.transcript, sample.n_frames, sample.fps]
    content += [sample.width, sample.height, sample.seed, inputs.reference_sha256, inputs.audio_sha256]
    if method.privileged:
        content += inputs.truth.content()
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


@dataclass(slots=True)
class Predictor:
    """One method at work in one run."""

    info: MethodInfo
    method: Method | Oracle
    preparation: Preparation | None
    run: Path
    device: str
    seed: int

    def predict(self, inputs: SampleInputs) -> tuple[PredictionRecord, Mapping[str, float]]:
        """Generate, check and keep one video.

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
        target.with_suffix(".json").unlink(missing_ok=True)
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
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise AvatarBenchError(
                    "E601", "the disk is full", where=target, fix="free some space"
                ) from error
            target.unlink(missing_ok=True)
            with atomic_write(report) as temporary:
                temporary.write_text(traceback.format_exc(), encoding="utf-8")
            message = f"{type(error).__name__}: {error}".splitlines()[0]
            record = record.model_copy(update={"reason": _reason(error), "message": message})
        else:
            report.unlink(missing_ok=True)
            update = {"status": "ok", "sha256": sha256_file(target), "seeds": dict(generation.seeds)}
            record = record.model_copy(update=update)
        write_model(target.with_suffix(".json"), record)
        return record, timings

    def _generate(self, inputs: SampleInputs, target: Path, timings: dict[str, float]) -> Generation:
        """Let the method write into a scratch folder and move the checked video to `target`."""
        sample = inputs.sample
        with tempfile.TemporaryDirectory(
            dir=target.parent, prefix=".part-", ignore_cleanup_errors=True
        ) as scratch:
            out = Path(scratch) / target.name
            if self.info.privileged:
                truth = GroundTruth(inputs.truth.path, inputs.truth.start_s)
                begin = time.perf_counter()
                generation = cast(Oracle, self.method).generate(sample, truth, out)
            else:
                method = cast(Method, self.method)
                begin = time.perf_counter()
                prepared = self._prepared(method, inputs, Path(scratch) / "prepared")
                timings["prepare"] = time.perf_counter() - begin
                begin = time.perf_counter()
                generation = method.generate(sample, prepared, out)
            timings["generate"] = time.perf_counter() - begin
            timings.update({f"generate.{stage}": seconds for stage, seconds in generation.timings_s.items()})
            _check_video(out, inputs)
            os.replace(out, target)
        return generation

    def _prepared(self, method: Method, inputs: SampleInputs, empty: Path) -> Path:
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


def _check_video(path: Path, inputs: SampleInputs) -> None:
    """Refuse a video that does not decode wholly to the frames that were asked for."""
    sample = inputs.sample
    if not path.is_file():
        raise _Rejected("decode", "the method returned without writing its video")
    try:
        info = probe(path)
        n_frames = sum(1 for _ in read_frames(path))
    except AvatarBenchError as error:
        raise _Rejected("decode", f"the video does not decode: {error.what}") from error
    if (info.width, info.height) != (sample.width, sample.height):
        expected = f"{sample.width}x{sample.height}"
        raise _Rejected("aspect_mismatch", f"expected {expected} pixels, got {info.width}x{info.height}")
    if n_frames != sample.n_frames or abs(info.fps - sample.fps) > _FPS_TOLERANCE:
        expected = f"{sample.n_frames} frames at {sample.fps:g} fps"
        raise _Rejected("length_mismatch", f"expected {expected}, got {n_frames} at {info.fps:.4g} fps")


def _reason(error: Exception) -> Reason:
    if isinstance(error, _Rejected):
        return error.reason
    return _REASONS.get(error.code, "crash") if isinstance(error, AvatarBenchError) else "crash"
