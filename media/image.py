"""Reading photographs."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from media.errors import AvatarBenchError

__all__ = ["load_image"]


def load_image(path: str | Path) -> np.ndarray:
    """Read a photograph as it is meant to be seen.

    The EXIF orientation is applied, an embedded colour profile (phones save Display P3) is converted to sRGB,
    transparent parts are shown on white, and 16-bit grey is brought to 8 bit. Of an animation the first
    picture is taken.

    Args:
        path: A JPEG, PNG, WebP, TIFF or any other file that Pillow reads.

    Returns:
        Image [H, W, 3] uint8 sRGB.

    Raises:
        AvatarBenchError: E101 when the file is missing or not an image that can be read.
    """
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            image = _to_srgb(image, opened.info.get("icc_profile"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise AvatarBenchError(
            "E101",
            "the file does not exist" if missing else "the file is not an image that can be read",
            where=path,
            got=None if missing else str(error),
            fix="check the path" if missing else "give a JPEG or PNG photograph",
        ) from error
    return np.array(image, dtype=np.uint8)  # [H, W, 3]


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        image = Image.alpha_composite(white, rgba).convert("RGB")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        converted = _convert_profile(image, profile)
        if converted is not None:
            return converted
    return image.convert("RGB")


def _convert_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Convert to sRGB; None for nothing to do or a damaged profile, which viewers ignore, too."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
