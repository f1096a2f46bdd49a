"""Pictures through all encoders, the transformer and the decoders to an avatar that is drawn and driven, all tiny."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reference_model.avatar.io import load_avatar, save_avatar
from reference_model.body.skinning import BodyState, TemplateTensors, pose
from reference_model.body.template import load_template
from reference_model.deform import Rig
from reference_model.networks.gaussian_head import Residuals
from reference_model.reconstruction.body_encoder import BodyEncoder
from reference_model.reconstruction.fine_tune import fine_tune
from reference_model.reconstruction.hand_encoder import HandEncoder
from reference_model.reconstruction.head_encoder import HeadEncoder
from reference_model.reconstruction.photo_encoder import PhotoEncoder
from reference_model.reconstruction.posing import pose_reconstruction, to_avatar
from reference_model.reconstruction.query_points import QueryPoints, sample_query_points
from reference_model.reconstruction.reconstructor import PhotoTokens, Reconstructor
from reference_model.render import render
from reference_model.render.camera import Camera
from tests.reconstruction.made_photos import TINY, randomised, tiny_reconstructor

transformers = pytest.importorskip("transformers")


class MadeSapiens(torch.nn.Module):
    """Stands for the TorchScript program, whose loading has tests of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = torch.nn.Conv2d(3, TINY.dim_body, 16, 16)

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.patches(picture),)


@pytest.fixture(scope="module")
def encoder() -> PhotoEncoder:
    torch.manual_seed(0)
    config = transformers.Dinov2WithRegistersConfig(
        hidden_size=8, num_hidden_layers=4, num_attention_heads=2, image_size=28, patch_size=14
    )
    dino = transformers.Dinov2WithRegistersModel(config).eval()
    head = HeadEncoder(dino, TINY.dim_head, layers=(0, 1, 2, 3))
    hand = HandEncoder(TINY.dim_hand, n_layers=1, n_heads=2, size=(32, 32))
    return PhotoEncoder(BodyEncoder(MadeSapiens()), head, hand)


def made_photo() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    picture, head, hands = (
        torch.rand(*shape, generator=generator)
        for shape in ((1, 3, 48, 48), (1, 3, 28, 42), (1, 2, 3, 32, 32))
    )
    return picture, head, hands, torch.tensor([[True, False]])


@pytest.fixture(scope="module")
def points() -> QueryPoints:
    return sample_query_points(load_template(), 1500)


@pytest.fixture(scope="module")
def body() -> tuple[TemplateTensors, torch.Tensor, BodyState]:
    """The template with a person of her own shape, arms and head turned, mouth open."""
    template = load_template()
    tensors = TemplateTensors(template)
    state = BodyState.neutral(tensors)
    generator = torch.Generator().manual_seed(2)
    state.shape.normal_(generator=generator)
    state.rotations[template.joint("upperarm01.L"), 1] = 0.9
    state.rotations[template.joint("head"), 2] = 0.5
    state.actions[template.action_names.index("jawOpen")] = 0.6
    return tensors, torch.from_numpy(template.faces.astype(np.int64)), state


def front(model_points: torch.Tensor) -> Camera:
    center = (model_points.amin(0) + model_points.amax(0)) / 2
    return Camera.frontal((0.0, float(center[2]), 4.0), focal=110.0, width=48, height=64)


def test_pictures_become_an_avatar_that_is_saved_drawn_and_driven(encoder, points, body, tmp_path: Path):
    tensors, faces, state = body
    model = randomised(tiny_reconstructor(), scale=0.05)
    with torch.no_grad():
        found = model(points, encoder(*made_photo()))
        posed = pose_reconstruction(found, points, tensors, faces, state)
    assert found.tokens.shape == (1, 1500, TINY.dim) and found.skin.shape == (1, 1500, TINY.n_joints)
    camera = front(posed.means[0])
    avatar = to_avatar(posed.select(0), points, state, camera, np.zeros((64, 48, 3), np.uint8), {"seed": 0})
    save_avatar(tmp_path / "person.avatar", avatar)
    avatar = load_avatar(tmp_path / "person.avatar")
    assert float(render(avatar.gaussians, camera).alpha.max()) > 0.2

    rig = Rig(avatar)
    none = rig.head_rows.new_zeros(len(rig.head_rows), 3).float()
    still = Residuals(none, none, none[:, 0], none)
    states = torch.zeros(rig.n_particles, 6)
    assert torch.equal(rig.apply(states, still).means, avatar.gaussians.means)
    states[load_template().joint("head"), 2] = 0.4
    moved = (rig.apply(states, still).means - avatar.gaussians.means).norm(dim=-1)
    assert float(moved[1125:].mean()) > 5 * float(moved[:1125].mean())  # the head's Gaussians come last


def test_the_published_sizes_fit_together(points):
    """Shapes alone: ViT-H, ViT-L, 5 layers of width 1,024 and the tokens of a 1,024 px picture."""
    with torch.device("meta"):
        hand, head, model = HandEncoder(), HeadEncoder.empty(), Reconstructor()
        photo = PhotoTokens(
            torch.empty(1, 4096, 1536),
            head(torch.empty(1, 3, 448, 448)),
            hand(torch.empty(1, 2, 3, 256, 192)),
            torch.ones(1, 2, dtype=torch.bool),
        )
        found = model(points.to("meta"), photo)
    assert photo.hands.shape == (1, 2, 192, 1280) and photo.head.shape == (1, 1024, 1024)
    assert found.tokens.shape == (1, 1500, 1024) and found.skin.shape == (1, 1500, 104)


def test_new_gaussians_lie_on_the_posed_body(points, body):
    """Skinning with W = W0 at points of triangles differs from the posed triangles only where bones meet."""
    tensors, faces, state = body
    with torch.no_grad():
        found = tiny_reconstructor().decode(torch.zeros(1, 1500, TINY.dim), points)
        posed = pose_reconstruction(found, points, tensors, faces, state)
    vertices = pose(tensors, state).vertices
    surface = (vertices[faces[points.triangle]] * points.barycentric[..., None]).sum(1)
    assert float((posed.means[0] - surface).norm(dim=-1).max()) < 2e-3
    assert float((posed.means[0] - points.position).norm(dim=-1).max()) > 0.2  # it did move
    head = points.region == 1
    turned = posed.quats[0, head].median(0).values
    torch.testing.assert_close(
        turned.abs(), torch.tensor([np.cos(0.25), 0, 0, np.sin(0.25)]).float(), atol=0.05, rtol=0
    )


def test_gradients_reach_every_trained_part_from_drawn_pixels(encoder, points, body):
    tensors, faces, state = body
    model = randomised(tiny_reconstructor(), scale=0.05)
    for layer in model.transformer.layers:
        torch.nn.init.constant_(layer["body_dit"].attn.hand.gate, 0.5)
    torch.nn.init.constant_(model.decoder.scale.bias, -5.0)  # at the limit there is no gradient
    found = model(points, encoder(*made_photo()))
    posed = pose_reconstruction(found, points, tensors, faces, state)
    drawn = render(posed.select(0), front(posed.means[0].detach()))
    (drawn.rgb.square().mean() + drawn.alpha.square().mean()).backward()
    # The last layer's context is looked at and never asked.
    silent = {
        name
        for name, parameter in model.named_parameters()
        if (parameter.grad is None or not parameter.grad.any())
        and "added_q" not in name
        and "add_q" not in name
    }
    assert silent == set()
    assert encoder.head.fusion.output_conv.weight.grad.abs().max() > 0
    assert not any(p.grad is not None for p in (*encoder.body.parameters(), *encoder.hand.parameters()))


def test_fine_tuning_on_a_drawn_photo_brings_the_picture_nearer(encoder, points, body):
    tensors, faces, state = body
    model: Reconstructor = randomised(tiny_reconstructor(), scale=0.05)
    with torch.no_grad():
        photo = encoder(*made_photo())
        first = pose_reconstruction(model(points, photo), points, tensors, faces, state)
    camera = front(first.means[0])
    red = torch.tensor([0.8, 0.1, 0.1])

    def photo_loss(found):
        posed = pose_reconstruction(found, points, tensors, faces, state).select(0)
        drawn = render(posed, camera)
        return (drawn.rgb - drawn.alpha[..., None].detach() * red).abs().mean()

    losses = fine_tune(model, points, photo, photo_loss, steps=20, learning_rate=5e-3)
    assert losses[-1] < 0.8 * losses[0]
