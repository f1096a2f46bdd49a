"""Controls: rows that every metric must order. A still picture is the floor, the truth itself the ceiling."""

from __future__ import annotations

import itertools
from pathlib import Path

from benchmark.contract import Generation, GroundTruth, Identity, MethodSpec, Sample

__all__ = ["FROZEN", "GROUND_TRUTH", "Frozen", "TrueVideo"]

FROZEN = MethodSpec(
    id="frozen",
    version="1",
    title="The reference picture, without any motion",
    licence="Apache-2.0",
    factory="baselines.controls:Frozen",
    sources=("baselines/controls.py", "media"),
)
GROUND_TRUTH = MethodSpec(
    id="ground_truth",
    version="1",
    title="The true video through the benchmark's codec",
    licence="Apache-2.0",
    factory="baselines.controls:TrueVideo",
    sources=("baselines/controls.py", "media"),
    privileged=True,
)


class Frozen:
    """Shows the reference picture for as long as the sound lasts."""

    def __init__(self, device: str) -> None:
        del device  # nothing is computed

    def prepare(self, identity: Identity, prepared: Path) -> None:
        """Nothing to do: the picture is all there is."""

    def generate(self, sample: Sample, prepared: Path, out: Path) -> Generation:
        """Repeat the picture `n_frames` times."""
        from media.audio import load_audio
        from media.image import load_image
        from media.video import write_video

        frames = itertools.repeat(load_image(sample.reference_image), sample.n_frames)
        write_video(out, frames, sample.fps, audio=load_audio(sample.audio))
        return Generation(out)


class TrueVideo:
    """Passes the truth through the same grid and codec as every prediction."""

    def __init__(self, device: str) -> None:
        del device  # nothing is computed

    def generate(self, sample: Sample, ground_truth: GroundTruth, out: Path) -> Generation:
        """Decode, resample and encode the true clip."""
        from media.audio import load_audio
        from media.video import read_frames, write_video

        frames = read_frames(
            ground_truth.media,
            fps=sample.fps,
            size=(sample.width, sample.height),
            start_s=ground_truth.start_s,
            duration_s=sample.n_frames / sample.fps,
        )
        write_video(out, frames, sample.fps, audio=load_audio(sample.audio))
        return Generation(out)
