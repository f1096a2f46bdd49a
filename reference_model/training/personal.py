"""`avatar personalize`: tune the deformer to one person on clips that are made of that person (section 3.3 (i)).

The paper has a diffusion model talk as the person of the photograph. Here the teacher is the animator of the corpus:
its performances move the avatar's own surface, the avatar is drawn, and the networks learn to move it like that from
the sound alone. What is learned is this person's proportions and expression, not a manner that only a video could show.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reference_model.avatar.gaussians import front_facing
from reference_model.avatar.io import Avatar
from reference_model.body.particles import load_particles
from reference_model.body.skinning import TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.corpus.corpus_file import encode_log_mel
from reference_model.corpus.geometry_corpus import PERFORMER, speak_take
from reference_model.corpus.motion.animator import FPS, Motion, animate
from reference_model.corpus.motion.lip_gap import lip_gap
from reference_model.corpus.speech.synthesis import SpeechSynthesizer, Utterance
from reference_model.deform import Rig
from reference_model.innovations import sample_innovations
from reference_model.networks.audio_encoder import MEL_PER_FRAME
from reference_model.networks.features import power_mel
from reference_model.networks.surface import rest_twists
from reference_model.render import render
from reference_model.training.expressions import ExpressionSampler
from reference_model.training.markers import Markers
from reference_model.training.rendered import train_packed
from reference_model.training.rendered_file import PackedClip, PackedFile, PackedPerson, PackedPictures, View
from reference_model.training.rendered_trainer import RenderedOptions

__all__ = ["personal_clips", "personalize", "teacher_states"]

_WIDTH, _HEAD = 144, 112
"""Of the whole picture and of the head's as drawn, px."""
_HEAD_MARGIN = 1.7
_EVERY = 4
_VARIANTS = 24
_SAMPLES_PER_PICTURE = 640


def personalize(
    avatar: Avatar,
    out: Path,
    options: RenderedOptions,
    *,
    clips: int = 6,
    seconds: float = 4.0,
    start: Path | None = None,
    cpu: bool = False,
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> dict[str, float]:
    """Tune the shipped networks to one person.

    Args:
        avatar: The person.
        out: Weights file to write.
        options: The recipe; its scope says what is tuned.
        clips: How many clips are made; one more is kept for validation.
        seconds: Length of each.
        start: Weights to begin with; the shipped ones when None.
        cpu: Train on the CPU even where there is a GPU.
        progress: See `train_rendered`.

    Returns:
        Validation losses before and after.
    """
    packed = personal_clips(avatar, clips + 1, seconds, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        figures = train_packed(
            packed, Path(folder), options, start=start, cpu=cpu, progress=progress, command="avatar personalize"
        )  # fmt: skip
        made = Path(folder) / "weights.safetensors"
        if made.is_file():  # in the main process
            out.write_bytes(made.read_bytes())
    return figures


def personal_clips(avatar: Avatar, clips: int, seconds: float, seed: int) -> PackedFile:
    """Synthetic talking clips of one person, in memory; the last one is for validation.

    Args:
        avatar: The person.
        clips: How many.
        seconds: Length of each.
        seed: Texts, voices and performances.
    """
    rig = Rig(avatar)
    markers = Markers(avatar, rig)
    camera = avatar.camera
    size = (camera.width, camera.height)
    views = _views(avatar, size)
    still = torch.zeros(rig.n_particles, 6)
    rest = markers.project(still, camera)
    rng = random.Random(seed)
    made = []
    with SpeechSynthesizer(_VARIANTS, seed) as synthesizer:
        for index in range(clips):
            utterance = speak_take(synthesizer, rng, held_out=False)
            owner = "validation" if index == clips - 1 else "person"
            n = round(seconds * FPS)
            take_seed = rng.getrandbits(32)
            innovations = sample_innovations(n, take_seed)
            motion = animate(
                _cut(utterance, seconds), innovations, PERFORMER, np.random.default_rng(take_seed)
            )
            made.append(
                _clip(
                    f"{owner}-{index:02d}",
                    owner,
                    avatar,
                    rig,
                    markers,
                    views,
                    _Take(utterance, motion, innovations),
                )
            )
    people = {
        name: PackedPerson(name, avatar, views, rest, held_out=name == "validation")
        for name in ("person", "validation")
    }
    digest = hashlib.sha256(avatar.gaussians.means.numpy().tobytes()).hexdigest()
    return PackedFile(size, people, tuple(made), digest)


class _Take(NamedTuple):
    utterance: Utterance
    motion: Motion
    innovations: np.ndarray


def teacher_states(avatar: Avatar, motion: Motion) -> Tensor:
    """The animator's motion as states of the particles of one person.

    Args:
        avatar: The person, whose photo's expression stays as far as `ExpressionSampler` says.
        motion: Absolute facial actions, and rotations against the photo.

    Returns:
        Log-twists, [T, M, 6].
    """
    template, n_joints = load_template(), load_particles().n_joints
    shown = avatar.state.actions.clamp(0, 1)
    sampler = ExpressionSampler(template.action_names)
    change = sampler.change(torch.from_numpy(motion.actions)[None], shown[None])[0]  # [T, 52]
    states = rest_twists(change).clone()
    states[:, :n_joints, :3] = torch.from_numpy(motion.rotations)
    return states


@torch.no_grad()
def _clip(
    name: str, person: str, avatar: Avatar, rig: Rig, markers: Markers, views: tuple[View, ...], take: _Take
) -> PackedClip:
    states = teacher_states(avatar, take.motion)
    n = len(states)
    shown = torch.arange(0, n, _EVERY)
    pictures: list[tuple[list[np.ndarray], list[np.ndarray]]] = [([], []) for _ in views]
    for t in shown.tolist():
        moved = rig.move(states[t])
        for (rgb, alpha), view in zip(pictures, views, strict=True):
            camera = view.camera(avatar.camera)
            drawn = render(moved, camera, visible=front_facing(moved, camera) | avatar.two_sided)
            straight = drawn.rgb / drawn.alpha[..., None].clamp_min(1e-3)
            rgb.append((straight.clamp(0, 1) * 255).round().byte().numpy())
            alpha.append((drawn.alpha * 255).round().byte().numpy())
    samples = _padded(take.utterance.samples, n)
    power = power_mel(torch.from_numpy(samples))[: MEL_PER_FRAME * n].numpy()
    return PackedClip(
        name=name,
        person=person,
        log_mel=torch.from_numpy(encode_log_mel(power)),
        innovations=torch.from_numpy(take.innovations).half(),
        samples=torch.from_numpy((samples * 32767).round().astype(np.int16)),
        points=markers.project(states, avatar.camera),
        seen=markers.known.expand(n, -1),
        closed=torch.from_numpy(lip_gap().millimetres(take.motion.actions) <= 0),
        shown=shown,
        pictures=tuple(PackedPictures(np.stack(rgb), np.stack(alpha)) for rgb, alpha in pictures),
    )


def _views(avatar: Avatar, size: tuple[int, int]) -> tuple[View, View]:
    """The whole picture and the head."""
    template = load_template()
    posed = pose(TemplateTensors(template), avatar.state)
    known = template.landmark_face >= 0
    corners = posed.vertices[template.faces[template.landmark_face[known]].astype(np.int64)]
    places = (corners * corners.new_tensor(template.landmark_barycentric[known])[..., None]).sum(1)
    pixels = avatar.camera.project(places)[0].numpy()
    low, high = pixels.min(0), pixels.max(0)
    side = max(16, round(_HEAD_MARGIN * float((high - low).max())))
    x, y = (low + high - side) / 2
    whole = View(0.0, 0.0, size, (_WIDTH, round(_WIDTH * size[1] / size[0])))
    return whole, View(float(round(x)), float(round(y)), (side, side), (_HEAD, _HEAD))


def _cut(utterance: Utterance, seconds: float) -> Utterance:
    """The utterance; what is said after the clip's end does no harm, but it must not be shorter."""
    return utterance.padded(0.0, max(0.0, seconds + 1 / FPS - utterance.duration))


def _padded(samples: np.ndarray, n_frames: int) -> np.ndarray:
    length = n_frames * _SAMPLES_PER_PICTURE
    return np.pad(samples, (0, max(0, length - len(samples))))[:length].astype(np.float32)
