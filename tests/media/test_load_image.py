"""`media.image.load_image`: photographs as they are meant to be seen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from media.errors import AvatarBenchError
from media.image import load_image


@pytest.fixture
def picture() -> np.ndarray:
    """A picture [40, 60, 3] without symmetry."""
    y, x = np.mgrid[:40, :60]
    return np.stack([4 * x, 6 * y, 255 - 2 * (x + y)], axis=-1).astype(np.uint8)


def test_png_is_read_exactly_in_rgb_order(tmp_path: Path, picture: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), picture[:, :, ::-1])
    np.testing.assert_array_equal(load_image(tmp_path / "a.png"), picture)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_opencv_does(
    tmp_path: Path, picture: np.ndarray, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif, quality=95)
    reference = cv2.imread(str(tmp_path / "a.jpg"))[:, :, ::-1]
    loaded = load_image(tmp_path / "a.jpg")
    assert loaded.shape == reference.shape
    assert np.abs(loaded.astype(int) - reference).max() <= 3


def test_transparency_is_shown_on_white(tmp_path: Path, picture: np.ndarray) -> None:
    alpha = np.full((40, 60, 1), 255, np.uint8)
    alpha[:10] = 0
    Image.fromarray(np.concatenate([picture, alpha], axis=2)).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png")
    assert (loaded[:10] == 255).all()
    np.testing.assert_array_equal(loaded[10:], picture[10:])


def test_sixteen_bit_grey_keeps_its_tones(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(8, axis=0)
    cv2.imwrite(str(tmp_path / "a.png"), ramp)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png")[0, :, 0], np.arange(256))


def test_colour_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    """With the profile's red and green primaries exchanged, stored red means green."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for old, new in ((b"rXYZ", b"----"), (b"gXYZ", b"rXYZ"), (b"----", b"gXYZ")):
        profile = profile.replace(old, new)
    profile = profile.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    red = Image.new("RGB", (8, 8), (200, 0, 0))
    red.save(tmp_path / "plain.png")
    red.save(tmp_path / "exchanged.png", icc_profile=profile)
    assert load_image(tmp_path / "plain.png")[4, 4].tolist() == [200, 0, 0]
    np.testing.assert_allclose(load_image(tmp_path / "exchanged.png")[4, 4], [0, 200, 0], atol=2)


@pytest.mark.parametrize("content", [None, b"", b"not a picture", b"\x89PNG\r\n\x1a\n broken"])
def test_unreadable_files_are_e101(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AvatarBenchError, match="E101"):
        load_image(path)


def test_truncated_photograph_is_e101(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(picture).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(AvatarBenchError, match="E101"):
        load_image(path)
