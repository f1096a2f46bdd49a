"""One pass of the reconstruction network over a canvas: what the network takes, and what it makes of the canvas."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from media.threads import tree_workers
from reference_model.avatar.canvas import CanvasBuilder
from reference_model.avatar.gaussians import Gaussians, front_facing
from reference_model.avatar.io import SkinWeights
from reference_model.avatar.optimise import Canvas
from reference_model.avatar.sampling import SurfacePoints
from reference_model.body.mesh import triangle_frames
from reference_model.body.se3 import quaternion_multiply
from reference_model.body.template import REGIONS
from reference_model.networks.surface import BoundBones, bind_bones
from reference_model.reconstruction.canvas_network import ATTRIBUTES, CanvasNetwork, CanvasPhoto
from reference_model.reconstruction.gaussian_decoder import Corrections
from reference_model.reconstruction.query_points import bare_points
from reference_model.render import render
from reference_model.render.camera import Camera

__all__ = [
    "BODY_SIZE",
    "HAND_SIZE",
    "HEAD_SIZE",
    "Crop",
    "Crops",
    "canvas_photo",
    "corrected",
    "forward_pass",
]

BODY_SIZE = (288, 384)
"""Width and height of the crop of the person, px."""
HEAD_SIZE, HAND_SIZE = 128, 64
"""Side of the crops, px."""
_GREY = 0.5
_BODY_MARGIN, _HEAD_MARGIN, _HAND_MARGIN = 0.02, 0.25, 0.15  # of the box
_SMALLEST_HAND_PX = 12
_NEAREST = 4
_REACH_BARE_M, _REACH_M = 0.006, 0.025
_SEEN_TOLERANCE_M = 0.008
_EYELID = 0.1  # of the template's mask
_SIDES = ("left", "right")
_HANDS = ("hand_left", "hand_right")
_NO_DETAIL = ("body", "foot_left", "foot_right")


@dataclass(frozen=True)
class Crop:
    """A part of the photograph at a fixed size; beyond the picture it is empty."""

    camera: Camera
    rgb: Tensor
    """The person's colours, continued beyond the rim, [H, W, 3] in 0 to 1."""
    alpha: Tensor
    """[H, W]."""

    def drawn(self, gaussians: Gaussians, two_sided: Tensor) -> Tensor:
        """Photograph and Gaussians over grey as the encoder takes them, [8, H, W]."""
        visible = front_facing(gaussians, self.camera) | two_sided
        picture = render(gaussians, self.camera, background=torch.full((3,), _GREY), visible=visible)
        alpha = self.alpha[..., None]
        photo = self.rgb * alpha + _GREY * (1 - alpha)
        layers = (photo, alpha, picture.rgb, picture.alpha[..., None])
        return torch.cat(layers, -1).permute(2, 0, 1)

    def places(self, means: Tensor) -> Tensor:
        """Where points of the world lie in the crop, [N, 2], -1 to 1 from edge to edge."""
        size = torch.tensor([self.camera.width, self.camera.height])
        return self.camera.project(means)[0] / size * 2 - 1


class Crops(NamedTuple):
    """The crops of one photograph."""

    body: Crop
    head: Crop
    hands: tuple[Crop, Crop]
    """Of the person's left and right hand, neither mirrored."""
    hand_present: tuple[bool, bool]

    @classmethod
    def of(cls, builder: CanvasBuilder, canvas: Canvas, points: SurfacePoints) -> Crops:
        """Where the fitted body says that head and hands are; a hand is present where a tenth of it is seen."""
        template, camera = builder.template, builder.camera
        pixels = camera.project(builder.vertices)[0].numpy()
        shown = builder.alpha > 0.05
        ends = (np.flatnonzero(shown.any(along))[[0, -1]] for along in (0, 1))  # of columns, of rows
        person = np.stack(list(ends), 1)
        body = _crop(builder, _box(person, _BODY_MARGIN, BODY_SIZE[0] / BODY_SIZE[1]), BODY_SIZE)
        head = _crop(
            builder, _box(pixels[template.region_vertices("head")], _HEAD_MARGIN), (HEAD_SIZE, HEAD_SIZE)
        )
        hands, present = [], []
        for name in _HANDS:
            box = _box(pixels[template.region_vertices(name)], _HAND_MARGIN)
            hands.append(_crop(builder, box, (HAND_SIZE, HAND_SIZE)))
            on_hand = template.region_faces(name)[points.triangle]
            seen = canvas.seen.numpy()[on_hand]
            large = box[2] - box[0] >= _SMALLEST_HAND_PX
            present.append(bool(large and len(seen) and seen.mean() > 0.1))
        return cls(body, head, (hands[0], hands[1]), (present[0], present[1]))


def canvas_photo(
    builder: CanvasBuilder, points: SurfacePoints, canvas: Canvas, crops: Crops, network: CanvasNetwork
) -> CanvasPhoto:
    """What the network takes of one photograph, with a leading dimension of 1.

    Args:
        builder: The fitted photograph.
        points: N points on it.
        canvas: Their Gaussians.
        crops: Of the photograph.
        network: Whose query points.
    """
    template = builder.template
    gaussians = canvas.gaussians()
    beside = ThreadPoolExecutor(1)  # the points' neighbours are found while the crops are drawn
    bound = beside.submit(_bound, builder, points, network, tree_workers())
    beside.shutdown(wait=False)
    detail = _details()[template.region[points.triangle]]
    head, left, right = (
        crop.places(gaussians.means) for crop in (crops.head, crops.hands[0], crops.hands[1])
    )
    left = left * torch.tensor([-1.0, 1.0])  # its crop is mirrored
    kind = torch.from_numpy(detail)
    detail_places = torch.where(
        kind[:, None] == 2,
        left,
        torch.where(kind[:, None] == 3, right, torch.where(kind[:, None] == 1, head, 9.0)),
    )
    hands = [crop.drawn(gaussians, canvas.two_sided) for crop in crops.hands]
    hands[0] = hands[0].flip(-1)

    corners = builder.faces[network.query_triangle]
    queries = (builder.vertices[corners] * network.query_barycentric[..., None].float()).sum(1)  # [n, 3]
    normals = triangle_frames(builder.vertices, corners)[..., 2]
    behind, _ = _behind(builder, queries)
    facing = ((builder.camera.center - queries) * normals).sum(-1) > 0
    bare = bare_points(template, points.triangle, points.barycentric)
    reach = np.where(bare, _REACH_BARE_M, _REACH_M) * ~_folded_away(builder, points, canvas)
    bones, nearest, share = bound.result()
    one = CanvasPhoto(
        body=crops.body.drawn(gaussians, canvas.two_sided),
        head=crops.head.drawn(gaussians, canvas.two_sided),
        hands=torch.stack(hands),
        hand_present=torch.tensor(crops.hand_present),
        query_places=crops.body.places(queries),
        query_seen=facing & (behind < _SEEN_TOLERANCE_M),
        attributes=_attributes(builder, canvas, gaussians, torch.from_numpy(bones.position), kind),
        places=crops.body.places(gaussians.means),
        detail_places=detail_places,
        detail=kind,
        nearest=torch.from_numpy(nearest),
        share=torch.from_numpy(share),
        bone_index=torch.from_numpy(bones.index.astype(np.int64)),
        bone_weight=torch.from_numpy(bones.weight),
        reach=torch.from_numpy(reach.astype(np.float32)),
    )
    return CanvasPhoto(*(getattr(one, name)[None] for name in CanvasPhoto.__dataclass_fields__))


def _bound(
    builder: CanvasBuilder, points: SurfacePoints, network: CanvasNetwork, workers: int
) -> tuple[BoundBones, np.ndarray, np.ndarray]:
    """Bones of N points, and their nearest query points [N, k] with shares [N, k]."""
    bones = bind_bones(builder.template, points.triangle, points.barycentric)
    tree = KDTree(network.query_position.cpu().numpy())
    distance, nearest = tree.query(bones.position, k=_NEAREST, workers=workers)
    share = 1 / (np.asarray(distance) + 1e-3)
    return bones, np.asarray(nearest), (share / share.sum(1, keepdims=True)).astype(np.float32)


def _details() -> np.ndarray:
    """By region: 0 where no detail shows it, 1 on the head, 2 and 3 on the left and the right hand."""
    detail = np.where(np.isin(REGIONS, _NO_DETAIL), 0, 1)
    for which, name in enumerate(_HANDS, start=2):
        detail[REGIONS.index(name)] = which
    return detail


def corrected(canvas: Canvas, corrections: Corrections) -> Canvas:
    """The canvas after the pass, of one person or of B padded to equal length; nothing in it is doubtful any more.

    Args:
        canvas: N Gaussians, [..., N, ...].
        corrections: Of them; zeros give back every bit.
    """
    growth = corrections.opacity_logit.expm1()
    opacities = canvas.opacities
    return replace(
        canvas,
        offsets=canvas.offsets + corrections.offset,
        log_scales=canvas.log_scales + corrections.log_scale,
        turns=quaternion_multiply(canvas.turns, corrections.turn),
        # sigmoid(logit(o) + d), exact for d = 0
        opacities=opacities + opacities * (1 - opacities) * growth / (1 + opacities * growth),
        colors=(canvas.colors + corrections.color).clamp(0, 1),
        doubtful=torch.zeros_like(canvas.doubtful),
    )


@torch.no_grad()
def forward_pass(
    builder: CanvasBuilder,
    points: SurfacePoints,
    canvas: Canvas,
    network: CanvasNetwork,
    *,
    hand_enhance: bool = True,
    weight_decoder: bool = True,
) -> tuple[Canvas, SkinWeights]:
    """The canvas as the network corrects it, and the person's skinning weights.

    Args:
        builder: The fitted photograph.
        points: N points on it.
        canvas: Their Gaussians.
        network: With its weights, on any device; all else is on the CPU.
        hand_enhance: Whether the network looks at the hands' tokens.
        weight_decoder: Whether skinning weights adapt to the person.
    """
    photo = canvas_photo(builder, points, canvas, Crops.of(builder, canvas, points), network)
    photo = photo.to(network.query_position.device)
    found = network(photo, hand_enhance=hand_enhance, weight_decoder=weight_decoder)
    own = Corrections(*(part[0].cpu() for part in found.corrections))
    skin = SkinWeights.of_dense(found.skin[0])
    return corrected(canvas, own), SkinWeights(skin.index.cpu(), skin.weight.cpu())


def _folded_away(builder: CanvasBuilder, points: SurfacePoints, canvas: Canvas) -> np.ndarray:
    """What only speech and blinks bring to light, [N] bool: no picture that the network learns from shows it."""
    template = builder.template
    mouth = template.region_faces("mouth_cavity", "tongue", "teeth_upper", "teeth_lower")[points.triangle]
    eyelid = (template.eyelid[template.faces[points.triangle]] * points.barycentric).sum(1) > _EYELID
    eyeball = template.region_faces(*(f"eye_{part}_{side}" for part in ("front", "back") for side in _SIDES))
    return mouth | ((eyelid | eyeball[points.triangle]) & ~canvas.seen.numpy())


def _attributes(
    builder: CanvasBuilder, canvas: Canvas, gaussians: Gaussians, position: Tensor, detail: Tensor
) -> Tensor:
    """[N, ATTRIBUTES]."""
    camera = builder.camera
    pixels, depth = camera.project(gaussians.means)
    behind, inside = _behind(builder, gaussians.means)
    column, row = _clipped(camera, pixels)
    normals = canvas.frames[..., 2] @ camera.rotation.T
    flags = (
        canvas.seen, canvas.given, canvas.doubtful, canvas.loose, canvas.two_sided, canvas.trainable,
        canvas.beside_hand, inside, *(detail == which for which in (1, 2, 3)),
    )  # fmt: skip
    found = torch.cat(
        [
            position,
            canvas.colors,
            torch.from_numpy(builder.colors[row, column]).float() / 255,
            torch.from_numpy(builder.alpha[row, column]).float()[:, None],
            normals,
            (canvas.spacing * camera.focal / depth.clamp_min(0.1)).log()[:, None],
            (behind / 0.05).clamp(-1, 1)[:, None],
            torch.stack([flag.float() for flag in flags], -1),
        ],
        -1,
    )
    if found.shape[-1] != ATTRIBUTES:
        raise ValueError(f"expected {ATTRIBUTES} attributes, got {found.shape[-1]}")
    return found


def _behind(builder: CanvasBuilder, places: Tensor) -> tuple[Tensor, Tensor]:
    """How far points [N, 3] lie behind the nearest surface (metres, 1 where none is), and which are in the picture."""
    pixels, depth = builder.camera.project(places)
    column, row = _clipped(builder.camera, pixels)
    nearest = torch.from_numpy(builder.raster.depth[row, column])
    inside = (pixels[:, 0] >= 0) & (pixels[:, 1] >= 0)
    inside &= (pixels[:, 0] < builder.camera.width) & (pixels[:, 1] < builder.camera.height)
    return torch.where(nearest.isfinite() & inside, depth - nearest, 1.0), inside


def _clipped(camera: Camera, pixels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    column, row = pixels.floor().long().numpy().T
    return column.clip(0, camera.width - 1), row.clip(0, camera.height - 1)


def _box(pixels: np.ndarray, margin: float, aspect: float = 1.0) -> tuple[int, int, int, int]:
    """The box around pixels [P, 2], wider by `margin` of its longer side all around, of `aspect` = width / height."""
    low, high = pixels.min(0), pixels.max(0)
    centre, size = (low + high) / 2, high - low + 2 * margin * float((high - low).max())
    height = max(size[1], size[0] / aspect)
    half = np.maximum(np.array([height * aspect, height]) / 2, 2.0)
    x0, y0 = np.floor(centre - half).astype(int)
    x1, y1 = np.ceil(centre + half).astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def _crop(builder: CanvasBuilder, box: tuple[int, int, int, int], size: tuple[int, int]) -> Crop:
    """`size` = (width, height) px."""
    x0, y0, x1, y1 = box
    height, width = builder.alpha.shape
    inner = slice(max(0, y0), max(0, min(height, y1))), slice(max(0, x0), max(0, min(width, x1)))
    top, left = min(max(0, -y0), y1 - y0), min(max(0, -x0), x1 - x0)

    def resized(picture: np.ndarray, empty: float) -> Tensor:
        whole = np.full((y1 - y0, x1 - x0, *picture.shape[2:]), empty, np.float32)
        part = picture[inner]
        whole[top : top + part.shape[0], left : left + part.shape[1]] = part
        shrinks = whole.shape[1] > size[0]
        return torch.from_numpy(
            cv2.resize(whole, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        )

    camera = builder.camera.cropped(x0, y0, x1 - x0, y1 - y0)
    scale = size[0] / (x1 - x0), size[1] / (y1 - y0)
    if not math.isclose(*scale, rel_tol=0.05):
        raise ValueError(f"the box {box} has another aspect than {size}")
    return Crop(camera.resized(*size), resized(builder.colors, 127.5) / 255, resized(builder.alpha, 0.0))
