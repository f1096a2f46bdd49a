from __future__ import annotations

import numpy as np
import pytest
import torch

from reference_model.body.skinning import BodyState, TemplateTensors, rest_vertices
from reference_model.body.template import load_template
from reference_model.corpus.motion.lip_gap import lip_gap


def mouth(**weights: float) -> np.ndarray:
    template = load_template()
    actions = np.zeros(len(template.action_names))
    for name, weight in weights.items():
        actions[template.action(name)] = weight
    return actions


def test_the_template_at_rest_has_its_lips_together():
    assert lip_gap().millimetres(mouth()) < 0.5


def test_mouth_close_undoes_jaw_open():
    assert lip_gap().millimetres(mouth(jawOpen=0.4)) > 10
    assert lip_gap().millimetres(mouth(jawOpen=0.4, mouthClose=0.4)) < 0.5


def test_the_gap_is_the_hole_that_a_ray_from_the_front_falls_through():
    template = load_template()
    tensors = TemplateTensors(template)
    actions = mouth(jawOpen=0.3, mouthFunnel=0.2)
    state = BodyState.neutral(tensors).replace(actions=torch.tensor(actions, dtype=torch.float32))
    vertices = rest_vertices(tensors, state).numpy()
    skin = template.faces[template.region_faces("head")]
    lips = vertices[template.lip > 0.5]
    front = vertices[skin][..., 1].max(1) < lips[:, 1].max()  # nothing behind the lips
    seen = vertices[skin][front][..., [0, 2]] * 1000  # [F, 3, 2] mm, as seen from the front
    step = 0.1
    heights = np.arange(lips[:, 2].min() * 1000, lips[:, 2].max() * 1000, step)
    open_at = [not _inside(seen, np.array([0.3, height])) for height in heights]
    assert lip_gap().signed_mm(actions)[2] == pytest.approx(sum(open_at) * step, abs=1.5)


def _inside(triangles: np.ndarray, point: np.ndarray) -> bool:
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]

    def side(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return (q[:, 0] - p[:, 0]) * (point[1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (point[0] - p[:, 0])

    signs = np.sign(np.stack([side(a, b), side(b, c), side(c, a)]))
    return bool((np.abs(signs.sum(0)) == 3).any())


def test_solving_gives_the_wished_gap():
    shut, half, wide = mouth(jawOpen=0.1, mouthClose=0.15), mouth(jawOpen=0.1), mouth(jawOpen=0.6)
    wished = np.array([0.0, 0.5, 2.0, 5.0, 10.0, 15.0])
    path = np.stack([np.tile(corner, (len(wished), 1)) for corner in (shut, half, wide)])
    solved = lip_gap().solve(path, wished)
    np.testing.assert_allclose(lip_gap().signed_mm(solved)[1:, 1:4].mean(1), wished[1:], atol=0.05)
    assert lip_gap().signed_mm(solved)[0].max() < 0.0
