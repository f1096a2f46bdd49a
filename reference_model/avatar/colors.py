"""Colours that the photograph does not show: the far side, the mouth, closed lids, smeared hands."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import KDTree

from media.threads import tree_workers
from reference_model.avatar.supervision import LEFT_EAR, MIDDLE, N_PARTS, Supervision
from reference_model.body.template import BodyTemplate

__all__ = ["PointSet", "photo_colors"]

# sRGB of what lies behind the lips, under a face of mean brightness `_FACE_BRIGHTNESS`.
_MOUTH_CAVITY = (0.20, 0.07, 0.07)
_TONGUE = (0.50, 0.23, 0.23)
_TEETH = (0.80, 0.77, 0.73)
_FACE_BRIGHTNESS = 0.62
_LASH = (0.16, 0.11, 0.10)

_DEPTH_SQUEEZE = 0.35  # the depth axis counts less: the back is coloured like the front
_MIRROR_COST_M = 0.05  # what it costs to borrow from the other half of the body
_PART_COST_M = 0.30  # and from another part
_LENDERS = 9  # the median of these many, so that a strand of hair on a shoulder lends nothing
_SKIN_OUTLIER = 3.0  # robust standard deviations of a hand's or ear's colour
_FEWEST_FOR_MEDIAN = 40
_SKIN_SPREAD = (10.0, 5.0, 5.0)  # Lab; the least spread: finger tips are redder than palms
_LASH_GAP_M = 1.3e-3  # points of the closed upper lid this near to the lower lid carry the lashes
_LID_REACH_M = 0.035  # skin around the eye that closed lids may resemble


@dataclass(frozen=True)
class PointSet:
    """What the colour rules ask about N points of the surface."""

    triangle: np.ndarray  # [N]
    barycentric: np.ndarray  # [N, 3]
    rest: np.ndarray  # [N, 3] m, place on the body in its reference pose
    closed: np.ndarray  # [N, 3] m, the same with both eyes shut
    part: np.ndarray  # [N] of `body_parts`
    two_sided: np.ndarray  # [N] bool

    def mask(self, template: BodyTemplate, name: str) -> np.ndarray:
        """Soft vertex mask `name` of the template at the points, `[N]`."""
        return (getattr(template, name)[template.faces[self.triangle]] * self.barycentric).sum(1)

    def region(self, template: BodyTemplate, *names: str) -> np.ndarray:
        """Which points lie in the regions called `names`, `[N]` bool."""
        return template.region_faces(*names)[self.triangle]


def photo_colors(
    template: BodyTemplate, points: PointSet, supervision: Supervision, photo: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colour each point from the photograph, or from the points that resemble it most.

    Args:
        template: The body.
        points: N points.
        supervision: What the camera sees of them.
        photo: `[H, W, 3]` uint8, the person's colours (`extend_foreground`).

    Returns:
        sRGB colours `[N, 3]` in [0, 1], and which of them the photograph itself gave, `[N]` bool.
    """
    column, row = supervision.pixel.T
    sampled = cv2.GaussianBlur(photo, (0, 0), 0.7)[row, column].astype(np.float64) / 255
    inside_mouth = points.region(template, "mouth_cavity", "tongue", "teeth_upper", "teeth_lower")
    given = supervision.clean & ~inside_mouth
    given &= ~_skin_outliers(template, points, given, sampled)
    colors = np.where(given[:, None], sampled, 0.5)
    lent = ~given & ~inside_mouth
    colors[lent] = _borrowed(points, given, lent, sampled)
    # Loose hair and cloth hang in front of nothing: their own pixel is the best there is.
    loose = points.two_sided & ~inside_mouth & supervision.seen
    colors[loose] = sampled[loose]
    _paint_eyeballs(template, points, supervision, colors)
    _paint_lids(template, points, supervision, colors)
    _paint_mouth(template, points, given, colors)
    return colors, given


def _borrowed(points: PointSet, given: np.ndarray, lent: np.ndarray, sampled: np.ndarray) -> np.ndarray:
    """Median colour of the nearest given points of the same part, on either side of the body."""
    if not given.any():
        raise ValueError("the photograph shows no point of the body")

    def feature(select: np.ndarray, mirrored: bool) -> np.ndarray:
        rest = points.rest[select] * np.array([-1.0 if mirrored else 1.0, _DEPTH_SQUEEZE, 1.0])
        part = points.part[select]
        if mirrored:
            part = _mirrored_parts(part)
        apart = np.eye(N_PARTS)[part] * _PART_COST_M / np.sqrt(2)
        return np.hstack([rest, apart, np.full((len(rest), 1), _MIRROR_COST_M * mirrored)])

    lenders = np.vstack([feature(given, False), feature(given, True)])
    source = np.vstack([sampled[given], sampled[given]])
    nearest = KDTree(lenders).query(feature(lent, False), k=_LENDERS, workers=tree_workers())[1]
    return np.median(source[nearest], axis=1)


def _mirrored_parts(part: np.ndarray) -> np.ndarray:
    """Left parts are odd, right ones one higher."""
    return np.where(np.isin(part, MIDDLE), part, np.where(part % 2 == 1, part + 1, part - 1))


def _skin_outliers(
    template: BodyTemplate, points: PointSet, given: np.ndarray, sampled: np.ndarray
) -> np.ndarray:
    """Points of a hand or ear that show something else: a sleeve, hair, the background between fingers."""
    lab = cv2.cvtColor(sampled[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    hands = [points.region(template, f"hand_{side}") for side in ("left", "right")]
    ears = [points.part == LEFT_EAR, points.part == LEFT_EAR + 1]
    outlier = np.zeros(len(given), bool)
    for skin in (*hands, *ears):
        known = skin & given
        if known.sum() < _FEWEST_FOR_MEDIAN:
            continue
        median = np.median(lab[known], axis=0)
        spread = 1.48 * np.median(np.abs(lab[known] - median), axis=0) + np.array(_SKIN_SPREAD)
        outlier |= skin & (np.abs(lab - median) / spread > _SKIN_OUTLIER).any(1)
    return outlier


def _paint_eyeballs(
    template: BodyTemplate, points: PointSet, supervision: Supervision, colors: np.ndarray
) -> None:
    """The hidden part of an eyeball is white: of the brightness of the white that is seen."""
    for side in ("left", "right"):
        eye = points.region(template, f"eye_front_{side}", f"eye_back_{side}")
        seen = eye & supervision.seen
        if not seen.any():
            continue
        brightness = colors.mean(1)
        white = seen & (brightness >= np.quantile(brightness[seen], 0.7))
        colors[eye & ~supervision.seen] = np.median(colors[white], axis=0)


def _paint_lids(
    template: BodyTemplate, points: PointSet, supervision: Supervision, colors: np.ndarray
) -> None:
    """Folded lids take the skin around the eye; where the lids will meet, a line of lashes."""
    head = points.region(template, "head") & ~points.two_sided
    eyelid = points.mask(template, "eyelid")
    lid = head & (eyelid > 0.3)
    hidden = lid & ~supervision.seen
    skin = head & supervision.clean & (eyelid < 0.05) & (points.mask(template, "brow") < 0.1)
    skin &= points.mask(template, "face") > 0.5
    if not hidden.any() or not lid.any():
        return
    skin[skin] = KDTree(points.rest[lid]).query(points.rest[skin])[0] < _LID_REACH_M
    if skin.sum() < 20:
        return
    brightness = colors.mean(1)
    skin &= brightness > 0.85 * np.median(brightness[skin])
    nearest = KDTree(points.rest[skin]).query(points.rest[hidden], k=8)[1]
    colors[hidden] = 0.97 * colors[skin][nearest].mean(1)

    blink = template.actions[[template.action("eyeBlinkLeft"), template.action("eyeBlinkRight")], :, 2].sum(0)
    drop = (blink[template.faces[points.triangle]] * points.barycentric).sum(1)  # m, upper lids go down
    upper, lower = lid & (drop < -1e-3), lid & (drop > -2e-4)
    if not upper.any() or not lower.any():
        return
    lashes = upper & hidden
    lashes[lashes] = KDTree(points.closed[lower]).query(points.closed[lashes])[0] < _LASH_GAP_M
    colors[lashes] = 0.35 * colors[lashes] + 0.65 * np.array(_LASH)


def _paint_mouth(template: BodyTemplate, points: PointSet, given: np.ndarray, colors: np.ndarray) -> None:
    """Teeth, tongue and throat have fixed colours, as bright as the face is lit."""
    face = given & (points.mask(template, "face") > 0.5)
    light = np.clip(np.median(colors[face]) / _FACE_BRIGHTNESS, 0.45, 1.15) if face.any() else 1.0
    for names, color in (
        (("mouth_cavity",), _MOUTH_CAVITY),
        (("tongue",), _TONGUE),
        (("teeth_upper", "teeth_lower"), _TEETH),
    ):
        colors[points.region(template, *names)] = light * np.array(color)
