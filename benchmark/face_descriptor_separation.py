"""How well the faces' descriptors tell people apart: `python -m benchmark.face_descriptor_separation DATASET`.

The first picture of each clip is the reference, as in a benchmark. Its cosine with frames of the same person, from
other clips where there are any, is set against that with frames of everybody else, and of those alone who share given
attributes of the manifest: people of one sex and skin are harder to tell apart than any two.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmark.face_descriptor import describe_face, five_points
from benchmark.ladder import separation
from benchmark.manifest import MINI, Clip, load_dataset
from benchmark.protocol import load_protocol
from media.image import load_image
from media.landmarks import FaceMesh
from media.video import probe, read_frames

__all__ = ["SeenFaces", "Separation", "main", "separate"]


@dataclass(frozen=True, slots=True)
class SeenFaces:
    """The faces found in one clip, or in one photograph."""

    identity: str
    kind: tuple[str, ...] | None
    """Values of the attributes that make two people alike; None where one of them is not known."""
    descriptors: np.ndarray
    """[n, d] of unit length; the first is the reference."""


@dataclass(frozen=True, slots=True)
class Separation:
    """What the references of one person make of everybody's frames."""

    own: float
    """Mean cosine with the person's own frames."""
    others: float
    """Mean cosine with everybody else's."""
    auc: float
    """Probability that an own frame is nearer than one of somebody else, mean over references."""
    auc_alike: float | None
    """The same against people of the same kind; None where there is nobody."""


def separate(clips: Sequence[SeenFaces]) -> dict[str, Separation]:
    """By person, for all who show more than one frame.

    Args:
        clips: All clips and photographs.
    """
    results: dict[str, list[Separation]] = defaultdict(list)
    for clip in clips:
        reference = clip.descriptors[0]
        takes = [
            other.descriptors for other in clips if other.identity == clip.identity and other is not clip
        ]
        near = _cosines(takes or [clip.descriptors[1:]], reference)
        strangers = [other for other in clips if other.identity != clip.identity]
        alike = [other for other in strangers if clip.kind is not None and other.kind == clip.kind]
        far, far_alike = (
            _cosines([other.descriptors for other in group], reference) for group in (strangers, alike)
        )
        if near and far:
            auc_alike = separation(near, far_alike) if far_alike else None
            results[clip.identity].append(
                Separation(fmean(near), fmean(far), separation(near, far), auc_alike)
            )
    return {identity: _mean(found) for identity, found in results.items()}


def _cosines(groups: Sequence[np.ndarray], reference: np.ndarray) -> list[float]:
    return [cosine for descriptors in groups for cosine in (descriptors @ reference).tolist()]


def _mean(found: Sequence[Separation]) -> Separation:
    alike = [one.auc_alike for one in found if one.auc_alike is not None]
    return Separation(
        fmean(one.own for one in found),
        fmean(one.others for one in found),
        fmean(one.auc for one in found),
        fmean(alike) if alike else None,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Describe the faces of a data set, and print one line a person."""
    parser = argparse.ArgumentParser(description="separation of people by the descriptors of their faces")
    parser.add_argument("dataset", type=Path, nargs="?", default=MINI, help="default: the mini data set")
    parser.add_argument("--photos", type=Path, help="a folder of photographs, each of somebody else")
    parser.add_argument("--frames", type=int, default=6, help="frames of each clip")
    parser.add_argument("--alike", action="append", help="attribute that makes people alike; default: sex")
    options = parser.parse_args(arguments)
    dataset = load_dataset(options.dataset)
    attributes = options.alike or ["sex"]
    clips: list[SeenFaces] = []
    console = Console()
    with FaceMesh() as mesh:
        for clip in track(dataset.clips, "describing", transient=True):
            found = _describe_all(mesh, _frames(dataset.root / clip.media, clip, options.frames))
            if len(found):
                clips.append(SeenFaces(clip.identity, _kind(clip.attributes, attributes), found))
        for path in sorted(options.photos.rglob("*.jpg")) if options.photos else []:
            found = _describe_all(mesh, iter([_fitted(load_image(path))]))
            if len(found):
                clips.append(SeenFaces(f"photo {path.stem}", None, found))
    console.print(_table(separate(clips), attributes))


def _table(results: Mapping[str, Separation], attributes: Sequence[str]) -> Table:
    table = Table("person", "own", "others", "AUC", f"AUC, same {' and '.join(attributes)}")
    for identity, found in sorted(results.items()):
        alike = "nobody" if found.auc_alike is None else f"{found.auc_alike:.3f}"
        table.add_row(identity, f"{found.own:.3f}", f"{found.others:.3f}", f"{found.auc:.3f}", alike)
    return table


def _kind(attributes: Mapping[str, object], names: Sequence[str]) -> tuple[str, ...] | None:
    if any(name not in attributes for name in names):
        return None
    return tuple(str(attributes[name]) for name in names)


def _frames(path: Path, clip: Clip, count: int) -> Iterator[np.ndarray]:
    """The first frame of a clip and others at even distances, on the grid of mini-v1."""
    video = load_protocol("mini-v1").video
    info = probe(path)
    duration_s = clip.duration_s or info.duration_s - clip.start_s
    size = video.size(info.width, info.height)
    frames = read_frames(path, fps=video.fps, size=size, start_s=clip.start_s, duration_s=duration_s)
    return islice(frames, 0, None, max(1, int(duration_s * video.fps) // count))


def _fitted(picture: np.ndarray) -> np.ndarray:
    """A photograph at the long side of mini-v1."""
    height, width = picture.shape[:2]
    size = load_protocol("mini-v1").video.size(width, height)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _describe_all(mesh: FaceMesh, pictures: Iterator[np.ndarray]) -> np.ndarray:
    """[n, d] of the pictures that show a face; n may be 0."""
    found = [(picture, points) for picture in pictures if (points := mesh.detect(picture)) is not None]
    return np.array([describe_face(picture, five_points(points)) for picture, points in found])


if __name__ == "__main__":
    main()
