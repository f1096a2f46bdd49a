"""PSNR and SSIM on the person against skimage, and the mask that they rest on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmark.engine import observe
from benchmark.extractors import EXTRACTORS, Networks
from benchmark.hashing import sha256_file
from benchmark.metrics.catalogue import METRICS
from benchmark.metrics.definition import Measurement, Observations
from benchmark.metrics.person import psnr_person, ssim_person
from benchmark.observations import ClipView, Request
from benchmark.person_extractors import PERSON_SEGMENTER, PersonFidelity
from benchmark.similarity import ssim_map
from media.segmentation import PersonSegmenter
from media.video import write_video

HEIGHT, WIDTH = 72, 56


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


@pytest.fixture(scope="module")
def segmenter() -> Iterator[PersonSegmenter]:
    with PersonSegmenter() as found:
        yield found


def mask_of(kind: str) -> np.ndarray:
    """Pixels of the person [72, 56] bool."""
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    if kind == "inside":  # further from the border than an SSIM window reaches
        mask[20:50, 15:30] = np.random.default_rng(1).random((30, 15)) < 0.6
    elif kind == "corner":
        mask[:25, :9] = True
    elif kind == "everything":
        mask[:] = True
    return mask


def frames_with(mask: np.ndarray, sigma: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    """A noisy prediction and a true frame whose person is `mask`."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 128, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    truth[mask, 0] += 128
    return np.clip(truth + rng.normal(0, sigma, truth.shape), 0, 255).astype(np.uint8), truth


def observed(*pairs: tuple[np.ndarray, np.ndarray]) -> Observations:
    with Networks() as networks:
        extractor = PersonFidelity(networks)
        for prediction, truth in pairs:
            extractor.add(prediction, truth)
        arrays = extractor.arrays()
    height, width = pairs[0][1].shape[:2]
    return Observations({}, {}, {"person_fidelity": arrays}, width, height)


@pytest.mark.parametrize("kind", ["inside", "corner", "everything"])
@pytest.mark.usefixtures("given_mask")
def test_psnr_is_that_of_skimage_over_the_masks_pixels(kind: str):
    mask = mask_of(kind)
    prediction, truth = frames_with(mask)
    expected = peak_signal_noise_ratio(truth[mask], prediction[mask], data_range=255)
    assert psnr_person(observed((prediction, truth))).value == pytest.approx(expected, abs=1e-10)


@pytest.mark.usefixtures("given_mask")
def test_ssim_is_the_mean_of_skimages_map_over_the_masks_pixels():
    mask = mask_of("inside")
    prediction, truth = frames_with(mask)
    full = structural_similarity(
        truth.astype(float),
        prediction.astype(float),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=-1,
        full=True,
    )[1]
    assert abs(full[mask].mean() - full.mean()) > 1e-3  # the mask matters
    assert ssim_person(observed((prediction, truth))).value == pytest.approx(full[mask].mean(), abs=1e-9)


@pytest.mark.parametrize("kind", ["inside", "corner", "everything"])
@pytest.mark.usefixtures("given_mask")
def test_ssim_is_computed_about_the_person_only_and_still_is_that_of_the_whole_frame(kind: str):
    mask = mask_of(kind)
    prediction, truth = frames_with(mask)
    expected = ssim_map(prediction, truth)[mask].mean()
    assert ssim_person(observed((prediction, truth))).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.usefixtures("given_mask")
def test_what_is_painted_outside_of_the_true_outline_does_not_count():
    mask = mask_of("inside")
    prediction, truth = frames_with(mask)
    repainted = prediction.copy()
    repainted[~mask] = (
        255  # also says "person" to the segmenter, which must not be asked about the prediction
    )
    before, after = observed((prediction, truth)), observed((repainted, truth))
    assert psnr_person(after).value == psnr_person(before).value
    assert int(after.pair["person_fidelity"]["pixels"][0]) == np.count_nonzero(mask)
    far = prediction.copy()
    far[56:, 37:] = 255  # beyond the windows of the mask's pixels
    assert ssim_person(observed((far, truth))).value == ssim_person(before).value


@pytest.mark.usefixtures("given_mask")
def test_a_clip_is_the_mean_of_its_frames_that_show_a_person():
    speck = np.zeros((HEIGHT, WIDTH), np.bool_)
    speck[40, :40] = True  # 40 of 4032 pixels: less than a hundredth
    person = frames_with(mask_of("inside"), 10.0), frames_with(mask_of("corner"), 30.0)
    nobody = frames_with(speck), frames_with(np.zeros_like(speck))
    for measure in (psnr_person, ssim_person):
        alone = [measure(observed(pair)).value for pair in person]
        together = measure(observed(*person, *nobody))
        assert together.value == pytest.approx(np.mean(np.array(alone, np.float64)), abs=1e-12)
        assert (together.n_valid, together.n_total) == (2, 2)
        assert measure(observed(*nobody)) == Measurement(None, 0, 0, "not_applicable", "no_person")


@pytest.mark.usefixtures("given_mask")
def test_equal_people_have_no_finite_psnr_and_full_similarity():
    mask = mask_of("inside")
    _, truth = frames_with(mask)
    painted = truth.copy()
    painted[56:, 37:] = 255
    same = observed((painted, truth))
    assert psnr_person(same) == Measurement(None, 0, 1, "ok", "identical")
    assert ssim_person(same).value == pytest.approx(1.0, abs=1e-12)


def test_the_mask_is_the_astronaut_and_not_what_stands_behind_her(segmenter: PersonSegmenter):
    mask = segmenter.probability(skimage.data.astronaut()) > 0.5
    assert mask.shape == (512, 512)
    assert mask[60:150, 190:250].mean() > 0.99  # face
    assert mask[300:, 150:300].mean() > 0.99  # suit
    assert mask[:60, :60].mean() < 0.01 and mask[:200, 400:].mean() < 0.05  # flag, shuttle


def test_a_mask_does_not_depend_on_the_frames_before_it(segmenter: PersonSegmenter):
    frame = skimage.data.astronaut()
    first = segmenter.probability(frame)
    segmenter.probability(np.ascontiguousarray(frame[:, ::-1]))
    segmenter.probability(np.zeros((40, 90, 3), np.uint8))
    assert segmenter.probability(frame).tobytes() == first.tobytes()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_picture_shows_nobody(level: int):
    empty = np.full((128, 96, 3), level, np.uint8)
    assert psnr_person(observed((empty, empty))).reason == "no_person"


def test_all_methods_share_the_mask_of_a_true_frame(tmp_path: Path):
    """Through the engine, on a real picture: two methods, three frames, three forward passes."""
    picture = skimage.data.astronaut()[::4, ::4]
    paths = [tmp_path / f"{name}.mp4" for name in ("truth", "shifted", "dark")]
    write_video(paths[0], (np.roll(picture, step, axis=1) for step in range(3)), 25)
    write_video(paths[1], (np.roll(picture, step + 4, axis=1) for step in range(3)), 25)
    write_video(paths[2], (picture // 2 for _ in range(3)), 25)
    truth, *others = (ClipView(path, sha256_file(path), 0.0, 3, 25.0, 128, 128) for path in paths)
    request = Request("one", truth, dict(zip(("shifted", "dark"), others, strict=True)), ("person_fidelity",))
    with Networks() as networks:
        (found,) = observe([request], networks, pytest.fail)
        assert networks.counters.forwards == {PERSON_SEGMENTER.id: 3}
    shifted, dark = (found.of(method, ("person_fidelity",)) for method in ("shifted", "dark"))
    assert isinstance(shifted, Observations) and isinstance(dark, Observations)
    np.testing.assert_array_equal(
        shifted.pair["person_fidelity"]["pixels"], dark.pair["person_fidelity"]["pixels"]
    )
    assert psnr_person(shifted).n_valid == psnr_person(dark).n_valid == 3


def test_the_weights_of_the_segmenter_are_part_of_the_key():
    content = EXTRACTORS["person_fidelity"].content()
    assert PERSON_SEGMENTER.sha256() in content and len(PERSON_SEGMENTER.sha256()) == 64


def test_the_metrics_are_listed_under_their_own_ids():
    assert (
        METRICS["psnr_rgb_person"].needs == METRICS["ssim_gauss11_rgb_person"].needs == ("person_fidelity",)
    )
    assert METRICS["psnr_rgb_person"].column != METRICS["psnr_rgb_full"].column
