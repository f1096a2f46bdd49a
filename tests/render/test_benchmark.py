from __future__ import annotations

from reference_model.render import render
from reference_model.render.benchmark import body_like_scene, half_body_camera, measure


def test_the_scene_is_opaque_and_fills_under_half_of_the_picture() -> None:
    alpha = render(body_like_scene(4000), half_body_camera(96, 128)).alpha
    assert 0.35 < (alpha > 0.5).float().mean() < 0.55
    inside = alpha[60:80, 40:56]  # the chest
    assert inside.mean() > 0.97


def test_all_four_times_are_taken() -> None:
    timing = measure(300, 48, 64, repeats=1)
    assert timing.n == 300
    assert min(timing.frame_ms, timing.forward_ms, timing.forward_backward_ms, timing.twin_ms) > 0
