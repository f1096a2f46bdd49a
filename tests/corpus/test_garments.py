"""Clothes of made people: cuts, drape, edges, fabrics, and that nothing pokes through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reference_model.corpus.drawing.mesh_raster import rasterize
from reference_model.corpus.drawing.mesh_surfaces import PAINTS_SHIFT, Material
from reference_model.corpus.drawing.scene import frontal_view, project
from reference_model.corpus.people.attributes import TOPS
from reference_model.corpus.people.cloth_mesh import neighbour_average, refined_part, rim_strip, tube
from reference_model.corpus.people.drape import Stiffness, drape
from reference_model.corpus.people.fabric import FABRICS, UNSEEN_PATTERNS, draw_colour, luminance, paint_row
from reference_model.corpus.people.outfit import draw_outfit
from reference_model.corpus.people.person import MadePerson
from tests.corpus.sample_people import SOMEONE, sample_person


def grid(n: int, edge: float) -> tuple[np.ndarray, np.ndarray]:
    """A square sheet in the plane z = 0: vertices [n * n, 3] and triangles."""
    row, column = np.mgrid[0:n, 0:n]
    points = np.stack([column.ravel(), row.ravel(), np.zeros(n * n)], -1) * edge / (n - 1)
    a = (row[:-1, :-1] * n + column[:-1, :-1]).ravel()
    faces = np.concatenate([np.stack([a, a + 1, a + n], 1), np.stack([a + 1, a + n + 1, a + n], 1)])
    return points, faces.astype(np.int32)


@pytest.fixture(scope="module")
def person() -> MadePerson:
    return sample_person(SOMEONE)


def test_a_refined_part_has_four_triangles_for_one_and_keeps_its_area() -> None:
    points, faces = grid(5, 1.0)
    part = refined_part(faces)
    fine = part.refine @ points[part.source]
    corner = fine[part.faces]
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1) / 2
    assert len(part.faces) == 4 * len(faces)
    assert area.sum() == pytest.approx(1.0)


def test_averaging_neighbours_flattens_a_bump_and_leaves_the_border() -> None:
    points, faces = grid(7, 1.0)
    points[24, 2] = 1.0
    smoothed = neighbour_average(faces, len(points)) @ points
    assert smoothed[24, 2] == 0
    np.testing.assert_array_equal(smoothed[:7], points[:7])


def test_the_outside_of_a_tube_faces_out() -> None:
    azimuth = (np.arange(12) + 0.5) / 12 * 2 * np.pi - np.pi
    ring = np.stack([np.sin(azimuth), -np.cos(azimuth)], -1)
    points = np.concatenate([np.c_[ring, np.full(12, z)] for z in (1.0, 0.5, 0.0)])
    corner = points[tube(12, 3)]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    assert ((normal[:, :2] * corner.mean(1)[:, :2]).sum(1) > 0).all()


def test_a_rim_lies_on_the_zero_line_of_the_cut() -> None:
    points, faces = grid(9, 1.0)
    cuts = np.ones((len(points), 3))
    cuts[:, 0] = 0.63 - points[:, 0]
    rim = rim_strip(faces, cuts, (0, 1, 2))
    placed = rim.place @ points
    np.testing.assert_allclose(placed[:, 0], 0.63, atol=1e-6)
    assert np.ptp(placed[:, 1]) == pytest.approx(1.0)
    assert set(np.unique(rim.depth)) == {0.0, rim.depth.max()}


def test_a_sheet_that_falls_on_a_ball_covers_it_and_keeps_its_size() -> None:
    points, faces = grid(25, 0.5)
    points[:, :2] -= 0.25
    points[:, 2] = 0.125
    rng = np.random.default_rng(0)
    ball = rng.normal(size=(6000, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    held = np.zeros(len(points), bool)
    rested = drape(points, points, faces, held, (0.12 * ball, ball), Stiffness(0.9, 0.5, 0.01))
    assert np.linalg.norm(rested, axis=1).min() > 0.12  # nowhere inside
    assert rested[[0, 24, -25, -1], 2].max() < 0.05  # the corners hang
    lengths = [np.linalg.norm(p[faces[:, 0]] - p[faces[:, 1]], axis=1) for p in (points, rested)]
    assert np.median(lengths[1] / lengths[0]) == pytest.approx(1.0, abs=0.05)


def test_held_cloth_stays_and_the_same_drape_gives_the_same_bytes() -> None:
    points, faces = grid(9, 0.3)
    held = points[:, 1] > 0.29
    skin = (np.array([[0.0, 0.0, -9.0]]), np.array([[0.0, 0.0, 1.0]]))
    first, again = (drape(points, points, faces, held, skin, Stiffness(0.9, 0.5, 0.01)) for _ in range(2))
    np.testing.assert_array_equal(first[held], points[held].astype(np.float32))
    assert first[~held, 2].min() < -0.02
    assert first.tobytes() == again.tobytes()


@pytest.mark.parametrize("top", TOPS)
def test_every_outfit_stands_out_from_the_skin(top: str) -> None:
    attributes = replace(SOMEONE, top=top)
    for seed in range(20):
        skin = 0.05 + 0.025 * seed
        outfit = draw_outfit(attributes, np.random.default_rng(seed), skin)
        worn = [garment for garment in outfit if garment.part == "top"]
        assert {garment.part for garment in outfit} >= {"shoes", "trousers", "top"}
        assert min(abs(luminance(garment.fabric.colour) - skin) for garment in worn) >= 0.10
        assert max(garment.fabric.period for garment in worn) < 0.04


def test_some_fabrics_are_kept_from_training() -> None:
    def patterns(unseen: bool) -> set[str]:
        attributes = replace(SOMEONE, unseen_material=unseen)
        outfits = [draw_outfit(attributes, np.random.default_rng(seed), 0.3) for seed in range(30)]
        return {outfit[-1].fabric.fabric for outfit in outfits}

    assert patterns(True) == set(UNSEEN_PATTERNS)
    assert not patterns(False) & set(UNSEEN_PATTERNS)


def test_a_fabrics_row_names_it_and_colours_differ_from_the_skin() -> None:
    look = draw_outfit(SOMEONE, np.random.default_rng(0), 0.3)[-1].fabric
    assert FABRICS[int(paint_row(look)[0])] == look.fabric
    colours = {draw_colour(np.random.default_rng(seed), 0.3) for seed in range(40)}
    assert len(colours) > 5
    assert min(abs(luminance(colour) - 0.3) for colour in colours) >= 0.10


def test_cloth_rests_outside_the_body(person: MadePerson) -> None:
    posed = person.pose(np.zeros(52), person.rest_pose, np.array([0.0, -2.5, 0.3]))
    body = posed.points[0]
    top = posed.points[5]  # body, shoes and their rim, jeans and their rim, T-shirt
    trunk = person.template.region_vertices("body")
    lowest = np.array([np.linalg.norm(body[trunk] - point, axis=1).min() for point in top[::25]])
    assert np.quantile(lowest, 0.02) > 0.003
    assert np.median(lowest) < 0.03


@pytest.mark.parametrize("lift", [0.0, 0.7, 1.3])
def test_no_skin_shows_through_the_clothes_with_raised_arms(person: MadePerson, lift: float) -> None:
    rotations = person.rest_pose.copy()
    for side, sign in (("L", 1), ("R", -1)):
        rotations[person.template.joint(f"upperarm01.{side}")] += [0.0, -sign * lift, 0.0]
    view = frontal_view(np.array([0.0, 0.0, 0.0]), 2.1, 288, 512)
    figure = person.figure
    posed = figure.pose(np.zeros(52), rotations, view.centre)
    seen = rasterize(project(posed.vertices.position, view), figure.faces, figure.cuts, 288, 512).face
    corners = figure.faces[np.clip(seen, 0, None)]
    skin = (seen >= 0) & (figure.codes[np.clip(seen, 0, None)] % PAINTS_SHIFT == Material.SKIN)
    skin &= seen < len(person.template.faces)
    deep = np.zeros(len(figure.cuts))
    deep[: len(person.covered)] = person.covered
    poking = skin & (deep[corners].min(-1) > 0.012)
    cloth = (seen >= 0) & (figure.codes[np.clip(seen, 0, None)] % PAINTS_SHIFT == Material.CLOTH)
    assert cloth.sum() > 8_000
    assert poking.sum() == 0
