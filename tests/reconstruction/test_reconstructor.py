"""Transformer, decoders and fine-tuning together, at tiny sizes with random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reference_model.body.template import REGIONS, load_template
from reference_model.reconstruction.fine_tune import fine_tune, shape_penalty, tuned_modules
from reference_model.reconstruction.reconstructor import BASE, Reconstructor
from reference_model.reconstruction.weight_decoder import allowed_bones, divergence, roughness
from tests.reconstruction.made_photos import TINY, randomised, tiny_points, tiny_reconstructor, tiny_tokens


@torch.no_grad()
def test_hands_behind_a_shut_gate_change_no_bit_in_half_precision_either():
    enhanced, plain = randomised(tiny_reconstructor()), tiny_reconstructor(hand_enhance=False)
    plain.load_state_dict(
        {name: value for name, value in enhanced.state_dict().items() if name in plain.state_dict()}
    )
    points, photo = tiny_points(), tiny_tokens()
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = enhanced(points, photo), plain(points, photo)
    assert found.tokens.dtype == torch.bfloat16 and torch.equal(found.tokens, expected.tokens)
    assert found.gaussians.means.dtype == found.skin.dtype == torch.float32


def test_a_backbone_without_hands_is_unchanged_at_step_0_when_it_gets_them():
    """Every weight of the backbone is random; the hand branch is new, as after loading a pretrained LHM."""
    backbone = randomised(tiny_reconstructor(hand_enhance=False))
    enhanced = tiny_reconstructor(seed=5)
    missing, unexpected = enhanced.load_state_dict(backbone.state_dict(), strict=False)
    assert not unexpected
    assert missing and all("hand" in name for name in missing)
    points, photo = tiny_points(), tiny_tokens()
    with torch.no_grad():
        for found, expected in zip(enhanced(points, photo)[1:], backbone(points, photo)[1:], strict=True):
            assert torch.equal(found, expected)


def opened() -> Reconstructor:
    model = randomised(tiny_reconstructor())
    for layer in model.transformer.layers:
        torch.nn.init.ones_(layer["body_dit"].attn.hand.gate)
    return model


@torch.no_grad()
def test_a_hand_out_of_sight_is_a_token_of_its_own_and_its_crop_is_never_read():
    model, points, photo = opened(), tiny_points(), tiny_tokens()
    both = model.query_tokens(points.position, photo)
    left_only = torch.tensor([[True, False], [True, True]])
    unread = photo.hands.clone()
    unread[0, 1] = torch.nan
    found = model.query_tokens(points.position, photo._replace(hands=unread, hand_present=left_only))
    assert bool(found.isfinite().all())
    assert float((found[0] - both[0]).abs().max()) > 1e-4
    torch.testing.assert_close(found[1], both[1])
    swapped = model.query_tokens(points.position, photo._replace(hands=photo.hands.flip(1)))
    assert float((swapped - both).abs().max()) > 1e-4  # it matters which hand is which


@torch.no_grad()
def test_head_tokens_reach_the_points_of_the_head_first_and_the_body_through_them():
    """One layer: in LHM points of the head alone see the head crop; the joint attention of body_dit spreads it."""
    model = randomised(tiny_reconstructor(n_layers=1, hand_enhance=False))
    points, photo = tiny_points(), tiny_tokens()
    layer, embedded = model.transformer.layers[0], torch.randn(2, 16, TINY.dim)
    condition = model.condition(photo.body.mean(1)).chunk(2, -1)
    project = model.transformer.linear_cond_proj
    head = project(torch.nn.functional.pad(photo.head, (0, TINY.dim_body - TINY.dim_head)))
    head_points = layer["head_dit"](embedded[:, 12:], head, condition[1])[0]
    together = torch.cat([embedded[:, :12], head_points], 1)
    expected = model.transformer.norm(layer["body_dit"](together, project(photo.body), condition[0])[0])
    found = model.transformer(embedded, photo.body, photo.head, torch.cat(condition, -1))
    torch.testing.assert_close(found, expected)
    assert float(points.region[:48].eq(REGIONS.index("head")).sum()) == 0
    assert bool(points.region[48:].ne(REGIONS.index("body")).all())


def test_transformers_of_the_three_lhms_have_their_number_of_parameters():
    """124 M, 351 M and 1,106 M in the blocks, without the projection of the pictures' tokens."""
    from dataclasses import replace

    for n_layers, millions in ((2, 124), (5, 351), (15, 1106)):
        with torch.device("meta"):
            layers = Reconstructor(replace(BASE, n_layers=n_layers, hand_enhance=False)).transformer.layers
        assert round(sum(p.numel() for p in layers.parameters()) / 1e6) == pytest.approx(millions, abs=1)


def test_a_new_decoder_lays_equal_gaussians_on_the_template():
    points = tiny_points()
    found = tiny_reconstructor()(points, tiny_tokens())
    gaussians = found.gaussians
    torch.testing.assert_close(gaussians.means, points.position.expand(2, -1, -1))
    torch.testing.assert_close(gaussians.scales, torch.full_like(gaussians.scales, np.exp(-5.0)))
    torch.testing.assert_close(gaussians.opacities, torch.full_like(gaussians.opacities, 0.1))
    assert torch.equal(gaussians.quats, torch.tensor([1.0, 0, 0, 0]).expand_as(gaussians.quats))


def test_decoded_gaussians_stay_within_their_limits():
    points = tiny_points(400)
    gaussians = randomised(tiny_reconstructor(), scale=3.0)(points, tiny_tokens()).gaussians.detach()
    offset = (gaussians.means - points.position).abs().amax((0, 2))
    largest = gaussians.scales.amax((0, 2))
    assert bool((offset <= points.offset_m + 1e-6).all()) and bool((largest <= points.scale_m).all())
    assert float(offset.max()) > 0.3  # hair and cloth may stand far off
    hands = torch.isin(points.region, torch.tensor([REGIONS.index("hand_left"), REGIONS.index("hand_right")]))
    assert float(offset[hands].max()) == pytest.approx(0.06, abs=1e-6)
    assert {round(x, 3) for x in points.scale_m.tolist()} == {0.02, 0.05}
    for values in (gaussians.opacities, gaussians.colors):
        assert 0 <= float(values.min()) and float(values.max()) <= 1
    torch.testing.assert_close(gaussians.quats.norm(dim=-1), torch.ones(2, 400))


@torch.no_grad()
def test_new_skinning_weights_are_exactly_the_templates():
    points = tiny_points()
    found = tiny_reconstructor()(points, tiny_tokens())
    assert torch.equal(found.skin, points.skin.expand(2, -1, -1))
    assert torch.equal(tiny_reconstructor(weight_decoder=False)(points, tiny_tokens()).skin, found.skin)
    assert float(divergence(found.skin, points.skin, points.allowed)) == pytest.approx(0, abs=1e-7)
    assert float(roughness(found.skin, points.skin, points.neighbours)) == 0


@torch.no_grad()
def test_adapted_skinning_weights_are_weights_on_near_bones():
    points = tiny_points(200)
    found = randomised(tiny_reconstructor(), scale=2.0)(points, tiny_tokens()).skin
    assert float((found - points.skin).abs().max()) > 0.2
    assert float(found.min()) >= 0
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 200))
    assert not bool(found[:, ~points.allowed].any())
    newly = (found > 0) & (points.skin == 0)
    assert bool(newly.any())  # a neighbouring bone may gain what it did not have
    assert float(divergence(found, points.skin, points.allowed)) > 0.01
    assert float(roughness(found, points.skin, points.neighbours)) > 0.01


def test_allowed_bones_are_those_of_the_template_with_parents_and_children():
    template = load_template()
    hand = template.joint("wrist.L")
    weights = np.zeros((1, template.n_joints), np.float32)
    weights[0, hand] = 1
    expected = {hand, int(template.parents[hand]), *np.flatnonzero(template.parents == hand).tolist()}
    assert set(np.flatnonzero(allowed_bones(weights, template.parents)[0])) == expected


@torch.no_grad()
def test_shape_penalty_is_zero_for_round_gaussians_near_the_template_and_weighs_hands_most():
    points = tiny_points(400)
    gaussians = tiny_reconstructor()(points, tiny_tokens(1)).gaussians
    assert float(shape_penalty(gaussians, points)) == 0

    def penalty_of(region: str) -> float:
        rows = points.region == REGIONS.index(region)
        scales = gaussians.scales.clone()
        scales[:, rows, 0] *= 8
        from dataclasses import replace

        return float(shape_penalty(replace(gaussians, scales=scales), points))

    assert penalty_of("hand_left") > 10 * penalty_of("head") > 0


@pytest.mark.parametrize("scope", ["decoder", "transformer"])
def test_fine_tuning_changes_the_chosen_parameters_and_no_others(scope):
    model, points, photo = opened(), tiny_points(), tiny_tokens(1)
    before = {name: value.clone() for name, value in model.named_parameters()}
    red = torch.tensor([1.0, 0.0, 0.0])

    def photo_loss(found):
        return (found.gaussians.colors - red).square().mean() + (
            found.gaussians.opacities - 0.9
        ).square().mean()

    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith("condition"))
    losses = fine_tune(model, points, photo, photo_loss, scope=scope, steps=12, learning_rate=1e-2)
    assert losses[-1] < losses[0]
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    chosen = {id(p) for module in tuned_modules(model, scope) for p in module.parameters()}
    allowed = {name for name, parameter in model.named_parameters() if id(parameter) in chosen}
    assert changed <= allowed
    assert {"decoder.color.weight", "decoder.mlp.0.weight", "transformer.hand.project.weight"} <= changed
    backbone = {name for name in changed if name.startswith("transformer.layers") and ".hand." not in name}
    assert bool(backbone) == (scope == "transformer")
    assert not any(name.startswith(("condition", "point_embedding")) for name in changed)
    assert all(p.requires_grad == (not name.startswith("condition")) for name, p in model.named_parameters())


def test_fine_tuning_refuses_an_unknown_scope():
    with pytest.raises(ValueError, match="everything"):
        tuned_modules(tiny_reconstructor(), "everything")  # type: ignore[arg-type]
