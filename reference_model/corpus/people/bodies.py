"""Shapes of the made people, straight from Anny (extra `train`).

The bodies do not come from the template's linear shape space: a person of the benchmark must not be exactly
representable by the model that the benchmark measures. They are arrays in files afterwards; what draws needs no Anny.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from media.errors import AvatarBenchError
from reference_model.corpus.people.attributes import BUILDS, Attributes

__all__ = ["ADULT_AGE", "Body", "BodyShape", "draw_body_shape", "make_body"]

ADULT_AGE = 0.63
"""Anny's youngest adult; its age 2/3 is a young adult and 1 an old one."""

_FACE_SIGMA, _FACE_CLIP = 0.20, 0.5
_ASYMMETRY = 0.10
"""Share of a feature's change that differs between the sides."""
_FEATURES = ("chin-", "mouth-", "nose-", "forehead", "eyebrows", "l-eye", "l-cheek", "l-ear", "head-fat",
             "head-scale-horiz")  # fmt: skip
_LEFT_ALONE = (
    "mouth-trans", "nose-trans", "mouth-angles", "mouth-laugh", "mouth-scale-depth", "mouth-lowerlip-middle",
    "mouth-upperlip-middle", "nose-septum", "eyebrows-trans-forward", "l-ear-rot", "l-ear-wing", "l-ear-trans",
    "l-ear-flap", "l-eye-push", "l-eye-scale", "l-eye-trans", "l-eye-bag", "chin-cleft",
)  # fmt: skip
"""Changes that shift whole features, part the lips or turn the ears: they look wrong before they look different."""

_BUILD = {"slim": (0.33, 0.45), "average": (0.50, 0.52), "heavy": (0.74, 0.46), "muscular": (0.54, 0.78)}
"""Anny's weight and muscle."""


@dataclass(frozen=True, slots=True)
class BodyShape:
    """What Anny needs to make a body."""

    phenotypes: tuple[tuple[str, float], ...]
    """Anny's phenotypes by name, in 0..1; gender 0 is male and 1 female, the three ancestries add up to 1."""
    changes: tuple[tuple[str, float], ...]
    """Anny's local changes by name, in -1..1; those that are not named are 0."""


class Body(NamedTuple):
    """A person's rest body in the template's order, arms 45 degrees down."""

    vertices: np.ndarray  # [V, 3] float32 metres
    joints: np.ndarray  # [J, 3] float32 metres: joint heads


def draw_body_shape(attributes: Attributes, rng: np.random.Generator) -> BodyShape:
    """Draw a body of the given sex, age and build, and a face.

    Stature follows Anny's scale (0.37 is 1.76 m for men and 1.62 m for women, a unit is 1.09 m). Ancestry is drawn
    without regard to skin tone.

    Args:
        attributes: Sex, age and build.
        rng: Source of everything else.

    Returns:
        The shape; names of Anny's changes are those of Anny 0.6.
    """
    if attributes.build not in _BUILD:
        raise AvatarBenchError(
            "E504", "unknown build", expected=", ".join(BUILDS), got=attributes.build, fix="name one of these"
        )
    weight, muscle = _BUILD[attributes.build]
    end = abs(rng.normal(0, 0.05))
    ancestry = rng.dirichlet(np.ones(3))
    phenotypes = {
        "gender": end if attributes.sex == "male" else 1 - end,
        "age": max(ADULT_AGE, 0.65 + 0.33 * (attributes.age - 20) / 65),
        "muscle": np.clip(rng.normal(muscle, 0.06), 0.2, 0.9),
        "weight": np.clip(rng.normal(weight, 0.05), 0.2, 0.9),
        "height": np.clip(rng.normal(0.37, 0.06), 0.24, 0.52),
        "proportions": rng.uniform(0.45, 0.85),
        "cupsize": np.clip(rng.normal(0.45, 0.12), 0.15, 0.75),
        "firmness": np.clip(rng.normal(0.5, 0.1), 0.2, 0.8),
        **dict(zip(("african", "asian", "caucasian"), ancestry, strict=True)),
    }
    changes = {}
    for name in _change_names():
        if not name.startswith(_FEATURES) or name.startswith(_LEFT_ALONE):
            continue
        value, difference = rng.normal(scale=_FACE_SIGMA, size=2)
        if not name.startswith("l-"):
            changes[name] = value
            continue
        changes[name] = value + _ASYMMETRY * difference
        changes["r" + name[1:]] = value - _ASYMMETRY * difference
    return BodyShape(
        tuple((name, round(float(value), 4)) for name, value in phenotypes.items()),
        tuple((n, round(float(np.clip(v, -_FACE_CLIP, _FACE_CLIP)), 4)) for n, v in changes.items()),
    )


@lru_cache(maxsize=1)
def _anny() -> Any:
    from reference_model.body.preparation.source import build_anny, read_mesh

    model = build_anny()
    return model, read_mesh(model)


def _change_names() -> list[str]:
    model, _ = _anny()
    return list(model.local_change_labels)


@lru_cache(maxsize=64)
def make_body(shape: BodyShape) -> Body:
    """Run Anny; cached for the life of the process (the model itself takes 20 s to load, minutes the first time).

    Args:
        shape: Phenotypes and local changes.

    Returns:
        Rest vertices and joint heads, to a hundredth of a millimetre.

    Raises:
        AvatarBenchError: E603 Anny is not installed, E504 a minor's age or a name that Anny does not know.
    """
    from reference_model.body.preparation.source import identity_bodies
    from reference_model.body.prepare import LOWER_TEETH_UP_M, UPPER_TEETH_DOWN_M

    phenotypes, changes = dict(shape.phenotypes), dict(shape.changes)
    if phenotypes.get("age", 0.0) < ADULT_AGE:
        raise AvatarBenchError(
            "E504", "made people are adults", where="BodyShape.phenotypes['age']",
            expected=f"at least {ADULT_AGE}", got=str(phenotypes.get("age")), fix="draw the shape anew",
        )  # fmt: skip
    model, mesh = _anny()
    unknown = (set(phenotypes) ^ set(model.phenotype_labels)) | (
        set(changes) - set(model.local_change_labels)
    )
    if unknown:
        raise AvatarBenchError(
            "E504", "names of a body shape are not those of the installed Anny", where="BodyShape",
            expected="Anny 0.6", got=", ".join(sorted(unknown)), fix="pip install 'avatarbench[train]'",
        )  # fmt: skip
    values = np.array([[phenotypes[label] for label in model.phenotype_labels]])
    local = np.array([[changes.get(label, 0.0) for label in model.local_change_labels]])
    vertices, joints = (batch[0] for batch in identity_bodies(model, mesh.kept, values, local))
    vertices[mesh.teeth[0], 2] -= UPPER_TEETH_DOWN_M
    vertices[mesh.teeth[1], 2] += LOWER_TEETH_UP_M
    return Body(vertices.round(5).astype(np.float32), joints.round(5).astype(np.float32))
