"""The importer on random weights under the names and shapes of LHM's code, at a tiny size."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from media.errors import AvatarBenchError
from reference_model.cli import main
from reference_model.reconstruction import lhm_import
from reference_model.reconstruction.head_encoder import HeadEncoder
from reference_model.reconstruction.lhm_import import import_lhm
from reference_model.reconstruction.reconstruction_file import load_reconstruction
from reference_model.reconstruction.reconstructor import BASE, Reconstructor
from tests.reconstruction.made_photos import TINY, randomised, tiny_points, tiny_reconstructor, tiny_tokens

transformers = pytest.importorskip("transformers")

DINO_LAYERS = (0, 0, 1, 1)


def tiny_head() -> HeadEncoder:
    config = transformers.Dinov2WithRegistersConfig(
        hidden_size=8, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    return HeadEncoder(transformers.Dinov2WithRegistersModel(config), TINY.dim_head, DINO_LAYERS)


Shapes = dict[str, tuple[int, ...]]


def linear(name: str, n_in: int, n_out: int) -> Shapes:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def lhm_layout(n_layers: int = 2) -> Shapes:
    """Names and shapes as LHM's code has them, written out from its modules rather than from ours."""
    d, body, hidden = TINY.dim, TINY.dim_body, TINY.dim_decoder
    shapes: Shapes = {"pcl_embed.basis": (3, 24)}
    shapes |= linear("pcl_embed.mlp", 51, d) | norm("pcl_embed.norm", d)
    shapes |= linear("motion_embed_mlp.0", body, body // 2) | linear("motion_embed_mlp.2", body // 2, 2 * d)
    shapes |= linear("transformer.linear_cond_proj", body, d) | norm("transformer.norm", d)
    for i in range(n_layers):
        for dit in ("head_dit", "body_dit"):
            shapes |= block_layout(f"transformer.layers.{i}.{dit}", d, last=i == n_layers - 1)
    for i, (n_in, n_out) in zip((0, 2, 4), ((d, hidden), (hidden, hidden), (hidden, d)), strict=True):
        shapes |= linear(f"renderer.mlp_net.layers.{i}", n_in, n_out)
    for name, width in (("shs", 3), ("scaling", 3), ("xyz", 3), ("opacity", 1), ("rotation", 4)):
        shapes |= linear(f"renderer.gs_net.out_layers.{name}", d, width)
    left_out = {
        "renderer.smplx_model.skinning_weight": (7, 55),
        "id_face_net.conv.weight": (2, 2),
        "faceESRGAN.conv_first.weight": (2, 2),
        "fine_encoder.model.backbone.pos_embed": (1, 3),
    }
    return shapes | encoder_layout(8, TINY.dim_head) | left_out


def block_layout(block: str, d: int, last: bool) -> Shapes:
    shapes = linear(f"{block}.norm1.linear", d, 6 * d)
    shapes |= linear(f"{block}.norm1_context.linear", d, (2 if last else 6) * d)
    for name in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj"):
        shapes |= linear(f"{block}.attn.{name}", d, d)
    for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
        shapes[f"{block}.attn.{name}.weight"] = (d // TINY.n_heads,)
    for ff in ("ff",) if last else ("ff", "ff_context"):
        shapes |= linear(f"{block}.{ff}.net.0.proj", d, 4 * d) | linear(f"{block}.{ff}.net.2", 4 * d, d)
    return shapes if last else shapes | linear(f"{block}.attn.to_add_out", d, d)


def encoder_layout(d: int, d_out: int) -> Shapes:
    shapes: Shapes = {
        "encoder.model.cls_token": (1, 1, d),
        "encoder.model.pos_embed": (1, 5, d),
        "encoder.model.register_tokens": (1, 4, d),
        "encoder.model.mask_token": (1, d),
        "encoder.model.patch_embed.proj.weight": (d, 3, 14, 14),
        "encoder.model.patch_embed.proj.bias": (d,),
    }
    for i in range(2):
        block = f"encoder.model.blocks.{i}"
        shapes |= norm(f"{block}.norm1", d) | norm(f"{block}.norm2", d)
        shapes |= linear(f"{block}.attn.qkv", d, 3 * d) | linear(f"{block}.attn.proj", d, d)
        shapes |= linear(f"{block}.mlp.fc1", d, 4 * d) | linear(f"{block}.mlp.fc2", 4 * d, d)
        shapes |= {f"{block}.ls1.gamma": (d,), f"{block}.ls2.gamma": (d,)}
    shapes |= norm("encoder.model.norm", d)
    for i in range(4):
        project = f"encoder.fusion_head.projects.{i}"
        shapes |= {f"{project}.weight": (d, d, 1, 1), f"{project}.bias": (d,)}
    conv = "encoder.fusion_head.output_conv"
    return shapes | {f"{conv}.weight": (d_out, 4 * d, 1, 1), f"{conv}.bias": (d_out,)}


def random_lhm(n_layers: int = 2, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: 0.2 * torch.randn(shape, generator=generator) for name, shape in lhm_layout(n_layers).items()
    }


def take_over(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file(tensors, str(folder / "model.safetensors"))
    import_lhm(folder, folder / "ours.safetensors", config=TINY, head_encoder=tiny_head)
    return folder / "ours.safetensors"


def test_every_tensor_reaches_the_network_and_what_lhm_lacks_changes_nothing(tmp_path):
    tensors = random_lhm()
    loaded = load_reconstruction(take_over(tmp_path, tensors), tiny_head())
    state = loaded.reconstructor.state_dict()
    same = {
        "transformer.layers.0.body_dit.attn.to_add_out.weight": "transformer.layers.0.body_dit.attn.to_add_out.weight",
        "transformer.layers.1.head_dit.norm1_context.linear.bias": (
            "transformer.layers.1.head_dit.norm1_context.linear.bias"
        ),
        "point_embedding.mlp.weight": "pcl_embed.mlp.weight",
        "condition.2.bias": "motion_embed_mlp.2.bias",
        "decoder.mlp.4.weight": "renderer.mlp_net.layers.4.weight",
        "decoder.color.weight": "renderer.gs_net.out_layers.shs.weight",
        "decoder.offset.weight": "renderer.gs_net.out_layers.xyz.weight",
        "decoder.scale.bias": "renderer.gs_net.out_layers.scaling.bias",
        "decoder.rotation.weight": "renderer.gs_net.out_layers.rotation.weight",
        "decoder.opacity.bias": "renderer.gs_net.out_layers.opacity.bias",
    }
    for ours, theirs in same.items():
        assert torch.equal(state[ours], tensors[theirs]), ours
    head = loaded.head_encoder.state_dict()
    query = head["dino.encoder.layer.1.attention.attention.query.weight"]
    assert torch.equal(query, tensors["encoder.model.blocks.1.attn.qkv.weight"][:8])
    assert torch.equal(head["fusion.projects.3.weight"], tensors["encoder.fusion_head.projects.3.weight"])
    assert loaded.new and all(".hand" in name or ".weights." in name for name in loaded.new)

    plain = tiny_reconstructor(hand_enhance=False, weight_decoder=False)
    plain.load_state_dict({name: value for name, value in state.items() if name in plain.state_dict()})
    points, photo = tiny_points(), tiny_tokens()
    with torch.no_grad():
        found, expected = loaded.reconstructor(points, photo), plain(points, photo)
    assert torch.equal(found.tokens, expected.tokens) and torch.equal(found.skin, expected.skin)


def test_the_published_sizes_are_expected_unless_told_otherwise(tmp_path):
    save_file(random_lhm(), str(tmp_path / "model.safetensors"))
    with pytest.raises(AvatarBenchError, match=r"of another shape.*instead of \[1, 1370, 1024\]"):
        import_lhm(tmp_path, tmp_path / "ours.safetensors")
    with torch.device("meta"):
        assert Reconstructor(BASE).transformer.linear_cond_proj.weight.shape == (1024, 1536)


def test_the_number_of_layers_is_taken_from_the_checkpoint(tmp_path):
    save_file(random_lhm(n_layers=4), str(tmp_path / "model.safetensors"))
    report = import_lhm(tmp_path, tmp_path / "ours.safetensors", config=TINY, head_encoder=tiny_head)
    assert report.config.n_layers == 4
    loaded = load_reconstruction(tmp_path / "ours.safetensors", tiny_head())
    assert len(loaded.reconstructor.transformer.layers) == 4


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda t: t.pop("motion_embed_mlp.0.bias"), r"1 missing: reconstructor\.condition\.0\.bias"),
        (lambda t: t.update({"renderer.new.weight": torch.zeros(1)}), r"1 unexpected: renderer\.new\.weight"),
        (
            lambda t: t.update({"pcl_embed.norm.weight": torch.zeros(5)}),
            r"1 of another shape: reconstructor\.point_embedding\.norm\.weight \[5\] instead of \[32\]",
        ),
        (
            lambda t: t["transformer.norm.bias"].fill_(torch.nan),
            r"1 not finite: reconstructor\.transformer\.norm\.bias",
        ),
        (
            lambda t: [t.pop(name) for name in list(t) if name.startswith("transformer.layers.1.")],
            r"unexpected: .*layers\.0\.body_dit\.attn\.to_add_out\.bias.*of another shape: .*norm1_context",
        ),
    ],
    ids=["missing", "unexpected", "shape", "not_finite", "without_its_last_layer"],
)
def test_a_checkpoint_with_anything_wrong_is_refused_by_name_and_nothing_is_written(tmp_path, damage, said):
    tensors = random_lhm()
    damage(tensors)
    with pytest.raises(AvatarBenchError) as caught:
        take_over(tmp_path, tensors)
    assert caught.value.code == "E305"
    assert re.search(said, str(caught.value), re.DOTALL), str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_pickle_is_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "touched").touch, ()

    torch.save({"bomb": Bomb()}, tmp_path / "model.safetensors")
    with pytest.raises(AvatarBenchError, match="never opened") as caught:
        import_lhm(tmp_path, tmp_path / "ours.safetensors", config=TINY, head_encoder=tiny_head)
    assert caught.value.code == "E306"
    assert not (tmp_path / "touched").exists()


def test_a_damaged_file_of_ours_is_refused(tmp_path):
    path = take_over(tmp_path, random_lhm())
    tensors = load_file(str(path))
    tensors["reconstructor.transformer.norm.bias"] += 1
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        save_file(tensors, str(path), file.metadata())
    with pytest.raises(AvatarBenchError, match="E305"):
        load_reconstruction(path, tiny_head())


def test_the_command_says_what_it_took_and_what_is_new(tmp_path, monkeypatch, capsys):
    original = lhm_import.import_lhm
    monkeypatch.setattr(
        lhm_import, "import_lhm", lambda a, b: original(a, b, config=TINY, head_encoder=tiny_head)
    )
    save_file(random_lhm(), str(tmp_path / "model.safetensors"))
    output = tmp_path / "ours.safetensors"
    assert main(["import-lhm", str(tmp_path), "-o", str(output)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2 layers" in said and "left out: 1 of Sapiens" in said
    assert "untrained: hand branch, weight decoder" in said
    assert main(["import-lhm", str(tmp_path), "-o", str(tmp_path / "ours.pth")]) == 3
    assert main(["import-lhm", str(tmp_path / "nowhere"), "-o", str(output)]) == 3
    assert "E306" in capsys.readouterr().err


def test_random_weights_of_the_whole_layout_decode_to_finite_gaussians(tmp_path):
    loaded = load_reconstruction(take_over(tmp_path, random_lhm()), tiny_head())
    randomised(loaded.head_encoder)
    with torch.no_grad():
        head = loaded.head_encoder(torch.rand(2, 3, 28, 28))
        found = loaded.reconstructor(tiny_points(), tiny_tokens()._replace(head=head))
    assert bool(found.gaussians.means.isfinite().all())
