from __future__ import annotations

import torch

from reference_model.avatar.gaussians import Gaussians, front_facing
from reference_model.render import render
from reference_model.render.camera import Camera
from reference_model.render.projection import ALPHA_MIN, LOW_PASS, NEAR_PLANE, project


def test_ellipse_is_the_covariance_of_projected_samples(random_gaussians, odd_camera: Camera) -> None:
    gaussians = random_gaussians(5, size=0.004)
    projected = project(gaussians, odd_camera)
    a, b, c = projected.conics.unbind(-1)
    covariance = torch.linalg.inv(torch.stack((a, b, b, c), -1).unflatten(-1, (2, 2)).double())

    from scipy.spatial.transform import Rotation

    quats = gaussians.quats.numpy()
    frames = torch.from_numpy(Rotation.from_quat(quats[:, [1, 2, 3, 0]]).as_matrix()).float()
    noise = torch.randn(5, 200_000, 3, generator=torch.Generator().manual_seed(3))
    samples = gaussians.means[:, None] + (noise * gaussians.scales[:, None]) @ frames.mT
    pixels, _ = odd_camera.project(samples)
    for i in range(5):
        expected = torch.cov(pixels[i].double().T) + LOW_PASS * torch.eye(2)
        torch.testing.assert_close(covariance[i], expected, rtol=0.02, atol=2e-3)
    torch.testing.assert_close(projected.means, odd_camera.project(gaussians.means)[0], atol=1e-4, rtol=0)


def test_extents_end_where_alpha_falls_under_its_cut_off(random_gaussians, odd_camera: Camera) -> None:
    gaussians = random_gaussians(50)
    projected = project(gaussians, odd_camera)
    a, b, c = projected.conics.double().unbind(-1)
    half_width = projected.extents[:, 0].double()
    # The rightmost point of the ellipse: there the power does not change with dy.
    dy = -b / c * half_width
    power = -0.5 * (a * half_width**2 + 2 * b * half_width * dy + c * dy**2)
    visible = projected.opacities > ALPHA_MIN
    assert visible.sum() > 30
    alpha = projected.opacities.double() * power.exp()
    torch.testing.assert_close(alpha[visible], torch.full_like(alpha[visible], ALPHA_MIN), rtol=1e-3, atol=0)


def test_pictures_of_a_quarter_of_the_size_are_the_large_ones_averaged(random_gaussians) -> None:
    camera = Camera.frontal((0.0, 0.0, 1.2), focal=80.0, width=48, height=40)
    gaussians = random_gaussians(1500, size=0.008)  # a standard deviation of half a pixel
    large = render(gaussians, camera.resized(4 * 48, 4 * 40)).alpha
    averaged = torch.nn.functional.avg_pool2d(large[None], 4)[0]
    difference = render(gaussians, camera).alpha - averaged
    assert (
        difference.mean().abs() < 0.01
    )  # without the area's compensation 0.09: small Gaussians come out too heavy
    assert difference.abs().mean() < 0.03


def test_what_is_too_faint_for_any_pixel_has_no_extent(random_gaussians, odd_camera: Camera) -> None:
    extents = project(random_gaussians(3, opacity=0.5 * ALPHA_MIN), odd_camera).extents
    assert (extents == -1).all()


def test_long_thin_ellipses_keep_a_positive_definite_conic(odd_camera: Camera) -> None:
    needle = Gaussians(
        means=torch.zeros(1, 3),
        quats=torch.tensor([[0.9, 0.1, 0.3, 0.2]]),
        scales=torch.tensor([[30.0, 1e-5, 1e-5]]),
        opacities=torch.ones(1),
        colors=torch.ones(1, 3),
    )
    a, b, c = project(needle, odd_camera).conics.double()[0]
    wide = Gaussians(
        needle.means.double(), needle.quats.double(), needle.scales.double(), needle.opacities, needle.colors
    )
    camera = Camera(
        odd_camera.rotation.double(), odd_camera.translation.double(),
        odd_camera.focal, odd_camera.cx, odd_camera.cy, odd_camera.width, odd_camera.height,
    )  # fmt: skip
    expected = project(wide, camera).conics[0]
    torch.testing.assert_close(torch.stack((a, b, c)), expected, rtol=1e-4, atol=0)


def test_gaussians_behind_the_camera_have_finite_gradients(random_gaussians, odd_camera: Camera) -> None:
    gaussians = random_gaussians(4)
    means = (gaussians.means + odd_camera.center * 1.5).requires_grad_()
    behind = Gaussians(means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors)
    projected = project(behind, odd_camera)
    assert (projected.depths < NEAR_PLANE).all()
    (gradient,) = torch.autograd.grad(projected.means.sum() + projected.conics.sum(), means)
    assert torch.isfinite(gradient).all()


def test_front_facing_keeps_normals_towards_the_camera_and_the_contour() -> None:
    camera = Camera.frontal((0.0, 0.0, 2.0), focal=100.0, width=64, height=64)
    angles = torch.deg2rad(torch.tensor([0.0, 60.0, 95.0, 110.0, 180.0]))
    # A turn of `90 + angle` degrees about x takes the third axis from +z over -y (to the camera), by `angle` on.
    half = (torch.pi / 2 + angles) / 2
    quats = torch.stack((half.cos(), half.sin(), 0 * half, 0 * half), -1)
    gaussians = Gaussians(torch.zeros(5, 3), 3 * quats, torch.ones(5, 3), torch.ones(5), torch.ones(5, 3))
    torch.testing.assert_close(gaussians.normals[0], torch.tensor([0.0, -1.0, 0.0]), atol=1e-6, rtol=0)
    assert front_facing(gaussians, camera).tolist() == [True, True, True, False, False]
