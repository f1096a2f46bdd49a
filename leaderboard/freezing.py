"""Freezing predictions: short, small copies of clips and predictions of a finished run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from benchmark.cache import make_folder
from benchmark.hashing import sha256_file, sha256_text
from benchmark.inputs import make_inputs
from benchmark.manifest import MANIFEST_NAME, Clip, Dataset, load_dataset, write_manifest
from benchmark.observations import SoundView
from benchmark.plan import Progress
from benchmark.predictions import video_path
from benchmark.protocol import Protocol, load_same_protocol
from benchmark.results import write_model
from benchmark.run_files import RunFiles, open_run_files
from leaderboard.frozen import REFERENCE, Expected, Frozen, read_frozen, score_frozen, write_expected
from media.audio import SAMPLE_RATE
from media.errors import AvatarBenchError
from media.video import read_frames, write_video

__all__ = ["freeze"]

_CRF = 32
"""Of the copies: the gate compares scores of the same bytes, so how good they look is of no account."""


def freeze(
    run: Path,
    dataset: Dataset,
    folder: Path,
    methods: Sequence[str],
    n_samples: int,
    seconds: float,
    progress: Progress,
) -> Frozen:
    """Make a reference from a finished run: the first clips by hash, cut short, and predictions of them.

    Args:
        run: Folder of the run.
        dataset: The run's data set.
        folder: Where the reference shall stand; one that stands there is replaced when the new one is whole.
        methods: Ids of methods of the run; privileged ones may be among them, nothing is ranked here.
        n_samples: Clips, of different people while there are any.
        seconds: Length of each.
        progress: Told of each step.

    Raises:
        AvatarBenchError: E504 when the run is not finished, E822 when nothing could be frozen, or the folder
            holds something else.
    """
    files = open_run_files(run)
    plan = files.plan
    protocol = load_same_protocol(plan.protocol_id, plan.protocol_sha256, run)
    if folder.exists() and any(folder.iterdir()) and not (folder / REFERENCE).is_file():
        raise AvatarBenchError("E822", "the folder holds something else; nothing was changed", where=folder)
    chosen = _choose(files, n_samples)
    unknown = sorted(set(methods) - {info.id for info in plan.methods})
    if not methods or unknown or not chosen:
        raise AvatarBenchError(
            "E822",
            "nothing to freeze",
            where=run,
            expected=f"methods of the run: {', '.join(info.id for info in plan.methods)}",
            got=", ".join(unknown or methods) or "none",
        )
    make_folder(folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".part-") as scratch:
        building = Path(scratch) / folder.name
        building.mkdir()
        hashes: dict[str, dict[str, str]] = {method: {} for method in methods}
        clips = []
        for done, sample_id in enumerate(chosen):
            progress(f"freeze {sample_id}", done, len(chosen))
            clip = next(clip for clip in dataset.clips if clip.id == sample_id)
            clips.append(_copy(files, dataset, clip, protocol, building, hashes, seconds))
        write_manifest(building / MANIFEST_NAME, clips)
        expected = Expected(
            protocol_id=protocol.id,
            protocol_sha256=protocol.sha256,
            dataset_sha256=load_dataset(building).sha256,
            predictions=hashes,
            values=(),
            package_version=version("avatarbench"),
        )
        write_model(building / REFERENCE, expected)
        frozen = read_frozen(building)
        write_expected(frozen, score_frozen(frozen, progress))
        if folder.exists():
            os.replace(folder, Path(scratch) / "before")
        os.replace(building, folder)
    return read_frozen(folder)


def _choose(files: RunFiles, n_samples: int) -> list[str]:
    """The first clips by hash, one a person before a second of any."""
    identity_of = {row.sample_id: row.identity_id for row in files.rows}
    order = sorted(files.plan.sample_ids, key=sha256_text)
    firsts = list({identity_of[sample_id]: sample_id for sample_id in reversed(order)}.values())
    ranked = sorted(order, key=lambda sample_id: (sample_id not in firsts, order.index(sample_id)))
    return sorted(ranked[:n_samples])


def _copy(
    files: RunFiles,
    dataset: Dataset,
    clip: Clip,
    protocol: Protocol,
    folder: Path,
    hashes: dict[str, dict[str, str]],
    seconds: float,
) -> Clip:
    """Write the start of a clip and of its predictions, on the protocol's grid."""
    inputs = make_inputs(dataset, clip, protocol, files.plan.seed, with_others=False)
    fps, n_frames = protocol.video.fps, min(round(seconds * protocol.video.fps), inputs.truth.n_frames)
    if n_frames < protocol.video.min_duration_s * fps:
        raise AvatarBenchError(
            "E822",
            "the frozen clips would be shorter than the protocol allows",
            where="--seconds",
            expected=f"at least {protocol.video.min_duration_s:g}",
            got=f"{n_frames / fps:g}",
        )
    truth = make_folder(folder / "clips") / f"{clip.id}.mp4"
    samples = SoundView(inputs.sample.audio, inputs.audio_sha256).samples() / 32768  # [S] in [-1, 1]
    sound = samples[: round(n_frames / fps * SAMPLE_RATE)]
    write_video(truth, islice(inputs.truth.frames(), n_frames), fps, audio=sound, crf=_CRF, preset="veryslow")
    for method, of_method in hashes.items():
        source, target = (video_path(root, method, clip.id) for root in (files.folder, folder))
        if not source.is_file():
            raise AvatarBenchError(
                "E822", f"the run has no prediction of {method} for {clip.id}", where=source
            )
        make_folder(target.parent)
        write_video(target, islice(read_frames(source), n_frames), fps, crf=_CRF, preset="veryslow")
        of_method[clip.id] = sha256_file(target)
    return Clip(
        id=clip.id,
        identity=clip.identity,
        media=f"clips/{truth.name}",
        sha256=sha256_file(truth),
        transcript=clip.transcript,
        licence=clip.licence,
    )
