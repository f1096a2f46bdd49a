"""`avatar corpus pack`: a finished corpus to prepared training data for `avatar train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch

from media.errors import AvatarBenchError
from reference_model.avatar.io import Avatar, load_avatar, save_avatar
from reference_model.corpus.corpus_file import encode_log_mel
from reference_model.corpus.motion.animator import Motion
from reference_model.corpus.pipeline.draw_stage import draw_frames, load_person_of
from reference_model.corpus.pipeline.plan import FPS, Corpus
from reference_model.corpus.pipeline.speech import load_speech
from reference_model.innovations import sample_innovations
from reference_model.networks.audio_encoder import MEL_PER_FRAME
from reference_model.networks.features import power_mel
from reference_model.training.rendered_file import (
    PackedClip,
    PackedPerson,
    PackedPictures,
    View,
    save_packed,
)

__all__ = ["PackOptions", "pack_corpus"]

_HELD_OUT_SHARE = 1 / 8
_HEAD_MARGIN = 1.7
"""Side of the view of the head over the larger side of the face's box."""
_SAMPLES_PER_PICTURE = 640

Source = Literal["clips", "cpu", "cuda"]
"""Take the pictures of the corpus, or draw them here."""


@dataclass(frozen=True, slots=True)
class PackOptions:
    """How to prepare."""

    every: int = 3
    """Store each so manieth picture of a clip."""
    width: int = 192
    """Of the whole picture as stored, px; the height follows."""
    head: int = 128
    """Side of the head's picture as stored, px."""
    source: Source = "clips"
    """Where pictures come from."""


def pack_corpus(corpus: Corpus, out: Path, options: PackOptions, advance: Callable[[str], None]) -> None:
    """Write prepared data.

    The avatar of each person is made of its portrait, and kept in the corpus (`avatars/ID.avatar`); the last eighth of
    the people is for validation.

    Args:
        corpus: A corpus whose motion and truth stand, and, for the source "clips", its pictures.
        out: The file to write.
        options: How.
        advance: Called with each finished clip.

    Raises:
        AvatarBenchError: E407, a stage of the corpus is missing; what making an avatar raises.
    """
    names = list(corpus.attributes)
    n_held_out = max(1, round(_HELD_OUT_SHARE * len(names))) if len(names) > 1 else 0
    people, clips, avatars = [], [], {}
    for index, name in enumerate(names):
        avatars[name], avatar = _avatar(corpus, name)
        rest = _rest_points(corpus, name)
        views = _views(corpus, rest, options)
        held_out = index >= len(names) - n_held_out
        people.append(PackedPerson(name, avatar, views, torch.from_numpy(rest), held_out))
        for clip in corpus.clips_of(name):
            clips.append(_clip(corpus, clip.id, views, options))
            advance(clip.id)
    save_packed(out, (corpus.spec.width, corpus.spec.height), people, clips, avatars)


def _avatar(corpus: Corpus, name: str) -> tuple[bytes, Avatar]:
    path = corpus.path("avatars", name, "avatar")
    if not path.is_file():
        from media.image import load_image
        from reference_model.avatar.personalize import create_avatar

        path.parent.mkdir(exist_ok=True)
        portrait = corpus.path("portraits", name, "png")
        _require(portrait.is_file(), corpus, "portraits")
        save_avatar(path, create_avatar(load_image(portrait)))
    return path.read_bytes(), load_avatar(path)


def _rest_points(corpus: Corpus, name: str) -> np.ndarray:
    """True places of the points in the portrait, px, [510, 2]."""
    from reference_model.corpus.drawing.draw import posed_bodies
    from reference_model.corpus.drawing.setting import setting_from_json
    from reference_model.corpus.motion.truth import clip_truth

    person = load_person_of(corpus, name)
    still = Motion(
        np.zeros((1, len(person.template.actions)), np.float32), np.zeros((1, *person.rest_pose.shape), np.float32)
    )  # fmt: skip
    view = setting_from_json(corpus.read_json("people", name)["setting"]).view
    truth = clip_truth(posed_bodies(person, still), view)
    return np.concatenate([truth.landmarks[0], truth.hands[0].reshape(42, 2)])


def _views(corpus: Corpus, rest: np.ndarray, options: PackOptions) -> tuple[View, View]:
    """The whole picture and the head, which has room to move."""
    width, height = corpus.spec.width, corpus.spec.height
    small = (options.width, round(options.width * height / width))
    face = rest[:468][np.isfinite(rest[:468]).all(1)]
    low, high = face.min(0), face.max(0)
    side = round(_HEAD_MARGIN * float((high - low).max()))
    x, y = np.clip((low + high - side) / 2, 0, np.maximum(0, [width - side, height - side]))
    head = View(float(round(x)), float(round(y)), (side, side), (options.head, options.head))
    return View(0.0, 0.0, (width, height), small), head


def _clip(corpus: Corpus, clip: str, views: tuple[View, ...], options: PackOptions) -> PackedClip:
    from reference_model.corpus.motion.truth import load_truth

    _require(corpus.path("truth", clip, "npz").is_file(), corpus, "truth")
    truth = load_truth(corpus.path("truth", clip, "npz"))
    told = corpus.read_json("motion", clip)
    n = len(truth.lip_gap)
    samples = load_speech(corpus, clip).samples
    samples = np.pad(samples, (0, max(0, n * _SAMPLES_PER_PICTURE - len(samples))))[
        : n * _SAMPLES_PER_PICTURE
    ]
    power = power_mel(torch.from_numpy(samples.astype(np.float32)))[: MEL_PER_FRAME * n].numpy()
    pictures = _pictures(corpus, clip, options.source)[:: options.every]
    stored = []
    for view in views:
        cut = [(_cut(rgb, view), _cut(alpha, view)) for rgb, alpha in pictures]
        stored.append(PackedPictures(np.stack([rgb for rgb, _ in cut]), np.stack([a for _, a in cut])))
    points = np.concatenate([truth.landmarks, truth.hands.reshape(n, 42, 2)], 1)
    seen = np.concatenate([truth.landmarks_visible, truth.hands_visible.reshape(n, 42)], 1)
    return PackedClip(
        name=clip,
        person=corpus.clips[clip].person,
        log_mel=torch.from_numpy(encode_log_mel(power)),
        innovations=torch.from_numpy(sample_innovations(n, told["seed"], FPS)).half(),
        samples=torch.from_numpy((samples * 32767).round().astype(np.int16)),
        points=torch.from_numpy(points),
        seen=torch.from_numpy(seen & np.isfinite(points).all(-1)),
        closed=torch.from_numpy(truth.lip_gap_mm <= 0),
        shown=torch.arange(0, n, options.every)[: len(pictures)],
        pictures=tuple(stored),
    )


def _pictures(corpus: Corpus, clip: str, source: Source) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures [H, W, 3] and alpha [H, W], uint8."""
    if source != "clips":
        return list(draw_frames(corpus, clip, 0.0, source))
    from media.video import read_frames

    rgb, alpha = corpus.path("pictures", clip, "mp4"), corpus.path("alpha", clip, "mp4")
    _require(rgb.is_file() and alpha.is_file(), corpus, "drawing")
    both = zip(read_frames(rgb), read_frames(alpha), strict=True)
    return [(picture, grey[..., 0]) for picture, grey in both]


def _cut(picture: np.ndarray, view: View) -> np.ndarray:
    x, y = int(view.x), int(view.y)
    part = picture[y : y + view.side[1], x : x + view.side[0]]
    shrinks = view.size[0] < view.side[0]
    return cv2.resize(part, view.size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _require(stands: bool, corpus: Corpus, stage: str) -> None:
    if not stands:
        raise AvatarBenchError(
            "E407",
            f"the corpus lacks the stage {stage}",
            where=corpus.folder,
            fix=f"avatar corpus create --out {corpus.folder} --stage {stage}",
        )
