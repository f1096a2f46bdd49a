"""Gestures: postures that arms reach, strokes on stressed words, hands that stay clear of the body."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from reference_model.body.skinning import BodyState, TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.corpus.drawing.mesh_raster import vertex_normals
from reference_model.corpus.motion.animator import FPS, Motion, absolute_rotations, stressed_word_onsets
from reference_model.corpus.motion.arm_reach import Physique, Reach, arm_bones, reach
from reference_model.corpus.motion.gesture_plan import Accent, arm_tracks, cued_gestures, plan_gestures
from reference_model.corpus.motion.hand_shapes import HAND_SHAPES
from reference_model.corpus.motion.personal_style import PersonalStyle
from reference_model.corpus.motion.repertoire import GESTURES
from reference_model.corpus.people.arm_pose import ArmTarget, posed_joints, solve_arms
from reference_model.corpus.speech.synthesis import Utterance
from reference_model.innovations import BOTH_HANDS, GESTURE_HAND, LEFT_HAND, N_CHANNELS, NO_HAND, RIGHT_HAND

TEMPLATE = load_template()
Body = tuple[np.ndarray, np.ndarray, np.ndarray]


def body(coefficients: dict[int, float]) -> Body:
    """Vertices, joints and rest pose of a body of the template's shape space."""
    weights = np.zeros(len(TEMPLATE.shape_basis))
    for component, weight in coefficients.items():
        weights[component] = weight
    vertices = TEMPLATE.vertices + np.tensordot(weights, TEMPLATE.shape_basis, 1)
    joints = TEMPLATE.joints + np.tensordot(weights, TEMPLATE.joint_basis, 1)
    return vertices, joints, solve_arms(TEMPLATE, joints, ArmTarget())


def deepest_and_shallowest() -> tuple[Body, Body]:
    """Two of 60 drawn bodies: the one with the deepest and the one with the shallowest belly."""
    rng = np.random.default_rng(0)
    belly = np.flatnonzero((abs(TEMPLATE.vertices[:, 0]) < 0.1) & (abs(TEMPLATE.vertices[:, 2] - 0.15) < 0.1))
    draws = [dict(enumerate(rng.normal(size=len(TEMPLATE.shape_basis)))) for _ in range(60)]
    fronts = [
        (
            TEMPLATE.vertices[belly, 1] + np.tensordot(list(d.values()), TEMPLATE.shape_basis[:, belly, 1], 1)
        ).min()
        for d in draws
    ]
    return body(draws[int(np.argmin(fronts))]), body(draws[int(np.argmax(fronts))])


@pytest.fixture(scope="module")
def bodies() -> list[Body]:
    """The mean body, one with a deep trunk, one with a flat trunk."""
    return [body({}), *deepest_and_shallowest()]


@pytest.fixture(scope="module")
def physique(bodies: list[Body]) -> Physique:
    return Physique(*bodies[0])


def posed(of: Body, arms: dict[str, np.ndarray]) -> np.ndarray:
    """Vertices [V, 3] with the arms "L" or "R" in postures as from `reach`."""
    vertices, joints, rest = of
    rotations = np.zeros((1, TEMPLATE.n_joints, 3))
    for side, posture in arms.items():
        rotations[0, arm_bones(side)] = posture
    absolute = absolute_rotations(rest, Motion(np.zeros((1, 52)), rotations))[0]
    tensors = TemplateTensors(TEMPLATE)
    tensors.vertices, tensors.joints = torch.tensor(vertices).float(), torch.tensor(joints).float()
    return pose(
        tensors, BodyState.neutral(tensors).replace(rotations=torch.tensor(absolute))
    ).vertices.numpy()


def heads_of(physique: Physique, side: str, goal: Reach) -> np.ndarray:
    """Joint heads [J, 3] with one arm at a goal, by forward kinematics."""
    rotations = np.zeros((1, TEMPLATE.n_joints, 3))
    rotations[0, arm_bones(side)] = reach(physique, side, goal)
    absolute = absolute_rotations(physique.rest_pose, Motion(np.zeros((1, 52)), rotations))[0]
    return posed_joints(TEMPLATE, physique.joints, absolute)


def innovations(hand: float, seconds: float) -> np.ndarray:
    channels = np.zeros((int(seconds * FPS), N_CHANNELS), np.float32)
    channels[:, GESTURE_HAND] = hand
    return channels


ACCENTS = [Accent("word", 1.0 + 1.5 * i) for i in range(12)]


def plan(physique: Physique, hand: float, style: PersonalStyle, seed: int = 0):
    return plan_gestures(ACCENTS, innovations(hand, 21), style, physique, np.random.default_rng(seed), FPS)


def test_the_repertoire_has_beats_and_illustrators_for_one_and_two_hands() -> None:
    assert len(GESTURES) >= 12
    assert sum(gesture.beat for gesture in GESTURES.values()) >= 5
    assert {1, 2} == {count for gesture in GESTURES.values() for count in gesture.hands}
    shapes = {key.shape for gesture in GESTURES.values() for _, key in gesture.keys}
    assert len(shapes) >= 7 and shapes <= set(HAND_SHAPES)


@pytest.mark.parametrize("side", ["L", "R"])
def test_an_arm_reaches_place_and_directions(physique: Physique, side: str) -> None:
    goal = Reach((1.1, -1.1, -0.5), (-0.2, -0.9, 0.3), (-0.9, 0.0, -0.3))
    heads = heads_of(physique, side, goal) * ([1, 1, 1] if side == "L" else [-1, 1, 1])
    wrist, index, middle, little, shoulder, elbow = (
        heads[TEMPLATE.joint(f"{name}.{side}")]
        for name in ("wrist", "finger2-1", "finger3-1", "finger5-1", "upperarm01", "lowerarm01")
    )
    upper = np.linalg.norm(elbow - shoulder)
    wished = [1.1 * shoulder[0], shoulder[1] - 1.1 * upper, shoulder[2] - 0.5 * upper]
    np.testing.assert_allclose(wrist, wished, atol=0.004)
    along = (middle - wrist) / np.linalg.norm(middle - wrist)
    palm = np.cross(along, index - little)
    assert along @ goal.fingers / np.linalg.norm(goal.fingers) > np.cos(np.radians(3))
    assert palm @ goal.palm / np.linalg.norm(palm) > 0.9
    assert elbow[2] < max(shoulder[2], wrist[2])  # elbows hang


def test_a_place_out_of_reach_is_approached_with_a_bent_elbow(physique: Physique) -> None:
    heads = heads_of(physique, "L", Reach((1.0, -9.0, 0.0), (0, -1, 0), (-1, 0, 0)))
    shoulder, elbow, wrist = (heads[TEMPLATE.joint(f"{n}.L")] for n in ("upperarm01", "lowerarm01", "wrist"))
    length = np.linalg.norm(elbow - shoulder) + np.linalg.norm(wrist - elbow)
    assert 0.93 * length < np.linalg.norm(wrist - shoulder) < 0.985 * length


def test_thumb_and_index_finger_meet_in_the_ring_and_leave_a_gap_in_the_pinch(bodies: list[Body]) -> None:
    physique = Physique(*bodies[0])
    distance = {}
    for kind in ("ring", "size_small"):
        vertices = posed(bodies[0], {"L": reach(physique, "L", GESTURES[kind].keys[-1][1])})
        thumb, index = vertices[TEMPLATE.fingertip_vertex["left"][:2]]
        distance[kind] = np.linalg.norm(thumb - index)
    assert distance["ring"] < 0.020  # between nails, across both fingertips
    assert 0.03 < distance["size_small"] < 0.08


def test_a_fist_is_closed_and_a_flat_hand_straight(bodies: list[Body]) -> None:
    physique = Physique(*bodies[0])
    length = {}
    for shape in ("fist", "flat"):
        goal = replace(GESTURES["chop"].keys[-1][1], shape=shape)
        vertices = posed(bodies[0], {"L": reach(physique, "L", goal)})
        wrist = heads_of(physique, "L", goal)[TEMPLATE.joint("wrist.L")]
        length[shape] = np.linalg.norm(vertices[TEMPLATE.fingertip_vertex["left"][2]] - wrist)
    assert length["fist"] < 0.55 * length["flat"]


def test_fingertips_meet_in_the_steeple_on_every_body(bodies: list[Body]) -> None:
    for of in bodies:
        physique = Physique(*of)
        vertices = posed(of, {side: reach(physique, side, GESTURES["steeple"].keys[-1][1]) for side in "LR"})
        left, right = (vertices[TEMPLATE.fingertip_vertex[side][1:4]] for side in ("left", "right"))
        assert np.linalg.norm(left - right, axis=1).min() < 0.025
        hands = [vertices[TEMPLATE.region_vertices(f"hand_{side}")] for side in ("left", "right")]
        assert (
            hands[0][:, 0].min() > -0.008 and hands[1][:, 0].max() < 0.008
        )  # neither passes through the other


class Surroundings:
    """Trunk and head of a body in its rest pose, and the hands that must stay clear of them."""

    def __init__(self, of: Body) -> None:
        self.vertices, self.joints, self.rest = of
        self.physique = Physique(*of)
        names = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal", "clavicle", "shoulder")
        arm = np.array([name.startswith(names) for name in TEMPLATE.joint_names])
        trunk = (arm[TEMPLATE.skin_index] * TEMPLATE.skin_weight).sum(1) < 0.05
        still = posed(of, {})
        normals = vertex_normals(still, np.ascontiguousarray(TEMPLATE.faces, np.int32))
        self.trunk, self.normals = still[trunk], normals[trunk]
        hands = np.flatnonzero(TEMPLATE.region_vertices("hand_left", "hand_right"))
        self.hands = TemplateTensors(TEMPLATE, hands)
        self.hands.vertices = torch.tensor(self.vertices[hands]).float()
        self.hands.joints = torch.tensor(self.joints).float()

    def room_and_width(self, tracks: dict[str, np.ndarray]) -> tuple[float, float]:
        """Least distance from hands to trunk and head, negative inside, and the furthest aside; metres."""
        rotations = np.zeros((len(next(iter(tracks.values()))), TEMPLATE.n_joints, 3))
        for side, track in tracks.items():
            rotations[:, arm_bones(side)] = track
        absolute = absolute_rotations(self.rest, Motion(np.zeros((len(rotations), 52)), rotations))
        state = BodyState.neutral(self.hands).replace(rotations=torch.tensor(absolute))
        points = pose(self.hands, state).vertices.numpy().reshape(-1, 3)
        distance, nearest = cKDTree(self.trunk).query(points)
        behind = ((points - self.trunk[nearest]) * self.normals[nearest]).sum(1) < 0
        inside = behind & (distance < 0.06)
        return float(np.where(inside, -distance, distance).min()), float(abs(points[:, 0]).max())


@pytest.fixture(scope="module")
def surroundings(bodies: list[Body]) -> list[Surroundings]:
    return [Surroundings(of) for of in bodies]


@pytest.mark.parametrize("kind", GESTURES)
def test_hands_keep_off_the_body_and_in_the_picture(surroundings: list[Surroundings], kind: str) -> None:
    gesture = GESTURES[kind]
    for around in surroundings:
        tracks = {}
        for side in "LR" if 2 in gesture.hands else "R":
            keys = gesture.other if side == "L" and gesture.other else gesture.keys
            start = 0.5 - keys[0][0]
            postures = [(start + dt, reach(around.physique, side, key)) for dt, key in keys]
            way = [(0.0, np.zeros((20, 3))), *postures, (postures[-1][0] + 0.6, np.zeros((20, 3)))]
            tracks[side] = arm_tracks(way, int(way[-1][0] * 12) + 2, 12.0)
        room, aside = around.room_and_width(tracks)
        assert room > (-0.008 if kind == "hand_on_chest" else 0.012)
        assert aside < 0.39  # half of a picture 0.78 m wide


def test_strokes_lie_on_the_stressed_onsets_and_have_all_phases(physique: Physique) -> None:
    gestures, ways = plan(physique, RIGHT_HAND, PersonalStyle(gesture_rate=1.0))
    assert len(gestures) >= 6
    lag = np.array([gesture.apexes_s[0] - gesture.onset_s for gesture in gestures])
    assert np.median(abs(lag)) < 0.08
    for gesture in gestures:
        assert (
            gesture.start_s < gesture.stroke_s < gesture.apexes_s[0] <= gesture.apexes_s[-1] < gesture.end_s
        )
        assert gesture.stroke_s - gesture.start_s >= 0.2
    track = arm_tracks(ways["R"], 21 * 100, 100.0)
    speed = np.linalg.norm(np.diff(track, axis=0), axis=(1, 2)) * 100
    for gesture in gestures:
        apex, stroke = round(gesture.apexes_s[0] * 100), round(gesture.stroke_s * 100)
        assert speed[apex - 1 : apex + 1].max() < 0.3 * speed[stroke:apex].max()  # still at the apex
    assert not track[0].any() and not track[-1].any()  # from rest to rest


def test_the_innovations_say_which_hand_and_whether(physique: Physique) -> None:
    style = PersonalStyle(handedness=0.0)
    assert plan(physique, NO_HAND, style)[0] == []
    assert {gesture.hand for gesture in plan(physique, LEFT_HAND, style)[0]} == {"L"}
    assert "both" in {gesture.hand for gesture in plan(physique, BOTH_HANDS, style)[0]}
    assert plan(physique, BOTH_HANDS, PersonalStyle(gesture_amplitude=0.0))[0] == []


def test_one_handed_people_gesture_with_that_hand(physique: Physique) -> None:
    for handedness, hand in ((-1.0, "L"), (1.0, "R")):
        gestures, _ = plan(
            physique, LEFT_HAND if hand == "R" else RIGHT_HAND, PersonalStyle(handedness=handedness)
        )
        assert {gesture.hand for gesture in gestures} == {hand}


def test_only_favourites_are_made_and_seeds_differ(physique: Physique) -> None:
    style = PersonalStyle(favourites=(("ring", 1.0), ("chop", 3.0)))
    made = [g.kind for seed in range(4) for g in plan(physique, RIGHT_HAND, style, seed)[0]]
    assert set(made) == {"ring", "chop"}
    assert made.count("chop") > made.count("ring")
    first, second = (plan(physique, RIGHT_HAND, PersonalStyle(), seed)[0] for seed in (1, 2))
    assert [g.kind for g in first] != [g.kind for g in second]


@pytest.mark.parametrize(
    ("text", "word", "kind"),
    [
        ("Do you know why?", "why?", "offer"),
        ("I have two brothers.", "two", "count"),
        ("She bought apples, pears, plums and bread.", "pears,", "count"),
        ("It was a huge house.", "huge", "size_large"),
        ("He came, but nobody saw him.", "nobody", "weigh"),
        ("Everything is over there.", "there", "point_aside"),
    ],
)
def test_words_ask_for_illustrators(text: str, word: str, kind: str) -> None:
    words = [(0.3 * i, w.strip(",.?")) for i, w in enumerate(text.split())]
    index = text.replace(".", "").split().index(word)
    utterance = Utterance(np.zeros(48_000, np.float32), [], words, text)
    accents = cued_gestures(utterance, {index: words[index][0]})
    assert kind in accents[0].cues


def test_stress_is_found_on_the_word_that_carries_it() -> None:
    phonemes = [(0.0, ""), (0.2, "ð"), (0.25, "ə"), (0.3, "b"), (0.35, "ˈiː"), (0.5, "z")]
    utterance = Utterance(np.zeros(16_000, np.float32), phonemes, [(0.2, "the"), (0.3, "bees")], "the bees")
    assert stressed_word_onsets(utterance) == {1: 0.35}
