"""The stage "truth": what is known exactly about each clip, and what the filters read of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from reference_model.corpus.motion.motion_file import load_motion
from reference_model.corpus.pipeline.draw_stage import load_person_of
from reference_model.corpus.pipeline.plan import Corpus

if TYPE_CHECKING:
    from reference_model.corpus.motion.truth import ClipTruth

__all__ = ["ClipFacts", "clip_facts", "make_truth"]

_UNDER_CLOTH_M = 0.003
"""Skin that lies deeper than this under cloth should not be seen, except at a hem that bends away."""

_WRIST, _MIDDLE_TIP = 0, 12  # of the 21 points of a hand
_SHOWN_POINTS = 0.85
"""Share of a hand's points that must be visible: fingers hide one another in many good poses."""


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What the filters compare a clip with."""

    lip_gap_mm: np.ndarray
    """[T] millimetres."""
    hand_px: np.ndarray
    """[T] wrist to middle finger tip of the smaller hand, px; 0 where a point of either hand is outside the picture
    or hidden."""
    poke_share: Callable[[int], float]
    """Of a frame: pixels of skin that should be covered, as a share of the pixels of cloth."""


def make_truth(corpus: Corpus, clips: Sequence[str], advance: Callable[[str], None]) -> None:
    """Write `truth/CLIP.npz`, and what no method may see to `sealed/CLIP.npz`."""
    from reference_model.corpus.drawing.draw import posed_bodies
    from reference_model.corpus.drawing.setting import setting_from_json
    from reference_model.corpus.motion.truth import clip_truth, save_sealed, save_truth

    for folder in ("truth", "sealed"):
        (corpus.folder / folder).mkdir(exist_ok=True)
    for clip in clips:
        name = corpus.clips[clip].person
        person, motion = load_person_of(corpus, name), load_motion(corpus.path("motion", clip, "npz"))
        view = setting_from_json(corpus.read_json("people", name)["setting"]).view
        save_truth(corpus.path("truth", clip, "npz"), clip_truth(posed_bodies(person, motion), view))
        save_sealed(corpus.path("sealed", clip, "npz"), motion)
        advance(clip)


def clip_facts(corpus: Corpus, clip: str) -> ClipFacts:
    """Read the truth of a clip for the filters."""
    from reference_model.corpus.motion.truth import load_truth

    truth = load_truth(corpus.path("truth", clip, "npz"))
    return ClipFacts(truth.lip_gap_mm, _hand_sizes(truth), partial(_poke_share, corpus, clip))


def _hand_sizes(truth: ClipTruth) -> np.ndarray:
    lengths = np.linalg.norm(truth.hands[:, :, _MIDDLE_TIP] - truth.hands[:, :, _WRIST], axis=-1)  # [T, 2] px
    shown = truth.hands_visible.mean(2) >= _SHOWN_POINTS
    return np.where(shown, lengths, 0.0).min(1)


def _poke_share(corpus: Corpus, clip: str, frame: int) -> float:
    from reference_model.corpus.drawing.mesh_raster import rasterize
    from reference_model.corpus.drawing.mesh_surfaces import PAINTS_SHIFT, Material
    from reference_model.corpus.drawing.scene import project
    from reference_model.corpus.drawing.setting import setting_from_json
    from reference_model.corpus.motion.animator import absolute_rotations

    name = corpus.clips[clip].person
    person, motion = load_person_of(corpus, name), load_motion(corpus.path("motion", clip, "npz"))
    view = setting_from_json(corpus.read_json("people", name)["setting"]).view
    figure = person.figure
    rotations = absolute_rotations(person.rest_pose, motion)[frame]
    posed = figure.pose(motion.actions[frame], rotations, view.centre)
    seen = rasterize(
        project(posed.vertices.position, view), figure.faces, figure.cuts, view.width, view.height
    ).face
    shown = np.where(seen >= 0, figure.codes[seen] % PAINTS_SHIFT, -1)
    skin = (shown == Material.SKIN) & (seen < len(person.template.faces))  # the body is the first layer
    depth = person.covered[person.template.faces].min(1)  # [F] metres, of the least covered corner
    poking = skin & (depth[np.where(skin, seen, 0)] > _UNDER_CLOTH_M)
    return float(poking.sum() / max(1, (shown == Material.CLOTH).sum()))
