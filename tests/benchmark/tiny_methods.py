"""Methods that do what a test needs: succeed, count their work, crash, or write a wrong video."""

from __future__ import annotations

import errno
import itertools
from pathlib import Path

import numpy as np

from benchmark.contract import Generation, Identity, MethodSpec, Preparation, Sample
from media.image import load_image
from media.video import write_video

generated: list[str] = []
prepared_for: list[str] = []


def tiny_spec(name: str, factory: str, *, preparation: bool = False, privileged: bool = False) -> MethodSpec:
    return MethodSpec(
        id=name,
        version="1",
        title="A method for tests",
        licence="Apache-2.0",
        factory=f"tiny_methods:{factory}",
        preparation=Preparation("tiny", "1", ()) if preparation else None,
        privileged=privileged,
    )


class Sliding:
    """Lets the reference picture fall by four pixels a frame."""

    def __init__(self, device: str) -> None:
        self.device = device

    def prepare(self, identity: Identity, prepared: Path) -> None:
        prepared_for.append(identity.identity_id)
        (prepared / "name.txt").write_text(identity.identity_id)

    def frames(self, sample: Sample):
        picture = load_image(sample.reference_image)
        return (np.roll(picture, 4 * shift, axis=0) for shift in range(sample.n_frames))

    def generate(self, sample: Sample, prepared: Path, out: Path) -> Generation:
        generated.append(sample.sample_id)
        write_video(out, self.frames(sample), sample.fps)
        return Generation(out, {"draw": 0.5}, {"shift": sample.seed})


class NeedsPrepared(Sliding):
    def generate(self, sample: Sample, prepared: Path, out: Path) -> Generation:
        assert (prepared / "name.txt").read_text() == sample.identity_id
        return super().generate(sample, prepared, out)


class CrashesOnBen(Sliding):
    def generate(self, sample: Sample, prepared: Path, out: Path) -> Generation:
        if sample.identity_id == "ben":
            raise RuntimeError("a bug in somebody's method")
        return super().generate(sample, prepared, out)


class OneFrameShort(Sliding):
    def frames(self, sample: Sample):
        return itertools.islice(super().frames(sample), sample.n_frames - 1)


class HalfSize(Sliding):
    def frames(self, sample: Sample):
        return (frame[::2, ::2] for frame in super().frames(sample))


class WritesRubbish(Sliding):
    def generate(self, sample: Sample, prepared: Path, out: Path) -> Generation:
        out.write_bytes(b"not a video" * 100)
        return Generation(out)


class WritesNothing(Sliding):
    def generate(self, sample: Sample, prepared: Path, out: Path) -> Generation:
        return Generation(out)


class FillsTheDisk(Sliding):
    def generate(self, sample: Sample, prepared: Path, out: Path) -> Generation:
        out.write_bytes(b"half a video")
        raise OSError(errno.ENOSPC, "No space left on device", str(out))
