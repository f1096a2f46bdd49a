"""A photograph of the template itself, fitted as well as can be, with the canvas on it."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from reference_model.avatar.canvas import CanvasBuilder
from reference_model.avatar.optimise import Canvas
from reference_model.avatar.sampling import SurfacePoints
from reference_model.body.mesh import rasterize_mesh
from reference_model.body.skinning import BodyState, TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.photo.layers import extend_foreground
from reference_model.render.camera import Camera


def fitted_template(n: int = 3000, seed: int = 0) -> tuple[CanvasBuilder, SurfacePoints, Canvas]:
    """Half body in 256x320; the photograph is coloured noise, smooth over some pixels."""
    template = load_template()
    state = BodyState.neutral(TemplateTensors(template))
    camera = Camera.frontal((0.0, 0.35, 2.3), 420.0, 256, 320)
    vertices = pose(TemplateTensors(template), state).vertices
    pixels, depth = camera.project(vertices)
    raster = rasterize_mesh(torch.cat([pixels, depth[:, None]], 1).numpy(), template.faces, 256, 320)
    alpha = (raster.face_index >= 0).astype(np.float32)
    noise = np.random.default_rng(seed).uniform(0, 255, (20, 16, 3)).astype(np.float32)
    photo = cv2.resize(noise, (256, 320), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    builder = CanvasBuilder(state, camera, extend_foreground(photo, alpha), alpha, seed)
    points = builder.sample(n)
    return builder, points, builder.canvas(points)
