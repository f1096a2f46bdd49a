"""How a person is filmed: camera, light, background, and the exposure that suits the skin."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from media.errors import AvatarBenchError
from reference_model.corpus.drawing.mesh_raster import rasterize
from reference_model.corpus.drawing.mesh_shade import shade
from reference_model.corpus.drawing.scene import LIGHT_RIGS, LightRig, View, film, frontal_view, project
from reference_model.corpus.people.attributes import Attributes
from reference_model.corpus.people.skin import linear, smoothstep

if TYPE_CHECKING:
    from reference_model.corpus.people.person import MadePerson

__all__ = [
    "FACE_LUMINANCE",
    "Background",
    "Setting",
    "background_picture",
    "draw_setting",
    "face_luminance",
    "lit_face",
    "metered_exposure",
    "setting_from_json",
    "setting_to_json",
]

FACE_LUMINANCE = {1: 0.44, 2: 0.38, 3: 0.31, 4: 0.23, 5: 0.165, 6: 0.12}
"""Mean relative luminance that the lit face has in the finished picture, by skin tone: dark skin stays dark but is
given more light than its albedo alone would get, as a photographer who meters the face would."""

_VISIBLE = {"half": (0.95, 1.05), "three_quarter": (1.25, 1.40), "full": (1.95, 2.10)}
"""Height of the picture in metres for a person of `_STATURE`."""
_STATURE = 1.72
_HEADROOM = 0.05  # of the picture's height
_METER_PX = 96
_EXPOSURES = 0.15, 3.0
_WALLS = ((206, 202, 194), (176, 182, 186), (150, 158, 164), (186, 176, 160), (140, 150, 142), (196, 186, 182),
          (110, 118, 128), (164, 168, 176))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Background:
    """What stands behind the person."""

    kind: Literal["wall", "gradient", "room"]
    colours: tuple[tuple[int, int, int], ...]
    """sRGB 0..255; the first is the wall's."""
    seed: int
    bright_left: bool
    """The side that the light comes from."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A shot; the view's arrays are float32."""

    view: View
    rig: str
    """A name in `scene.LIGHT_RIGS`."""
    background: Background
    exposure: float

    @property
    def lights(self) -> LightRig:
        """The light rig."""
        return LIGHT_RIGS[self.rig]


def setting_to_json(setting: Setting) -> dict[str, Any]:
    """The setting as JSON's types."""
    view = setting.view
    return {
        "view": {
            "rotation": [[float(x) for x in row] for row in view.rotation],
            "translation": [float(x) for x in view.translation],
            "focal": float(view.focal),
            "width": view.width,
            "height": view.height,
        },
        "rig": setting.rig,
        "background": {
            **asdict(setting.background),
            "colours": [list(c) for c in setting.background.colours],
        },
        "exposure": setting.exposure,
    }


def setting_from_json(stored: dict[str, Any]) -> Setting:
    """The setting that `setting_to_json` wrote.

    Raises:
        AvatarBenchError: E402 the fields are not those of this version.
    """
    try:
        view, behind = stored["view"], stored["background"]
        return Setting(
            View(
                np.array(view["rotation"], np.float32), np.array(view["translation"], np.float32),
                float(view["focal"]), int(view["width"]), int(view["height"]),
            ),
            stored["rig"],
            Background(**{**behind, "colours": tuple(tuple(colour) for colour in behind["colours"])}),
            float(stored["exposure"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise AvatarBenchError(
            "E402", "a setting cannot be read", got=str(error), expected="the fields of this version's Setting",
            fix="make the corpus's people again",
        ) from error  # fmt: skip


def draw_setting(
    attributes: Attributes,
    person: MadePerson,
    seed: int,
    width: int,
    height: int,
    *,
    exposure: float | None = None,
) -> Setting:
    """Choose camera, background and exposure for a person.

    Args:
        attributes: Framing, light, background and skin tone.
        person: Who is filmed.
        seed: Of everything that the attributes leave open.
        width: Of the picture, pixels.
        height: Of the picture, pixels.
        exposure: Taken as it is when given, else metered on the face in the rest pose.

    Returns:
        The setting.

    Raises:
        AvatarBenchError: E504 an unknown light or framing.
    """
    if attributes.light not in LIGHT_RIGS or attributes.framing not in _VISIBLE:
        raise AvatarBenchError(
            "E504", "unknown light or framing", got=f"{attributes.light}, {attributes.framing}",
            expected=f"{', '.join(LIGHT_RIGS)}; {', '.join(_VISIBLE)}", fix="name one of these",
        )  # fmt: skip
    rng = np.random.default_rng(seed)
    low, high = (float(edge(layer.rest[:, 2].min() if edge is min else layer.rest[:, 2].max()
                            for layer in person.figure.layers)) for edge in (min, max))  # fmt: skip
    visible = rng.uniform(*_VISIBLE[attributes.framing]) * (high - low) / _STATURE
    if attributes.framing == "full":
        visible = max(visible, 1.10 * (high - low))
    fov = np.radians(rng.uniform(20, 30))
    target = np.array([0.0, -0.05, high - (0.5 - _HEADROOM) * visible])
    view = frontal_view(
        target, visible, width, height, distance=visible / 2 / np.tan(fov / 2), yaw_deg=float(rng.normal(0, 6)),
        pitch_deg=float(rng.normal(0, 2)),
    )  # fmt: skip
    rig = LIGHT_RIGS[attributes.light]
    picks = rng.permutation(len(_WALLS))[:4]
    behind = Background(
        attributes.background, tuple(_WALLS[i] for i in picks), int(rng.integers(2**31)), rig.key[0] < 0
    )
    if exposure is None:
        exposure = metered_exposure(person, rig, FACE_LUMINANCE[attributes.skin_tone])
    return Setting(view, attributes.light, behind, exposure)


def lit_face(person: MadePerson, rig: LightRig) -> np.ndarray:
    """Linear light of the face's skin in the rest pose, from the front, [P, 3]."""
    figure = person.figure
    eyes = figure.layers[0].rest[person.template.region_vertices("eye_front_left", "eye_front_right")].mean(0)
    view = frontal_view(eyes - [0, 0, 0.02], 0.30, _METER_PX, _METER_PX)
    posed = figure.pose(np.zeros(len(person.template.action_names)), person.rest_pose, view.centre)
    fragments = rasterize(
        project(posed.vertices.position, view), figure.faces, figure.cuts, _METER_PX, _METER_PX
    )
    radiance = shade(
        fragments, figure.faces, figure.codes,
        posed.vertices._replace(light=figure.visibility(posed, rig)), figure.chart, posed.eyes, rig.lighting(),
        posed.viewpoint, figure.paints,
    )  # fmt: skip
    template = person.template
    skin = template.region_faces("head") & (template.face[template.faces].min(1) > 0.5)
    seen = (fragments.face >= 0) & (fragments.face < len(skin))
    return radiance[seen & skin[np.where(seen, fragments.face, 0)], :3]


def face_luminance(light: np.ndarray, exposure: float) -> float:
    """Mean relative luminance, 0..1, of the finished picture of linear light [P, 3]."""
    return float((linear(255 * film(light, exposure)) @ [0.2126, 0.7152, 0.0722]).mean())


def metered_exposure(person: MadePerson, rig: LightRig, target: float) -> float:
    """The exposure that gives the face a mean luminance, by bisection, within the range of a sensible camera."""
    light = lit_face(person, rig)
    low, high = _EXPOSURES
    for _ in range(24):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if face_luminance(light, middle) < target else (low, middle)
    return round((low * high) ** 0.5, 4)


def background_picture(setting: Setting) -> np.ndarray:
    """Paint what stands behind the person.

    Args:
        setting: Its background and the size of its view.

    Returns:
        Linear RGB, [height, width, 3] float32.
    """
    behind, width, height = setting.background, setting.view.width, setting.view.height
    rng = np.random.default_rng(behind.seed)
    palette = np.stack([linear(colour) for colour in behind.colours])
    v, u = (
        np.mgrid[0:height, 0:width].astype(np.float32) / np.array([height, width], np.float32)[:, None, None]
    )
    across = u if behind.bright_left else 1 - u
    if behind.kind == "gradient":  # a paper roll with a spot of light behind the person
        spot = np.exp(-(((u - 0.5) / 0.55) ** 2 + ((v - 0.38) / 0.55) ** 2))
        picture = palette[0] * (0.30 + 0.75 * spot)[..., None]
    else:
        light = 1.05 - 0.45 * smoothstep(-0.1, 1.2, across) - 0.25 * smoothstep(0.35, 1.1, v)
        picture = palette[0] * light[..., None]
    if behind.kind == "room":
        picture = _room(picture, palette, across, v, rng)
    uneven = cv2.resize(
        rng.normal(size=(7, 6)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    picture = picture * (1 + 0.035 * uneven[..., None])
    if behind.kind == "wall":  # plaster
        grain = cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), (0, 0), 1.1)
        picture = picture * (1 + 0.05 * grain[..., None])
    return np.maximum(0.85 * picture, 0.0).astype(np.float32)


def _room(
    picture: np.ndarray, palette: np.ndarray, across: np.ndarray, v: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A wall with a window on the bright side, shelves with things, a skirting board and a floor, out of focus."""
    u = across
    floor = rng.uniform(0.86, 0.95)
    wood = np.array([0.20, 0.12, 0.07]) * rng.uniform(0.6, 1.5)
    picture = np.where((v > floor)[..., None], wood * (1.2 - 0.6 * u)[..., None], picture)
    picture = np.where((np.abs(v - floor) < 0.012)[..., None], palette[0] * 1.15, picture)

    def fill(box: tuple[float, float, float, float], colour: np.ndarray) -> None:
        left, right, top, bottom = box
        picture[(u >= left) & (u < right) & (v >= top) & (v < bottom)] = colour

    if rng.random() < 0.7:  # a window
        left, top, wide, tall = (
            rng.uniform(-0.15, 0.04),
            rng.uniform(0.05, 0.18),
            rng.uniform(0.22, 0.32),
            rng.uniform(0.36, 0.5),
        )
        fill(
            (left - 0.015, left + wide + 0.015, top - 0.012, top + tall + 0.012), np.array([0.75, 0.74, 0.72])
        )
        fill((left, left + wide, top, top + tall), np.array([1.25, 1.35, 1.5]) * rng.uniform(0.7, 1.0))
        fill((left + wide / 2 - 0.007, left + wide / 2 + 0.007, top, top + tall), np.array([0.7, 0.69, 0.67]))
    shelf_left = rng.uniform(0.60, 0.74)
    for shelf in np.arange(rng.uniform(0.16, 0.24), floor - 0.12, rng.uniform(0.15, 0.2)):
        fill((shelf_left, 1.02, shelf, shelf + 0.013), wood * 1.6)
        at = shelf_left + 0.015
        while at < 1.0:  # books and boxes
            wide, tall = rng.uniform(0.012, 0.05), rng.uniform(0.05, 0.115)
            tint = palette[rng.integers(len(palette))] * rng.uniform(0.55, 1.0, 3) * rng.uniform(0.25, 1.1)
            if rng.random() < 0.8:
                fill((at, at + wide, shelf - tall, shelf), tint)
            at += wide + 0.004
    if rng.random() < 0.6:  # a picture on the wall
        left, top = rng.uniform(0.36, 0.46), rng.uniform(0.08, 0.16)
        fill((left, left + 0.17, top, top + 0.15), np.array([0.05, 0.045, 0.04]))
        fill((left + 0.012, left + 0.158, top + 0.01, top + 0.14), palette[-1] * rng.uniform(0.5, 1.2, 3))
    sigma = v.shape[1] * rng.uniform(0.018, 0.032)
    return cv2.GaussianBlur(picture.astype(np.float32), (0, 0), sigma)
