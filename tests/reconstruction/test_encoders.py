"""Sapiens, DINOv2 and HaMeR: real loading code on tiny random models in the published layouts."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from media.errors import AvatarBenchError
from reference_model.networks.pretrained import PinnedModel
from reference_model.reconstruction.body_encoder import BodyEncoder
from reference_model.reconstruction.hand_encoder import HandEncoder
from reference_model.reconstruction.head_encoder import HeadEncoder, published_dino
from reference_model.reconstruction.pinned_encoders import DINOV2, HAMER, SAPIENS
from tests.reconstruction.made_photos import randomised

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit.:DeprecationWarning"
)  # what Sapiens is published as

HAND = {"dim": 32, "n_layers": 2, "n_heads": 4, "size": (64, 48)}


def save_dino(folder: Path, n_layers: int = 24) -> transformers.Dinov2WithRegistersModel:
    torch.manual_seed(0)
    config = transformers.Dinov2WithRegistersConfig(
        hidden_size=16, num_hidden_layers=n_layers, num_attention_heads=2, image_size=42, patch_size=14
    )
    model = randomised(transformers.Dinov2WithRegistersModel(config)).eval()
    model.save_pretrained(folder)
    return model


def test_head_tokens_are_four_layers_of_dinov2_as_transformers_gives_them(tmp_path):
    save_dino(tmp_path)
    encoder = HeadEncoder.load(tmp_path)
    backbone = transformers.Dinov2WithRegistersBackbone.from_pretrained(
        tmp_path, out_features=["stage5", "stage12", "stage18", "stage24"]
    )
    picture = torch.rand(2, 3, 56, 42)
    with torch.no_grad():
        maps = backbone(picture).feature_maps
        each = [
            torch.einsum("oc,bchw->bohw", layer.weight[:, :, 0, 0], fed) + layer.bias[:, None, None]
            for layer, fed in zip(encoder.fusion.projects, maps, strict=True)
        ]
        last = encoder.fusion.output_conv
        fused = torch.einsum("oc,bchw->bhwo", last.weight[:, :, 0, 0], torch.cat(each, 1)) + last.bias
        found = encoder(picture)
    assert found.shape == (2, 12, 1024)
    torch.testing.assert_close(found, fused.flatten(1, 2), rtol=1e-4, atol=1e-4)
    assert not any(p.requires_grad for p in encoder.dino.parameters())
    assert all(p.requires_grad for p in encoder.fusion.parameters())


def test_layers_that_a_model_lacks_are_refused(tmp_path):
    with pytest.raises(ValueError, match="12 blocks"):
        HeadEncoder(save_dino(tmp_path, n_layers=12))


def test_dinov2_by_the_names_of_its_authors_gives_the_features_of_timm():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.models.VisionTransformer(
        img_size=42, patch_size=14, embed_dim=16, depth=3, num_heads=2, init_values=1.0, reg_tokens=4,
        no_embed_class=True, num_classes=0,
    ).eval()  # fmt: skip
    randomised(model)
    tensors = {
        name.replace("reg_token", "register_tokens"): value for name, value in model.state_dict().items()
    }
    tensors["pos_embed"] = torch.cat([torch.zeros(1, 1, 16), tensors["pos_embed"]], 1)
    tensors["mask_token"] = torch.zeros(1, 16)
    config = transformers.Dinov2WithRegistersConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, image_size=42, patch_size=14
    )
    ours = transformers.Dinov2WithRegistersModel(config).eval()
    ours.load_state_dict(published_dino(tensors))
    picture = torch.rand(2, 3, 42, 42)
    with torch.no_grad():
        expected, found = model.forward_features(picture), ours(picture).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


class PickleBomb:
    """Runs a command when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self):
        return os.remove, (str(self.victim),)


class Settings(dict):
    """Like the settings of HaMeR's checkpoint, a class that the reader need not have."""


def save_hamer(folder: Path, encoder: HandEncoder, **more) -> PinnedModel:
    """As Lightning saves it: tensors of other parts and settings beside the backbone."""
    tensors = {f"backbone.{name}": value for name, value in encoder.state_dict().items()}
    tensors |= {"mano_head.decpose.weight": torch.zeros(3, 3), "mano.shapedirs": torch.zeros(2)}
    settings = Settings(cfg=Settings(a=1, b=[Settings(c=2)]))
    path = folder / HAMER.weights_file
    path.parent.mkdir(parents=True)
    torch.save({"epoch": 3, "state_dict": tensors, "hyper_parameters": settings, **more}, path)
    return replace(HAMER, weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def test_hand_tokens_are_those_of_a_vitpose_backbone_with_hamers_weights(tmp_path):
    """HaMeR's transformer is ViTPose's; transformers has that one with split queries, keys and values."""
    pinned = save_hamer(tmp_path, randomised(HandEncoder(**HAND)))
    encoder = HandEncoder.load(tmp_path, pinned, HandEncoder(**HAND))
    config = transformers.VitPoseBackboneConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=(64, 48), patch_size=(16, 16),
        layer_norm_eps=1e-6, num_experts=1,
    )  # fmt: skip
    canonical = transformers.VitPoseBackbone(config).eval()
    canonical.load_state_dict(vitpose_names(encoder))
    hands = torch.rand(3, 2, 3, 64, 48)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    found = encoder(hands)
    assert found.shape == (3, 2, 12, 32)
    with torch.no_grad():
        for side, crop in ((0, hands[:, 0].flip(-1)), (1, hands[:, 1])):
            expected = canonical((crop - mean) / std).feature_maps[-1]
            torch.testing.assert_close(found[:, side], expected, rtol=1e-4, atol=1e-5)


def vitpose_names(encoder: HandEncoder) -> dict[str, torch.Tensor]:
    renamed = {}
    for name, value in encoder.state_dict().items():
        name = name.replace("pos_embed", "embeddings.position_embeddings").replace("last_norm", "layernorm")
        name = name.replace("patch_embed.proj", "embeddings.patch_embeddings.projection")
        name = name.replace("blocks.", "encoder.layer.").replace("attn.proj", "attention.output.dense")
        name = name.replace("norm1", "layernorm_before").replace("norm2", "layernorm_after")
        if "attn.qkv" in name:
            for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                renamed[name.replace("attn.qkv", f"attention.attention.{part}")] = third
        else:
            renamed[name] = value
    return renamed


def test_nothing_that_a_checkpoint_names_is_run(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("still here")
    encoder = randomised(HandEncoder(**HAND))
    pinned = save_hamer(tmp_path, encoder, callbacks=PickleBomb(victim))
    loaded = HandEncoder.load(tmp_path, pinned, HandEncoder(**HAND))
    assert victim.exists()
    assert torch.equal(loaded.last_norm.weight, encoder.last_norm.weight)
    torch.load(tmp_path / HAMER.weights_file, weights_only=False)  # the usual way does run it
    assert not victim.exists()


def test_a_hamer_of_another_shape_is_refused_by_name(tmp_path):
    pinned = save_hamer(tmp_path, HandEncoder(**HAND))
    with pytest.raises(AvatarBenchError, match=r"blocks\.2\.norm1") as caught:
        HandEncoder.load(tmp_path, pinned, HandEncoder(**{**HAND, "n_layers": 3}))
    assert caught.value.code == "E305"


def test_hand_crops_of_another_size_are_refused():
    with pytest.raises(ValueError, match="64, 48"):
        HandEncoder(**HAND)(torch.zeros(1, 2, 3, 48, 64))


class MadeSapiens(nn.Module):
    """Answers like the published program: a tuple with one map at a sixteenth of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 16, 16)

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.patches(picture),)


def save_sapiens(folder: Path, seed: int = 0) -> MadeSapiens:
    torch.manual_seed(seed)
    model = MadeSapiens().eval()
    torch.jit.script(model).save(str(folder / SAPIENS.weights_file))
    return model


def test_body_tokens_are_the_programs_map_row_by_row(tmp_path):
    model = save_sapiens(tmp_path)
    encoder = BodyEncoder.load(tmp_path)
    picture = torch.rand(2, 3, 64, 32)
    found = encoder(picture)
    assert found.shape == (2, 8, 24)
    mean, std = (0.4844, 0.4570, 0.4062), (0.2295, 0.2236, 0.2256)
    normal = torch.stack([(picture[:, c] - mean[c]) / std[c] for c in range(3)], 1)
    with torch.no_grad():
        (features,) = model(normal)
    torch.testing.assert_close(found[:, 2 * 2 + 1], features[:, :, 2, 1], rtol=1e-4, atol=1e-5)


def test_the_hash_of_the_first_program_is_recorded_and_another_one_is_never_opened(tmp_path, monkeypatch):
    save_sapiens(tmp_path)
    path = tmp_path / SAPIENS.weights_file
    BodyEncoder.load(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.with_name(f"{path.name}.sha256").read_text() == f"{digest}  {path.name}\n"
    BodyEncoder.load(tmp_path)
    save_sapiens(tmp_path, seed=1)
    monkeypatch.setattr(
        torch.jit, "load", lambda *_, **__: pytest.fail("opened before its bytes were compared")
    )
    with pytest.raises(AvatarBenchError, match=digest) as caught:
        BodyEncoder.load(tmp_path)
    assert caught.value.code == "E304"


def test_a_file_that_is_no_program_is_refused(tmp_path):
    (tmp_path / SAPIENS.weights_file).write_bytes(b"not a program")
    with pytest.raises(AvatarBenchError) as caught:
        BodyEncoder.load(tmp_path)
    assert caught.value.code == "E305"


@pytest.mark.parametrize(
    ("load", "command"),
    [
        (BodyEncoder.load, f"hf download facebook/sapiens-pretrain-1b-torchscript {SAPIENS.weights_file}"),
        (HeadEncoder.load, f"hf download facebook/dinov2-with-registers-large --revision {DINOV2.revision}"),
        (HandEncoder.load, f"hf download geopavlakos/HaMeR {HAMER.weights_file} --repo-type space"),
    ],
)
def test_a_missing_encoder_says_how_to_fetch_it(tmp_path, monkeypatch, load, command):
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(AvatarBenchError) as caught:
        load()
    assert caught.value.code == "E303"
    assert command in str(caught.value)
    assert "AVATARBENCH_WEIGHTS=FOLDER" in str(caught.value)


def test_the_folder_of_the_environment_is_searched_by_the_models_name(tmp_path, monkeypatch):
    pinned = save_hamer(tmp_path / HAMER.folder_name, HandEncoder(**HAND))
    monkeypatch.setenv("AVATARBENCH_WEIGHTS", str(tmp_path))
    HandEncoder.load(pinned=pinned, encoder=HandEncoder(**HAND))
    with pytest.raises(AvatarBenchError, match="E304"):
        HandEncoder.load(pinned=HAMER)
