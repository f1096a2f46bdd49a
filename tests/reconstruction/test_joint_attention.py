"""The block against diffusers' block of Stable Diffusion 3, from which LHM's comes."""

from __future__ import annotations

import math

import pytest
import torch

from reference_model.reconstruction.joint_attention import HandTokens, JointBlock
from tests.reconstruction.made_photos import randomised

DIM, HEADS = 32, 4


@pytest.fixture
def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return tuple(torch.randn(2, *shape, generator=generator) for shape in ((7, DIM), (5, DIM), (DIM,)))


def both_blocks(last: bool) -> tuple[JointBlock, torch.nn.Module]:
    """Ours and diffusers', with the same random weights; the names are the same, so that loading is strict."""
    attention = pytest.importorskip("diffusers.models.attention")
    block = randomised(JointBlock(DIM, HEADS, last))
    canonical = attention.JointTransformerBlock(DIM, HEADS, DIM // HEADS, last, qk_norm="rms_norm")
    canonical.load_state_dict(block.state_dict())
    return block, canonical


def test_points_leave_the_block_as_from_diffusers(inputs):
    points, context, condition = inputs
    for last in (False, True):
        block, canonical = both_blocks(last)
        with torch.no_grad():
            found, _ = block(points, context, condition)
            _, expected = canonical(points, context, condition)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_contexts_feed_forward_counts_twice_as_in_lhm(inputs):
    """LHM adds it through its gate, as diffusers does, and then once more without."""
    points, context, condition = inputs
    block, canonical = both_blocks(last=False)
    fed = []
    canonical.ff_context.register_forward_hook(lambda module, args, output: fed.append(output))
    with torch.no_grad():
        _, found = block(points, context, condition)
        expected, _ = canonical(points, context, condition)
    assert float(fed[0].abs().max()) > 0.1
    torch.testing.assert_close(found, expected + fed[0], rtol=1e-5, atol=1e-5)


def test_nobody_computes_the_context_of_the_last_layer(inputs):
    assert JointBlock(DIM, HEADS, context_pre_only=True)(*inputs)[1] is None


def with_hands(seed: int = 0) -> tuple[JointBlock, HandTokens]:
    block = randomised(JointBlock(DIM, HEADS, with_hands=True), seed)
    tokens = torch.randn(2, 6, DIM, generator=torch.Generator().manual_seed(8))
    return block, HandTokens(tokens, torch.ones(2, 6, dtype=torch.bool))


def test_hands_change_no_bit_while_the_gate_is_shut(inputs):
    block, hands = with_hands()
    with torch.no_grad():
        for found, expected in zip(block(*inputs, hands), block(*inputs), strict=True):
            assert torch.equal(found, expected)


def test_hand_keys_without_values_would_change_the_output_without_a_gate(inputs):
    """Why there is a gate: zero values and a bias of -4 still take their share of the softmax."""
    block, hands = with_hands()
    torch.nn.init.zeros_(block.attn.hand.to_v_hand.weight)
    torch.nn.init.zeros_(block.attn.hand.to_v_hand.bias)
    torch.nn.init.constant_(block.attn.hand.bias, -4.0)
    torch.nn.init.constant_(block.attn.hand.gate, 20.0)
    with torch.no_grad():
        assert float((block(*inputs, hands)[0] - block(*inputs)[0]).abs().max()) > 1e-3


def test_an_open_gate_is_attention_over_concatenated_keys_and_values(inputs):
    """The paper's K = [K_fb || K_hand], V = [V_fb || V_hand], in float64 from the formula."""
    block, hands = with_hands()
    block = block.double()
    torch.nn.init.constant_(block.attn.hand.gate, 40.0)
    points, context, _ = (value.double() for value in inputs)
    attn, hand = block.attn, block.attn.hand

    def heads(tokens, norm=None):
        tokens = tokens.view(*tokens.shape[:2], HEADS, -1).transpose(1, 2)
        if norm is None:
            return tokens
        return norm.weight * tokens / (tokens.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    tokens = hands.tokens.double()
    query = heads(attn.to_q(points), attn.norm_q)
    keys = [
        heads(attn.to_k(points), attn.norm_k),
        heads(attn.add_k_proj(context), attn.norm_added_k),
        heads(hand.to_k_hand(tokens), hand.norm_k_hand),
    ]
    values = [heads(attn.to_v(points)), heads(attn.add_v_proj(context)), heads(hand.to_v_hand(tokens))]
    logits = query @ torch.cat(keys, 2).transpose(-1, -2) / math.sqrt(DIM // HEADS)
    logits[..., -tokens.shape[1] :] += hand.bias[:, None, None]
    expected = (logits.softmax(-1) @ torch.cat(values, 2)).transpose(1, 2).flatten(2)
    found, _ = attn(points, context, HandTokens(tokens, hands.valid))
    torch.testing.assert_close(found, attn.to_out[0](expected), rtol=1e-10, atol=1e-12)


def test_masked_hand_tokens_have_no_influence(inputs):
    block, hands = with_hands()
    torch.nn.init.ones_(block.attn.hand.gate)
    valid = hands.valid.clone()
    valid[:, 2:] = False
    other = torch.cat([hands.tokens[:, :2], 100 * hands.tokens[:, 2:]], 1)
    with torch.no_grad():
        found = block(*inputs, HandTokens(other, valid))[0]
        expected = block(*inputs, HandTokens(hands.tokens[:, :2], valid[:, :2]))[0]
        assert float((found - block(*inputs, hands)[0]).abs().max()) > 1e-3
    torch.testing.assert_close(found, expected)


def test_the_shut_gate_learns_from_what_hands_would_change(inputs):
    """Its gradient is the difference that hands make: not zero, and it opens the rest of the branch."""
    block, hands = with_hands()
    block(*inputs, hands)[0].square().sum().backward()
    assert float(block.attn.hand.gate.grad.abs().min()) > 0
    assert not block.attn.hand.to_v_hand.weight.grad.any()
    torch.nn.init.constant_(block.attn.hand.gate, 0.01)
    block(*inputs, hands)[0].square().sum().backward()
    for name in ("to_k_hand", "to_v_hand"):
        assert bool(getattr(block.attn.hand, name).weight.grad.any()), name
