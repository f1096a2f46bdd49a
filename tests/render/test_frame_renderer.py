from __future__ import annotations

import numpy as np
import pytest
import torch

from reference_model.avatar.gaussians import Gaussians
from reference_model.render import render
from reference_model.render.camera import Camera
from reference_model.render.frame_renderer import FrameRenderer


def arrays_of(gaussians: Gaussians) -> list[np.ndarray]:
    parts = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors)
    return [part.numpy() for part in parts]


@pytest.mark.parametrize("yaw_deg", [0.0, 40.0])
def test_a_frame_is_the_rounded_picture_of_render(random_gaussians, odd_camera: Camera, yaw_deg) -> None:
    camera = odd_camera.orbited(torch.zeros(3), yaw_deg)
    background = np.random.default_rng(0).integers(0, 256, (camera.height, camera.width, 3), np.uint8)
    frames = FrameRenderer(background)
    for n, seed in ((700, 0), (700, 1), (300, 2)):  # the scene may change from frame to frame, in size too
        gaussians, visible = random_gaussians(n, seed=seed), torch.arange(n) % 5 != 0
        rgb, alpha = frames.draw(*arrays_of(gaussians), camera, visible=visible.numpy())
        expected = render(
            gaussians,
            camera,
            background=torch.from_numpy(background) / 255,
            visible=visible,
        )
        assert (torch.from_numpy(rgb) - 255 * expected.rgb).abs().max() < 0.51
        assert (torch.from_numpy(alpha) - 255 * expected.alpha).abs().max() < 0.51


def test_frames_do_not_share_memory(random_gaussians, odd_camera: Camera) -> None:
    frames = FrameRenderer(np.zeros((odd_camera.height, odd_camera.width, 3), np.uint8))
    first, _ = frames.draw(*arrays_of(random_gaussians(50)), odd_camera)
    kept = first.copy()
    frames.draw(*arrays_of(random_gaussians(50, seed=1)), odd_camera)
    assert np.array_equal(first, kept)


def test_a_camera_of_another_size_than_the_background_is_refused(random_gaussians, odd_camera) -> None:
    frames = FrameRenderer(np.zeros((10, 12, 3), np.uint8))
    with pytest.raises(ValueError, match="the camera's picture is 67x51, the background 12x10"):
        frames.draw(*arrays_of(random_gaussians(5)), odd_camera)


def test_numbers_that_are_not_finite_are_an_error(random_gaussians, odd_camera: Camera) -> None:
    gaussians = random_gaussians(5)
    gaussians.scales[3, 0] = float("inf")
    frames = FrameRenderer(np.zeros((odd_camera.height, odd_camera.width, 3), np.uint8))
    with pytest.raises(ValueError, match="1 Gaussians are not finite, the first is number 3"):
        frames.draw(*arrays_of(gaussians), odd_camera)
