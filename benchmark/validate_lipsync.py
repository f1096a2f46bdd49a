"""What the small sync network can tell: `python -m benchmark.validate_lipsync [--dataset FOLDER] [--corpus NPZ]`.

Data sets are observed as the metrics observe them: on the grid of `mini-v1`, with MediaPipe's face mesh. Beside the
shipped network stand a network that was trained in the same way and hears loudness only, and the plain correlation of
opening and loudness. Cells are made by `benchmark/lipsync_validation.py`; a last line has the scores of true lips.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmark.engine import observe
from benchmark.extractors import Networks
from benchmark.hashing import sha256_file
from benchmark.lipsync_features import MEL_FRAMES, lip_opening, mel_power
from benchmark.lipsync_network import LOUDNESS_WEIGHTS, LipSyncNetwork, load_network, shipped_network
from benchmark.lipsync_validation import (
    Recording,
    correlation_scorer,
    network_scorer,
    pieces_of,
    separations,
    table_of,
)
from benchmark.manifest import Clip, Dataset, load_dataset
from benchmark.observations import ClipView, Failure, Request
from benchmark.protocol import load_protocol
from benchmark.training_lipsync import load_corpus
from media.audio import load_audio
from media.video import probe

__all__ = ["dataset_recordings", "held_out_takes", "main"]

PROTOCOL = "mini-v1"
SECONDS = (4.4, 10.0)
_LONGEST_S = 60.0  # of one clip
_FULL_SCALE = 32767.0


def held_out_takes(path: Path) -> list[Recording]:
    """The takes of a geometry corpus that training does not see: openings of the template's lips, no landmarks."""
    corpus = load_corpus(path)
    return [
        Recording(
            f"take{first}", 0, corpus.opening(first, last), corpus.power(first, last).astype(np.float64)
        )
        for first, last in corpus.takes(held_out=True)
    ]


def dataset_recordings(dataset: Dataset, networks: Networks, console: Console) -> list[Recording]:
    """Lips and sound of all clips of a data set, whole clips and not only the test half.

    A clip that cannot be decoded is said and left out.
    """
    clips = {clip.id: clip for clip in dataset.clips}
    requests = (_request(dataset, clip) for clip in dataset.clips)
    recordings = []
    for observed in observe(requests, networks, console.print):
        arrays = observed.truth(["face_mesh_mp"])
        if isinstance(arrays, Failure):
            continue
        clip, view = clips[observed.request.sample_id], observed.request.truth
        sound = load_audio(
            dataset.root / clip.sound[0], start_s=view.start_s, duration_s=view.n_frames / view.fps
        )
        power = mel_power(np.round(sound * _FULL_SCALE).astype(np.int16))
        opening = lip_opening(arrays["face_mesh_mp"]["points"])
        n = min(len(opening), len(power) // MEL_FRAMES)
        first = round(view.start_s * view.fps)
        recordings.append(Recording(clip.sha256, first, opening[:n], power[: MEL_FRAMES * n]))
    return recordings


def _request(dataset: Dataset, clip: Clip) -> Request:
    path, rule = dataset.root / clip.media, load_protocol(PROTOCOL).video
    info = probe(path)
    seconds = min(clip.duration_s or info.duration_s - clip.start_s, _LONGEST_S)
    n_frames = int(seconds * rule.fps + 1e-3)
    size = rule.size(info.width, info.height)
    view = ClipView(path, sha256_file(path), clip.start_s, n_frames, rule.fps, *size)
    return Request(clip.id, view, {}, (), ("face_mesh_mp",))


def report(title: str, recordings: Iterable[Recording], network: LipSyncNetwork, console: Console) -> None:
    """Print a table for each length of pieces."""
    scorers = {
        "mel network": network_scorer(network),
        "loudness network": network_scorer(load_network(LOUDNESS_WEIGHTS)),
        "loudness correlation": correlation_scorer,
    }
    kept = list(recordings)
    for seconds in SECONDS:
        pieces = [piece for recording in kept for piece in pieces_of(recording, round(25 * seconds))]
        if not pieces:
            console.print(f"{title}: no piece of {seconds:g} s with lips throughout")
            continue
        rows = {name: separations(pieces, score) for name, score in scorers.items()}
        console.print(table_of(f"{title}, {len(pieces)} pieces of {seconds:g} s", rows))
        found = [scorers["mel network"](piece.opening, piece.power) for piece in pieces]
        true = [score for score in found if score is not None]
        confidence, distance = (float(np.median(values)) for values in list(zip(*true, strict=True))[:2])
        offsets = sorted(Counter(score.offset for score in true).items())
        counted = ", ".join(f"{offset} ({count})" for offset, count in offsets)
        console.print(
            f"mel network on true lips: median C {confidence:.3f}, D {distance:.3f}; offsets {counted}\n"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what the command line asks for; without any, the mini data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, action="append", help="folder with a manifest, or of videos")
    parser.add_argument("--corpus", type=Path, help="geometry corpus, for its held-out takes")
    parser.add_argument("--weights", type=Path, help="another file of weights than the shipped one")
    options = parser.parse_args(arguments)
    console = Console()
    network = load_network(options.weights) if options.weights else shipped_network()
    if options.corpus:
        report("held-out takes", held_out_takes(options.corpus), network, console)
    folders = options.dataset or ([] if options.corpus else [None])
    with Networks() as networks:
        for folder in folders:
            dataset = load_dataset(folder)
            report(dataset.id, dataset_recordings(dataset, networks, console), network, console)


if __name__ == "__main__":
    main()
