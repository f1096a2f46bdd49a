"""Gaussians on skin that unfolds grow with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reference_model.body.particles import fit_particle_twists, load_particles
from reference_model.body.se3 import exp_se3
from reference_model.body.template import load_template
from reference_model.networks.surface import particle_places
from reference_model.stretch import SurfaceStretch


def area(corners: np.ndarray) -> np.ndarray:
    """Areas of triangles [n, 3, 3] by Heron's formula."""
    a, b, c = (
        np.linalg.norm(corners[:, i] - corners[:, i - 1], axis=-1).astype(np.float64) for i in range(3)
    )
    s = (a + b + c) / 2
    return np.sqrt(np.maximum(s * (s - a) * (s - b) * (s - c), 0))


@pytest.fixture(scope="module")
def blink() -> np.ndarray:
    """Displacement of the template's vertices when both eyes shut, [V, 3]."""
    template = load_template()
    return template.actions[[template.action("eyeBlinkLeft"), template.action("eyeBlinkRight")]].sum(0)


@pytest.fixture(scope="module")
def stretch() -> SurfaceStretch:
    """One Gaussian on each triangle of the neutral template."""
    template = load_template()
    triangle = np.arange(len(template.faces))
    return SurfaceStretch(
        template, load_particles(), template.vertices, triangle, np.ones(len(triangle), bool)
    )


def test_growth_is_that_of_the_triangle_under_the_gaussian(stretch, blink):
    template = load_template()
    growth = stretch.by_displacement(torch.from_numpy(blink[stretch.vertices.numpy()]))
    faces = template.faces[stretch.rows.numpy()]  # one Gaussian a triangle
    before, after = area(template.vertices[faces]), area((template.vertices + blink)[faces])
    large = before > 1e-7
    expected = np.clip(after / before, 1, 12)[large]
    assert (expected > 1.5).sum() > 50
    assert np.allclose(growth.numpy()[large], expected, rtol=0.05)


def test_particles_that_shut_the_eyes_unfold_the_lids(stretch, blink):
    template, particles = load_template(), load_particles()
    twists = torch.from_numpy(fit_particle_twists((template.vertices + blink)[None], template.vertices)[0])

    rotation, translation = exp_se3(twists)
    centers = particle_places(template, particles, template.vertices, template.joints)[particles.n_joints :]
    turn = rotation - torch.eye(3)
    by_particles = stretch.by_particles(turn, translation, torch.from_numpy(centers).float())
    by_mesh = stretch.by_displacement(torch.from_numpy(blink[stretch.vertices.numpy()]))
    # Blended motions are smoother than the mesh, so only the typical growth is the same.
    ratio = (by_particles / by_mesh)[by_mesh > 2]
    assert len(ratio) > 50
    assert 0.5 < float(ratio.median()) < 2


def test_nothing_grows_without_motion_and_only_the_head_folds(stretch):
    assert (stretch.by_displacement(torch.zeros(len(stretch.vertices), 3)) == 1).all()
    template = load_template()
    assert template.region_faces("head")[stretch.rows.numpy()].all()
