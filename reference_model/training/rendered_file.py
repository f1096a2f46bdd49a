"""Prepared data of the training through the renderer: one safetensors file that needs no video decoder or detector.

For each person the avatar of its portrait and where the true points stand on it; for each clip the sound, the noise
that the animator was given, true points, and some pictures with alpha in two views: the whole picture made smaller, and
the head. Pictures are JPEG and PNG bytes one after the other, so that a file of some hundred clips can be carried.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from media.errors import AvatarBenchError
from media.files import atomic_write
from reference_model.avatar.io import Avatar, load_avatar
from reference_model.render.camera import Camera

__all__ = ["PackedClip", "PackedFile", "PackedPerson", "PackedPictures", "View", "load_packed", "save_packed"]

_FORMAT = 1
_KEY = "avatarbench"
_JPEG_QUALITY = 92
_STEPS_PER_PIXEL = 32  # of stored places; 16 bits reach over 1023 px


class View(NamedTuple):
    """A square or oblong part of a person's pictures."""

    x: float
    """Left edge in the clip's pictures, px."""
    y: float
    """Upper edge, px."""
    side: tuple[int, int]
    """Width and height there, px."""
    size: tuple[int, int]
    """Width and height as stored, px."""

    def camera(self, whole: Camera) -> Camera:
        """The view of a camera that sees the clip's whole picture."""
        return whole.cropped(self.x, self.y, *self.side).resized(*self.size)


class PackedPictures(NamedTuple):
    """F pictures in one view."""

    rgb: np.ndarray
    """[F, h, w, 3] uint8 sRGB."""
    alpha: np.ndarray
    """[F, h, w] uint8."""


@dataclass(frozen=True, eq=False)
class PackedPerson:
    """Who is trained on."""

    name: str
    avatar: Avatar
    views: tuple[View, ...]
    rest_points: Tensor
    """True places of the points in the portrait, px, [510, 2]: face, left hand, right hand."""
    held_out: bool
    """Kept for validation."""


@dataclass(frozen=True, eq=False)
class PackedClip:
    """A clip of T pictures at 25 a second."""

    name: str
    person: str
    log_mel: Tensor
    """[4T, 80] uint8, see `corpus_file.decode_log_mel`."""
    innovations: Tensor
    """[T, 8] float16."""
    samples: Tensor
    """Sound at 16 kHz, [S] int16."""
    points: Tensor
    """True places, px, [T, 510, 2]."""
    seen: Tensor
    """[T, 510] bool."""
    closed: Tensor
    """The lips touch, [T] bool."""
    shown: Tensor
    """Which pictures are stored, [F] int64."""
    pictures: tuple[PackedPictures, ...]
    """In each view."""


@dataclass(frozen=True, eq=False)
class PackedFile:
    """A prepared training set."""

    size: tuple[int, int]
    """Width and height of the clips' pictures, px."""
    people: dict[str, PackedPerson]
    clips: tuple[PackedClip, ...]
    sha256: str
    """Of the file."""


def save_packed(
    path: Path,
    size: tuple[int, int],
    people: Sequence[PackedPerson],
    clips: Sequence[PackedClip],
    avatars: dict[str, bytes],
) -> None:
    """Write a prepared training set.

    Args:
        path: The file; replaced atomically.
        size: Width and height of the clips' pictures, px.
        people: The people.
        clips: Their clips.
        avatars: Bytes of each person's .avatar file.

    Raises:
        AvatarBenchError: E601 or E602, the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    listed: dict[str, Any] = {"format": _FORMAT, "size": list(size), "people": [], "clips": []}
    for person in people:
        tensors[f"{person.name}/avatar"] = _bytes(avatars[person.name])
        tensors[f"{person.name}/rest_points"] = person.rest_points
        views = [view._asdict() for view in person.views]
        listed["people"].append({"name": person.name, "held_out": person.held_out, "views": views})
    for clip in clips:
        listed["clips"].append({"name": clip.name, "person": clip.person})
        places = (clip.points.nan_to_num(0.0) * _STEPS_PER_PIXEL).round().clamp(-32768, 32767)
        plain = {
            "log_mel": clip.log_mel, "innovations": clip.innovations, "samples": clip.samples, "seen": clip.seen,
            "closed": clip.closed, "shown": clip.shown, "points": places.to(torch.int16),
        }  # fmt: skip
        for index, pictures in enumerate(clip.pictures):
            plain[f"rgb{index}"], plain[f"rgb{index}_ends"] = _encoded(pictures.rgb[..., ::-1], ".jpg")
            plain[f"alpha{index}"], plain[f"alpha{index}_ends"] = _encoded(pictures.alpha, ".png")
        tensors |= {f"{clip.name}/{name}": value.contiguous() for name, value in plain.items()}
    with atomic_write(path) as temporary:
        save_file(tensors, str(temporary), {_KEY: json.dumps(listed, sort_keys=True)})


def load_packed(path: Path) -> PackedFile:
    """Read a prepared training set.

    Raises:
        AvatarBenchError: E401, the file is missing, damaged or of another format.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            listed = json.loads((file.metadata() or {})[_KEY])
            if listed["format"] != _FORMAT:
                raise ValueError(f"format {listed['format']}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            people = [_person(row, tensors) for row in listed["people"]]
            clips = tuple(_clip(row, tensors) for row in listed["clips"])
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            width, height = listed["size"]
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise AvatarBenchError(
            "E401",
            "the prepared training data cannot be read",
            where=path,
            expected=f"a file of format {_FORMAT}",
            got=str(error),
            fix="make it: avatar corpus pack CORPUS -o data.safetensors",
        ) from error
    return PackedFile((width, height), {person.name: person for person in people}, clips, digest)


def _person(row: dict[str, Any], tensors: dict[str, Tensor]) -> PackedPerson:
    name = row["name"]
    with tempfile.TemporaryDirectory() as folder:  # the reader of avatars checks a file as a whole
        path = Path(folder) / "person.avatar"
        path.write_bytes(tensors[f"{name}/avatar"].numpy().tobytes())
        avatar = load_avatar(path)
    views = tuple(View(v["x"], v["y"], tuple(v["side"]), tuple(v["size"])) for v in row["views"])
    return PackedPerson(name, avatar, views, tensors[f"{name}/rest_points"], row["held_out"])


def _clip(row: dict[str, Any], tensors: dict[str, Tensor]) -> PackedClip:
    name = row["name"]
    part = {key.split("/", 1)[1]: value for key, value in tensors.items() if key.startswith(f"{name}/")}
    n_views = sum(key.startswith("rgb") and key.endswith("_ends") for key in part)
    pictures = tuple(
        PackedPictures(
            _decoded(part[f"rgb{i}"], part[f"rgb{i}_ends"], cv2.IMREAD_COLOR)[..., ::-1],
            _decoded(part[f"alpha{i}"], part[f"alpha{i}_ends"], cv2.IMREAD_GRAYSCALE),
        )
        for i in range(n_views)
    )
    return PackedClip(
        name, row["person"], part["log_mel"], part["innovations"], part["samples"],
        part["points"].float() / _STEPS_PER_PIXEL, part["seen"], part["closed"], part["shown"], pictures,
    )  # fmt: skip


def _bytes(data: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(data, np.uint8).copy())


def _encoded(pictures: np.ndarray, suffix: str) -> tuple[Tensor, Tensor]:
    """Bytes of pictures one after the other, and where each ends."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if suffix == ".jpg" else []
    parts = []
    for picture in pictures:
        done, data = cv2.imencode(suffix, np.ascontiguousarray(picture), options)
        if not done:
            raise ValueError(f"pictures must be uint8, got {picture.dtype} {picture.shape}")
        parts.append(data.tobytes())
    ends = torch.tensor([len(part) for part in parts]).cumsum(0)
    return _bytes(b"".join(parts)), ends


def _decoded(data: Tensor, ends: Tensor, mode: int) -> np.ndarray:
    starts = [0, *ends.tolist()]
    raw = data.numpy()
    pictures = [cv2.imdecode(raw[a:b], mode) for a, b in pairwise(starts)]
    if any(picture is None for picture in pictures):
        raise ValueError("a picture is damaged")
    return np.stack([picture for picture in pictures if picture is not None])
