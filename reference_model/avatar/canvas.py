"""From a fitted photograph to the Gaussians that are put on the body, before anything is learnt or optimised."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reference_model.avatar.colors import PointSet, photo_colors
from reference_model.avatar.optimise import Canvas, first_log_scales, first_opacities
from reference_model.avatar.sampling import SurfacePoints, carve, sample_surface, sample_uncovered
from reference_model.avatar.supervision import Supervision, body_parts, supervise
from reference_model.body.mesh import RasterizedMesh, rasterize_mesh, triangle_frames
from reference_model.body.skinning import BodyState, pose, rest_vertices, template_tensors
from reference_model.body.template import BodyTemplate, load_template
from reference_model.render.camera import Camera

__all__ = ["CanvasBuilder"]

_SLENDER = ("head", "hand_left", "hand_right", "foot_left", "foot_right")
_UNCOVERED_STEP = 0.0045  # of the longer side: distance of the points of loose hair and cloth


class CanvasBuilder:
    """The fitted body as the photograph's camera sees it, and the Gaussians that are put on it.

    Args:
        state: The fitted body with its offsets.
        camera: Of the whole photograph.
        colors: The person's colours, `[H, W, 3]` uint8 (`extend_foreground`).
        alpha: Matte `[H, W]`.
        seed: Of the places of the Gaussians.
    """

    def __init__(
        self, state: BodyState, camera: Camera, colors: np.ndarray, alpha: np.ndarray, seed: int
    ) -> None:
        self.template: BodyTemplate = load_template()
        self.tensors = template_tensors()
        self.faces = torch.tensor(self.template.faces, dtype=torch.long)
        self.state, self.camera, self.colors, self.alpha = state, camera, colors, alpha
        self.vertices: Tensor = pose(self.tensors, state).vertices  # [V, 3]
        self.raster: RasterizedMesh = self._raster()
        self._rng = np.random.default_rng(seed)

    def sample(self, n_gaussians: int) -> SurfacePoints:
        """Points on the body, and where the matte goes beyond it."""
        step = max(2, round(_UNCOVERED_STEP * max(self.camera.width, self.camera.height)))
        surface = sample_surface(self.template, self.tensors, self.state, self.camera, n_gaussians, self._rng)
        loose = sample_uncovered(self.template, self.vertices, self.camera, self.raster, self.alpha, step)
        surface = carve(self.template, surface, self._feet(surface), self.camera, self.alpha)
        return SurfacePoints.joined([surface, loose])

    def canvas(self, points: SurfacePoints) -> Canvas:
        """Coloured Gaussians, ready to be optimised."""
        foot = self._feet(points)
        frames = triangle_frames(self.vertices, self.faces)[torch.as_tensor(points.triangle)]  # [N, 3, 3]
        lift = torch.as_tensor(points.lift, dtype=torch.float32)
        loose = lift.norm(dim=-1) > 0
        slender = self.template.region_faces(*_SLENDER)
        part = body_parts(self.template)[self.template.faces[:, 0]]  # [F]
        supervision = supervise(
            foot + lift,
            frames[..., 2],
            loose.numpy(),
            slender[points.triangle],
            part[points.triangle],
            part,
            self.camera,
            self.raster,
            self.alpha,
        )
        colors, given = photo_colors(
            self.template, self._point_set(points, loose.numpy()), supervision, self.colors
        )
        inside_mouth = self.template.region_faces("mouth_cavity", "tongue", "teeth_upper", "teeth_lower")
        trainable = supervision.seen & ~inside_mouth[points.triangle]
        spacing = torch.as_tensor(points.spacing, dtype=torch.float32)
        return Canvas(
            foot=foot,
            frames=frames,
            offsets=(frames.transpose(1, 2) @ lift[..., None]).squeeze(-1),
            log_scales=first_log_scales(spacing, loose),
            turns=torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(len(foot), 4),
            opacities=first_opacities(loose),
            spacing=spacing,
            colors=torch.as_tensor(colors, dtype=torch.float32),
            two_sided=torch.as_tensor(points.two_sided),
            loose=loose,
            seen=torch.as_tensor(supervision.seen),
            given=torch.as_tensor(given),
            trainable=torch.as_tensor(trainable),
            beside_hand=torch.as_tensor(supervision.beside_hand),
            doubtful=torch.as_tensor(_doubtful(supervision, given, loose.numpy())),
        )

    def _feet(self, points: SurfacePoints) -> Tensor:
        """Foot points on the posed mesh, `[N, 3]`."""
        corners = self.faces[torch.as_tensor(points.triangle)]  # [N, 3]
        barycentric = torch.as_tensor(points.barycentric, dtype=torch.float32)[..., None]
        return (self.vertices[corners] * barycentric).sum(1)

    def _point_set(self, points: SurfacePoints, loose: np.ndarray) -> PointSet:
        corners = self.template.faces[points.triangle]
        shaped = self.state.replace(
            actions=torch.zeros_like(self.state.actions), offsets=torch.zeros_like(self.state.offsets)
        )
        blink = shaped.actions.clone()
        blink[[self.template.action("eyeBlinkLeft"), self.template.action("eyeBlinkRight")]] = 1.0

        def at_points(vertices: Tensor) -> np.ndarray:
            return (vertices.double().numpy()[corners] * points.barycentric[..., None]).sum(1)

        heaviest = corners[np.arange(len(corners)), points.barycentric.argmax(1)]
        return PointSet(
            triangle=points.triangle,
            barycentric=points.barycentric,
            rest=at_points(rest_vertices(self.tensors, shaped)),
            closed=at_points(rest_vertices(self.tensors, shaped.replace(actions=blink))),
            part=body_parts(self.template)[heaviest],
            two_sided=loose,
        )

    def _raster(self) -> RasterizedMesh:
        pixels, depth = self.camera.project(self.vertices)
        projected = torch.cat([pixels, depth[:, None]], dim=1).numpy()
        return rasterize_mesh(projected, self.template.faces, self.camera.width, self.camera.height)


def _doubtful(supervision: Supervision, given: np.ndarray, loose: np.ndarray) -> np.ndarray:
    return supervision.seen & ~given & ~loose
