from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from reference_model.avatar.gaussians import Gaussians
from reference_model.render import render
from reference_model.render.camera import Camera
from reference_model.render.projection import TRANSMITTANCE_MIN
from reference_model.render.twin import render_twin

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

PARTS = tuple(field.name for field in fields(Gaussians))


def picture_and_gradients(renderer, gaussians: Gaussians, camera: Camera, device: str, **options):
    leaves = [getattr(gaussians, name).to(device).clone().requires_grad_() for name in PARTS]
    options = {name: value.to(device) for name, value in options.items()}
    translation = camera.translation.to(device).clone().requires_grad_()
    moved = replace(camera.to(device), translation=translation)
    picture = renderer(Gaussians(*leaves), moved, **options)
    weights = torch.randn(picture.rgb.shape, generator=torch.Generator().manual_seed(1)).to(device)
    loss = (picture.rgb * weights).sum() + picture.alpha.square().sum()
    gradients = torch.autograd.grad(loss, [*leaves, translation])
    return picture, dict(zip((*PARTS, "translation"), (g.cpu() for g in gradients), strict=True))


@pytest.mark.parametrize(("n", "size"), [(500, 0.02), (20, 0.3)])
def test_gsplat_draws_what_the_twin_draws(random_gaussians, odd_camera: Camera, n, size) -> None:
    gaussians = random_gaussians(n, size=size)
    options = {"background": torch.rand(odd_camera.height, odd_camera.width, 3)}
    options["visible"] = torch.arange(n) % 4 != 0
    ours, gradients = picture_and_gradients(render, gaussians, odd_camera, "cuda", **options)
    twin, expected = picture_and_gradients(render_twin, gaussians, odd_camera, "cpu", **options)
    # Pixels may differ by a step of ALPHA_MIN where rounding decides a cut-off, so the bound is on the mean.
    assert (ours.rgb.cpu() - twin.rgb).abs().mean() < 1e-5
    assert (ours.alpha.cpu() - twin.alpha).abs().mean() < 1e-5
    for name, gradient in gradients.items():
        assert torch.linalg.vector_norm(gradient - expected[name]) < 1e-3 * expected[name].norm(), name


def test_saturated_rays_differ_by_no_more_than_their_cut_offs(random_gaussians, odd_camera: Camera) -> None:
    # gsplat goes on until a ray keeps 1e-4 of its light, the twin until TRANSMITTANCE_MIN. Gradients of the alpha of
    # rays that are all but saturated hang on those cut-offs, so only pictures are compared.
    gaussians = random_gaussians(500, size=0.3)
    with torch.no_grad():
        ours = render(gaussians.to("cuda"), odd_camera.to("cuda"))
        twin = render_twin(gaussians, odd_camera)
    assert (ours.rgb.cpu() - twin.rgb).abs().mean() < 5e-4
    assert (ours.alpha.cpu() - twin.alpha).abs().mean() < TRANSMITTANCE_MIN


def test_frames_in_one_call_are_the_frames_alone(random_gaussians, odd_camera: Camera) -> None:
    frames = [random_gaussians(200, seed=seed).to("cuda") for seed in range(3)]
    stacked = Gaussians(*(torch.stack([getattr(frame, name) for frame in frames]) for name in PARTS))
    picture = render(stacked, odd_camera.to("cuda"))
    for t, frame in enumerate(frames):
        alone = render(frame, odd_camera.to("cuda"))
        torch.testing.assert_close(picture.rgb[t], alone.rgb, atol=1e-5, rtol=0)
        torch.testing.assert_close(picture.alpha[t], alone.alpha, atol=1e-5, rtol=0)
