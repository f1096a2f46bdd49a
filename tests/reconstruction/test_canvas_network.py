"""The preset `mini`: shapes, an untrained pass that changes nothing, what its parts see, and its file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from media.errors import AvatarBenchError
from reference_model.avatar.forward import Crops, canvas_photo, corrected, forward_pass
from reference_model.avatar.io import SkinWeights
from reference_model.body.template import load_template
from reference_model.reconstruction.canvas_network import ATTRIBUTES, CanvasNetwork, CanvasPhoto
from reference_model.reconstruction.gaussian_decoder import Corrections
from reference_model.reconstruction.pyramid_encoder import PictureFeatures
from reference_model.reconstruction.reconstruction_file import (
    MINI_WEIGHTS,
    load_canvas_network,
    save_canvas_network,
)
from reference_model.reconstruction.reconstructor import MINI
from tests.reconstruction.fitted_template import fitted_template

TINY = dataclasses.replace(
    MINI, dim=32, n_heads=4, n_layers=1, dim_body=32, dim_head=32, dim_hand=32, dim_decoder=24
)
N_WEIGHTS_MB, N_ALL_WEIGHTS_MB = 5.3, 12.0


def tiny_network(seed: int = 0) -> CanvasNetwork:
    torch.manual_seed(seed)
    return CanvasNetwork(load_template(), TINY, n_queries=96)


@pytest.fixture(scope="module")
def fitted():
    return fitted_template()


@pytest.fixture(scope="module")
def photo(fitted) -> CanvasPhoto:
    builder, points, canvas = fitted
    return canvas_photo(builder, points, canvas, Crops.of(builder, canvas, points), tiny_network())


def test_an_untrained_pass_changes_no_bit_of_the_canvas_and_gives_the_templates_weights(fitted):
    builder, points, canvas = fitted
    changed, skin = forward_pass(builder, points, canvas, tiny_network())
    before, after = canvas.gaussians(), changed.gaussians()
    for name in ("means", "quats", "scales", "opacities", "colors"):
        assert torch.equal(getattr(before, name), getattr(after, name)), name
    dense = torch.zeros(len(before), load_template().n_joints)
    photo = canvas_photo(builder, points, canvas, Crops.of(builder, canvas, points), tiny_network())
    dense.scatter_add_(-1, photo.bone_index[0], photo.bone_weight[0])
    expected = SkinWeights.of_dense(dense)
    assert torch.allclose(skin.weight, expected.weight, atol=1e-6)


def test_a_pass_gives_corrections_within_bounds_and_weights_of_allowed_bones(photo):
    network = tiny_network()
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.3)
    found = network(photo)
    n = photo.attributes.shape[1]
    assert photo.attributes.shape == (1, n, ATTRIBUTES)
    assert [tuple(part.shape) for part in found.corrections] == [
        (1, n, 3),
        (1, n, 3),
        (1, n, 4),
        (1, n),
        (1, n, 3),
    ]
    assert bool((found.corrections.offset.abs() <= photo.reach[..., None]).all())
    assert float(found.corrections.color.detach().abs().max()) <= 0.5
    assert torch.allclose(found.skin.sum(-1), torch.ones(1, n), atol=1e-5)
    assert not bool((found.skin[~found.allowed] != 0).any())
    assert bool(((found.skin - found.template_skin).abs() > 0.01).any())
    without = network(photo, weight_decoder=False)
    assert torch.equal(without.skin, found.template_skin)


def test_two_photographs_at_once_are_each_what_they_are_alone(photo):
    network = tiny_network()
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.1)
    mirrored = dataclasses.replace(photo, body=photo.body.flip(-1))
    both = CanvasPhoto(
        *(torch.cat([getattr(p, f.name) for p in (photo, mirrored)]) for f in dataclasses.fields(CanvasPhoto))
    )
    together, alone = network(both), network(mirrored)
    assert torch.allclose(together.corrections.color[1], alone.corrections.color[0], atol=1e-5)
    assert not torch.allclose(together.corrections.color[0], together.corrections.color[1], atol=1e-3)


def test_the_hands_tokens_count_once_the_gate_is_open(photo):
    network = tiny_network()
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.2)
    seen = dataclasses.replace(photo, hand_present=torch.tensor([[True, True]]))
    gate = network.reconstructor.transformer.layers[0]["body_dit"].attn.hand.gate  # type: ignore[index]
    gate.data.fill_(0.0)
    shut = network(seen).tokens
    assert torch.equal(shut, network(seen, hand_enhance=False).tokens)
    gate.data.fill_(1.0)
    assert not torch.allclose(network(seen).tokens, shut, atol=1e-3)


def test_a_point_looks_up_the_features_of_its_own_pixel():
    """A map whose value is its column, in pixels: at the centre of column 5 of 8 a point sees 5."""
    columns = torch.arange(8.0).expand(1, 1, 8, 8)
    features = PictureFeatures(torch.zeros(1, 1, 1), [columns])
    place = torch.tensor([[[(5 + 0.5) / 8 * 2 - 1, 0.0], [3.0, 0.0]]])
    assert features.at(place)[0, :, 0].tolist() == pytest.approx([5.0, 0.0])


def test_corrections_act_along_the_frame_of_each_gaussian(fitted):
    _, _, canvas = fitted
    n = len(canvas.foot)
    out = torch.tensor([0.0, 0.0, 0.004]).expand(n, 3)
    none = torch.zeros(n, 3)
    identity = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(n, 4)
    lifted = corrected(canvas, Corrections(out, none + 0.1, identity, torch.zeros(n), none)).gaussians()
    before = canvas.gaussians()
    assert torch.allclose(lifted.means - before.means, 0.004 * before.normals, atol=1e-6)
    assert torch.allclose(lifted.scales, before.scales * torch.tensor(0.1).exp(), rtol=1e-5)


def test_the_shipped_weights_are_small_and_say_what_they_gained():
    network = load_canvas_network()
    assert sum(p.numel() for p in network.parameters()) < 2.7e6
    assert MINI_WEIGHTS.stat().st_size < N_WEIGHTS_MB * 1e6
    root = Path(__file__).resolve().parents[2]
    files = [*(root / "reference_model" / "weights").iterdir(), *(root / "baselines" / "weights").iterdir()]
    assert sum(file.stat().st_size for file in files) < N_ALL_WEIGHTS_MB * 1e6


def test_a_network_is_read_as_it_was_written_and_a_damaged_file_is_refused(tmp_path: Path):
    network, path = tiny_network(), tmp_path / "mini.safetensors"
    save_canvas_network(path, network, {"steps": 0})
    with pytest.raises(
        AvatarBenchError, match="E305"
    ):  # 96 query points are no part of the file, 2,048 fit too
        path.write_bytes(path.read_bytes()[:-64] + bytes(64))
        load_canvas_network(path)
    path.write_bytes(b"rubbish")
    with pytest.raises(AvatarBenchError, match="E306"):
        load_canvas_network(path)
    save_canvas_network(path, network, {"steps": 0})
    loaded = load_canvas_network(path)
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.half().float()), name
