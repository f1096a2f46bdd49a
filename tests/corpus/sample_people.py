"""Made people for tests without Anny: the body is the mean template, the look is drawn part by part."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from reference_model.body.template import load_template
from reference_model.corpus.people.arm_pose import draw_arms
from reference_model.corpus.people.attributes import Attributes
from reference_model.corpus.people.beard import draw_beard
from reference_model.corpus.people.bodies import Body, BodyShape
from reference_model.corpus.people.eyes import draw_eyes
from reference_model.corpus.people.glasses import draw_glasses
from reference_model.corpus.people.hair_look import draw_hair
from reference_model.corpus.people.look import PersonLook
from reference_model.corpus.people.outfit import draw_outfit
from reference_model.corpus.people.person import MadePerson
from reference_model.corpus.people.skin_look import draw_skin, skin_albedo

SOMEONE = Attributes(
    sex="male", age=40.0, build="average", skin_tone=3, hair_style="crop", hair_colour="brown", beard="none",
    glasses=False, top="t_shirt", bottom="jeans", light="studio", background="wall", framing="half",
    unseen_material=False,
)  # fmt: skip


def sample_look(attributes: Attributes, seed: int = 0) -> PersonLook:
    """A look whose shape is nobody's; with a third of the hair."""
    rng = np.random.default_rng(seed)
    hair = draw_hair(attributes, rng)
    skin = draw_skin(attributes, rng, hair)
    return PersonLook(
        attributes, BodyShape((), ()), skin, draw_eyes(attributes, rng), replace(hair, n_strands=2_000),
        draw_beard(attributes, rng, hair), draw_glasses(attributes, rng),
        draw_outfit(attributes, rng, float(skin_albedo(skin) @ [0.2126, 0.7152, 0.0722])), draw_arms(rng),
    )  # fmt: skip


def mean_body() -> Body:
    """The mean adult of the template."""
    template = load_template()
    return Body(template.vertices.copy(), template.joints.copy())


@lru_cache(maxsize=4)
def sample_person(attributes: Attributes, seed: int = 0) -> MadePerson:
    """The mean adult with a drawn look, built once."""
    torch.set_num_threads(1)
    return MadePerson(sample_look(attributes, seed), mean_body(), seed)
