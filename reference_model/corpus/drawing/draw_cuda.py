"""Clips in batches of frames: posing, soft light, drawing and tone curve on one device (see `drawing`)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from reference_model.corpus.drawing.batched_posing import BatchedFigure, PosedBatch
from reference_model.corpus.drawing.draw import Shot, light_frames, light_share
from reference_model.corpus.drawing.figure import SUPERSAMPLING, Figure
from reference_model.corpus.drawing.mesh_cuda import (
    EMPTY,
    FAR,
    Lamps,
    SurfaceArrays,
    draw_depth_maps,
    draw_z_buffer,
    measure_light,
    shade_pixels,
)
from reference_model.corpus.drawing.mesh_raster import light_axes
from reference_model.corpus.drawing.mesh_surfaces import SURFACES, WRAP_BY_CHANNEL
from reference_model.corpus.drawing.scene import LIGHT_RIGS, LightRig, View

__all__ = ["BATCH", "BatchedStage", "StageClock", "develop_batch", "draw_frames_cuda", "project_batch"]

BATCH = 25
"""Frames drawn together: half a gigabyte of work arrays at 200,000 vertices."""
_LENS_SIGMA, _LENS_RADIUS = 0.45, 2  # pixels; the radius that OpenCV takes for this sigma
_FLAT_STEP = 2.0**-29  # metres, see mesh_cuda


class StageClock:
    """Seconds by stage; waits for the GPU at each mark, so it is only for measuring."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._device = device
        self._last = time.perf_counter()

    def mark(self, stage: str) -> None:
        """Count the time since the last mark as `stage`."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self.seconds[stage] += now - self._last
        self._last = now


def project_batch(points: Tensor, view: View, scale: int) -> Tensor:
    """Points [B, N, 3] to pixels of a picture `scale` times as large, with depth: [B, N, 3] float32."""
    rotation = torch.tensor(view.rotation, dtype=torch.float32, device=points.device)
    shift = torch.tensor(view.translation, dtype=torch.float32, device=points.device)
    seen = (points[..., None, :] * rotation).sum(-1) + shift
    factor = view.focal * scale / seen[..., 2:]
    middle = torch.tensor([view.width * scale / 2, view.height * scale / 2], device=points.device)
    return torch.cat([factor * seen[..., :2] + middle, seen[..., 2:]], -1).contiguous()


def develop_batch(radiance: Tensor, background: Tensor, exposure: float) -> Tensor:
    """`scene.develop` for a batch.

    Args:
        radiance: Linear RGB premultiplied by coverage, and coverage, [B, H, W, 4] float32.
        background: Linear RGB, [H, W, 3] float32.
        exposure: Factor on the light.

    Returns:
        sRGB pictures, [B, H, W, 3] uint8.
    """
    light = (radiance[..., :3] + background * (1 - radiance[..., 3:])).clamp(min=0) * exposure
    film = (light * (1.506 * light + 0.03) / (light * (1.458 * light + 0.59) + 0.14)).clamp(0, 1) ** 0.95
    film = 1.12 * film / (1 + 0.25 * film)
    srgb = torch.where(film < 0.0031308, 12.92 * film, 1.055 * film.clamp(min=1e-6) ** (1 / 2.4) - 0.055)
    srgb = (0.68 * srgb + 0.32 * srgb * srgb * (3 - 2 * srgb)).clamp(0, 1)
    return (_soften(srgb).clamp(0, 1) * 255 + 0.5).to(torch.uint8)


def _soften(pictures: Tensor) -> Tensor:
    """The lens's Gaussian with mirrored borders, [B, H, W, C]; sums of shifted pictures, exact in float32."""
    place = torch.arange(-_LENS_RADIUS, _LENS_RADIUS + 1, dtype=torch.float64)
    taps = torch.exp(-0.5 * (place / _LENS_SIGMA) ** 2)
    weights = (taps / taps.sum()).tolist()
    planes = pictures.permute(0, 3, 1, 2)
    margin = _LENS_RADIUS
    padded = functional.pad(planes, (margin, margin, margin, margin), mode="reflect")
    height, width = planes.shape[2:]
    rows = torch.zeros_like(padded[:, :, :, :width])
    for i, weight in enumerate(weights):
        rows += weight * padded[:, :, :, i : i + width]
    both = torch.zeros_like(planes)
    for i, weight in enumerate(weights):
        both += weight * rows[:, :, i : i + height]
    return both.permute(0, 2, 3, 1)


class BatchedStage:
    """A figure under one camera and one light rig, on a device.

    Args:
        batched: The figure on the device.
        view: Camera.
        rig: Lights.
    """

    def __init__(self, batched: BatchedFigure, view: View, rig: LightRig) -> None:
        self._batched, self._view = batched, view
        figure, device = batched.figure, batched.device

        def put(array: np.ndarray, dtype: type) -> Tensor:
            return torch.tensor(np.ascontiguousarray(array, dtype), device=device)

        directions, owners = rig.samples()
        axes = [light_axes(direction) for direction in directions]
        shadow = figure.shadow
        self._lamps = Lamps(
            put(directions, np.float32), put(np.array([right for right, _ in axes]), np.float32),
            put(np.array([up for _, up in axes]), np.float32), put(owners, np.int32),
            put(np.array(shadow.centre), np.float32), shadow.resolution / (2 * shadow.half_extent), shadow.bias,
        )  # fmt: skip
        self._occluders = put(figure.occluders, np.int32)
        self._cuts = put(figure.cuts, np.float32)
        self._arrays = SurfaceArrays(
            put(figure.faces, np.int32), put(figure.codes, np.int8), put(figure.chart.texels, np.float32),
            put(figure.chart.frame(), np.float32), put(rig.lighting().packed(), np.float32),
            put(view.centre, np.float32), put(SURFACES, np.float32), put(WRAP_BY_CHANNEL, np.float32),
            put(figure.paints, np.float32),
        )  # fmt: skip

    def visibility(self, posed: PosedBatch) -> Tensor:
        """How much of key, fill, rim and sky reaches each vertex, [B, N, 4] in 0..1, as `Figure.visibility`."""
        n_frames, resolution = len(posed.positions), self._batched.figure.shadow.resolution
        shape = (n_frames, len(self._lamps.directions), resolution, resolution)
        maps = torch.full(shape, FAR, dtype=torch.int32, device=self._batched.device)
        draw_depth_maps(posed.positions, self._occluders, self._lamps, maps)
        points, normals, wraps = self._batched.light_queries(posed)
        light = points.new_empty(*points.shape[:2], 4)
        measure_light(points, normals, wraps, self._lamps, maps * _FLAT_STEP, light)
        return self._batched.spread_light(light)

    def render(self, posed: PosedBatch, light: Tensor) -> Tensor:
        """Linear RGB premultiplied by coverage, and coverage, [B, H, W, 4], as `Figure.render`."""
        batched, view = self._batched, self._view
        n_frames, device = len(posed.positions), batched.device
        body = posed.points[0].cpu().numpy()
        eyes = np.stack([batched.figure.eyes.parameters(vertices) for vertices in body]).astype(np.float32)
        fixed = (batched.colour, batched.canonical, batched.edge)
        colour, canonical, edge = (array.expand(n_frames, *array.shape) for array in fixed)
        packed = torch.cat([posed.positions, posed.normals, colour, light, canonical, edge], -1)
        projected = project_batch(posed.positions, view, SUPERSAMPLING)
        shape = (n_frames, view.height * SUPERSAMPLING, view.width * SUPERSAMPLING)
        keys = torch.full(shape, EMPTY, dtype=torch.int64, device=device)
        draw_z_buffer(projected, self._arrays.faces, self._cuts, keys)
        radiance = packed.new_empty(n_frames, view.height, view.width, 4)
        shade_pixels(
            keys, projected, packed, torch.from_numpy(eyes).to(device), self._arrays, SUPERSAMPLING, radiance
        )
        return radiance


@lru_cache(maxsize=2)
def _on_device(figure: Figure, device: str) -> BatchedFigure:
    """The figure's arrays on the device; a person's next clip finds them there."""
    return BatchedFigure(figure, device)


@torch.inference_mode()
def draw_frames_cuda(
    figure: Figure,
    shot: Shot,
    *,
    device: torch.device | str = "cuda",
    batch: int = BATCH,
    clock: StageClock | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures [H, W, 3] uint8 and alphas [H, W] uint8 of a shot, drawn on a GPU `batch` frames at a time.

    Args:
        figure: Who performs.
        shot: The clip's numbers.
        device: A CUDA device.
        batch: Frames at a time.
        clock: Gets the seconds of each stage if given.
    """
    batched = _on_device(figure, str(device))
    stage = BatchedStage(batched, shot.view, LIGHT_RIGS[shot.rig])
    background = torch.tensor(shot.background, dtype=torch.float32, device=batched.device)
    mark = clock.mark if clock else lambda _: None
    n_frames = len(shot.actions)
    measured = light_frames(n_frames)
    before, share = light_share(n_frames)
    lights: dict[int, Tensor] = {}
    mark("setup")
    for start in range(0, n_frames, batch):
        frames = np.arange(start, min(start + batch, n_frames))
        first, last = int(before[start]), min(int(before[frames[-1]]) + 1, len(measured) - 1)
        lights = {index: light for index, light in lights.items() if index >= first}
        missing = [index for index in range(first, last + 1) if index not in lights]
        at = measured[missing]
        if missing:
            posed = batched.pose(shot.actions[at], shot.rotations[at], shot.view.centre)
            mark("pose")
            lights.update(zip(missing, stage.visibility(posed), strict=True))
            mark("light")
        known = torch.stack([lights[index] for index in range(first, last + 1)])
        here = torch.as_tensor(before[frames] - first, device=batched.device)
        weight = torch.as_tensor(share[frames], device=batched.device)[:, None, None]
        light = known[here] * (1 - weight) + known[(here + 1).clamp(max=len(known) - 1)] * weight
        posed = batched.pose(shot.actions[frames], shot.rotations[frames], shot.view.centre)
        mark("pose")
        radiance = stage.render(posed, light)
        mark("draw")
        pictures = develop_batch(radiance, background, shot.exposure).cpu().numpy()
        alphas = (radiance[..., 3].clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu().numpy()
        mark("develop")
        yield from zip(pictures, alphas, strict=True)
        mark("caller")
