"""Heads of made people: that looks follow the attributes, and hair, beards, lids and glasses sit where they should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation
from skimage.color import rgb2lab

from reference_model.body.template import BodyTemplate, load_template
from reference_model.corpus.drawing.layers import Layer, pose_layer
from reference_model.corpus.drawing.mesh_raster import vertex_normals
from reference_model.corpus.people.attributes import HAIR_STYLES, SKIN_TONES, Attributes, HairStyle
from reference_model.corpus.people.beard import BeardLook, beard_layer, draw_beard
from reference_model.corpus.people.eyes import Eyeballs, EyeLook, draw_eyes, lower_lids
from reference_model.corpus.people.face_paint import OUTER_LIPS
from reference_model.corpus.people.glasses import GlassesLook, draw_glasses, glasses_layer
from reference_model.corpus.people.hair import hair_layer
from reference_model.corpus.people.hair_growth import grow_strands
from reference_model.corpus.people.hair_look import HairLook, draw_hair
from reference_model.corpus.people.head_chart import HeadChart, landmark_positions
from reference_model.corpus.people.skin import hairline, paint_body, paint_head
from reference_model.corpus.people.skin_look import SkinLook, draw_skin, skin_albedo

SOMEONE = Attributes(
    sex="male", age=40.0, build="average", skin_tone=3, hair_style="crop", hair_colour="brown", beard="none",
    glasses=False, top="t_shirt", bottom="jeans", light="studio", background="wall", framing="half",
    unseen_material=False,
)  # fmt: skip
# lower bounds of the individual typology angle of the classes very light to dark (Chardon et al. 1991), degrees
TYPOLOGY = (55, 41, 28, 10, -30, -90)
UPPER_LID, LOWER_LID = (159, 386), (145, 374)  # middles of the lids in the mediapipe face mesh
FOREHEAD, CHIN = (10, 151), 152


@pytest.fixture(scope="module")
def template() -> BodyTemplate:
    return load_template()


@pytest.fixture(scope="module")
def normals(template: BodyTemplate) -> np.ndarray:
    return vertex_normals(template.vertices.copy(), np.ascontiguousarray(template.faces, np.int32))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def few(look: HairLook) -> HairLook:
    """The style with a tenth of its strands: enough to see where they go."""
    return replace(look, n_strands=look.n_strands // 10)


def posed(
    template: BodyTemplate, layer: Layer, turn: np.ndarray | None = None, **actions: float
) -> np.ndarray:
    """A layer's points with facial actions and, if given, all bones turned together, [P, 3] metres."""
    weights = np.zeros(len(template.action_names), np.float32)
    for name, weight in actions.items():
        weights[template.action(name)] = weight
    transforms = np.tile(np.eye(4, dtype=np.float32), (template.n_joints, 1, 1))
    if turn is not None:
        transforms[:, :3, :3] = turn
    return pose_layer(layer, weights, transforms, np.array([0, -2.3, 0.6], np.float32)).points


@pytest.mark.parametrize("tone", SKIN_TONES)
def test_the_six_skin_tones_are_the_six_classes_of_the_typology_angle(tone: int) -> None:
    look = replace(
        draw_skin(replace(SOMEONE, skin_tone=tone), rng(), draw_hair(SOMEONE, rng())), undertone=0.0
    )
    middle = replace(look, melanin=(tone - 0.5) / len(SKIN_TONES))
    assert (tone - 1) / 6 < look.melanin < tone / 6
    linear_rgb = skin_albedo(middle)
    srgb = np.where(linear_rgb > 0.0031308, 1.055 * linear_rgb ** (1 / 2.4) - 0.055, 12.92 * linear_rgb)
    lightness, _, yellow = rgb2lab(srgb[None, None])[0, 0]
    angle = np.degrees(np.arctan2(lightness - 50, yellow))
    assert next(bound for bound in TYPOLOGY if angle > bound) == TYPOLOGY[tone - 1]


def test_beard_and_glasses_appear_only_where_the_attributes_say_so() -> None:
    hair = draw_hair(SOMEONE, rng())
    assert draw_beard(SOMEONE, rng(), hair) is None
    assert draw_beard(replace(SOMEONE, beard="stubble"), rng(), hair) is None
    assert draw_glasses(SOMEONE, rng()) is None
    beard = draw_beard(replace(SOMEONE, beard="full"), rng(), hair)
    assert beard is not None
    assert beard.colour == hair.colour
    assert draw_glasses(replace(SOMEONE, glasses=True), rng()) is not None


def test_curl_and_everything_else_about_hair_ignores_the_skin_tone() -> None:
    for style in HAIR_STYLES:
        looks = {draw_hair(replace(SOMEONE, hair_style=style, skin_tone=tone), rng(5)) for tone in SKIN_TONES}
        assert len(looks) == 1


def test_hair_greys_with_age_and_recedes_in_men() -> None:
    def mean(field: str, **changes: object) -> float:
        people = [draw_hair(replace(SOMEONE, **changes), rng(seed)) for seed in range(60)]
        return float(np.mean([getattr(look, field) for look in people]))

    assert mean("grey", age=25) < 0.02 < 0.25 < mean("grey", age=55) < mean("grey", age=80)
    assert mean("recession", age=25) < 0.05
    assert mean("recession", age=70) > 3 * mean("recession", age=70, sex="female")


def test_light_eyes_come_with_light_skin_only() -> None:
    def blue(tone: int) -> int:
        eyes = [draw_eyes(replace(SOMEONE, skin_tone=tone), rng(seed)).iris for seed in range(80)]
        return sum(b > r for r, _, b in eyes)

    assert blue(1) > 8
    assert blue(6) == 0


def test_palms_are_lighter_than_the_backs_of_hands_and_most_so_in_dark_skin(
    template: BodyTemplate, normals: np.ndarray
) -> None:
    hand = template.region_vertices("hand_left", "hand_right") & (template.nail < 0.05)
    palm, back = hand & (normals[:, 2] < -0.8), hand & (normals[:, 2] > 0.8)

    def contrast(melanin: float) -> float:
        colour, _ = paint_body(template, SkinLook(melanin), normals)
        return float(colour[palm].mean() / colour[back].mean())

    assert 0.95 < contrast(0.1) < 1.2
    assert contrast(0.9) > 1.8


def test_dark_skin_shines_less_so_that_it_does_not_look_like_plastic(
    template: BodyTemplate, normals: np.ndarray
) -> None:
    light, dark = (paint_body(template, SkinLook(melanin), normals)[1] for melanin in (0.1, 0.9))
    face = template.face > 0.5
    assert dark[face].mean() < 0.65 * light[face].mean()


def test_wrinkles_line_the_forehead(template: BodyTemplate) -> None:
    chart = HeadChart(template)
    top, low = landmark_positions(template)[list(FOREHEAD)]
    brow_band = (np.abs(chart.x) < 0.012) & (chart.z < top[2]) & (chart.z > low[2] - 0.004)

    def roughness(wrinkles: float) -> float:
        texels = paint_head(template, SkinLook(0.3, wrinkles=wrinkles), rng()).texels[..., 1]
        return float(np.abs(np.diff(texels, axis=0, prepend=texels[:1]))[brow_band].mean())

    assert roughness(1.0) > 1.5 * roughness(0.0)


def test_the_scalp_is_painted_in_the_colour_of_the_hair(template: BodyTemplate) -> None:
    chart = HeadChart(template)
    look = SkinLook(0.1, hair_colour=(24, 20, 19), scalp=0.9)
    texels = paint_head(template, look, rng()).texels[..., :3].mean(-1)
    inside = hairline(chart.surface(), template)
    assert texels[inside > 0.02].mean() < 0.2
    cheeks = chart.spot((50, 280), 0.01, 0.01) > 0.5
    assert texels[cheeks].mean() > 0.7


@pytest.mark.parametrize("style", [style for style in HAIR_STYLES if style != "bald"])
def test_hair_grows_from_the_scalp_stays_outside_the_head_and_leaves_the_eyes_free(
    style: HairStyle, template: BodyTemplate, normals: np.ndarray
) -> None:
    look = few(draw_hair(replace(SOMEONE, hair_style=style, age=25.0), rng(2)))
    strands = grow_strands(template, template.vertices, normals, look, rng())
    assert 0.5 * look.n_strands < len(strands.points) <= look.n_strands
    roots = strands.points[:, 0]
    if look.kind == "bun":  # the coils of the knot have no roots
        roots = roots[hairline(roots, template) > -0.05]
        roots = roots[len(strands.points) // 4 :]
    assert np.quantile(hairline(roots, template, look.recession), 0.01) > -0.012
    shell = np.flatnonzero(template.region_vertices("head") & (template.ear < 0.1))
    points = strands.points[:, 1:].reshape(-1, 3)
    gap, nearest = KDTree(template.vertices[shell]).query(points)
    nearest = shell[nearest]
    height = ((points - template.vertices[nearest]) * normals[nearest]).sum(1)
    assert np.mean((height < -0.004) & (gap < 0.03)) < 0.02
    eyes = [
        template.vertices[template.region_vertices(f"eye_front_{side}")].mean(0) for side in ("left", "right")
    ]
    before = np.min([np.hypot(points[:, 0] - eye[0], points[:, 2] - eye[2]) for eye in eyes], axis=0) < 0.012
    assert not (before & (points[:, 1] < eyes[0][1])).any()


def test_hair_is_fine_at_the_hairline(template: BodyTemplate, normals: np.ndarray) -> None:
    look = few(draw_hair(replace(SOMEONE, hair_style="crop"), rng(1)))
    strands = grow_strands(template, template.vertices, normals, look, rng())
    assert strands.thickness[strands.edge < 0.1].mean() < 0.6 * strands.thickness[strands.edge > 0.9].mean()


def test_the_same_seed_grows_the_same_bytes(template: BodyTemplate, normals: np.ndarray) -> None:
    look = few(draw_hair(replace(SOMEONE, hair_style="long_wavy"), rng(3)))
    layers = [hair_layer(template, template.vertices, normals, look, rng(7)) for _ in range(2)]
    one, two = (layer for layer in layers if layer is not None)
    assert one.rest.tobytes() == two.rest.tobytes()
    assert one.surface.colour.tobytes() == two.surface.colour.tobytes()
    other = hair_layer(template, template.vertices, normals, look, rng(8))
    assert other is not None
    assert one.rest.tobytes() != other.rest.tobytes()


def test_a_bald_head_has_no_hair_layer(template: BodyTemplate, normals: np.ndarray) -> None:
    look = draw_hair(replace(SOMEONE, hair_style="bald"), rng())
    assert hair_layer(template, template.vertices, normals, look, rng()) is None


def test_a_beard_goes_down_with_the_jaw(template: BodyTemplate, normals: np.ndarray) -> None:
    look = BeardLook((60, 40, 30), length=0.012, n_strands=600)
    layer = beard_layer(template, template.vertices, normals, look, rng())
    closed, opened = posed(template, layer), posed(template, layer, jawOpen=1.0)
    skin = template.vertices + template.actions[template.action("jawOpen")]
    before, after = landmark_positions(template)[CHIN], landmark_positions(template, skin)[CHIN]
    at_chin = np.linalg.norm(closed - before, axis=1) < 0.012
    assert at_chin.sum() > 20
    assert before[2] - after[2] > 0.008
    moved = (opened - closed)[at_chin]
    np.testing.assert_allclose(moved, np.tile(after - before, (len(moved), 1)), atol=0.004)


def test_no_beard_covers_the_lips(template: BodyTemplate, normals: np.ndarray) -> None:
    chart = HeadChart(template)
    lips = chart.inside(chart.landmarks(OUTER_LIPS), 0.5)
    for length in (0.010, 0.035):
        layer = beard_layer(
            template, template.vertices, normals, BeardLook((60, 40, 30), length, n_strands=1_500), rng()
        )
        covering = chart.sample(lips, layer.rest) > 0.9
        assert covering.mean() < 0.004


def test_lowered_lids_open_less_and_still_close_fully(template: BodyTemplate) -> None:
    look = EyeLook((90, 60, 40), lid_droop=0.12)
    rest, actions = lower_lids(template, look, template.vertices, template.actions)

    def opening(vertices: np.ndarray) -> float:
        points = landmark_positions(template, vertices)
        return float((points[list(UPPER_LID), 2] - points[list(LOWER_LID), 2]).mean())

    assert 0.75 < opening(rest) / opening(template.vertices) < 0.95
    both = [template.action("eyeBlinkLeft"), template.action("eyeBlinkRight")]
    shut = template.vertices + template.actions[both].sum(0)
    np.testing.assert_allclose(rest + actions[both].sum(0), shut, atol=1e-6)


def test_eyes_look_a_little_outwards_of_their_axis_and_alike(template: BodyTemplate) -> None:
    left, right = Eyeballs(template, template.vertices, EyeLook((90, 60, 40))).parameters(template.vertices)
    np.testing.assert_allclose(left[3:6], right[3:6] * [-1, 1, 1], atol=1e-5)
    assert 4 < np.degrees(np.arctan2(left[3], -left[4])) < 8


def test_glasses_sit_before_the_eyes_reach_the_ears_and_turn_with_the_head(template: BodyTemplate) -> None:
    layer = glasses_layer(template, template.vertices, GlassesLook((20, 20, 20)))
    points = layer.rest
    eyes = template.region_vertices("eye_front_left", "eye_front_right")
    foremost = template.vertices[eyes][:, 1].min()
    rims = points[np.abs(points[:, 0]) < 0.05]
    rims = rims[rims[:, 1] < foremost + 0.02]
    assert rims[:, 1].max() < foremost
    ears = template.vertices[template.ear > 0.5]
    assert points[:, 1].max() > np.quantile(ears[:, 1], 0.3)
    head = template.region_vertices("head") & (template.ear < 0.1)
    normals = vertex_normals(template.vertices.copy(), np.ascontiguousarray(template.faces, np.int32))
    shell = np.flatnonzero(head)
    nearest = shell[KDTree(template.vertices[shell]).query(points)[1]]
    inside = ((points - template.vertices[nearest]) * normals[nearest]).sum(1) < -0.002
    assert inside.mean() < 0.08
    turn = Rotation.from_euler("xyz", [5, -8, 12], degrees=True).as_matrix()
    np.testing.assert_allclose(posed(template, layer, turn, jawOpen=1.0), points @ turn.T, atol=1e-5)


def test_the_tubes_of_a_frame_face_outwards(template: BodyTemplate) -> None:
    layer = glasses_layer(template, template.vertices, GlassesLook((20, 20, 20), thickness=0.002))
    corners = layer.rest[layer.surface.faces].astype(float)
    volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert volume > 0
