"""Make `bodies.npz`, the shapes of the made people: `python -m reference_model.corpus.bodies` (extra `train`).

The bodies come straight from Anny and not from the template's linear shape space: a person of the benchmark must
not be exactly representable by the model that the benchmark measures.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = ["BODIES_PATH", "load_body", "main"]

BODIES_PATH = Path(__file__).with_name("bodies.npz")

_PHENOTYPES: dict[str, dict[str, float]] = {
    "woman": {
        "gender": 0.97, "age": 0.665, "muscle": 0.50, "weight": 0.40, "height": 0.50, "proportions": 0.85,
        "cupsize": 0.50, "firmness": 0.60, "african": 0.15, "asian": 0.40, "caucasian": 0.45,
    },
    "man": {
        "gender": 0.03, "age": 0.69, "muscle": 0.60, "weight": 0.46, "height": 0.55, "proportions": 0.75,
        "cupsize": 0.50, "firmness": 0.50, "african": 0.60, "asian": 0.10, "caucasian": 0.30,
    },
}  # fmt: skip
"""Anny's phenotypes; gender 0 is male and 1 female, age 2/3 a young adult and 1 old."""

_FACE_SIGMA, _FACE_CLIP = 0.16, 0.35
_FACE_SEEDS = {"woman": 11, "man": 5}


def _local_changes(names: list[str], seed: int) -> np.ndarray:
    """Mild symmetric changes of the features, [1, L]."""
    rng = np.random.default_rng(seed)
    draws = {
        name: float(np.clip(_FACE_SIGMA * rng.normal(), -_FACE_CLIP, _FACE_CLIP))
        for name in names
        if name.startswith(("chin-", "nose-width", "nose-curve", "nose-volume", "mouth-scale-horiz", "mouth-upperlip",
                            "mouth-lowerlip", "forehead", "l-cheek", "l-eye-height", "eyebrows-angle"))
    }  # fmt: skip
    return np.array([[draws.get("l-" + name[2:] if name.startswith("r-") else name, 0.0) for name in names]])


def prepare_bodies() -> dict[str, np.ndarray]:
    """Rest vertices and joint heads of every made person, to a hundredth of a millimetre."""
    from reference_model.body.preparation.source import build_anny, identity_bodies, read_mesh
    from reference_model.body.prepare import LOWER_TEETH_UP_M, UPPER_TEETH_DOWN_M

    model = build_anny()
    mesh = read_mesh(model)
    arrays = {}
    for name, phenotypes in _PHENOTYPES.items():
        values = np.array([[phenotypes[label] for label in model.phenotype_labels]])
        changes = _local_changes(list(model.local_change_labels), _FACE_SEEDS[name])
        vertices, joints = (batch[0] for batch in identity_bodies(model, mesh.kept, values, changes))
        vertices[mesh.teeth[0], 2] -= UPPER_TEETH_DOWN_M
        vertices[mesh.teeth[1], 2] += LOWER_TEETH_UP_M
        arrays[f"{name}_vertices"] = vertices.round(5).astype(np.float32)
        arrays[f"{name}_joints"] = joints.round(5).astype(np.float32)
    return arrays


@lru_cache(maxsize=1)
def _stored() -> dict[str, np.ndarray]:
    with np.load(BODIES_PATH, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def load_body(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rest vertices [V, 3] and joint heads [J, 3] of a made person in the template's order, float32 metres."""
    stored = _stored()
    return stored[f"{name}_vertices"].copy(), stored[f"{name}_joints"].copy()


def main() -> None:
    """Prepare the bodies and write them into the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=BODIES_PATH, help="file to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ.setdefault("ANNY_CACHE_DIR", cache)
        try:
            arrays = prepare_bodies()
        except ModuleNotFoundError as error:
            if error.name != "anny":
                raise
            raise AvatarBenchError(
                "E603", "preparing the bodies needs Anny", fix="pip install 'avatarbench[train]'"
            ) from error
    with atomic_write(options.out) as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    main()
