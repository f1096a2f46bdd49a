"""The mesh renderer's kernels against closed forms and scikit-image."""

from __future__ import annotations

import numba
import numpy as np
from skimage.draw import polygon

from reference_model.corpus.drawing.mesh_raster import (
    N_CUTS,
    directional_visibility,
    rasterize,
    vertex_normals,
)
from reference_model.corpus.drawing.mesh_shade import Lighting, Material, SkinChart, VertexData, shade

TRIANGLE = np.array([[0, 1, 2]], np.int32)


def whole(n: int) -> np.ndarray:
    """Cut fields that cut nothing."""
    return np.ones((n, N_CUTS), np.float32)


def sphere(n_rings: int = 40, n_around: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """A unit sphere seen from outside counter-clockwise, without its poles: vertices [V, 3], faces [F, 3]."""
    polar = np.linspace(0.05, np.pi - 0.05, n_rings)
    around = np.arange(n_around) / n_around * 2 * np.pi
    t, a = np.meshgrid(polar, around, indexing="ij")
    vertices = np.stack([np.sin(t) * np.cos(a), np.sin(t) * np.sin(a), np.cos(t)], -1).reshape(-1, 3)
    ring, step = np.meshgrid(np.arange(n_rings - 1), np.arange(n_around), indexing="ij")
    here, right = ring * n_around + step, ring * n_around + (step + 1) % n_around
    quads = np.stack([here, here + n_around, right + n_around, right], -1).reshape(-1, 4)
    return vertices.astype(np.float32), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(
        np.int32
    )


def test_a_triangle_covers_the_pixels_whose_centres_it_contains() -> None:
    corners = np.array([[3.2, 4.1, 1.0], [55.7, 12.9, 1.0], [20.3, 59.6, 1.0]], np.float32)
    drawn = rasterize(corners, TRIANGLE, whole(3), 64, 64).face >= 0
    expected = np.zeros((64, 64), bool)
    rows, columns = polygon(corners[:, 1] - 0.5, corners[:, 0] - 0.5, (64, 64))
    expected[rows, columns] = True
    assert np.array_equal(drawn, expected)


def test_depth_is_that_of_the_plane_seen_in_perspective() -> None:
    normal, offset, focal = np.array([0.3, -0.2, 1.0]), 2.5, 50.0  # the plane normal . p = offset
    pixels = np.array([[0.0, 0.0], [64.0, 2.0], [5.0, 63.0]])
    rays = np.c_[(pixels - 32) / focal, np.ones(3)]
    depth = offset / (rays @ normal)
    corners = np.c_[pixels, depth].astype(np.float32)
    fragments = rasterize(corners, TRIANGLE, whole(3), 64, 64)
    y, x = np.nonzero(fragments.face >= 0)
    exact = offset / (
        np.stack([(x + 0.5 - 32) / focal, (y + 0.5 - 32) / focal, np.ones(len(x))], -1) @ normal
    )
    np.testing.assert_allclose(fragments.depth[y, x], exact, rtol=2e-6)


def test_a_cut_field_ends_the_surface_along_its_zero_line() -> None:
    square = np.array([[0, 0, 1], [64, 0, 1], [64, 64, 1], [0, 64, 1]], np.float32)
    cuts = whole(4)
    cuts[:, 1] = square[:, 0] - 20.0  # keep what lies right of column 20
    drawn = rasterize(square, np.array([[0, 1, 2], [0, 2, 3]], np.int32), cuts, 64, 64).face >= 0
    assert not drawn[:, :20].any()
    assert drawn[:, 20:].all()


def test_a_wall_shadows_what_stands_behind_it_and_nothing_else() -> None:
    wall = np.array([[-1, 0, 1], [1, 0, 1], [0, 2, 1]], np.float32)
    points = np.array([[0, 0.5, 0], [0, 0.5, 2], [0, -0.5, 0]], np.float32)  # under, above, beside
    seen = directional_visibility(
        wall,
        TRIANGLE,
        points,
        np.zeros_like(points),
        np.array([[0, 0, 1.0]], np.float32),
        centre=np.zeros(3, np.float32),
        half_extent=3.0,
    )
    np.testing.assert_array_equal(seen[0], [0, 1, 1])


def test_vertex_normals_of_a_sphere_are_its_radii() -> None:
    vertices, faces = sphere()
    inner = np.abs(vertices[:, 2]) < 0.95
    assert (np.sum(vertex_normals(vertices, faces) * vertices, 1)[inner] > 0.999).all()


def render_sphere() -> np.ndarray:
    vertices, faces = sphere()
    seen = np.stack([vertices[:, 0] * 40 + 48, -vertices[:, 2] * 40 + 48, vertices[:, 1] + 5], -1)
    n = len(vertices)
    data = VertexData(
        vertices, vertices, np.full((n, 3), 0.5, np.float32), np.ones((n, 4), np.float32),
        np.zeros((n, 3), np.float32), np.zeros((n, 1), np.float32),
    )  # fmt: skip
    dark = np.zeros((2, 3), np.float32)
    light = np.array([[-1, -1, 1], [0, 0, 1], [0, 0, 1]], np.float32)
    light[0] /= np.linalg.norm(light[0])
    lighting = Lighting(light, np.array([[3.0] * 3, [0.0] * 3, [0.0] * 3], np.float32), dark)
    chart = SkinChart(np.ones((4, 4, 4), np.float32), 0.0, 8.0, 9.0)
    fragments = rasterize(seen.astype(np.float32), faces, whole(n), 96, 96)
    materials = np.full(len(faces), Material.TEETH, np.int8)
    return shade(
        fragments,
        faces,
        materials,
        data,
        chart,
        np.zeros((2, 14), np.float32),
        lighting,
        np.array([0, -5, 0]),
    )


def test_a_ball_is_brightest_where_it_faces_the_light() -> None:
    picture = render_sphere()
    row, column = np.unravel_index(picture[..., 1].argmax(), (96, 96))
    np.testing.assert_allclose([column, row], [48 - 40 / np.sqrt(3), 48 - 40 / np.sqrt(3)], atol=3)
    assert picture[80, 80, 3] == 0  # nothing in the corner


def test_pictures_do_not_depend_on_the_number_of_threads() -> None:
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = render_sphere()
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(one, render_sphere())
