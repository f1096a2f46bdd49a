"""How one made person performs: a style drawn once a person, so that people move unlike each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference_model.corpus.motion.animator import Style
from reference_model.corpus.motion.repertoire import GESTURES
from reference_model.corpus.people.attributes import Attributes

__all__ = ["PersonalStyle", "draw_style"]


@dataclass(frozen=True, slots=True)
class PersonalStyle(Style):
    """What `Style` says, and what only made people have; the defaults are the median person."""

    favourites: tuple[tuple[str, float], ...] = tuple((name, 1.0) for name in GESTURES)
    """Relative frequency of each gesture by its name in `GESTURES`; those not named are never made."""
    gesture_rate: float = 0.75
    """Probability of a gesture at a stressed word that leaves time for one, 0 to 1."""
    tempo: float = 1.0
    """Speed of gestures, 0.75 to 1.3."""
    brows: float = 1.0
    """Movement of the brows with stress, 0 to 1.8."""
    nods: float = 1.0
    """Nods with stress, 0 to 1.8."""
    glances: float = 0.9
    """Size of glances away from the camera, 0 to 1.2."""
    asymmetry: float = 0.0
    """-1 stronger on the person's right side of the face, 1 on the left; up to a quarter of smile, brows and lids."""
    droop: float = 0.0
    """How far the upper lids hang, 0 to 0.15 of a closed eye."""
    lean_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """How the head is held: turned to the person's left, bowed, tilted; degrees."""
    restlessness: float = 1.0
    """Shifts of weight, 0 to 2."""


def draw_style(attributes: Attributes, rng: np.random.Generator) -> PersonalStyle:
    """Draw a person's own way to perform.

    Args:
        attributes: Age slows gestures a little and makes them smaller; nothing else of a person bears on the style.
        rng: Source of chance.

    Returns:
        The style; rates of blinks are not in it, they come with the seed of the innovations.
    """
    old = float(np.clip((attributes.age - 50.0) / 35.0, 0.0, 1.0))
    # A person has a few favourites: weights of a sparse Dirichlet over the whole repertoire.
    weights = rng.dirichlet(np.full(len(GESTURES), 0.7)) * len(GESTURES) + 0.08
    return PersonalStyle(
        expression=float(np.clip(rng.beta(1.6, 1.9), 0.02, 0.95)),
        gesture_amplitude=float(np.clip(rng.normal(0.88, 0.14), 0.6, 1.2)) * (1.0 - 0.12 * old),
        head_amplitude=float(rng.uniform(0.55, 1.1)),
        handedness=float(rng.choice([-1.0, 1.0], p=[0.11, 0.89]) * rng.uniform(0.1, 0.75)),
        lip_articulation=float(np.clip(rng.normal(1.15, 0.13), 0.85, 1.4)),
        loudness_share=float(rng.uniform(0.0, 0.2)),
        favourites=tuple((name, round(float(w), 4)) for name, w in zip(GESTURES, weights, strict=True)),
        gesture_rate=float(rng.uniform(0.4, 0.9)),
        tempo=float(np.clip(rng.normal(1.03, 0.11), 0.8, 1.3)) * (1.0 - 0.10 * old),
        brows=float(rng.uniform(0.4, 1.7)),
        nods=float(rng.uniform(0.4, 1.6)),
        glances=float(rng.uniform(0.6, 1.05)),
        asymmetry=float(np.clip(rng.normal(0.0, 0.45), -1.0, 1.0)),
        droop=float(np.clip(rng.normal(0.03 + 0.04 * old, 0.03), 0.0, 0.13)),
        lean_deg=(float(rng.normal(0, 1.6)), float(rng.normal(0, 1.2)), float(rng.normal(0, 1.4))),
        restlessness=float(rng.uniform(0.4, 1.6)),
    )
