from __future__ import annotations

import numpy as np
import torch

from reference_model.body.mesh import rasterize_mesh
from reference_model.body.skinning import TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.photo.silhouette import offsets_to_rest, silhouette_offsets
from tests.photo.known_person import KnownPerson


def test_posing_the_offsets_gives_the_displaced_mesh(known_person: KnownPerson) -> None:
    """Through bent elbows the blended rotation is no rotation; only solving with it returns to the same place."""
    tensors = TemplateTensors(load_template())
    generator = torch.Generator().manual_seed(0)
    displacement = 0.05 * torch.randn(known_person.posed.vertices.shape, generator=generator)
    displaced = known_person.posed.vertices + displacement

    offsets = offsets_to_rest(tensors, known_person.posed.transforms, displacement)
    again = pose(tensors, known_person.state.replace(offsets=offsets)).vertices

    assert (again - displaced).norm(dim=-1).max() < 1e-4  # m


def test_the_body_grows_into_the_matte_while_face_and_eyes_stay(known_person: KnownPerson) -> None:
    """The matte is that of the same person in a coat: 2.5 cm thicker everywhere but at the head and hands."""
    template = load_template()
    tensors = TemplateTensors(template)
    bare = known_person.posed.vertices
    trunk = template.region_vertices("body") & ~template.region_vertices("head", "hand_left", "hand_right")
    middle = bare[torch.as_tensor(trunk)].mean(0)
    coat = bare.clone()
    outward = torch.nn.functional.normalize((bare - middle) * torch.tensor([1.0, 1.0, 0.0]), dim=-1)
    coat[torch.as_tensor(trunk)] += 0.025 * outward[torch.as_tensor(trunk)]
    alpha = silhouette(coat, known_person)
    before = overlap(silhouette(bare, known_person), alpha)

    offsets, reported = silhouette_offsets(known_person.state, known_person.camera, alpha)
    dressed = pose(tensors, known_person.state.replace(offsets=offsets)).vertices
    after = overlap(silhouette(dressed, known_person), alpha)

    assert before < 0.95 and after > 0.975
    assert abs(after - reported) < 0.01
    held = torch.as_tensor(template.region_vertices("eye_front_left", "teeth_upper"))
    assert (dressed - bare)[held].norm(dim=-1).max() < 3e-3


def test_a_matte_that_fits_already_moves_nothing_much(known_person: KnownPerson) -> None:
    offsets, reported = silhouette_offsets(known_person.state, known_person.camera, known_person.alpha)

    assert reported > 0.98
    assert offsets.norm(dim=-1).mean() < 2e-3


def silhouette(vertices: torch.Tensor, person: KnownPerson) -> np.ndarray:
    pixels, depth = person.camera.project(vertices)
    projected = torch.cat([pixels, depth[:, None]], 1).numpy()
    return (rasterize_mesh(projected, load_template().faces, 512, 512).face_index >= 0).astype(np.float32)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.logical_and(a, b).sum() / np.logical_or(a, b).sum())
