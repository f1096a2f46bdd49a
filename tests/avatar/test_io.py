from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from media.errors import AvatarBenchError
from reference_model.avatar.gaussians import Gaussians
from reference_model.avatar.io import FORMAT_VERSION, Avatar, SkinWeights, load_avatar, save_avatar
from reference_model.body.skinning import BodyState
from reference_model.render.camera import Camera


def make_avatar(n: int = 500, seed: int = 0) -> Avatar:
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    barycentric = uniform(n, 3)
    y, x = np.mgrid[:48, :36]
    return Avatar(
        gaussians=Gaussians(
            means=uniform(n, 3) * 2 - 1,
            quats=torch.nn.functional.normalize(uniform(n, 4) - 0.5, dim=-1),
            scales=0.001 + 0.01 * uniform(n, 3),
            opacities=uniform(n),
            colors=uniform(n, 3),
        ),
        triangle=(uniform(n) * 20_000).int(),
        barycentric=barycentric / barycentric.sum(-1, keepdim=True),
        region=(uniform(n) * 15).to(torch.uint8),
        two_sided=uniform(n) > 0.9,
        state=BodyState(uniform(64), uniform(52), uniform(104, 3), uniform(1000, 3) * 0.01),
        camera=Camera.frontal((0.1, -0.6, 2.1), 1536.5, 720, 960),
        background=np.stack([x * 4, y * 4, x + y], axis=-1).astype(np.uint8),
        meta={"seed": seed, "notes": ["N106"], "photo_size": [720, 960]},
    )


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "person.avatar"
    save_avatar(path, make_avatar())
    return path


def test_loading_gives_back_what_was_saved_within_half_precision(stored: Path) -> None:
    avatar, loaded = make_avatar(), load_avatar(stored)

    assert torch.equal(loaded.gaussians.means, avatar.gaussians.means)
    for name in ("quats", "opacities", "colors"):
        assert torch.allclose(getattr(loaded.gaussians, name), getattr(avatar.gaussians, name), atol=1e-3)
    assert torch.allclose(loaded.gaussians.scales, avatar.gaussians.scales, rtol=5e-3)
    assert torch.allclose(loaded.barycentric, avatar.barycentric, atol=1e-3)
    assert torch.allclose(loaded.barycentric.sum(-1), torch.ones(len(avatar)), atol=1e-6)
    for name in ("triangle", "region", "two_sided"):
        assert torch.equal(getattr(loaded, name), getattr(avatar, name))
    for field in dataclasses.fields(BodyState):
        assert torch.equal(getattr(loaded.state, field.name), getattr(avatar.state, field.name))
    assert loaded.camera.to_dict() == avatar.camera.to_dict()
    assert loaded.meta == avatar.meta
    difference = np.abs(loaded.background.astype(int) - avatar.background)
    assert loaded.background.shape == avatar.background.shape and difference.mean() < 4


def own_skin(n: int = 500) -> SkinWeights:
    return SkinWeights.of_dense(torch.rand((n, 104), generator=torch.Generator().manual_seed(3)))


def test_skinning_weights_of_the_person_are_kept_and_those_who_have_none_get_none(stored: Path) -> None:
    assert load_avatar(stored).skin is None
    avatar = dataclasses.replace(make_avatar(), skin=own_skin())
    save_avatar(stored, avatar)
    loaded = load_avatar(stored).skin
    assert loaded is not None and avatar.skin is not None
    assert torch.equal(loaded.index, avatar.skin.index.int())
    assert torch.allclose(loaded.weight, avatar.skin.weight, atol=1e-3)
    assert torch.allclose(loaded.weight.sum(-1), torch.ones(500), atol=1e-6)
    assert (loaded.weight.diff(dim=-1) <= 0).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("skin_weight", None),
        ("skin_weight", torch.zeros(500, 8, dtype=torch.float16)),
        ("skin_index", torch.full((500, 8), 104, dtype=torch.uint8)),
    ],
)
def test_skinning_weights_that_cannot_be_used_are_refused(stored: Path, name: str, value) -> None:
    save_avatar(stored, dataclasses.replace(make_avatar(), skin=own_skin()))
    rewrite(stored, tensors={name: value})
    with pytest.raises(AvatarBenchError) as caught:
        load_avatar(stored)
    assert caught.value.code == "E301"


def test_equal_avatars_give_equal_bytes(stored: Path, tmp_path: Path) -> None:
    save_avatar(tmp_path / "again.avatar", make_avatar())

    assert (tmp_path / "again.avatar").read_bytes() == stored.read_bytes()


def test_the_header_is_plain_json_with_a_format_version(stored: Path) -> None:
    with safe_open(str(stored), framework="np") as file:
        document = json.loads(file.metadata()["avatar"])

    assert document["format"] == "avatarbench.avatar"
    assert document["format_version"] == FORMAT_VERSION
    assert document["meta"]["notes"] == ["N106"]


@pytest.mark.parametrize("kept", [0, 7, 100, 0.5, 0.999])
def test_a_truncated_file_is_refused_as_broken(stored: Path, kept: float) -> None:
    data = stored.read_bytes()
    stored.write_bytes(data[: int(kept if kept > 1 else kept * len(data))])

    with pytest.raises(AvatarBenchError) as caught:
        load_avatar(stored)
    assert caught.value.code == "E301"
    assert str(stored) in str(caught.value)


def test_a_file_that_is_no_avatar_is_refused(tmp_path: Path) -> None:
    photo, foreign = tmp_path / "photo.avatar", tmp_path / "weights.avatar"
    photo.write_bytes(b"\x89PNG\r\n" * 100)
    save_file({"weight": torch.zeros(3)}, str(foreign))

    for path in (photo, foreign, tmp_path / "absent.avatar"):
        with pytest.raises(AvatarBenchError) as caught:
            load_avatar(path)
        assert caught.value.code == "E301"


def test_a_newer_format_is_told_apart_from_a_broken_file(stored: Path) -> None:
    rewrite(stored, header={"format_version": FORMAT_VERSION + 1})

    with pytest.raises(AvatarBenchError) as caught:
        load_avatar(stored)
    assert caught.value.code == "E302"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("means", torch.zeros(499, 3)),
        ("means", torch.full((500, 3), torch.nan)),
        ("triangle", torch.zeros(500)),
        ("background", torch.zeros(64, dtype=torch.uint8)),
        ("colors", None),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(stored: Path, name: str, value: torch.Tensor | None) -> None:
    rewrite(stored, tensors={name: value})

    with pytest.raises(AvatarBenchError) as caught:
        load_avatar(stored)
    assert caught.value.code == "E301"


def test_a_damaged_camera_is_refused(stored: Path) -> None:
    rewrite(stored, header={"camera": {"focal": 1.0}})

    with pytest.raises(AvatarBenchError) as caught:
        load_avatar(stored)
    assert caught.value.code == "E301"


def test_a_failed_save_leaves_the_old_file(stored: Path) -> None:
    before = stored.read_bytes()
    unwritable = make_avatar(seed=1)
    unwritable.meta["loss"] = float("nan")  # JSON has no such number

    with pytest.raises(ValueError, match="JSON"):
        save_avatar(stored, unwritable)
    assert stored.read_bytes() == before
    assert list(stored.parent.iterdir()) == [stored]


def rewrite(
    path: Path, *, header: dict[str, Any] | None = None, tensors: dict[str, torch.Tensor | None] | None = None
) -> None:
    """Change parts of a stored avatar; a tensor set to None is left out."""
    with safe_open(str(path), framework="pt") as file:
        document = json.loads(file.metadata()["avatar"]) | (header or {})
    values = load_file(str(path)) | (tensors or {})
    kept = {name: value for name, value in values.items() if value is not None}
    save_file(kept, str(path), metadata={"avatar": json.dumps(document)})
