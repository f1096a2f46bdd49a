"""Everything that makes a made person, as plain numbers: drawn from attributes and a seed, to JSON and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from media.errors import AvatarBenchError
from reference_model.corpus.people.arm_pose import ArmTarget, draw_arms
from reference_model.corpus.people.attributes import Attributes
from reference_model.corpus.people.beard import BeardLook, draw_beard
from reference_model.corpus.people.bodies import BodyShape, draw_body_shape
from reference_model.corpus.people.eyes import EyeLook, draw_eyes
from reference_model.corpus.people.fabric import FabricLook
from reference_model.corpus.people.garment_cut import GarmentLook
from reference_model.corpus.people.glasses import GlassesLook, draw_glasses
from reference_model.corpus.people.hair_look import HairLook, draw_hair
from reference_model.corpus.people.outfit import draw_outfit
from reference_model.corpus.people.skin import SkinLook, draw_skin, skin_albedo

__all__ = ["PersonLook", "draw_look", "look_from_json", "look_to_json"]

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True, slots=True)
class PersonLook:
    """A person before anything is computed."""

    attributes: Attributes
    shape: BodyShape
    skin: SkinLook
    eyes: EyeLook
    hair: HairLook
    beard: BeardLook | None
    glasses: GlassesLook | None
    outfit: tuple[GarmentLook, ...]
    """In the order in which they are put on."""
    arms: ArmTarget
    """Rest pose of the arms."""


def draw_look(attributes: Attributes, seed: int) -> PersonLook:
    """Draw a person.

    Args:
        attributes: What is asked for.
        seed: Decides everything else. Each part has a stream of its own: a change to one leaves the others alone.

    Returns:
        The look.

    Raises:
        AvatarBenchError: E603 without Anny, E504 an attribute has an unknown value.
    """
    body, skin, eyes, hair, beard, glasses, outfit, arms = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(8)
    )
    hair_look = draw_hair(attributes, hair)
    skin_look = draw_skin(attributes, skin, hair_look)
    return PersonLook(
        attributes,
        draw_body_shape(attributes, body),
        skin_look,
        draw_eyes(attributes, eyes),
        hair_look,
        draw_beard(attributes, beard, hair_look),
        draw_glasses(attributes, glasses),
        draw_outfit(attributes, outfit, float(skin_albedo(skin_look) @ _LUMINANCE)),
        draw_arms(arms),
    )


def look_to_json(look: PersonLook) -> dict[str, Any]:
    """The look as JSON's types."""
    return _plain(asdict(look))


def _plain(value: Any) -> Any:
    """Tuples become lists, numpy's numbers Python's."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def look_from_json(stored: dict[str, Any]) -> PersonLook:
    """The look that `look_to_json` wrote.

    Raises:
        AvatarBenchError: E402 the fields are not those of this version.
    """
    try:
        fields = _tuples(stored)
        return PersonLook(
            Attributes(**fields["attributes"]),
            BodyShape(**fields["shape"]),
            SkinLook(**fields["skin"]),
            EyeLook(**fields["eyes"]),
            HairLook(**fields["hair"]),
            None if fields["beard"] is None else BeardLook(**fields["beard"]),
            None if fields["glasses"] is None else GlassesLook(**fields["glasses"]),
            tuple(
                GarmentLook(**{**garment, "fabric": FabricLook(**garment["fabric"])})
                for garment in fields["outfit"]
            ),
            ArmTarget(**fields["arms"]),
        )
    except (KeyError, TypeError) as error:
        raise AvatarBenchError(
            "E402", "a person's look cannot be read", got=str(error),
            expected="the fields of this version's PersonLook", fix="make the corpus's people again",
        ) from error  # fmt: skip
