"""A prepared training file of template avatars whose heads are brighter in the clips than in the avatars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from reference_model.avatar.gaussians import front_facing
from reference_model.avatar.io import load_avatar, save_avatar
from reference_model.corpus.corpus_file import encode_log_mel
from reference_model.deform import Rig
from reference_model.networks.gaussian_head import Residuals
from reference_model.networks.model import load_model
from reference_model.render import render
from reference_model.training.markers import Markers
from reference_model.training.rendered_file import PackedClip, PackedPerson, PackedPictures, View, save_packed
from tests.template_avatar import template_avatar

FRAMES, EVERY = 12, 4
SIZE = (96, 128)


def write_people(path: Path, n_gaussians: int = 1500, brighter: float = 1.0) -> Path:
    """Two people with a clip each; the second is held out. They stand still while the sound goes on."""
    generator = torch.Generator().manual_seed(0)
    people, clips, avatars = [], [], {}
    for index, name in enumerate(("one", "two")):
        file = path.with_name(f"{name}.avatar")
        save_avatar(file, template_avatar(n_gaussians, seed=index))
        avatar, avatars[name] = load_avatar(file), file.read_bytes()
        rig = Rig(avatar)
        views = (View(0.0, 0.0, SIZE, (48, 64)), View(24.0, 40.0, (48, 48), (40, 40)))
        whole = avatar.camera.resized(*SIZE)
        rest = Markers(avatar, rig).project(torch.zeros(rig.n_particles, 6), whole)
        n = len(rig.head_rows)
        bright = Residuals(
            torch.zeros(n, 3), torch.zeros(n, 3), torch.zeros(n), torch.full((n, 3), float(brighter))
        )
        moved = rig.apply(torch.zeros(rig.n_particles, 6), bright)
        pictures = []
        for view in views:
            camera = view.camera(whole)
            rgb, alpha = render(moved, camera, visible=front_facing(moved, camera) | avatar.two_sided)
            straight = rgb / alpha[..., None].clamp_min(1e-3)
            stack = (len(range(0, FRAMES, EVERY)), 1, 1)
            pictures.append(
                PackedPictures(
                    np.tile((straight.clamp(0, 1) * 255).byte().numpy(), (*stack, 1)),
                    np.tile((alpha * 255).byte().numpy(), stack),
                )
            )
        people.append(PackedPerson(name, avatar, views, rest, held_out=index == 1))
        power = torch.rand(4 * FRAMES, 80, generator=generator).numpy() * 0.01
        clips.append(
            PackedClip(
                name=f"{name}-01",
                person=name,
                log_mel=torch.from_numpy(encode_log_mel(power)),
                innovations=torch.zeros(FRAMES, 8).half(),
                samples=torch.zeros(FRAMES * 640, dtype=torch.int16),
                points=rest.expand(FRAMES, -1, -1),
                seen=torch.ones(FRAMES, 510, dtype=torch.bool),
                closed=torch.ones(FRAMES, dtype=torch.bool),
                shown=torch.arange(0, FRAMES, EVERY),
                pictures=tuple(pictures),
            )
        )
    save_packed(path, SIZE, people, clips, avatars)
    return path


def shipped():
    """The shipped weights, ready to be trained."""
    return load_model().requires_grad_(True)
