"""Whether a method keeps the benchmark's contract, found out by using it: `bench test-method ID`."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from benchmark.checking import Rejected, check_video
from benchmark.contract import Method, MethodSpec, Oracle, PreparedOracle
from benchmark.hashing import derive_seed, sha256_file, sha256_tree
from benchmark.inputs import SampleInputs, make_inputs
from benchmark.manifest import load_dataset
from benchmark.protocol import load_protocol
from benchmark.registry import create_method, fingerprint, missing_sources
from benchmark.splits import split_dataset
from media.errors import AvatarBenchError

__all__ = ["Finding", "examine_method"]

_HEAVY = ("torch", "mediapipe", "cv2", "transformers", "tensorflow", "jax")
_NAME = re.compile(r"[A-Za-z0-9_+.-]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """One duty of the contract."""

    duty: str
    ok: bool
    told: str
    """What was found, and what to do where it is not right."""


def examine_method(spec: MethodSpec, device: str, seconds: float) -> Iterator[Finding]:
    """Use a method on the beginning of one clip of the mini data set, and compare what it does with its duties.

    Args:
        spec: The method.
        device: "cpu", "cuda" or "cuda:N".
        seconds: Length of the clip.
    """
    named = _NAME.fullmatch(spec.id) is not None and bool(spec.version and spec.title and spec.licence)
    yield Finding(
        "names itself", named, f"id '{spec.id}', version '{spec.version}', licence '{spec.licence}'"
    )
    yield _light(spec)
    missing = missing_sources(spec)
    yield Finding("its sources are there", not missing and bool(spec.sources), _sources(spec, missing))
    try:
        yield Finding("has a fingerprint", True, fingerprint(spec)[:16])
        method = create_method(spec, device)
    except Exception as error:  # whatever a foreign method does
        yield Finding("can be made", False, _first(error))
        return
    yield Finding("can be made", True, f"{spec.factory} on {device}")
    yield from _use(spec, method, _inputs(seconds, spec.privileged))


def _light(spec: MethodSpec) -> Finding:
    """`bench methods` imports the module of every spec."""
    module = spec.factory.partition(":")[0]
    code = f"import sys, {module}; print(*[name for name in {_HEAVY!r} if name in sys.modules])"
    paths = [path for path in sys.path if path]
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}; {code}"],
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - begin
    heavy = done.stdout.split()
    if done.returncode:
        return Finding("is listed at once", False, done.stderr.strip().splitlines()[-1])
    told = f"imports {', '.join(heavy)} at the top: move that into functions" if heavy else f"{seconds:.1f} s"
    return Finding("is listed at once", not heavy, told)


def _sources(spec: MethodSpec, missing: list[str]) -> str:
    if not spec.sources:
        return "none named: a prediction of yesterday's code would be served for today's"
    return f"missing: {', '.join(missing)}" if missing else ", ".join(spec.sources)


def _inputs(seconds: float, with_others: bool) -> SampleInputs:
    protocol = load_protocol("mini-v1")
    protocol = protocol.model_copy(
        update={"video": protocol.video.model_copy(update={"max_duration_s": seconds})}
    )
    dataset = load_dataset(None)
    clip = min(split_dataset(dataset, protocol.split).test, key=lambda one: one.id)
    return make_inputs(dataset, clip, protocol, 0, with_others=with_others)


def _use(
    spec: MethodSpec, method: Method | Oracle | PreparedOracle, inputs: SampleInputs
) -> Iterator[Finding]:
    sample = inputs.sample
    with tempfile.TemporaryDirectory(prefix="test-method-") as scratch:
        prepared = Path(scratch) / "prepared"
        prepared.mkdir()

        def generate(name: str, seed: int) -> Path:
            out = Path(scratch) / name / "video.mp4"
            out.parent.mkdir()
            asked = replace(sample, seed=seed)
            if not spec.privileged:
                cast(Method, method).generate(asked, prepared, out)
            elif spec.preparation is None:
                cast(Oracle, method).generate(asked, inputs.ground_truth, out)
            else:
                cast(PreparedOracle, method).generate(asked, inputs.ground_truth, prepared, out)
            return out

        if spec.preparation is not None:
            identity = sample.identity(derive_seed(0, "identity", sample.identity_id))
            maker = cast(Method, method)
            yield (finding := _try("prepares a person", lambda: maker.prepare(identity, prepared)))
            if not finding.ok:
                return
        before = sha256_tree(Path(scratch), ["prepared"])
        yield (finding := _try("makes a video", lambda: generate("first", sample.seed)))
        if not finding.ok:
            return
        video = Path(scratch) / "first" / "video.mp4"
        expected = f"{sample.n_frames} frames of {sample.width}x{sample.height} at {sample.fps:g} fps"
        try:
            check_video(video, sample)
            yield Finding("of the frames that were asked for", True, expected)
        except Rejected as error:
            yield Finding("of the frames that were asked for", False, str(error))
            return
        untouched = sha256_tree(Path(scratch), ["prepared"]) == before
        yield Finding(
            "leaves the prepared folder alone", untouched, "unchanged" if untouched else "it was written to"
        )
        yield (finding := _try("can be asked again", lambda: generate("second", sample.seed)))
        if not finding.ok:
            return
        same = sha256_file(Path(scratch) / "second" / "video.mp4") == sha256_file(video)
        told = "equal bytes" if same else "other bytes for the same sample and seed: seed every random choice"
        yield Finding("gives the same for the same seed", same, told)


def _try(duty: str, work: Callable[[], object]) -> Finding:
    begin = time.perf_counter()
    try:
        work()
    except Exception as error:  # whatever a foreign method does
        return Finding(duty, False, _first(error))
    return Finding(duty, True, f"{time.perf_counter() - begin:.1f} s")


def _first(error: Exception) -> str:
    return str(error) if isinstance(error, AvatarBenchError) else f"{type(error).__name__}: {error}"
