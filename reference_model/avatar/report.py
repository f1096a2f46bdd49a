"""How good an avatar is against its photograph: numbers and a contact sheet.

`python -m reference_model.avatar.report PHOTO... --out FOLDER` makes an avatar of each photograph and writes one
sheet a photograph and a table of all.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from torch import Tensor

from media.errors import AvatarBenchError
from media.files import atomic_write
from media.image import load_image
from media.landmarks import FaceMesh, HandDetector, PersonLandmarks, detect_person
from media.matte import refine_matte
from reference_model.avatar.gaussians import front_facing
from reference_model.avatar.io import Avatar
from reference_model.avatar.personalize import create_avatar
from reference_model.body.template import REGIONS
from reference_model.render import render
from reference_model.render.camera import Camera

__all__ = ["PhotoReport", "masked_quality", "photo_report", "view"]

_PSNR_SIZE = (384, 512)  # px, the benchmark's picture
_SHEET_HEIGHT, _CLOSE_UP = 640, 400  # px
_YAWS_DEG = (0.0, -15.0, 15.0)
_GREY = 0.6  # behind turned views: a hole shows on it, whatever the clothes


@dataclass(frozen=True)
class PhotoReport:
    """An avatar beside the photograph it was made of."""

    psnr_db: float
    """In the matte (alpha > 0.9) at 384x512, against the photograph as it was given."""
    face_in_photo: bool
    face_in_render: bool
    hands_in_photo: int
    hands_in_render: int
    sheet: np.ndarray
    """`[h, w, 3]` uint8: photograph and views at 0, -15, +15 degrees; below, the same for face and hands."""


def photo_report(avatar: Avatar, image: np.ndarray) -> PhotoReport:
    """Compare `avatar` with the photograph `image` (`[H, W, 3]` uint8) that it was made of.

    Detectors look at the photograph and at the avatar over its painted-out background, both in the photograph's
    size, so that a miss on both sides is the detector's and not the avatar's.
    """
    camera = avatar.camera
    photo = _resized(image, camera.width, camera.height)
    landmarks = detect_person(photo)
    alpha = refine_matte(photo, landmarks.mask)
    rendered = view(avatar, camera, torch.as_tensor(avatar.background.copy()).float() / 255)
    with FaceMesh() as faces, HandDetector() as hands:
        face_in_photo, face_in_render = faces.detect(photo) is not None, faces.detect(rendered) is not None
        hands_in_photo, hands_in_render = len(hands.detect(photo)), len(hands.detect(rendered))
    return PhotoReport(
        psnr_db=masked_quality(avatar, photo, alpha)[0],
        face_in_photo=face_in_photo,
        face_in_render=face_in_render,
        hands_in_photo=hands_in_photo,
        hands_in_render=hands_in_render,
        sheet=_contact_sheet(avatar, photo, alpha, landmarks),
    )


def view(avatar: Avatar, camera: Camera, background: Tensor) -> np.ndarray:
    """The avatar in its photo pose from any camera, `[H, W, 3]` uint8."""
    visible = front_facing(avatar.gaussians, camera) | avatar.two_sided
    with torch.no_grad():
        picture = render(avatar.gaussians, camera, background=background, visible=visible).rgb
    return (picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()


def masked_quality(avatar: Avatar, photo: np.ndarray, alpha: np.ndarray) -> tuple[float, float]:
    """PSNR in dB and SSIM (11 px Gaussian window of sigma 1.5, mean of channels) in the matte at 384x512.

    Args:
        avatar: In its photo pose.
        photo: `[H, W, 3]` uint8, in the size of the avatar's camera.
        alpha: Matte `[H, W]`; what is over 0.9 counts.
    """
    width, height = _PSNR_SIZE
    target, mask = _covering(photo, width, height), _covering(alpha, width, height) > 0.9
    drawn = view(avatar, avatar.camera.resized(width, height), torch.full((3,), _GREY))
    squared = (drawn.astype(np.float64) - target)[mask] ** 2
    beside = np.full_like(target, round(255 * _GREY))
    pair = (np.where(mask[..., None], picture, beside).astype(np.float64) for picture in (drawn, target))
    return float(10 * np.log10(255**2 / squared.mean())), float(_ssim(*pair)[mask].mean())


def _ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """SSIM of each pixel (Wang et al., 2004), `[H, W, 3]`."""

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    at, bt = mean(a), mean(b)
    variance_a, variance_b, covariance = mean(a * a) - at * at, mean(b * b) - bt * bt, mean(a * b) - at * bt
    light, contrast = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return ((2 * at * bt + light) * (2 * covariance + contrast)) / (
        (at * at + bt * bt + light) * (variance_a + variance_b + contrast)
    )


def _contact_sheet(
    avatar: Avatar, photo: np.ndarray, alpha: np.ndarray, landmarks: PersonLandmarks
) -> np.ndarray:
    rows, columns = np.nonzero(alpha > 0.3)
    margin = 0.03 * max(photo.shape[:2])
    whole = (columns.min() - margin, rows.min() - margin, columns.max() + margin, rows.max() + margin)
    strips = [_strip(avatar, photo, whole, avatar.gaussians.means.mean(0), _SHEET_HEIGHT)]
    details = [("head", landmarks.face)]
    details += [(f"hand_{side}", hand.points) for side, hand in landmarks.hands.items()]
    for region, points in details:
        on_part = avatar.region == REGIONS.index(region)
        if points is None or not bool(on_part.any()):
            continue
        low, high = np.asarray(points)[:, :2].min(0), np.asarray(points)[:, :2].max(0)
        centre, reach = (low + high) / 2, 0.75 * float((high - low).max())
        box = (*(centre - reach), *(centre + reach))
        strips.append(_strip(avatar, photo, box, avatar.gaussians.means[on_part].mean(0), _CLOSE_UP))
    width = max(strip.shape[1] for strip in strips)
    padded = [np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in strips]
    return np.vstack(padded)


def _strip(
    avatar: Avatar, photo: np.ndarray, box: tuple[float, ...], pivot: Tensor, height: int
) -> np.ndarray:
    """The photograph's part `box` = (x0, y0, x1, y1) px, and the avatar there from each yaw."""
    x0, y0, x1, y1 = box
    scale = height / (y1 - y0)
    width = round((x1 - x0) * scale)
    camera = avatar.camera.cropped(x0, y0, round(x1 - x0), round(y1 - y0)).resized(width, height)
    shift = np.array([[scale, 0, -x0 * scale], [0, scale, -y0 * scale]], np.float32)
    crop = cv2.warpAffine(
        photo, shift, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
    )
    grey = torch.full((3,), _GREY)
    return np.hstack([crop, *(view(avatar, camera.orbited(pivot, yaw), grey) for yaw in _YAWS_DEG)])


def _covering(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scaled to cover `width` x `height` and cropped evenly, as `Camera.resized` does."""
    scale = max(width / picture.shape[1], height / picture.shape[0])
    w, h = max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale))
    scaled = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA)
    x0, y0 = (w - width) // 2, (h - height) // 2
    return scaled[y0 : y0 + height, x0 : x0 + width]


def _resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _main(
    photos: Annotated[list[Path], typer.Argument(help="Photographs, one person each.")],
    out: Annotated[Path, typer.Option(help="Folder for the sheets and the table.")],
    seed: Annotated[int, typer.Option(help="Seed of sampling and optimisation.")] = 0,
) -> None:
    """Make avatars of photographs; write contact sheets and a table."""
    out.mkdir(parents=True, exist_ok=True)
    table = [
        "| photo | seconds | PSNR dB | face photo/render | hands photo/render |",
        "|---|---|---|---|---|",
    ]
    for path in photos:
        try:
            image = load_image(path)
            start = time.perf_counter()
            avatar = create_avatar(image, seed=seed)
        except AvatarBenchError as error:
            table.append(f"| {path.stem} | | {error.code} | | |")
            typer.echo(str(error), err=True)
            continue
        seconds = time.perf_counter() - start
        report = photo_report(avatar, image)
        row = (
            f"| {path.stem} | {seconds:.0f} | {report.psnr_db:.1f} "
            f"| {report.face_in_photo:d}/{report.face_in_render:d} "
            f"| {report.hands_in_photo}/{report.hands_in_render} |"
        )
        table.append(row)
        typer.echo(row)
        with atomic_write(out / f"{path.stem}.png") as temporary:
            data = cv2.imencode(".png", report.sheet[..., ::-1])[1]
            Path(temporary).write_bytes(data.tobytes())
    with atomic_write(out / "report.md") as temporary:
        Path(temporary).write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    typer.run(_main)
