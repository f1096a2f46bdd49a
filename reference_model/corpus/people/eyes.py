"""Eyeballs as exact spheres: where they are in a frame, where they look, and their colours for the shader."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reference_model.body.template import BodyTemplate
from reference_model.corpus.people.attributes import Attributes
from reference_model.corpus.people.skin import linear

__all__ = ["EYE_PARAMETERS", "EyeLook", "Eyeballs", "draw_eyes", "fit_sphere", "lower_lids"]

EYE_PARAMETERS = 14
"""centre xyz, gaze xyz, iris RGB, sclera RGB, iris and pupil half-angles in degrees."""

_SIDES = ("left", "right")
_GAZE = np.array([0.10, -0.99, -0.05])
"""Rest gaze of the left eye: the template's lid opening is not centred on the eyeball, and a gaze straight along -y
looks cross-eyed."""
_IRIS_DEGREES, _PUPIL_DEGREES = 22.3, 8.0  # half-angles seen from the eyeball's centre
_SCLERA = (222, 210, 200)  # sRGB


@dataclass(frozen=True, slots=True)
class EyeLook:
    """A person's eyes."""

    iris: tuple[int, int, int]
    """sRGB 0..255."""
    sclera_brightness: float = 0.66
    lid_droop: float = 0.10
    """Share of a blink by which the upper lids hang at rest."""


_IRISES: dict[str, tuple[int, int, int]] = {
    "dark_brown": (58, 34, 20), "brown": (88, 54, 30), "hazel": (112, 86, 44), "green": (104, 116, 78),
    "grey": (120, 132, 138), "blue": (96, 132, 164),
}  # fmt: skip
_IRIS_SHARES = {True: (0.72, 0.22, 0.06, 0.0, 0.0, 0.0), False: (0.16, 0.24, 0.18, 0.12, 0.10, 0.20)}


def draw_eyes(attributes: Attributes, rng: np.random.Generator) -> EyeLook:
    """Draw the eyes of a person.

    Args:
        attributes: Age and skin tone; the eyes of dark skin are brown, those of light skin have all colours.
        rng: Source of the choice.

    Returns:
        The look.
    """
    name = rng.choice(list(_IRISES), p=_IRIS_SHARES[attributes.skin_tone >= 4])
    r, g, b = np.clip(np.array(_IRISES[name]) * rng.uniform(0.88, 1.12) + rng.normal(0, 4, 3), 12, 220)
    # the white yellows and greys a little with age
    # and reads as a cut-out beside dark skin, for which the picture is exposed longer
    brightness = 0.66 - 0.035 * (attributes.skin_tone - 1) - 0.08 * np.clip((attributes.age - 40) / 40, 0, 1)
    droop = rng.uniform(0.03, 0.09) + 0.07 * np.clip((attributes.age - 45) / 35, 0, 1)
    return EyeLook(iris=(int(r), int(g), int(b)), sclera_brightness=float(brightness), lid_droop=float(droop))


def lower_lids(
    template: BodyTemplate, look: EyeLook, rest: np.ndarray, actions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Hang the upper lids a little lower than the template's, whose eyes look startled.

    The rest shape takes a share of the blink; the actions keep the rest of it, so that a full blink still closes.

    Args:
        template: The body template.
        look: How far the lids hang.
        rest: The person's rest vertices, [V, 3] metres.
        actions: Facial actions, [52, V, 3] metres.

    Returns:
        The new rest vertices and actions.
    """
    blinks = [template.action(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
    lowered = actions.copy()
    lowered[blinks] *= 1 - look.lid_droop
    return (rest + look.lid_droop * actions[blinks].sum(0)).astype(rest.dtype), lowered


def fit_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Least-squares sphere through points.

    Args:
        points: [N, 3] metres.

    Returns:
        Its centre [3] and radius, metres.
    """
    middle = points.mean(0)
    centred = np.asarray(points, np.float64) - middle
    design = np.c_[2 * centred, np.ones(len(centred))]
    solution = np.linalg.lstsq(design, (centred**2).sum(1), rcond=None)[0]
    centre = solution[:3]
    return centre + middle, float(np.sqrt(solution[3] + centre @ centre))


class Eyeballs:
    """Both eyes of a person; follows any motion of the eye's vertices, by bones or by facial actions.

    Args:
        template: The body template.
        rest: The person's rest vertices, [V, 3] metres.
        look: Colours.
    """

    def __init__(self, template: BodyTemplate, rest: np.ndarray, look: EyeLook) -> None:
        self._vertices = [
            np.flatnonzero(template.region_vertices(f"eye_front_{side}", f"eye_back_{side}"))
            for side in _SIDES
        ]
        self._rest = [rest[index].astype(np.float64) for index in self._vertices]
        self._centres = [fit_sphere(points)[0] for points in self._rest]
        self._gaze = [_GAZE / np.linalg.norm(_GAZE) * [sign, 1, 1] for sign in (1, -1)]
        iris, sclera = 0.62 * linear(look.iris), look.sclera_brightness * linear(_SCLERA)
        self._colours = np.concatenate([iris, sclera, [_IRIS_DEGREES, _PUPIL_DEGREES]])

    def parameters(self, posed: np.ndarray) -> np.ndarray:
        """The shader's rows for a posed body.

        Args:
            posed: Posed vertices of the whole template, [V, 3] metres.

        Returns:
            [2, EYE_PARAMETERS] float32, left then right.
        """
        rows = np.empty((2, EYE_PARAMETERS), np.float32)
        for row, index, rest, centre, gaze in zip(
            rows, self._vertices, self._rest, self._centres, self._gaze, strict=True
        ):
            now = posed[index].astype(np.float64)
            rotation = _best_rotation(rest - rest.mean(0), now - now.mean(0))
            row[:3] = rotation @ (centre - rest.mean(0)) + now.mean(0)
            row[3:6] = rotation @ gaze
            row[6:] = self._colours
        return rows


def _best_rotation(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The rotation that carries centred points [N, 3] best onto others (Kabsch)."""
    u, _, vt = np.linalg.svd(before.T @ after)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))])
    return vt.T @ flip @ u.T
