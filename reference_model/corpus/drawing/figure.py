"""A person ready to draw, as arrays: the layers in drawing order, one mesh over all of them, eyes, chart and paints."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch

from reference_model.body.skinning import TemplateTensors, pose_joints
from reference_model.corpus.drawing.layers import Layer, ShadowVolume, light_of_strands, pose_layer
from reference_model.corpus.drawing.mesh_raster import directional_visibility, rasterize
from reference_model.corpus.drawing.mesh_shade import Material, SkinChart, VertexData, shade
from reference_model.corpus.drawing.scene import LightRig, View, project

__all__ = ["QUERY_STRIDE", "SUPERSAMPLING", "Eyes", "Figure", "PosedFigure"]

SUPERSAMPLING = 2
"""Samples along an edge of a pixel."""
QUERY_STRIDE = 4
"""Strand points between two whose light is measured; the others are interpolated."""
STRAND_WRAP = 0.3
"""Strands take sky light from this far behind their horizon: they are thin."""
_HAIR_SHADOW_SHARE = 3
"""Every third triangle of the hair casts a shadow."""


class Eyes(Protocol):
    """The analytic eyeballs of a person (`eyes.Eyeballs`)."""

    def parameters(self, posed: np.ndarray) -> np.ndarray:
        """The shader's rows [2, EYE_PARAMETERS] for posed body vertices [V, 3]."""
        ...


class PosedFigure(NamedTuple):
    """One frame's geometry, all surfaces in one mesh."""

    vertices: VertexData  # light still empty
    points: tuple[np.ndarray, ...]  # per layer, [P, 3] float32 metres; the first are the body's
    eyes: np.ndarray  # [2, EYE_PARAMETERS] float32
    viewpoint: np.ndarray  # [3] float32 metres
    joints: np.ndarray  # [J, 3] float32 metres


@dataclass(frozen=True, eq=False)
class Figure:
    """A person as layers. The first layer is the body with the template's vertices."""

    layers: tuple[Layer, ...]
    tensors: TemplateTensors
    """The skeleton; `joints` are the person's own."""
    eyes: Eyes
    chart: SkinChart
    paints: np.ndarray
    """[R, N_PAINT] float32, see `mesh_surfaces`."""
    head: np.ndarray
    """[V'] body vertices whose mean is the middle of the head."""
    shadow: ShadowVolume

    @cached_property
    def starts(self) -> np.ndarray:
        """First drawn vertex of each layer, and the end, [layers + 1]."""
        return np.cumsum([0, *(len(layer.surface.colour) for layer in self.layers)])

    @cached_property
    def faces(self) -> np.ndarray:
        """All triangles, [F, 3] int32."""
        parts = [
            layer.surface.faces + start for layer, start in zip(self.layers, self.starts[:-1], strict=True)
        ]
        return np.ascontiguousarray(np.concatenate(parts), np.int32)

    @cached_property
    def codes(self) -> np.ndarray:
        """`Material` and row of the paints of each triangle, [F] int8."""
        return np.concatenate([layer.surface.codes for layer in self.layers]).astype(np.int8)

    @cached_property
    def cuts(self) -> np.ndarray:
        """[N, N_CUTS] float32."""
        return np.ascontiguousarray(np.concatenate([layer.surface.cuts for layer in self.layers]), np.float32)

    @cached_property
    def painted(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colour [N, 3], canonical place [N, 3] and edge [N, 1], float32: what no pose changes."""
        colour, canonical, edge = (
            np.concatenate([getattr(layer.surface, name) for layer in self.layers]).astype(np.float32)
            for name in ("colour", "canonical", "edge")
        )
        return colour, canonical, edge

    @cached_property
    def occluders(self) -> np.ndarray:
        """Triangles that cast shadows, [F', 3] int32: none that a cut touches, and a share of the hair."""
        hair = np.concatenate([layer.surface.materials for layer in self.layers]) == Material.HAIR
        whole = (self.cuts > 0).all(1)[self.faces].all(1)
        kept = whole & (~hair | (np.arange(len(hair)) % _HAIR_SHADOW_SHARE == 0))
        return np.ascontiguousarray(self.faces[kept])

    def pose(self, actions: np.ndarray, rotations: np.ndarray, viewpoint: np.ndarray) -> PosedFigure:
        """Geometry of one frame.

        Args:
            actions: Facial actions, [52] in 0..1.
            rotations: Rotation vectors of the bones in their own axes, [J, 3] radians.
            viewpoint: The camera's centre (hair faces it), [3] metres.

        Returns:
            The frame's mesh.
        """
        shape = self.tensors.vertices.new_zeros(self.tensors.shape_basis.shape[0])
        with torch.inference_mode():
            turned = torch.as_tensor(rotations, dtype=torch.float32)
            joints, _, transforms = pose_joints(self.tensors, shape, turned)
        actions = np.asarray(actions, np.float32)
        posed = [pose_layer(layer, actions, transforms.numpy(), viewpoint) for layer in self.layers]
        colour, canonical, edge = self.painted
        vertices = VertexData(
            np.concatenate([part.positions for part in posed]),
            np.concatenate([part.normals for part in posed]),
            colour, np.empty((0, 4), np.float32), canonical, edge,
        )  # fmt: skip
        points = tuple(part.points for part in posed)
        return PosedFigure(
            vertices, points, self.eyes.parameters(points[0]), viewpoint.astype(np.float32), joints.numpy()
        )

    def light_queries(self, posed: PosedFigure) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where light is measured: points [Q, 3], unit normals [Q, 3], wrap of the sky light [Q]."""
        points, normals, wraps = [], [], []
        middle = posed.points[0][self.head].mean(0)
        for i, layer in enumerate(self.layers):
            if layer.strand_width is None:
                part = slice(self.starts[i], self.starts[i + 1])
                points.append(posed.vertices.position[part])
                normals.append(posed.vertices.normal[part])
                wraps.append(np.zeros(len(points[-1]), np.float32))
            else:
                strands = posed.points[i].reshape(-1, layer.strand_width.shape[1], 3)[:, ::QUERY_STRIDE]
                outward = (strands - middle).reshape(-1, 3)
                points.append(strands.reshape(-1, 3))
                normals.append(outward / np.linalg.norm(outward, axis=1, keepdims=True))
                wraps.append(np.full(len(outward), STRAND_WRAP, np.float32))
        return np.concatenate(points), np.concatenate(normals), np.concatenate(wraps)

    def visibility(self, posed: PosedFigure, rig: LightRig) -> np.ndarray:
        """How much of key, fill, rim and sky reaches each vertex, [N, 4] float32 in 0..1.

        It changes slowly: compute it every few frames and interpolate.
        """
        directions, owner = rig.samples()
        points, normals, wrap = self.light_queries(posed)
        seen = directional_visibility(
            posed.vertices.position, self.occluders, points, normals, directions,
            centre=np.array(self.shadow.centre, np.float32), half_extent=self.shadow.half_extent,
            resolution=self.shadow.resolution, bias=self.shadow.bias,
        )  # fmt: skip
        light = np.empty((len(points), 4), np.float32)
        for lamp in range(3):
            light[:, lamp] = seen[owner == lamp].mean(0)
        facing = np.clip(normals @ directions[owner == 3].T + wrap[:, None], 0, 1) + np.float32(0.02)
        light[:, 3] = (seen[owner == 3].T * facing).sum(1) / facing.sum(1)
        return self.spread_light(light)

    def spread_light(self, measured: np.ndarray) -> np.ndarray:
        """Light at the queries [Q, 4] to light at all drawn vertices, [N, 4]."""
        parts, start = [], 0
        for layer in self.layers:
            if layer.strand_width is None:
                light = measured[start : start + len(layer.rest)]
                start += len(layer.rest)
                parts.append(light if layer.soften is None else layer.soften @ (layer.soften @ light))
            else:
                n_points = layer.strand_width.shape[1]
                between = light_of_strands(n_points, QUERY_STRIDE)  # [K, measured]
                count = len(layer.rest) // n_points * between.shape[1]
                light = measured[start : start + count].reshape(-1, between.shape[1], 4)
                start += count
                whole = np.einsum("pq,sqc->spc", between, light)
                parts.append(np.repeat(whole.reshape(-1, 4), 2, 0))
        return np.concatenate(parts).astype(np.float32)

    def render(self, posed: PosedFigure, light: np.ndarray, view: View, rig: LightRig) -> np.ndarray:
        """Draw one frame.

        Args:
            posed: The frame's geometry, posed for `view`'s centre.
            light: Visibility of the lights, [N, 4], from `visibility`.
            view: Camera.
            rig: Lights.

        Returns:
            Linear RGB premultiplied by coverage, and coverage, [height, width, 4] float32.
        """
        width, height = view.width * SUPERSAMPLING, view.height * SUPERSAMPLING
        projected = project(posed.vertices.position, view, SUPERSAMPLING)
        fragments = rasterize(projected, self.faces, self.cuts, width, height)
        radiance = shade(
            fragments, self.faces, self.codes, posed.vertices._replace(light=light), self.chart, posed.eyes,
            rig.lighting(), posed.viewpoint, self.paints,
        )  # fmt: skip
        return cv2.resize(radiance, (view.width, view.height), interpolation=cv2.INTER_AREA)
