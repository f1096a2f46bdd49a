"""Weights files: what is written comes back, and a damaged file is refused by code E502."""

from __future__ import annotations

import pytest
import torch

from media.errors import AvatarBenchError
from reference_model.networks.model import MINI, AvatarModel, config_dict, load_model
from reference_model.networks.weights import load_weights, read_metadata, save_weights


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(0)
    model = AvatarModel()
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_weights(path, model.state_dict(), {"kind": "AvatarModel", "config": config_dict(MINI), "seed": 0})
    return path, model


def test_a_model_comes_back_in_half_precision(saved):
    path, model = saved
    again = load_model(path)
    assert again.config == MINI
    assert not again.training
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.half().float()), name
    assert path.stat().st_size < 4e6


def test_the_header_tells_where_the_weights_come_from(saved):
    metadata = read_metadata(saved[0], "AvatarModel")
    assert metadata["seed"] == 0
    assert len(metadata["tensors_sha256"]) == 64


def _refused(call) -> AvatarBenchError:
    with pytest.raises(AvatarBenchError) as caught:
        call()
    assert caught.value.code == "E502"
    return caught.value


def test_missing_truncated_altered_and_foreign_weights_are_refused(saved, tmp_path):
    path, model = saved
    assert "no weights" in _refused(lambda: load_model(tmp_path / "none.safetensors")).what

    data = path.read_bytes()
    short = tmp_path / "short.safetensors"
    short.write_bytes(data[: len(data) // 2])
    _refused(lambda: load_model(short))

    altered = tmp_path / "altered.safetensors"
    altered.write_bytes(data[:-1000] + bytes([data[-1000] ^ 1]) + data[-999:])
    assert "damaged" in _refused(lambda: load_model(altered)).what

    assert "another model" in _refused(lambda: read_metadata(path, "PoseDrivenNetwork")).what

    small = tmp_path / "small.safetensors"
    some = dict(list(model.state_dict().items())[:5])
    save_weights(small, some, {"kind": "AvatarModel", "config": config_dict(MINI)})
    assert "do not fit" in _refused(lambda: load_weights(small, model)).what


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="finite in half precision"):
        save_weights(tmp_path / "bad.safetensors", {"a": torch.tensor([1e6])}, {})
    assert not list(tmp_path.iterdir())
