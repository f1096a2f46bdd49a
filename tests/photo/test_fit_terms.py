"""The fit's objective around one place, against automatic differentiation and its own definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reference_model.body.skinning import template_tensors
from reference_model.body.template import load_template
from reference_model.cuda_graph import Graphed
from reference_model.photo.evidence import collect_evidence
from reference_model.photo.fit_terms import FitTerms, TermWeights
from reference_model.photo.fitting import joint_stiffness
from tests.photo.known_person import KnownPerson

WEIGHTS = torch.tensor(TermWeights(face=3000, hand=600, mask=6.0, contour=1.0))


def terms_on(device: str, person: KnownPerson) -> FitTerms:
    template = load_template()
    evidence = collect_evidence(template, person.landmarks, 512, 512, person.alpha)
    stiffness = joint_stiffness(template, ("left", "right"), legs_seen=False)
    tensors = template_tensors(device).cut(torch.as_tensor(evidence.vertices, device=device))
    return FitTerms(tensors, evidence.to(device), stiffness)


@pytest.fixture(scope="module")
def terms(known_person: KnownPerson) -> FitTerms:
    return terms_on("cpu", known_person)


@pytest.fixture(scope="module")
def near(known_person: KnownPerson) -> torch.Tensor:
    """The person's own unknowns, a little off."""
    state, camera = known_person.state, known_person.camera
    parts = [state.shape, state.actions, state.rotations.flatten(), camera.translation]
    truth = torch.cat([*parts, torch.tensor([np.log(camera.focal)], dtype=torch.float32)])
    return truth + 0.01 * torch.randn(len(truth), generator=torch.Generator().manual_seed(0))


def test_the_gradient_is_that_of_the_value(terms: FitTerms, near: torch.Tensor) -> None:
    """Central differences along some directions; single precision and the matte's pixels leave 2 %."""
    gradient = terms.expand(near, WEIGHTS).gradient
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        along = torch.randn(len(near), generator=generator) + 3 * gradient / gradient.norm()
        along = 2e-3 * along / along.norm()
        ahead, behind = (terms.expand(near + sign * along, WEIGHTS).value for sign in (1, -1))
        assert float((ahead - behind) / 2) == pytest.approx(float(gradient @ along), rel=0.02)


def test_the_curvature_is_symmetric_and_positive(terms: FitTerms, near: torch.Tensor) -> None:
    hessian = terms.expand(near, WEIGHTS).hessian.double()
    assert torch.allclose(hessian, hessian.T, rtol=1e-4)
    assert torch.linalg.eigvalsh(hessian).min() > -1e-3 * hessian.diagonal().max()


def test_the_true_person_lies_within_a_pixel_of_what_was_seen(
    terms: FitTerms, near: torch.Tensor, known_person: KnownPerson
) -> None:
    state, camera = known_person.state, known_person.camera
    parts = [state.shape, state.actions, state.rotations.flatten(), camera.translation]
    truth = torch.cat([*parts, torch.tensor([np.log(camera.focal)], dtype=torch.float32)])
    exact, off = terms.errors_px(truth), terms.errors_px(near)
    assert max(exact.values()) < 0.6
    assert all(off[name] > exact[name] for name in exact)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_finds_the_same_call_after_call(
    terms: FitTerms, near: torch.Tensor, known_person: KnownPerson
) -> None:
    """The first call captures a graph, the others replay it, the last with the weights of another stage."""
    expand = Graphed(terms_on("cuda", known_person).expand, warm_ups=1, at_once=True)
    for place, weights in (
        (near, WEIGHTS),
        (near + 0.01, WEIGHTS),
        (near - 0.01, 0.25 * WEIGHTS),
    ):
        for part, whole in zip(
            expand(place.cuda(), weights.cuda()), terms.expand(place, weights), strict=True
        ):
            assert (part.cpu() - whole).abs().max() < 1e-3 * whole.abs().max()
