"""An avatar made from the template alone, for tests that need geometry but no photograph."""

from __future__ import annotations

import numpy as np
import torch

from reference_model.avatar.gaussians import Gaussians
from reference_model.avatar.io import Avatar
from reference_model.body.mesh import triangle_frames
from reference_model.body.se3 import matrix_to_quaternion
from reference_model.body.skinning import BodyState, TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.render.camera import Camera


def template_avatar(n: int = 3000, seed: int = 0, **state: torch.Tensor) -> Avatar:
    """N flat Gaussians drawn evenly from the template's triangles, coloured by their place.

    Args:
        n: Number of Gaussians.
        seed: Which places.
        state: Fields of `BodyState` that are not neutral.
    """
    template = load_template()
    rng = np.random.default_rng(seed)
    tensors = TemplateTensors(template)
    body = BodyState.neutral(tensors).replace(**state)
    vertices = pose(tensors, body).vertices.numpy()
    triangle = np.sort(rng.integers(len(template.faces), size=n)).astype(np.int32)
    barycentric = rng.dirichlet(np.ones(3), n).astype(np.float32)
    corners = vertices[template.faces[triangle]]
    means = (corners * barycentric[..., None]).sum(1)
    faces = torch.from_numpy(template.faces.astype(np.int64))
    frames = triangle_frames(torch.from_numpy(vertices), faces)[triangle]
    size = np.sqrt(
        np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    )
    scales = np.stack([size, size, 0.2 * size], 1).clip(5e-4)
    gaussians = Gaussians(
        means=torch.tensor(means, dtype=torch.float32),
        quats=matrix_to_quaternion(frames),
        scales=torch.tensor(scales, dtype=torch.float32),
        opacities=torch.tensor(rng.uniform(0.5, 0.99, n), dtype=torch.float32),
        colors=torch.tensor(rng.uniform(0.1, 0.9, (n, 3)), dtype=torch.float32),
    )
    head_height = float(template.joints[template.joint("head"), 2])
    camera = Camera.frontal((0.0, head_height, 1.5), focal=240.0, width=96, height=128)
    return Avatar(
        gaussians=gaussians,
        triangle=torch.from_numpy(triangle),
        barycentric=torch.from_numpy(barycentric),
        region=torch.from_numpy(template.region[triangle]),
        two_sided=torch.zeros(n, dtype=torch.bool),
        state=body,
        camera=camera,
        background=rng.integers(0, 255, (64, 48, 3)).astype(np.uint8),
    )
