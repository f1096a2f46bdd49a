"""From fitted body to Gaussians: sampling, supervision, colours, and the whole way on a real photograph."""

from __future__ import annotations

from pathlib import Path

import cv2
import numba
import numpy as np
import pytest
import torch

from media.errors import AvatarBenchError
from media.image import load_image
from reference_model.avatar import personalize
from reference_model.avatar.colors import PointSet, photo_colors
from reference_model.avatar.gaussians import front_facing
from reference_model.avatar.io import Avatar
from reference_model.avatar.personalize import STAGES, create_avatar, fit_photo, one_thread
from reference_model.avatar.report import masked_quality
from reference_model.avatar.sampling import SurfacePoints, carve, sample_surface, sample_uncovered
from reference_model.avatar.supervision import Supervision, body_parts, supervise
from reference_model.body.mesh import RasterizedMesh, rasterize_mesh, triangle_areas, triangle_frames
from reference_model.body.skinning import BodyState, TemplateTensors, pose
from reference_model.body.template import REGIONS, load_template
from reference_model.deform import Rig
from reference_model.render import render
from reference_model.render.camera import Camera

TEMPLATE = load_template()
TENSORS = TemplateTensors(TEMPLATE)
FACES = torch.tensor(TEMPLATE.faces, dtype=torch.long)
STATE = BodyState.neutral(TENSORS)
CAMERA = Camera.frontal((0.0, 0.35, 2.3), 1536.0, 1024, 1024)
VERTICES = pose(TENSORS, STATE).vertices


def raster_of_the_template() -> RasterizedMesh:
    pixels, depth = CAMERA.project(VERTICES)
    return rasterize_mesh(torch.cat([pixels, depth[:, None]], 1).numpy(), TEMPLATE.faces, 1024, 1024)


RASTER = raster_of_the_template()
ALPHA = (RASTER.face_index >= 0).astype(np.float32)


def sampled(n: int = 20_000, seed: int = 0) -> SurfacePoints:
    return sample_surface(TEMPLATE, TENSORS, STATE, CAMERA, n, np.random.default_rng(seed))


def positions(points: SurfacePoints) -> torch.Tensor:
    barycentric = torch.as_tensor(points.barycentric, dtype=torch.float32)[..., None]
    foot = (VERTICES[FACES[torch.as_tensor(points.triangle)]] * barycentric).sum(1)
    return foot + torch.as_tensor(points.lift, dtype=torch.float32)


def supervised(points: SurfacePoints) -> Supervision:
    normals = triangle_frames(VERTICES, FACES)[torch.as_tensor(points.triangle)][..., 2]
    loose = np.linalg.norm(points.lift, axis=1) > 0
    hands = TEMPLATE.region_faces("hand_left", "hand_right")[points.triangle]
    part = body_parts(TEMPLATE)[TEMPLATE.faces[:, 0]]
    return supervise(
        positions(points), normals, loose, hands, part[points.triangle], part, CAMERA, RASTER, ALPHA
    )


def point_set(points: SurfacePoints) -> PointSet:
    blink = STATE.actions.clone()
    blink[[TEMPLATE.action("eyeBlinkLeft"), TEMPLATE.action("eyeBlinkRight")]] = 1.0
    shut = pose(TENSORS, STATE.replace(actions=blink)).vertices.double().numpy()
    closed = (shut[TEMPLATE.faces[points.triangle]] * points.barycentric[..., None]).sum(1)
    rest = positions(points).double().numpy()
    heaviest = TEMPLATE.faces[points.triangle, points.barycentric.argmax(1)]
    part = body_parts(TEMPLATE)[heaviest]
    return PointSet(points.triangle, points.barycentric, rest, closed, part, np.zeros(len(rest), bool))


def test_equal_seeds_give_equal_points_and_other_seeds_others() -> None:
    assert np.array_equal(sampled(seed=1).barycentric, sampled(seed=1).barycentric)
    assert not np.array_equal(sampled(seed=1).barycentric, sampled(seed=2).barycentric)


def test_lips_and_lids_are_sampled_far_denser_than_the_trunk() -> None:
    points = sampled()
    area = triangle_areas(VERTICES, FACES).numpy()
    count = np.bincount(points.triangle, minlength=len(area))

    def density(faces: np.ndarray) -> float:
        return float(count[faces].sum() / area[faces].sum())

    y = CAMERA.project(VERTICES)[0][:, 1].numpy()[TEMPLATE.faces].mean(1)
    trunk = density(TEMPLATE.region_faces("body") & (y < 1000))
    assert density(TEMPLATE.lip[TEMPLATE.faces].min(1) > 0.5) > 15 * trunk
    assert density(TEMPLATE.eyelid[TEMPLATE.faces].min(1) > 0.5) > 15 * trunk
    assert 4 * trunk < density(TEMPLATE.region_faces("hand_left")) < 9 * trunk


def test_points_carry_the_distance_to_their_neighbours() -> None:
    points = sampled()
    on_trunk = TEMPLATE.region_faces("body")[points.triangle]
    area = float(triangle_areas(VERTICES, FACES).numpy()[np.unique(points.triangle[on_trunk])].sum())

    assert np.median(points.spacing[on_trunk]) == pytest.approx(np.sqrt(area / on_trunk.sum()), rel=0.3)


def test_what_sticks_out_beyond_the_body_gets_points_of_its_own() -> None:
    """A bag of 120x120 px beside the person."""
    alpha = ALPHA.copy()
    alpha[600:720, 880:1000] = 1
    bag = sample_uncovered(TEMPLATE, VERTICES, CAMERA, RASTER, alpha, step=8)
    pixels = CAMERA.project(positions(bag))[0]

    assert len(bag.triangle) == pytest.approx(15 * 15, abs=30)
    assert bag.two_sided.all()
    assert ((pixels[:, 0] > 876) & (pixels[:, 0] < 1004) & (pixels[:, 1] > 596) & (pixels[:, 1] < 724)).all()
    assert len(sample_uncovered(TEMPLATE, VERTICES, CAMERA, RASTER, ALPHA, step=8).triangle) == 0


def test_the_body_is_carved_where_the_matte_ends_but_not_where_the_matte_misses_a_hand() -> None:
    points = sampled()
    column = CAMERA.project(positions(points))[0][:, 0].numpy()
    alpha = ALPHA.copy()
    alpha[:, 680:] = 0  # cuts the left arm; of the left hand nothing is left
    kept = carve(TEMPLATE, points, positions(points), CAMERA, alpha)

    on_hand = TEMPLATE.region_faces("hand_left")
    kept_column = CAMERA.project(positions(kept))[0][:, 0].numpy()
    assert on_hand[kept.triangle].sum() == on_hand[points.triangle].sum()
    assert kept_column[~on_hand[kept.triangle] & (kept_column < 1024)].max() < 690
    assert (kept_column < 660).sum() == (column < 660).sum()


def test_only_the_side_towards_the_camera_is_seen_and_its_rim_is_not_clean() -> None:
    points = sampled()
    normals = triangle_frames(VERTICES, FACES)[torch.as_tensor(points.triangle)][..., 2].numpy()
    supervision = supervised(points)
    on_head = TEMPLATE.region_faces("head")[points.triangle]

    assert not supervision.seen[on_head & (normals[:, 1] > 0.3)].any()  # the back of the head
    assert supervision.clean[on_head & (normals[:, 1] < -0.9)].mean() > 0.6
    assert not (supervision.clean & ~supervision.seen).any()
    inner = cv2.erode(ALPHA, np.ones((3, 3))) > 0
    column, row = supervision.pixel[supervision.clean].T
    assert inner[row, column].all()


def test_a_hand_before_the_body_neither_takes_nor_lends_colour_at_its_rim() -> None:
    """One surface 20 cm before another: pixels near the step belong to neither for certain."""
    camera = Camera.frontal((0.0, 0.35, 2.3), 768.0, 512, 512)
    depth = np.full((512, 512), 2.3, np.float32)
    depth[:, 256:] = 2.1
    raster = RasterizedMesh(depth, np.zeros((512, 512), np.int32), np.zeros((512, 512, 3), np.float32))
    x = torch.linspace(-0.2, 0.2, 401)
    z = torch.where(x < 0, 2.3, 2.1)
    pixels_x = camera.focal * x / z + camera.cx
    means = torch.stack([x, z - 2.3, torch.full_like(x, 0.35)], dim=1)
    normals = torch.tensor([0.0, -1.0, 0.0]).expand(len(x), 3)

    none = np.zeros(len(x), bool)
    part = np.zeros(len(x), int)
    ones = np.ones((512, 512))
    clean = supervise(means, normals, none, none, part, np.zeros(1, int), camera, raster, ones).clean
    distance = (pixels_x - 256).abs().numpy()
    assert not clean[distance < 1].any()
    assert clean[(distance > 6) & (distance < 60)].all()


def test_cloth_right_under_a_hand_is_hidden_by_it() -> None:
    """5 mm behind the nearest surface: seen where that surface is of the same part, not where it is a hand."""
    camera = Camera.frontal((0.0, 0.35, 2.3), 768.0, 64, 64)
    depth = np.full((64, 64), 2.3, np.float32)
    raster = RasterizedMesh(depth, np.zeros((64, 64), np.int32), np.zeros((64, 64, 3), np.float32))
    means = torch.tensor([[0.0, 0.005, 0.35]]).expand(2, 3)
    normals = torch.tensor([0.0, -1.0, 0.0]).expand(2, 3)
    none, part = np.zeros(2, bool), np.array([5, 0])
    seen = supervise(means, normals, none, none, part, np.array([5]), camera, raster, np.ones((64, 64))).seen
    assert seen.tolist() == [True, False]


def test_hidden_points_take_the_colour_of_their_own_part() -> None:
    """Left of the picture everything is blue but the hands, which are skin: the hand's back stays skin."""
    points = sampled()
    supervision, where = supervised(points), point_set(points)
    photo = np.full((1024, 1024, 3), (40, 60, 200), np.uint8)
    hands = np.isin(
        TEMPLATE.region[RASTER.face_index], [REGIONS.index("hand_left"), REGIONS.index("hand_right")]
    )
    photo[cv2.dilate((hands & (ALPHA > 0)).astype(np.uint8), np.ones((7, 7))) > 0] = (210, 160, 130)

    colors, given = photo_colors(TEMPLATE, where, supervision, photo)

    hidden = ~supervision.seen
    on_hand = where.region(TEMPLATE, "hand_left", "hand_right") & hidden
    on_back = where.region(TEMPLATE, "body") & hidden & (where.part == 0)
    assert np.abs(colors[on_hand] * 255 - [210, 160, 130]).mean() < 6
    assert np.abs(colors[on_back] * 255 - [40, 60, 200]).mean() < 6
    assert not (given & hidden).any()


def test_the_inside_of_the_mouth_has_teeth_lighter_than_the_throat() -> None:
    points = sampled()
    where = point_set(points)
    photo = np.full((1024, 1024, 3), (190, 150, 130), np.uint8)
    colors, _ = photo_colors(TEMPLATE, where, supervised(points), photo)

    teeth = colors[where.region(TEMPLATE, "teeth_upper")].mean()
    assert teeth > 2 * colors[where.region(TEMPLATE, "mouth_cavity")].mean()


def test_folded_lids_are_skin_but_for_a_line_of_lashes() -> None:
    points = sampled(40_000)
    supervision, where = supervised(points), point_set(points)
    skin = np.array([200, 150, 120])
    photo = np.full((1024, 1024, 3), skin, np.uint8)
    colors, _ = photo_colors(TEMPLATE, where, supervision, photo)

    folded = where.region(TEMPLATE, "head") & (where.mask(TEMPLATE, "eyelid") > 0.5) & ~supervision.seen
    off = np.abs(colors[folded] * 255 - skin).max(1)
    assert folded.sum() > 50
    assert (off < 25).mean() > 0.6  # skin
    assert (colors[folded].mean(1) < 0.4).any()  # lashes


@pytest.fixture(scope="module")
def small_photo(shared_data: Path) -> np.ndarray:
    image = load_image(shared_data / "photos" / "half_body" / "woman_0035.jpg")
    return cv2.resize(image[:, 128:896], (384, 512), interpolation=cv2.INTER_AREA)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personalize, "ITERATIONS", {"template": 30, "forward": 15})


def picture(avatar: Avatar, camera: Camera) -> torch.Tensor:
    visible = front_facing(avatar.gaussians, camera) | avatar.two_sided
    return render(avatar.gaussians, camera, background=torch.full((3,), 0.5), visible=visible).rgb


@pytest.mark.usefixtures("quick")
def test_the_avatar_of_a_benchmark_sized_photograph_looks_like_it_whatever_the_threads(
    small_photo: np.ndarray,
) -> None:
    stages: list[str] = []
    avatar = create_avatar(
        small_photo, seed=5, n_gaussians=14_000, progress=lambda stage, _: stages.append(stage)
    )

    assert list(dict.fromkeys(stages)) == list(STAGES)
    drawn = picture(avatar, avatar.camera).numpy() * 255
    face = avatar.gaussians.means[avatar.region == REGIONS.index("head")]
    x, y = avatar.camera.project(face)[0].median(0).values.int().tolist()
    around = np.s_[y - 20 : y + 20, x - 15 : x + 15]
    error = drawn[around] - small_photo[around]
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 26

    threads = numba.get_num_threads(), torch.get_num_threads()
    numba.set_num_threads(1)
    torch.set_num_threads(2)
    try:
        again = create_avatar(small_photo, seed=5, n_gaussians=14_000)
    finally:
        numba.set_num_threads(threads[0])
        torch.set_num_threads(threads[1])
    for name in ("means", "quats", "scales", "opacities", "colors"):
        assert torch.equal(getattr(again.gaussians, name), getattr(avatar.gaussians, name)), name
    assert np.array_equal(again.background, avatar.background)


@pytest.mark.usefixtures("quick")
def test_one_pass_of_the_network_is_nearer_to_a_real_photograph_than_the_canvas(
    small_photo: np.ndarray,
) -> None:
    with one_thread():
        fitted = fit_photo(small_photo, n_gaussians=14_000)
        canvas, skin = fitted.forward()
        qualities = [
            masked_quality(fitted.avatar(start.gaussians(), {}), fitted.photo, fitted.alpha)
            for start in (fitted.canvas, canvas)
        ]
        avatar = create_avatar(small_photo, n_gaussians=14_000, initial="forward", iterations=0)
    (psnr_db, ssim), (after_db, ssim_after) = qualities
    assert after_db > psnr_db + 0.5
    assert ssim_after > ssim
    assert torch.equal(avatar.gaussians.means, canvas.gaussians().means)
    assert avatar.skin is not None and torch.equal(avatar.skin.index, skin.index)
    assert (avatar.meta["initial"], avatar.meta["iterations"]) == ("forward", 0)
    moved = Rig(avatar).apply(torch.zeros(Rig(avatar).n_particles, 6))
    assert torch.equal(moved.means, avatar.gaussians.means)


def test_a_picture_without_a_person_is_refused_with_a_code() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (320, 320, 3), dtype=np.uint8)
    with pytest.raises(AvatarBenchError) as caught:
        create_avatar(noise)
    assert caught.value.code == "E102"
