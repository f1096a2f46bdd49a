"""The made people: body, skin, eyes, hair and clothes put together as layers, posed and drawn by the mesh renderer."""

from __future__ import annotations

import json
import zipfile
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch

from media.errors import AvatarBenchError
from media.files import atomic_write
from reference_model.body.skinning import TemplateTensors, pose_joints
from reference_model.body.template import REGIONS, BodyTemplate, load_template
from reference_model.corpus.drawing.figure import Figure, PosedFigure
from reference_model.corpus.drawing.layers import Layer, ShadowVolume, Surface
from reference_model.corpus.drawing.mesh_raster import N_CUTS, vertex_normals
from reference_model.corpus.drawing.mesh_surfaces import N_PAINT, Material
from reference_model.corpus.drawing.scene import LightRig, View
from reference_model.corpus.people.arm_pose import solve_arms
from reference_model.corpus.people.beard import beard_layer
from reference_model.corpus.people.bodies import Body
from reference_model.corpus.people.cloth_mesh import broad_average
from reference_model.corpus.people.eyes import Eyeballs, lower_lids
from reference_model.corpus.people.fabric import paint_row
from reference_model.corpus.people.garment import Garment, Underneath
from reference_model.corpus.people.garment_cut import body_frame
from reference_model.corpus.people.glasses import glasses_layer
from reference_model.corpus.people.hair import hair_layer
from reference_model.corpus.people.look import PersonLook, look_from_json, look_to_json
from reference_model.corpus.people.skin import paint_body, paint_head, smoothstep

__all__ = ["MadePerson", "load_person", "read_body", "save_person"]

_SKIN_EDGE = 0.010
"""Metres: the body ends this far under the cloth, so that skin never pokes through and no gap shows at a hem."""
_SKIN_INSET = 0.007
"""Metres by which covered skin is drawn below its place: the cloth bends more smoothly than the body under it."""
_BROAD = 0.040
"""Metres of anatomy that draped cloth does not show."""
_SHADOW_TEXEL = 0.0040
"""Metres."""
_MATERIAL_OF_REGION = {
    "eye_front_left": Material.EYE_LEFT, "eye_back_left": Material.EYE_LEFT,
    "eye_front_right": Material.EYE_RIGHT, "eye_back_right": Material.EYE_RIGHT,
    "teeth_upper": Material.TEETH, "teeth_lower": Material.TEETH,
    "mouth_cavity": Material.MOUTH, "tongue": Material.MOUTH, "eye_cavity": Material.MOUTH,
}  # fmt: skip


class MadePerson:
    """A person ready to be posed and drawn; the clothes are draped here, which takes some seconds.

    Args:
        look: Who it is.
        body: The body of `look.shape` (`bodies.make_body`).
        seed: Seed of mottling and hair roots.
    """

    def __init__(self, look: PersonLook, body: Body, seed: int) -> None:
        self.look = look
        self.template: BodyTemplate = load_template()
        self.joints = body.joints
        self.rest, self._actions = lower_lids(self.template, look.eyes, body.vertices, self.template.actions)
        self.rest_pose = solve_arms(self.template, self.joints, look.arms)  # [J, 3]
        self._body_faces = np.ascontiguousarray(self.template.faces, np.int32)
        self._tensors = TemplateTensors(self.template)
        # The person's own mean takes the place of the template's: shape coefficients stay zero.
        self._tensors.vertices = torch.from_numpy(self.rest)
        self._tensors.joints = torch.from_numpy(self.joints)
        rng = np.random.default_rng(seed)
        normals = vertex_normals(self.rest, self._body_faces)
        self._chart = paint_head(self.template, look.skin, rng)
        self._hair = hair_layer(self.template, self.rest, normals, look.hair, rng)
        self._beard = look.beard and beard_layer(self.template, self.rest, normals, look.beard, rng)
        self._frame = body_frame(self.template, self.rest, self.joints)
        self._garments = self._dressed()

    def _dressed(self) -> list[Garment]:
        """Put on one garment after the other, each draped over those before."""
        with torch.inference_mode():
            shape = self._tensors.vertices.new_zeros(self._tensors.shape_basis.shape[0])
            _, _, transforms = pose_joints(self._tensors, shape, torch.as_tensor(self.rest_pose))
        transforms = transforms.numpy()
        weights = sp.csr_matrix(self._tensors.skin.numpy())
        motion = (weights @ transforms[:, :3].reshape(-1, 12)).reshape(-1, 3, 4)
        skin = (np.einsum("nij,nj->ni", motion[..., :3], self.rest) + motion[..., 3]).astype(np.float32)
        trunk = self.template.region_vertices("body")
        # Cloth touches the broad form and not each detail of it.
        broad = skin.copy()
        broad[trunk] = broad_average(skin[trunk], _BROAD) @ skin[trunk]
        on_arm = smoothstep(0.1, 0.5, self._frame.arm)[:, None]
        form = (broad * (1 - on_arm) + skin * on_arm).astype(np.float32)
        below = [(form[trunk], vertex_normals(form, self._body_faces)[trunk])]
        garments: list[Garment] = []
        for look in self.look.outfit:
            points, normals = (np.concatenate(part) for part in zip(*below, strict=True))
            garment = Garment(
                self.template, self.rest, self._frame, look, Underneath(transforms, points, normals)
            )
            if look.part != "collar":
                below.append(garment.posed(transforms))
            garments.append(garment)
        for i, inner in enumerate(garments):
            for outer in garments[i + 1 :]:
                if outer.look.part != "collar":
                    inner.go_under(outer)
        return garments

    @cached_property
    def figure(self) -> Figure:
        """The person as the renderer takes it."""
        layers = [self._body_layer()]
        paints = [np.zeros(N_PAINT, np.float32)]
        for garment in self._garments:
            layers += garment.layers(len(paints))
            paints.append(paint_row(garment.look.fabric))
        layers += [layer for layer in (self._hair, self._beard) if layer is not None]
        if self.look.glasses is not None:
            layers.append(glasses_layer(self.template, self.rest, self.look.glasses))
        low, high = self.rest.min(0), self.rest.max(0)
        half = float(high[2] - low[2]) / 2 + 0.06
        shadow = ShadowVolume(
            (0.0, -0.08, float(high[2] + low[2]) / 2 + 0.02), half, round(2 * half / _SHADOW_TEXEL)
        )
        head = np.flatnonzero(self.template.region_vertices("head"))
        eyes = Eyeballs(self.template, self.rest, self.look.eyes)
        return Figure(tuple(layers), self._tensors, eyes, self._chart, np.stack(paints), head, shadow)

    @cached_property
    def covered(self) -> np.ndarray:
        """How far each body vertex lies under cloth, [V] float32 metres; negative outside."""
        frame = self._frame
        under = [
            g.cover(self.rest, frame.arm, frame.along) for g in self._garments if g.look.part != "collar"
        ]
        cover = np.max(under, axis=0)
        bare = ~self.template.region_vertices("body", "foot_left", "foot_right")
        bare |= self.template.region_vertices("head", "hand_left", "hand_right")
        return np.where(bare, np.minimum(cover, -0.02), cover).astype(np.float32)

    def _body_layer(self) -> Layer:
        template, covered = self.template, self.covered
        canonical_normals = vertex_normals(template.vertices.copy(), self._body_faces)
        colour, gloss = paint_body(template, self.look.skin, canonical_normals)
        of_region = np.array([_MATERIAL_OF_REGION.get(name, Material.SKIN) for name in REGIONS], np.int8)
        surface = Surface(
            self._body_faces, of_region[template.region], colour, template.vertices, gloss,
            np.repeat((_SKIN_EDGE - covered)[:, None], N_CUTS, 1).astype(np.float32),
        )  # fmt: skip
        inset = (_SKIN_INSET * smoothstep(-0.012, 0.004, covered)).astype(np.float32)
        weights = sp.csr_matrix(self._tensors.skin.numpy())
        return Layer(self.rest, weights, surface, actions=self._actions, inset=inset)

    @property
    def faces(self) -> np.ndarray:
        """All triangles over the drawn vertices, [F, 3] int32."""
        return self.figure.faces

    @property
    def materials(self) -> np.ndarray:
        """`Material` of each triangle, with its row of the paints, [F] int8."""
        return self.figure.codes

    def pose(self, actions: np.ndarray, rotations: np.ndarray, viewpoint: np.ndarray) -> PosedFigure:
        """Geometry of one frame, see `Figure.pose`."""
        return self.figure.pose(actions, rotations, viewpoint)

    def visibility(self, posed: PosedFigure, rig: LightRig) -> np.ndarray:
        """How much of key, fill, rim and sky reaches each vertex, [N, 4], see `Figure.visibility`."""
        return self.figure.visibility(posed, rig)

    def render(self, posed: PosedFigure, light: np.ndarray, view: View, rig: LightRig) -> np.ndarray:
        """Draw one frame, [height, width, 4] float32, see `Figure.render`."""
        return self.figure.render(posed, light, view, rig)


def save_person(path: Path, look: PersonLook, body: Body, seed: int) -> None:
    """Write a person into one .npz file, no pickle.

    Args:
        path: File to write.
        look: Who it is.
        body: The body of `look.shape`.
        seed: Of `MadePerson`.

    Raises:
        AvatarBenchError: E601 or E602, the file cannot be written.
    """
    with atomic_write(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file, look=np.array(json.dumps(look_to_json(look))), vertices=body.vertices, joints=body.joints,
            seed=np.array(seed),
        )  # fmt: skip


def read_body(path: Path) -> tuple[PersonLook, Body, int]:
    """Look, body and seed of a person that `save_person` wrote, without dressing it.

    Raises:
        AvatarBenchError: E402 the file is missing, broken or of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            look = look_from_json(json.loads(str(stored["look"])))
            return look, Body(stored["vertices"], stored["joints"]), int(stored["seed"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise AvatarBenchError(
            "E402", "a made person cannot be read", where=path, expected="a file of save_person",
            got=str(error), fix="make the corpus's people again",
        ) from error  # fmt: skip


def load_person(path: Path) -> MadePerson:
    """Read and build a person that `save_person` wrote.

    Raises:
        AvatarBenchError: E402 the file is missing, broken or of another version.
    """
    return MadePerson(*read_body(path))
