"""The stand-in for picture quality: against skimage, against known noise, and on real pictures made worse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from skimage.measure import blur_effect

from benchmark.extractors import Networks
from benchmark.metrics.definition import Observations
from benchmark.metrics.quality_mini import person_clarity
from benchmark.sharpness import clarity, crete_blur, luma, noise_deviation
from benchmark.sharpness_extractor import PersonSharpness
from media.segmentation import PersonSegmenter
from media.video import read_frames, write_video

PICTURES = ("astronaut", "coffee", "chelsea")
HEIGHT, WIDTH = 96, 80


def picture(name: str) -> np.ndarray:
    return getattr(skimage.data, name)()[:256, :384]


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma else image


def score(image: np.ndarray) -> float:
    brightness = luma(image)
    return float(clarity(np.array(crete_blur(brightness)), np.array(noise_of(brightness))))


def noise_of(brightness: np.ndarray) -> float:
    return noise_deviation(brightness, np.ones(brightness.shape, np.bool_))


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("sigma", [0.0, 1.5, 4.0])
def test_blur_is_that_of_skimage(name: str, sigma: float):
    brightness = luma(blurred(picture(name), sigma))
    assert crete_blur(brightness) == pytest.approx(blur_effect(brightness), rel=1e-12)


def test_a_flat_picture_is_as_blurred_as_can_be():
    assert crete_blur(np.full((40, 50), 127.0)) == 1.0
    assert score(np.full((40, 50, 3), 127, np.uint8)) == 0.0


def test_blur_knows_neither_brightness_nor_contrast():
    brightness = luma(picture("astronaut"))
    assert crete_blur(brightness / 3 + 80) == pytest.approx(crete_blur(brightness), rel=1e-9)


@pytest.mark.parametrize("sigma", [2.0, 10.0, 30.0])
def test_the_deviation_of_white_noise_on_a_slope_is_found(sigma: float):
    """Relative error of a quartile of 60,000 answers, which overlap: below 2 %."""
    slope = np.add.outer(0.3 * np.arange(300), 0.2 * np.arange(200))
    noise = np.random.default_rng(1).normal(0, sigma, slope.shape)
    assert noise_of(slope) == pytest.approx(0, abs=1e-10)
    assert noise_of(slope + noise) == pytest.approx(sigma, rel=0.02)


def test_fine_detail_on_a_part_of_the_picture_hardly_counts_as_noise():
    dots = np.zeros((200, 200))
    dots[::8, ::8] = 200.0  # moves the answers of one pixel in seven
    spoilt = dots + np.random.default_rng(1).normal(0, 5, dots.shape)
    mean_answer = np.abs(cv2.filter2D(spoilt, -1, np.outer([1, -2, 1], [1, -2, 1.0]))).mean()
    assert np.sqrt(np.pi / 2) * mean_answer / 6 > 10  # Immerkaer's own estimate, by the mean
    assert noise_of(spoilt) == pytest.approx(5, rel=0.2)


@pytest.mark.parametrize(("blur", "noise", "expected"), [(0.0, 0.0, 1.0), (0.4, 6.0, 0.3), (1.0, 3.0, 0.0)])
def test_the_score_is_sharpness_halved_by_noise_of_6(blur: float, noise: float, expected: float):
    assert float(clarity(np.array(blur), np.array(noise))) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", PICTURES)
def test_each_step_of_blur_and_of_noise_lowers_the_score(name: str):
    image = blurred(picture(name), 0.7)  # as decoded video is
    for worse in (
        [score(blurred(image, sigma)) for sigma in (0.0, 1.0, 2.0, 4.0)],
        [score(noisy(image, sigma)) for sigma in (0.0, 5.0, 10.0, 20.0)],
    ):
        assert all(np.diff(worse) < 0), worse


@pytest.mark.parametrize("name", PICTURES)
def test_noise_would_pass_for_sharpness_if_it_were_not_measured(name: str):
    image = picture(name)
    assert crete_blur(luma(noisy(image, 20.0))) < crete_blur(luma(image))
    assert score(noisy(image, 20.0)) < 0.5 * score(image)


def test_each_step_of_the_codec_lowers_the_score(tmp_path: Path):
    scores = []
    for crf in (12, 28, 38, 46):
        path = tmp_path / f"{crf}.mp4"
        write_video(path, iter([picture("astronaut")] * 3), 25.0, crf=crf)
        scores.append(float(np.mean([score(frame) for frame in read_frames(path, fps=25.0)])))
    assert all(np.diff(scores) < 0), scores


class GivenMask:
    """In place of the segmenter: a frame's red channel says where the person is."""

    def __enter__(self) -> GivenMask:
        return self

    def __exit__(self, *_: object) -> None:
        """Holds nothing."""

    def probability(self, image: np.ndarray) -> np.ndarray:
        return (image[..., 0] >= 128).astype(np.float32)


@pytest.fixture
def given_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media.segmentation.PersonSegmenter", GivenMask)


def frame_with(box: tuple[slice, slice] | None, seed: int = 0) -> np.ndarray:
    """Noise, whose red channel shows a person in `box`."""
    frame = np.random.default_rng(seed).integers(0, 128, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    if box is not None:
        frame[(*box, 0)] += 128
    return frame


def observed(frames: Sequence[np.ndarray]) -> Observations:
    with Networks() as networks:
        extractor = PersonSharpness(networks)
        for frame in frames:
            extractor.add(frame)
        return Observations({"person_sharpness": extractor.arrays()}, {}, {}, WIDTH, HEIGHT)


BOX = slice(20, 70), slice(10, 60)


@pytest.mark.usefixtures("given_mask")
def test_only_the_box_of_the_person_counts_and_of_noise_only_the_person():
    frame = frame_with(BOX)
    arrays = observed([frame]).prediction["person_sharpness"]
    assert arrays["blur"][0] == pytest.approx(blur_effect(luma(frame[BOX])), rel=1e-12)
    corner = frame.copy()
    corner[(*BOX, 0)][:25, :25] -= 128
    person = np.ones((50, 50), np.bool_)
    person[:25, :25] = False
    assert observed([corner]).prediction["person_sharpness"]["noise"][0] == noise_deviation(
        luma(corner[BOX]), person
    )
    repainted = frame.copy()
    repainted[70:], repainted[:, 60:] = 90, 90
    assert person_clarity(observed([repainted])) == person_clarity(observed([frame]))


@pytest.mark.usefixtures("given_mask")
def test_every_fifth_frame_is_looked_at_and_their_mean_taken():
    frames = [frame_with(BOX, seed=index) for index in range(11)]
    found = person_clarity(observed(frames))
    assert (found.n_valid, found.n_total) == (3, 3)
    expected = np.mean([score(frames[index][BOX]) for index in (0, 5, 10)])
    assert found.value == pytest.approx(expected, rel=1e-12)


@pytest.mark.usefixtures("given_mask")
def test_frames_without_a_person_lower_the_coverage():
    nobody, speck = frame_with(None), frame_with((slice(0, 60), slice(0, 2)))
    frames = [nobody] * 5 + [frame_with(BOX)] * 5 + [speck]
    found = person_clarity(observed(frames))
    assert (found.n_valid, found.n_total, found.status) == (1, 3, "ok")
    assert found.value == pytest.approx(score(frame_with(BOX)[BOX]), rel=1e-12)
    lost = person_clarity(observed([nobody] * 6))
    assert (lost.value, lost.n_valid, lost.n_total) == (None, 0, 2)
    assert (lost.status, lost.reason) == ("undetected", "no_person")


@pytest.fixture(scope="module")
def segmenter() -> Iterator[PersonSegmenter]:
    with PersonSegmenter() as found:
        yield found


@pytest.mark.parametrize("side", [192, 512, 2048])
def test_a_photographed_person_is_judged_at_any_size_and_in_grey(side: int):
    photograph = cv2.resize(skimage.data.astronaut(), (side, side), interpolation=cv2.INTER_AREA)
    grey = np.repeat(cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    for frame in (photograph, grey):
        found, worse = (
            person_clarity(observed([frame])),
            person_clarity(observed([blurred(frame, max(1.0, side / 128))])),
        )
        assert found.value is not None and worse.value is not None
        assert 0 < worse.value < found.value < 1


def test_filmed_people_are_above_their_blurred_and_noisy_pictures(shared_data: Path):
    for path in sorted((shared_data / "video").glob("*.mp4")):
        frames = list(read_frames(path, fps=25, size=(288, 512), duration_s=0.24))
        truth, soft, spoilt = (
            person_clarity(observed(clip)).value
            for clip in (frames, [blurred(f, 2.0) for f in frames], [noisy(f, 10.0) for f in frames])
        )
        assert truth is not None and soft is not None and spoilt is not None
        assert max(soft, spoilt) < truth
