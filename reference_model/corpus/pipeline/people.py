"""The stages "people" and "portraits": bodies, looks and settings, and one calm picture of each person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from media.files import atomic_write
from reference_model.corpus.pipeline.content_cache import write_json
from reference_model.corpus.pipeline.external import diffusion_portrait, portrait_prompt
from reference_model.corpus.pipeline.plan import Corpus

__all__ = ["make_people", "make_portraits"]


def make_people(corpus: Corpus, people: Sequence[str], advance: Callable[[str], None]) -> None:
    """Write `people/ID.npz` (look, body and seed) and `people/ID.json` (look, setting, attributes)."""
    from reference_model.corpus.drawing.setting import draw_setting, setting_to_json
    from reference_model.corpus.people.bodies import make_body
    from reference_model.corpus.people.look import draw_look, look_to_json
    from reference_model.corpus.people.person import load_person, save_person

    spec = corpus.spec
    (corpus.folder / "people").mkdir(exist_ok=True)
    for name in people:
        attributes, seed = corpus.attributes[name], corpus.seed_of(name)
        look = draw_look(attributes, seed)
        path = corpus.path("people", name, "npz")
        save_person(path, look, make_body(look.shape), seed)
        setting = draw_setting(attributes, load_person(path), seed, spec.width, spec.height)
        told = {"seed": seed, "look": look_to_json(look), "setting": setting_to_json(setting)}
        write_json(corpus.path("people", name, "json"), told)
        advance(name)


def make_portraits(corpus: Corpus, people: Sequence[str], advance: Callable[[str], None]) -> None:
    """Write `portraits/ID.png`: the made person at rest, or the picture of a text-to-image model.

    Raises:
        AvatarBenchError: E502, E603 for a text-to-image model that cannot be used.
    """
    spec = corpus.spec
    (corpus.folder / "portraits").mkdir(exist_ok=True)
    for name in people:
        if spec.portrait_model is None:
            picture = _rest_picture(corpus, name)
        else:
            prompt = portrait_prompt(corpus.attributes[name])
            seed = corpus.seed_of(name)
            picture = diffusion_portrait(Path(spec.portrait_model), prompt, seed, spec.width, spec.height)
        with atomic_write(corpus.path("portraits", name, "png")) as temporary:
            cv2.imwrite(str(temporary), picture[..., ::-1])
        advance(name)


def _rest_picture(corpus: Corpus, name: str) -> np.ndarray:
    from reference_model.corpus.drawing.draw import draw_clip
    from reference_model.corpus.drawing.setting import setting_from_json
    from reference_model.corpus.motion.animator import Motion
    from reference_model.corpus.people.person import load_person

    person = load_person(corpus.path("people", name, "npz"))
    setting = setting_from_json(corpus.read_json("people", name)["setting"])
    n_actions, n_joints = len(person.template.actions), len(person.rest_pose)
    still = Motion(np.zeros((1, n_actions), np.float32), np.zeros((1, n_joints, 3), np.float32))
    rgb, _ = next(iter(draw_clip(person, still, setting)))
    return rgb
