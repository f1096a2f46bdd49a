"""The `Avatar` and its file format.

A `.avatar` file is a safetensors file: the tensors below, and one JSON document in the header's metadata.
Nothing in it is executed on loading. The layout is described in `docs/avatar_format.md`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from media.errors import AvatarBenchError
from media.files import atomic_write
from reference_model.avatar.gaussians import Gaussians
from reference_model.body.skinning import BodyState
from reference_model.render.camera import Camera

__all__ = ["BONES", "FORMAT_VERSION", "Avatar", "SkinWeights", "load_avatar", "save_avatar"]

FORMAT_VERSION = 1
"""Version of the layout; a reader refuses files of a higher one."""

BONES = 8
"""Bones that a Gaussian can hang on."""

_FORMAT_NAME = "avatarbench.avatar"
_HEADER_KEY = "avatar"
_JPEG_QUALITY = 95

# name -> (stored dtype, trailing shape). Half floats where the error stays below what a pixel shows;
# positions keep 32 bits, because 16 would round a coordinate of 1.5 m to a millimetre.
_PER_GAUSSIAN: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
    "means": (torch.float32, (3,)),
    "quats": (torch.float16, (4,)),
    "log_scales": (torch.float16, (3,)),
    "opacities": (torch.float16, ()),
    "colors": (torch.float16, (3,)),
    "triangle": (torch.int32, ()),
    "barycentric": (torch.float16, (3,)),
    "region": (torch.uint8, ()),
    "two_sided": (torch.bool, ()),
}
# Present only in avatars with skinning weights of their own.
_SKIN: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
    "skin_index": (torch.uint8, (BONES,)),
    "skin_weight": (torch.float16, (BONES,)),
}
_STATE = ("shape", "actions", "rotations", "offsets")


class SkinWeights(NamedTuple):
    """Skinning weights W of N Gaussians."""

    index: Tensor
    """Joints, `[N, 8]` integers, heaviest first."""
    weight: Tensor
    """`[N, 8]` float32, rows sum to 1."""

    @classmethod
    def of_dense(cls, weights: Tensor) -> SkinWeights:
        """The heaviest eight of dense weights `[N, J]`, scaled to the whole."""
        weight, index = weights.topk(BONES, dim=-1)
        return cls(index, weight / weight.sum(-1, keepdim=True))


@dataclass
class Avatar:
    """A person made from one photograph: Gaussians bound to the posed body template.

    The pose of the photograph is the canonical space: `gaussians` rendered with `camera` are the photograph.

    Attributes:
        gaussians: N Gaussians in world space, in the photo pose.
        triangle: Template face that carries each Gaussian, `[N]` int32.
        barycentric: Its foot point on that face, `[N, 3]`, rows sum to 1.
        region: `REGIONS` index of the face, `[N]` uint8.
        two_sided: True where the Gaussian must not be culled by its normal, `[N]` bool.
        state: Shape, expression, pose and rest-space offsets of the fitted body.
        camera: Camera of the whole photograph.
        background: The photograph with the person painted out, `[h, w, 3]` uint8 sRGB.
        meta: What is known of the origin: seed, package version, sha256 of the photograph, its size, notes.
        skin: The person's own skinning weights; None for the template's.
    """

    gaussians: Gaussians
    triangle: Tensor
    barycentric: Tensor
    region: Tensor
    two_sided: Tensor
    state: BodyState
    camera: Camera
    background: np.ndarray
    meta: dict[str, Any] = field(default_factory=dict)
    skin: SkinWeights | None = None

    def __len__(self) -> int:
        """Number of Gaussians N."""
        return len(self.triangle)


def save_avatar(path: str | Path, avatar: Avatar) -> None:
    """Write `avatar` to `path`, atomically: a reader sees the old file or the whole new one.

    Raises:
        AvatarBenchError: E601 when the disk is full, E602 when the place cannot be written to.
    """
    document = {
        "format": _FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "camera": avatar.camera.to_dict(),
        "meta": avatar.meta,
    }
    # One key only: safetensors writes several in an order of its own, and equal avatars must give equal bytes.
    metadata = {_HEADER_KEY: json.dumps(document, sort_keys=True, allow_nan=False)}
    with atomic_write(path) as temporary:
        save_file(_tensors(avatar), str(temporary), metadata=metadata)


def load_avatar(path: str | Path) -> Avatar:
    """Read a `.avatar` file.

    Raises:
        AvatarBenchError: E301 when the file is missing, truncated or not an avatar; E302 when a newer version
            of the package wrote it.
    """
    path = Path(path)
    if not path.is_file():
        raise AvatarBenchError("E301", "There is no such file.", where=path, fix="Check the path.")
    try:
        with safe_open(str(path), framework="pt") as file:
            document = _read_document(path, file.metadata() or {})
            _check_version(path, document)
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise _broken(path, "The file cannot be read as safetensors.", got=str(error)) from error
    _check_tensors(path, tensors)
    try:
        camera, meta = Camera.from_dict(document["camera"]), document["meta"]
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(path, "The JSON document in the header is damaged.", got=repr(error)) from error
    return _assemble(path, tensors, camera, meta)


def _tensors(avatar: Avatar) -> dict[str, Tensor]:
    g = avatar.gaussians
    values = {
        "means": g.means,
        "quats": g.quats,
        "log_scales": g.scales.log(),
        "opacities": g.opacities,
        "colors": g.colors,
        "triangle": avatar.triangle,
        "barycentric": avatar.barycentric,
        "region": avatar.region,
        "two_sided": avatar.two_sided,
    }
    kinds = dict(_PER_GAUSSIAN)
    if avatar.skin is not None:
        values.update(skin_index=avatar.skin.index, skin_weight=avatar.skin.weight)
        kinds.update(_SKIN)
    tensors = {name: value.detach().cpu().to(kinds[name][0]).contiguous() for name, value in values.items()}
    for name in _STATE:
        tensors[f"state.{name}"] = getattr(avatar.state, name).detach().cpu().float().contiguous()
    tensors["background"] = _encode_image(avatar.background)
    return tensors


def _assemble(path: Path, tensors: dict[str, Tensor], camera: Camera, meta: dict[str, Any]) -> Avatar:
    barycentric = tensors["barycentric"].float()  # [N, 3]
    return Avatar(
        gaussians=Gaussians(
            means=tensors["means"],
            quats=torch.nn.functional.normalize(tensors["quats"].float(), dim=-1),
            scales=tensors["log_scales"].float().exp(),
            opacities=tensors["opacities"].float(),
            colors=tensors["colors"].float(),
        ),
        triangle=tensors["triangle"],
        barycentric=barycentric / barycentric.sum(-1, keepdim=True),
        region=tensors["region"],
        two_sided=tensors["two_sided"],
        state=BodyState(**{name: tensors[f"state.{name}"] for name in _STATE}),
        camera=camera,
        background=_decode_image(path, tensors["background"]),
        meta=meta,
        skin=_skin(tensors),
    )


def _skin(tensors: dict[str, Tensor]) -> SkinWeights | None:
    if "skin_index" not in tensors:
        return None
    weight = tensors["skin_weight"].float()
    return SkinWeights(tensors["skin_index"].int(), weight / weight.sum(-1, keepdim=True))


def _read_document(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    try:
        document = json.loads(metadata[_HEADER_KEY])
    except (KeyError, ValueError) as error:
        raise _broken(path, "The file is no avatar.", got=repr(error)) from error
    if not isinstance(document, dict) or document.get("format") != _FORMAT_NAME:
        raise _broken(path, "The file is no avatar.", expected=_FORMAT_NAME)
    return document


def _check_version(path: Path, document: dict[str, Any]) -> None:
    version = document.get("format_version")
    if not isinstance(version, int):
        raise _broken(path, "The format version is damaged.", expected="a whole number", got=repr(version))
    if version > FORMAT_VERSION:
        raise AvatarBenchError(
            "E302",
            "A newer version of avatarbench wrote this avatar.",
            where=path,
            expected=f"format version {FORMAT_VERSION} or lower",
            got=str(version),
            fix="Update avatarbench, or make the avatar again from its photograph with `avatar create`.",
        )


def _check_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    kinds = _PER_GAUSSIAN | (_SKIN if any(name in tensors for name in _SKIN) else {})
    names = [*kinds, *(f"state.{name}" for name in _STATE), "background"]
    missing = [name for name in names if name not in tensors]
    if missing:
        raise _broken(path, "Tensors are missing.", got=f"no {', '.join(missing)}")
    n = tensors["triangle"].numel()
    for name, (dtype, shape) in kinds.items():
        value = tensors[name]
        if value.dtype != dtype or tuple(value.shape) != (n, *shape):
            raise _broken(
                path,
                f"The tensor {name!r} does not fit.",
                expected=f"{dtype} {(n, *shape)}",
                got=f"{value.dtype} {tuple(value.shape)}",
            )
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise _broken(path, f"The tensor {name!r} holds values that are not finite.")
    if "skin_index" in tensors:
        n_joints = len(tensors["state.rotations"])
        if int(tensors["skin_index"].max()) >= n_joints or not bool(
            (tensors["skin_weight"].sum(-1) > 0).all()
        ):
            raise _broken(path, "The skinning weights name joints that do not exist, or none.")


def _encode_image(image: np.ndarray) -> Tensor:
    ok, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not ok:
        raise ValueError(f"background must be uint8 [h, w, 3], got {image.dtype} {image.shape}")
    return torch.from_numpy(np.ascontiguousarray(data).reshape(-1))  # [bytes] uint8


def _decode_image(path: Path, data: Tensor) -> np.ndarray:
    readable = data.numel() > 0 and data.dtype == torch.uint8
    image = cv2.imdecode(data.numpy(), cv2.IMREAD_COLOR) if readable else None
    if image is None:
        raise _broken(path, "The background picture is damaged.")
    return np.ascontiguousarray(image[..., ::-1])  # [h, w, 3] uint8 sRGB


def _broken(
    path: Path, what: str, *, expected: str | None = None, got: str | None = None
) -> AvatarBenchError:
    return AvatarBenchError(
        "E301",
        what,
        where=path,
        expected=expected,
        got=got,
        fix="Make the avatar again from its photograph with `avatar create`.",
    )
