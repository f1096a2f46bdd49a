"""One photograph to an avatar."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Literal, NamedTuple

import cv2
import numba
import numpy as np
import torch

from media.errors import AvatarBenchError
from media.landmarks import PersonLandmarks, detect_person
from media.matte import refine_matte
from media.threads import one_torch_thread
from reference_model.avatar.canvas import CanvasBuilder
from reference_model.avatar.forward import forward_pass
from reference_model.avatar.gaussians import Gaussians
from reference_model.avatar.io import Avatar, SkinWeights
from reference_model.avatar.optimise import Canvas, View, crop_view, optimise
from reference_model.avatar.sampling import SurfacePoints
from reference_model.photo.fitting import Fit, fit_body
from reference_model.photo.layers import extend_foreground, paint_out
from reference_model.photo.silhouette import silhouette_offsets
from reference_model.reconstruction.reconstruction_file import shipped_canvas_network

__all__ = [
    "ITERATIONS",
    "STAGES",
    "FittedPhoto",
    "Initial",
    "Progress",
    "SeenPhoto",
    "create_avatar",
    "fit_photo",
    "fit_seen",
    "one_thread",
    "see_photo",
]

Initial = Literal["template", "forward"]
"""What the optimisation starts from: the template's canvas, or what the reconstruction `mini` makes of it."""

Progress = Callable[[str, float], None]
"""Called with the name of the running stage and its finished fraction, 0 to 1."""

STAGES = ("landmarks", "matte", "fit", "silhouette", "gaussians", "optimise", "finish")

_N_GAUSSIANS = 30_000
_WORK_SIZE = 1280  # px, longer side; larger photographs are reduced first
ITERATIONS: dict[Initial, int] = {"template": 400, "forward": 200}
"""Of the optimisation, by what it starts from."""
_BODY_PIXELS, _DETAIL_PIXELS = 512 * 400, 256 * 256


class SeenPhoto(NamedTuple):
    """A photograph with what the detectors found in it."""

    photo: np.ndarray
    """As worked on, [H, W, 3] uint8."""
    landmarks: PersonLandmarks
    alpha: np.ndarray
    """Matte [H, W]."""


class FittedPhoto(NamedTuple):
    """A photograph with its fitted body and the canvas on it."""

    photo: np.ndarray
    """As worked on, [H, W, 3] uint8."""
    landmarks: PersonLandmarks
    alpha: np.ndarray
    """Matte [H, W]."""
    fit: Fit
    overlap: float
    """Intersection over union of the body's silhouette and the matte."""
    builder: CanvasBuilder
    points: SurfacePoints
    canvas: Canvas
    background: np.ndarray
    """The place behind the person, [H, W, 3] uint8."""

    def forward(
        self, *, hand_enhance: bool = True, device: torch.device | str = "cpu"
    ) -> tuple[Canvas, SkinWeights]:
        """One pass of the reconstruction `mini`: the canvas as it corrects it, and the person's skinning weights.

        The network runs on `device`; the result is on the CPU.
        """
        network = shipped_canvas_network(device)
        return forward_pass(self.builder, self.points, self.canvas, network, hand_enhance=hand_enhance)

    def optimised(
        self, canvas: Canvas, iterations: int, seed: int, progress: Callable[[float], None]
    ) -> Gaussians:
        """Gaussians of `canvas` after the optimisation."""
        views, schedule = _views(self, iterations)
        return optimise(canvas, views, schedule, torch.Generator().manual_seed(seed), progress)

    def avatar(self, gaussians: Gaussians, meta: dict[str, Any], skin: SkinWeights | None = None) -> Avatar:
        """The avatar of some Gaussians on the points."""
        points = self.points
        return Avatar(
            gaussians=gaussians,
            triangle=torch.as_tensor(points.triangle, dtype=torch.int32),
            barycentric=torch.as_tensor(points.barycentric, dtype=torch.float32),
            region=torch.as_tensor(self.builder.template.region[points.triangle]),
            two_sided=torch.as_tensor(points.two_sided),
            state=self.builder.state,
            camera=self.builder.camera,
            background=self.background,
            meta=meta,
            skin=skin,
        )


def see_photo(image: np.ndarray, progress: Progress | None = None) -> SeenPhoto:
    """Landmarks and matte of a photograph; arguments and errors as of `create_avatar`."""
    report = progress or (lambda stage, fraction: None)
    photo = _work_copy(image)
    report("landmarks", 0.0)
    landmarks = detect_person(photo)
    report("matte", 0.0)
    alpha = refine_matte(photo, landmarks.mask)
    if alpha.max() < 0.5:
        raise AvatarBenchError(
            "E102", "The person cannot be told from the background.", fix="Use a clearer photograph."
        )
    return SeenPhoto(photo, landmarks, alpha)


def fit_seen(
    seen: SeenPhoto,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    n_gaussians: int = _N_GAUSSIANS,
    device: torch.device | str = "cpu",
) -> FittedPhoto:
    """From landmarks and matte to the canvas; what there is to solve is solved on `device`."""
    report = progress or (lambda stage, fraction: None)
    photo, landmarks, alpha = seen
    report("fit", 0.0)
    with ThreadPoolExecutor(2) as beside:  # what needs no fit is done meanwhile
        layers = [beside.submit(layer, photo, alpha) for layer in (extend_foreground, paint_out)]
        fit = fit_body(landmarks, (photo.shape[1], photo.shape[0]), alpha, device)
        report("silhouette", 0.0)
        offsets, overlap = silhouette_offsets(fit.state, fit.camera, alpha, device)
        colors, background = (layer.result() for layer in layers)
    report("gaussians", 0.0)
    builder = CanvasBuilder(fit.state.replace(offsets=offsets), fit.camera, colors, alpha, seed)
    points = builder.sample(n_gaussians)
    canvas = builder.canvas(points)
    return FittedPhoto(photo, landmarks, alpha, fit, overlap, builder, points, canvas, background)


def fit_photo(
    image: np.ndarray,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    n_gaussians: int = _N_GAUSSIANS,
) -> FittedPhoto:
    """Everything before the optimisation; arguments and errors as of `create_avatar`."""
    return fit_seen(see_photo(image, progress), seed=seed, progress=progress, n_gaussians=n_gaussians)


def create_avatar(
    image: np.ndarray,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    n_gaussians: int = _N_GAUSSIANS,
    initial: Initial = "forward",
    iterations: int | None = None,
) -> Avatar:
    """Make an avatar from one photograph of a person.

    The result depends on the picture, the options and the package's version alone, not on the number of threads.

    Args:
        image: `[H, W, 3]` uint8 sRGB with a face in it; the largest person counts.
        seed: Seed of sampling and optimisation.
        progress: Told of each stage in `STAGES`.
        n_gaussians: Gaussians on the body; hair and cloth that stand off it add some hundred.
        initial: Where the optimisation starts; "forward" gives the person skinning weights of its own, too.
        iterations: Of the optimisation; None for 400 from the template, 200 from the pass; 0 leaves it out.

    Raises:
        AvatarBenchError: E102 nobody there, E103 no face, E104 picture too small.
    """
    report = progress or (lambda stage, fraction: None)
    with one_thread():
        fitted = fit_photo(image, seed=seed, progress=progress, n_gaussians=n_gaussians)
        canvas, skin = (fitted.canvas, None) if initial == "template" else fitted.forward()
        report("optimise", 0.0)
        steps = ITERATIONS[initial] if iterations is None else iterations
        gaussians = fitted.optimised(canvas, steps, seed, lambda done: report("optimise", done))
        report("finish", 0.0)
        avatar = fitted.avatar(gaussians, _meta(image, fitted, seed, initial, steps), skin)
        report("finish", 1.0)
    return avatar


def _views(fitted: FittedPhoto, iterations: int) -> tuple[list[View], list[int]]:
    """The whole person, the head and each hand, and which of them each iteration looks at."""
    camera, colors = fitted.builder.camera, fitted.builder.colors
    alpha, landmarks = fitted.alpha, fitted.landmarks
    rows, columns = np.nonzero(alpha > 0.05)
    margin = 0.02 * max(camera.width, camera.height)
    person = (
        columns.min() - margin,
        rows.min() - margin,
        columns.max() + margin,
        rows.max() + margin,
    )
    views = [crop_view(camera, colors, alpha, person, _BODY_PIXELS)]
    details = []
    if landmarks.face is not None:
        details.append((np.asarray(landmarks.face)[:, :2], 0.45))
    details += [(np.asarray(hand.points)[:, :2], 0.25) for hand in landmarks.hands.values()]
    for points, border in details:
        low, high = points.min(0), points.max(0)
        low, high = low - border * (high - low), high + border * (high - low)
        if (np.minimum(high, [camera.width, camera.height]) - np.maximum(low, 0) < 24).any():
            continue
        views.append(crop_view(camera, colors, alpha, (*low, *high), _DETAIL_PIXELS))
    # The whole first; later every second look goes to a detail, the head twice as often as a hand.
    details_in_turn = [1, *range(2, len(views)), 1] if len(views) > 1 else [0]
    schedule = []
    for iteration in range(iterations):
        detail = iteration > iterations // 4 and iteration % 2
        schedule.append(details_in_turn[(iteration // 2) % len(details_in_turn)] if detail else 0)
    return views, schedule


def _meta(
    image: np.ndarray, fitted: FittedPhoto, seed: int, initial: Initial, iterations: int
) -> dict[str, Any]:
    landmarks, photo = fitted.landmarks, fitted.photo
    notes = []
    if landmarks.n_people > 1:
        notes.append("N105")
    if len(landmarks.hands) < 2:
        notes.append("N106")
    return {
        "seed": seed,
        "package_version": version("avatarbench"),
        "source_sha256": hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest(),
        "photo_size": [int(image.shape[1]), int(image.shape[0])],
        "work_size": [int(photo.shape[1]), int(photo.shape[0])],
        "fit_error_px": {name: round(value, 3) for name, value in fitted.fit.error_px.items()},
        "silhouette_iou": round(fitted.overlap, 4),
        "initial": initial,
        "iterations": iterations,
        "notes": notes,
    }


def _work_copy(image: np.ndarray) -> np.ndarray:
    scale = _WORK_SIZE / max(image.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(image)
    size = (math.ceil(image.shape[1] * scale), math.ceil(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch and numba on one thread each.

    The threads of numba wait by spinning, which beside any other load on two cores costs ten times what the second
    one saves.
    """
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with one_torch_thread():
            yield
    finally:
        numba.set_num_threads(before)
