"""The made people: a body, skin, eyes, hair and a top put together, posed and drawn by the mesh renderer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
import torch

from reference_model.body.skinning import BodyState, TemplateTensors, pose
from reference_model.body.template import REGIONS, BodyTemplate, load_template
from reference_model.corpus.arm_pose import ArmTarget, solve_arms
from reference_model.corpus.bodies import load_body
from reference_model.corpus.eyes import Eyeballs, EyeLook
from reference_model.corpus.garment import Garment, GarmentLook
from reference_model.corpus.hair import Hair, HairLook
from reference_model.corpus.mesh_raster import N_CUTS, directional_visibility, rasterize, vertex_normals
from reference_model.corpus.mesh_shade import Material, VertexData, shade
from reference_model.corpus.scene import LightRig, View, project
from reference_model.corpus.skin import SkinLook, paint_body, paint_head, smoothstep

__all__ = ["PEOPLE", "MadePerson", "PersonLook", "PosedPerson"]

_SKIN_EDGE = 0.010
"""Metres: the body ends this far under the cloth, so that skin never pokes through and no gap shows at a hem."""
_SKIN_INSET = 0.007
"""Metres by which covered skin is drawn below its place: the cloth bends more smoothly than the body under it."""
_SHADOW_CENTRE, _SHADOW_HALF = np.array([0.0, -0.08, 0.40], np.float32), 0.62  # metres, head to hips
_SHADOW_RESOLUTION = 352
_SUPERSAMPLING = 2
_HAIR_QUERY_STRIDE = 4
"""Strand points between two whose light is measured; the others are interpolated."""
_MATERIAL_OF_REGION = {
    "eye_front_left": Material.EYE_LEFT, "eye_back_left": Material.EYE_LEFT,
    "eye_front_right": Material.EYE_RIGHT, "eye_back_right": Material.EYE_RIGHT,
    "teeth_upper": Material.TEETH, "teeth_lower": Material.TEETH,
    "mouth_cavity": Material.MOUTH, "tongue": Material.MOUTH, "eye_cavity": Material.MOUTH,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PersonLook:
    """Everything that makes a person: shape by name (`bodies.npz`), surface by choice."""

    body: str
    skin: SkinLook
    eyes: EyeLook
    hair: HairLook
    garment: GarmentLook
    arms: ArmTarget
    """Rest pose of the arms."""
    attributes: dict[str, str]
    """What a data sheet says about the person."""


class PosedPerson(NamedTuple):
    """One frame's geometry, all surfaces in one mesh."""

    vertices: VertexData  # light still empty
    cuts: np.ndarray  # [N, N_CUTS] float32
    eyes: np.ndarray  # [2, EYE_PARAMETERS] float32
    strands: np.ndarray  # [S, P, 3] float32 metres
    viewpoint: np.ndarray  # [3] float32 metres
    body: np.ndarray  # [V, 3] float32 metres: the template's vertices


PEOPLE: dict[str, PersonLook] = {
    "woman": PersonLook(
        body="woman",
        skin=SkinLook(
            melanin=0.34, undertone=0.25, blush=1.0, lipstick=0.40, lip_colour=(176, 82, 86),
            brow_colour=(44, 30, 24), brow_weight=0.85, lashes=0.9, hair_colour=(46, 30, 22),
        ),
        eyes=EyeLook(iris=(84, 52, 28)),
        hair=HairLook("long", (58, 36, 24), length=0.185, parting=0.014, lift=0.013, mess=0.35, curl=0.005,
                      curl_period=0.07, clumping=0.45, n_strands=8_500),
        garment=GarmentLook((172, 152, 190), neckline="v", neck_radius=0.088, sleeve=0.165, looseness=0.011,
                            taper=0.30),
        arms=ArmTarget(),
        attributes={"sex": "female", "age": "25-35", "skin": "light to medium", "hair": "chin-length, dark brown",
                    "garment": "lavender V-neck T-shirt"},
    ),
    "man": PersonLook(
        body="man",
        skin=SkinLook(
            melanin=0.70, undertone=0.10, blush=0.8, stubble=0.55, brow_colour=(24, 17, 14), brow_weight=1.15,
            lashes=0.55, hair_colour=(24, 18, 15),
        ),
        eyes=EyeLook(iris=(62, 36, 20)),
        hair=HairLook("short", (30, 22, 18), length=0.030, side_length=0.008, lift=0.009, mess=0.8, curl=0.004,
                      curl_period=0.018, clumping=0.35, n_strands=9_000, n_points=5, strand_width=0.0012),
        garment=GarmentLook((112, 150, 172), neckline="crew", neck_radius=0.090, sleeve=0.20, looseness=0.013,
                            taper=0.18),
        arms=ArmTarget(wrist=(-0.15, -0.98, -0.05)),
        attributes={"sex": "male", "age": "30-40", "skin": "dark brown", "hair": "short, black",
                    "garment": "blue crew-neck T-shirt"},
    ),
}  # fmt: skip
"""The two people of the data set `mini`."""


class MadePerson:
    """A person ready to be posed and drawn.

    Args:
        look: Who it is.
        seed: Seed of mottling, hair roots and folds.
    """

    def __init__(self, look: PersonLook, seed: int) -> None:
        self.look = look
        self.template: BodyTemplate = load_template()
        rng = np.random.default_rng(seed)
        rest, self.joints = load_body(look.body)  # [V, 3], [J, 3]
        self._faces = np.ascontiguousarray(self.template.faces, np.int32)
        self._tensors = TemplateTensors(self.template)
        # The person's own mean takes the place of the template's: shape coefficients stay zero.
        self._tensors.vertices = torch.from_numpy(rest)
        self._tensors.joints = torch.from_numpy(self.joints)
        self._state = BodyState.neutral(self._tensors)
        self.rest_pose = solve_arms(self.template, self.joints, look.arms)  # [J, 3]
        normals = vertex_normals(rest, self._faces)
        canonical_normals = vertex_normals(self.template.vertices.copy(), self._faces)
        self._chart = paint_head(self.template, look.skin, rng)
        self._skin = paint_body(self.template, look.skin, canonical_normals, recession=look.hair.recession)
        self._eyeballs = Eyeballs(self.template, rest, look.eyes)
        self._garment = Garment(self.template, rest, look.garment, rng)
        self._hair = Hair(self.template, rest, normals, look.hair, rng)
        self._inset = _SKIN_INSET * smoothstep(-0.012, 0.004, self._garment.covered)[:, None]
        self._n_body, self._n_cloth = len(rest), len(self._garment.canonical)

    @cached_property
    def faces(self) -> np.ndarray:
        """All triangles over the vertices of `PosedPerson`: body, cloth, hair; [F, 3] int32."""
        cloth = self._garment.faces + self._n_body
        hair = self._hair.faces + self._n_body + self._n_cloth
        return np.concatenate([self._faces, cloth, hair]).astype(np.int32)

    @cached_property
    def materials(self) -> np.ndarray:
        """`Material` of each triangle, [F] int8."""
        of_region = np.array([_MATERIAL_OF_REGION.get(name, Material.SKIN) for name in REGIONS], np.int8)
        cloth = np.full(len(self._garment.faces), Material.CLOTH, np.int8)
        hair = np.full(len(self._hair.faces), Material.HAIR, np.int8)
        return np.concatenate([of_region[self.template.region], cloth, hair])

    @cached_property
    def _occluders(self) -> np.ndarray:
        """Triangles that cast shadows, [F', 3] int32: none that a cut touches, and every third of the hair."""
        hair = self.materials == Material.HAIR
        whole = (self._cuts > 0).all(1)[self.faces].all(1)
        return np.ascontiguousarray(self.faces[whole & (~hair | (np.arange(len(hair)) % 3 == 0))])

    def pose(self, actions: np.ndarray, rotations: np.ndarray, viewpoint: np.ndarray) -> PosedPerson:
        """Geometry of one frame.

        Args:
            actions: Facial actions, [52] in 0..1.
            rotations: Rotation vectors of the bones in their own axes, [J, 3] radians.
            viewpoint: The camera's centre (hair faces it), [3] metres.

        Returns:
            The frame's mesh.
        """
        state = self._state.replace(
            actions=torch.as_tensor(actions, dtype=torch.float32),
            rotations=torch.as_tensor(rotations, dtype=torch.float32),
        )
        with torch.inference_mode():
            posed = pose(self._tensors, state)
        body, transforms = posed.vertices.numpy().copy(), posed.transforms.numpy()
        normals = vertex_normals(body, self._faces)
        skin = body - normals * self._inset
        cloth, cloth_normals = self._garment.posed(transforms)
        strands = self._hair.posed(transforms)
        hair, tangents = self._hair.ribbons(strands, viewpoint)
        colour, gloss = self._skin
        vertices = VertexData(
            position=np.concatenate([skin, cloth, hair]),
            normal=np.concatenate([normals, cloth_normals, tangents]),
            colour=np.concatenate([colour, self._garment.colour, self._hair.colour]),
            light=np.empty((0, 4), np.float32),
            canonical=np.concatenate([self.template.vertices, self._garment.canonical, np.zeros_like(hair)]),
            edge=np.concatenate([gloss, self._garment.cuts.min(1, keepdims=True), np.ones((len(hair), 1))]),
        )
        return PosedPerson(
            vertices, self._cuts, self._eyeballs.parameters(body), strands, viewpoint.astype(np.float32), body
        )

    @cached_property
    def _cuts(self) -> np.ndarray:
        bare = np.repeat((_SKIN_EDGE - self._garment.covered)[:, None], N_CUTS, 1)
        hair = np.ones((len(self._hair.colour), N_CUTS))
        return np.concatenate([bare, self._garment.cuts, hair]).astype(np.float32)

    def visibility(self, posed: PosedPerson, rig: LightRig) -> np.ndarray:
        """How much of key, fill, rim and sky reaches each vertex, [N, 4] float32 in 0..1.

        It changes slowly: compute it every few frames and interpolate.
        """
        directions, owner = rig.samples()
        n_surface = self._n_body + self._n_cloth
        sparse = posed.strands[:, ::_HAIR_QUERY_STRIDE]  # [S, P', 3]
        outward = sparse - posed.body[self.template.region_vertices("head")].mean(0)
        outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
        points = np.concatenate([posed.vertices.position[:n_surface], sparse.reshape(-1, 3)])
        normals = np.concatenate([posed.vertices.normal[:n_surface], outward.reshape(-1, 3)])
        seen = directional_visibility(
            posed.vertices.position, self._occluders, points, normals, directions,
            centre=_SHADOW_CENTRE, half_extent=_SHADOW_HALF, resolution=_SHADOW_RESOLUTION,
        )  # fmt: skip
        light = np.empty((len(points), 4), np.float32)
        for lamp in range(3):
            light[:, lamp] = seen[owner == lamp].mean(0)
        sky = directions[owner == 3]
        facing = (
            np.clip(normals @ sky.T + np.where(np.arange(len(points)) < n_surface, 0, 0.3)[:, None], 0, 1)
            + 0.02
        )
        light[:, 3] = (seen[owner == 3].T * facing).sum(1) / facing.sum(1)
        light[self._n_body : n_surface] = self._garment.soften(light[self._n_body : n_surface])
        n_strands, n_points = posed.strands.shape[:2]
        measured = np.arange(0, n_points, _HAIR_QUERY_STRIDE)
        between = np.stack(
            [np.interp(np.arange(n_points), measured, row) for row in np.eye(len(measured))], 1
        )
        hair = light[n_surface:].reshape(n_strands, len(measured), 4)
        whole = np.einsum("pq,sqc->spc", between.astype(np.float32), hair)  # [S, P, 4]
        return np.concatenate([light[:n_surface], np.repeat(whole.reshape(-1, 4), 2, 0)])

    def render(self, posed: PosedPerson, light: np.ndarray, view: View, rig: LightRig) -> np.ndarray:
        """Draw one frame.

        Args:
            posed: The frame's geometry, posed for `view`'s centre.
            light: Visibility of the lights, [N, 4], from `visibility`.
            view: Camera.
            rig: Lights.

        Returns:
            Linear RGB premultiplied by coverage, and coverage, [height, width, 4] float32.
        """
        width, height = view.width * _SUPERSAMPLING, view.height * _SUPERSAMPLING
        projected = project(posed.vertices.position, view, _SUPERSAMPLING)
        fragments = rasterize(projected, self.faces, posed.cuts, width, height)
        radiance = shade(
            fragments, self.faces, self.materials, posed.vertices._replace(light=light), self._chart,
            posed.eyes, rig.lighting(), posed.viewpoint,
        )  # fmt: skip
        return cv2.resize(radiance, (view.width, view.height), interpolation=cv2.INTER_AREA)
