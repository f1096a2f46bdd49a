"""Mesh geometry on shapes with known answers, and the z-buffer against ray casting."""

from __future__ import annotations

import numpy as np
import torch

from reference_model.body.mesh import rasterize_mesh, triangle_areas, triangle_frames, vertex_normals


def icosphere() -> tuple[np.ndarray, np.ndarray]:
    """A sphere of 642 points."""
    from scipy.spatial import ConvexHull

    k = np.arange(642) + 0.5
    polar, azimuth = np.arccos(1 - 2 * k / 642), np.pi * (1 + 5**0.5) * k
    points = np.stack([np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)], 1)
    faces = ConvexHull(points).simplices
    normal = np.cross(points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]])
    inward = (normal * points[faces].mean(1)).sum(1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return points, faces


def test_normals_of_a_sphere_point_outwards_from_its_centre() -> None:
    points, faces = icosphere()
    normals = vertex_normals(torch.tensor(points), torch.tensor(faces).long())
    assert (normals.numpy() * points).sum(1).min() > 0.995


def test_areas_of_a_sphere_sum_to_four_pi() -> None:
    points, faces = icosphere()
    total = triangle_areas(torch.tensor(points), torch.tensor(faces).long()).sum()
    assert abs(total / (4 * np.pi) - 1) < 0.02


def test_triangle_frames_are_right_handed_and_turn_with_the_mesh() -> None:
    points, faces = icosphere()
    index = torch.tensor(faces).long()
    turn = torch.linalg.qr(
        torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    )[0]
    turn *= torch.linalg.det(turn)
    vertices = torch.tensor(points)
    frames = triangle_frames(torch.stack([vertices, vertices @ turn.T]), index)
    torch.testing.assert_close(torch.linalg.det(frames), torch.ones(2, len(faces), dtype=torch.float64))
    torch.testing.assert_close(frames[1], turn @ frames[0])


def test_normals_have_finite_gradients_on_degenerate_triangles() -> None:
    vertices = torch.zeros(3, 3, requires_grad=True)
    faces = torch.tensor([[0, 1, 2]])
    (vertex_normals(vertices, faces).sum() + triangle_areas(vertices, faces).sum()).backward()
    assert vertices.grad is not None and torch.isfinite(vertices.grad).all()


def test_z_buffer_agrees_with_casting_a_ray_through_every_pixel() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(-1, 1, (30, 3, 3)) + np.array([0, 0, 3])
    vertices, faces = corners.reshape(-1, 3), np.arange(90).reshape(-1, 3)
    focal, width, height = 40.0, 48, 40
    projected = np.column_stack(
        [focal * vertices[:, :2] / vertices[:, 2:] + [width / 2, height / 2], vertices[:, 2]]
    )
    drawn = rasterize_mesh(projected, faces, width, height)

    y, x = np.mgrid[:height, :width] + 0.5
    rays = np.stack([(x - width / 2) / focal, (y - height / 2) / focal, np.ones_like(x)], -1)  # depth 1
    best = np.full((height, width), np.inf)
    owner = np.full((height, width), -1)
    shares = np.zeros((height, width, 3))
    for f, (a, b, c) in enumerate(corners):
        system = np.stack(
            np.broadcast_arrays(a - b, a - c, rays), -1
        )  # a + v (b - a) + w (c - a) = depth ray
        v, w, depth = np.moveaxis(
            np.linalg.solve(system, np.broadcast_to(a, rays.shape)[..., None])[..., 0], -1, 0
        )
        hit = (v >= 0) & (w >= 0) & (v + w <= 1) & (depth > 0) & (depth < best)
        best[hit], owner[hit] = depth[hit], f
        shares[hit] = np.stack([1 - v - w, v, w], -1)[hit]

    np.testing.assert_array_equal(drawn.face_index, owner)
    np.testing.assert_allclose(drawn.depth, best, rtol=1e-5)
    np.testing.assert_allclose(drawn.barycentric, shares, atol=1e-5)


def test_triangles_behind_the_camera_are_left_out() -> None:
    projected = np.array([[0, 0, 1.0], [20, 0, 1.0], [0, 20, -1.0]])
    assert (rasterize_mesh(projected, np.array([[0, 1, 2]]), 16, 16).face_index == -1).all()
