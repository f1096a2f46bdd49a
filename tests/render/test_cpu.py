from __future__ import annotations

from dataclasses import fields, replace

import numba
import numpy as np
import pytest
import torch

from reference_model.avatar.gaussians import Gaussians
from reference_model.render import Rendered, render, twin
from reference_model.render.camera import Camera
from reference_model.render.projection import LOW_PASS

PARTS = tuple(field.name for field in fields(Gaussians))


def decided_pixels(gaussians: Gaussians, camera: Camera, monkeypatch, **options) -> torch.Tensor:
    """Pixels `[H, W, 1]` of 0 and 1 in which no cut-off is so close that rounding decides it.

    Elsewhere two right renderers may differ by a step of `ALPHA_MIN`.
    """
    pictures = []
    for shift in (1 - 2e-5, 1 + 2e-5):
        with monkeypatch.context() as patch:
            for name in ("ALPHA_MIN", "TRANSMITTANCE_MIN"):
                patch.setattr(twin, name, shift * getattr(twin, name))
            with torch.no_grad():
                pictures.append(twin.render_twin(gaussians, camera, **options).rgb)
    decided = (pictures[0] == pictures[1]).all(-1, keepdim=True)
    assert decided.float().mean() > 0.95
    return decided.float()


def with_gradients(
    renderer,
    gaussians: Gaussians,
    camera: Camera,
    background: torch.Tensor,
    pixels: torch.Tensor | float = 1.0,
    **options,
):
    """Draw, and push the same random gradients of colour and alpha back through, from `pixels` alone."""
    leaves = {name: getattr(gaussians, name).clone().requires_grad_() for name in PARTS}
    leaves["background"] = background.clone().requires_grad_()
    leaves["translation"] = camera.translation.clone().requires_grad_()
    picture: Rendered = renderer(
        Gaussians(*(leaves[name] for name in PARTS)),
        replace(camera, translation=leaves["translation"]),
        background=leaves["background"],
        **options,
    )
    generator = torch.Generator().manual_seed(1)
    picture = Rendered(picture.rgb * pixels, (picture.alpha[..., None] * pixels)[..., 0])
    loss = (picture.rgb * torch.randn(picture.rgb.shape, generator=generator)).sum()
    loss = loss + (picture.alpha * torch.randn(picture.alpha.shape, generator=generator)).sum()
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return picture, dict(zip(leaves, gradients, strict=True))


def assert_same(ours, reference) -> None:
    (picture, gradients), (expected, expected_gradients) = ours, reference
    assert (picture.rgb - expected.rgb).abs().max() < 1e-4
    assert (picture.alpha - expected.alpha).abs().max() < 1e-4
    for name, gradient in gradients.items():
        largest = expected_gradients[name].abs().max()
        error = (gradient - expected_gradients[name]).abs().max()
        assert error <= 1e-3 * largest, f"{name}: error {error:.2e} of {largest:.2e}"


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("n", "size"),
    [(700, 0.02), (60, 0.4), (300, 0.001)],
    ids=["many small", "bigger than the picture", "smaller than a pixel"],
)
def test_picture_and_all_gradients_are_those_of_the_twin(
    random_gaussians, odd_camera, monkeypatch, n, size, seed
) -> None:
    gaussians = random_gaussians(n, seed=seed, size=size)
    background = torch.rand(odd_camera.height, odd_camera.width, 3)
    pixels = decided_pixels(gaussians, odd_camera, monkeypatch)
    ours = with_gradients(render, gaussians, odd_camera, background, pixels)
    assert_same(ours, with_gradients(twin.render_twin, gaussians, odd_camera, background, pixels))


def test_opaque_layers_end_a_pixel_as_in_the_twin(random_gaussians, odd_camera, monkeypatch) -> None:
    gaussians = random_gaussians(1500, size=0.06)
    gaussians = replace(gaussians, opacities=gaussians.opacities.clamp_min(0.9) + 0.02)
    background = torch.rand(3)
    pixels = decided_pixels(gaussians, odd_camera, monkeypatch)
    ours = with_gradients(render, gaussians, odd_camera, background, pixels)
    assert ours[0].alpha.max() > 0.999
    drawn = ours[1]["colors"].abs().sum(-1) > 0
    assert drawn.float().mean() < 0.5  # most lie behind opaque layers
    assert_same(ours, with_gradients(twin.render_twin, gaussians, odd_camera, background, pixels))


def test_alphas_at_their_upper_bound_have_the_twins_gradients(odd_camera: Camera) -> None:
    stack = Gaussians(
        means=torch.tensor([[0.0, 0.1 * i, 0.01 * i] for i in range(3)]),
        quats=torch.tensor([[0.9, 0.1, 0.3, -0.2]]).expand(3, 4),
        scales=torch.tensor([[0.05, 0.08, 0.12]]).expand(3, 3),
        opacities=torch.tensor([1.0, 1.0, 0.7]),
        colors=torch.eye(3),
    )
    ours = with_gradients(render, stack, odd_camera, torch.ones(3))
    assert_same(ours, with_gradients(twin.render_twin, stack, odd_camera, torch.ones(3)))


def test_one_gaussian_has_the_closed_form() -> None:
    camera = Camera.frontal((0.0, 0.0, 2.0), focal=100.0, width=33, height=21)
    ball = Gaussians(
        means=torch.zeros(1, 3),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        scales=torch.full((1, 3), 0.06),
        opacities=torch.tensor([0.8]),
        colors=torch.tensor([[0.2, 0.4, 0.9]]),
    )
    picture = render(ball, camera, background=torch.tensor([1.0, 0.0, 0.5]))
    x, y = np.meshgrid(np.arange(33) + 0.5 - 16.5, np.arange(21) + 0.5 - 10.5)
    spread = 3.0**2 + LOW_PASS  # 0.06 m at 2 m are 3 px
    alpha = 0.8 * 3.0**2 / spread * np.exp(-0.5 * (x**2 + y**2) / spread)
    alpha[alpha < 1 / 255] = 0
    np.testing.assert_allclose(picture.alpha, alpha, atol=1e-5)
    expected = alpha[..., None] * [0.2, 0.4, 0.9] + (1 - alpha[..., None]) * [1.0, 0.0, 0.5]
    np.testing.assert_allclose(picture.rgb, expected, atol=1e-5)


def test_gradients_are_finite_differences_of_the_twin_in_float64(random_gaussians) -> None:
    camera = Camera.frontal((0.0, 0.0, 1.2), focal=40.0, width=19, height=17)
    gaussians = random_gaussians(6, size=0.1)
    background = torch.rand(3)
    _, gradients = with_gradients(render, gaussians, camera, background)
    precise = replace(camera, rotation=camera.rotation.double(), translation=camera.translation.double())
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(17, 19, 3, generator=generator), torch.randn(17, 19, generator=generator)

    def loss(parts: dict[str, torch.Tensor]) -> float:
        picture = twin.render_twin(Gaussians(**parts), precise, background=background.double())
        return float((picture.rgb * weights[0]).sum() + (picture.alpha * weights[1]).sum())

    step = 1e-6
    for name in PARTS:
        parts = {part: getattr(gaussians, part).double().contiguous() for part in PARTS}
        largest = gradients[name].abs().max()
        for index in range(0, parts[name].numel(), 2):
            shifted = [dict(parts), dict(parts)]
            for sign, case in zip((1, -1), shifted, strict=True):
                case[name] = parts[name].clone()
                case[name].view(-1)[index] += sign * step
            difference = (loss(shifted[0]) - loss(shifted[1])) / (2 * step)
            assert abs(gradients[name].reshape(-1)[index] - difference) < 2e-3 * largest, (name, index)


def test_one_and_two_threads_give_the_same_bits(random_gaussians, odd_camera: Camera) -> None:
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("needs two threads")
    gaussians, before = random_gaussians(2000), numba.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            results.append(with_gradients(render, gaussians, odd_camera, torch.rand(3).fill_(0.3)))
    finally:
        numba.set_num_threads(before)
    (one, one_gradients), (two, two_gradients) = results
    assert torch.equal(one.rgb, two.rgb)
    assert torch.equal(one.alpha, two.alpha)
    for name, gradient in one_gradients.items():
        assert torch.equal(gradient, two_gradients[name]), name


def test_an_empty_scene_is_the_background(random_gaussians, odd_camera: Camera) -> None:
    background = torch.rand(odd_camera.height, odd_camera.width, 3)
    picture, gradients = with_gradients(render, random_gaussians(0), odd_camera, background)
    assert torch.equal(picture.rgb, background)
    assert not picture.alpha.any()
    assert gradients["means"].shape == (0, 3)


def test_no_background_is_black_and_leaves_colour_premultiplied(random_gaussians, odd_camera: Camera) -> None:
    gaussians = random_gaussians(300)
    over_black = render(gaussians, odd_camera)
    over_white = render(gaussians, odd_camera, background=torch.ones(3))
    torch.testing.assert_close(
        over_white.rgb, over_black.rgb + 1 - over_black.alpha[..., None], atol=1e-6, rtol=0
    )


def test_gaussians_behind_the_camera_are_not_drawn(random_gaussians, odd_camera: Camera) -> None:
    gaussians = random_gaussians(100)
    both = Gaussians(
        means=torch.cat((gaussians.means, gaussians.means + 2 * odd_camera.center)),
        **{name: torch.cat((getattr(gaussians, name),) * 2) for name in PARTS[1:]},
    )
    picture, gradients = with_gradients(render, both, odd_camera, torch.rand(3))
    assert torch.equal(picture.alpha, render(gaussians, odd_camera).alpha)
    for name in PARTS:
        assert gradients[name][:100].any()
        assert not gradients[name][100:].any()


def test_background_gradient_is_what_shines_through(random_gaussians, odd_camera: Camera) -> None:
    gaussians = random_gaussians(200)
    image = torch.rand(odd_camera.height, odd_camera.width, 3, requires_grad=True)
    picture = render(gaussians, odd_camera, background=image)
    picture.rgb.sum().backward()
    assert image.grad is not None
    torch.testing.assert_close(image.grad, (1 - picture.alpha)[..., None].expand(image.shape))
    color = torch.rand(3, requires_grad=True)
    render(gaussians, odd_camera, background=color).rgb.sum().backward()
    torch.testing.assert_close(color.grad, (1 - picture.alpha).sum().expand(3))


def test_what_is_not_visible_is_as_if_it_were_not_there(random_gaussians, odd_camera: Camera) -> None:
    gaussians, visible = random_gaussians(500), torch.arange(500) % 3 != 0
    picture, gradients = with_gradients(render, gaussians, odd_camera, torch.zeros(3), visible=visible)
    assert torch.equal(picture.rgb, render(gaussians.select(visible), odd_camera).rgb)
    assert not gradients["colors"][~visible].any()
    expected = with_gradients(twin.render_twin, gaussians, odd_camera, torch.zeros(3), visible=visible)
    assert_same((picture, gradients), expected)


def test_leading_dimension_draws_frames(random_gaussians, odd_camera: Camera) -> None:
    frames = [random_gaussians(80, seed=seed) for seed in range(3)]
    stacked = Gaussians(*(torch.stack([getattr(frame, name) for frame in frames]) for name in PARTS))
    visible = torch.rand(3, 80) > 0.5
    picture = render(stacked, odd_camera, visible=visible)
    assert picture.rgb.shape == (3, odd_camera.height, odd_camera.width, 3)
    for t, frame in enumerate(frames):
        alone = render(frame, odd_camera, visible=visible[t])
        assert torch.equal(picture.rgb[t], alone.rgb)
        assert torch.equal(picture.alpha[t], alone.alpha)


def test_numbers_that_are_not_finite_are_an_error(random_gaussians, odd_camera: Camera) -> None:
    gaussians = random_gaussians(10)
    gaussians.colors[7, 1] = float("nan")
    with pytest.raises(ValueError, match="1 Gaussians are not finite, the first is number 7"):
        render(gaussians, odd_camera)


def test_wrong_shapes_are_named(random_gaussians, odd_camera: Camera) -> None:
    gaussians = random_gaussians(10)
    with pytest.raises(ValueError, match=r"background must have shape .* got \(2, 3\)"):
        render(gaussians, odd_camera, background=torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"visible must have shape \(10,\), got \(9,\)"):
        render(gaussians, odd_camera, visible=torch.ones(9, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"scales must have shape \(10, 3\), got \(10, 2\)"):
        replace(gaussians, scales=torch.zeros(10, 2))
