"""PSNR and SSIM on the person alone: in a whole frame most pixels are a background that stands still."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.definition import Measurement, Metric, Observations
from benchmark.metrics.reconstruction import PEAK, PSNR, SSIM
from benchmark.metrics.reduction import mean_over_identities

__all__ = ["PSNR_PERSON", "SSIM_PERSON", "psnr_person", "ssim_person"]

MIN_SHARE = 0.01
"""A true frame shows a person when at least this share of its pixels does; less is a speck in the background."""


def psnr_person(observations: Observations) -> Measurement:
    """Peak signal-to-noise ratio on the person, dB: the mean over frames of `10 log10(255^2 / MSE over the mask)`.

    The mask is that of the TRUE frame, the same for all methods: what a method paints outside of the true outline does
    not count, and where it shows background in place of the person it does. Frames without a person are not expected;
    equal frames are left out of the mean, as in `psnr_rgb_full`.

    On the sanity ladder it sees and misses what PSNR of the whole frame does.
    """
    mse = observations.pair["person_fidelity"]["mse"][_shows_person(observations)]  # [P]
    if mse.size == 0:
        return Measurement(None, 0, 0, "not_applicable", "no_person")
    differing = mse[mse > 0]
    if differing.size == 0:
        return Measurement(None, 0, mse.size, reason="identical")
    return Measurement(float((10.0 * np.log10(PEAK**2 / differing)).mean()), differing.size, mse.size)


def ssim_person(observations: Observations) -> Measurement:
    """Structural similarity on the person: the mean over frames of the SSIM map's mean over the mask.

    The map is that of the whole frame, so that windows at the outline see the background, too; mask and frames that
    count are those of `psnr_person`. On the sanity ladder it sees and misses what SSIM of the whole frame does.
    """
    values = observations.pair["person_fidelity"]["ssim"][_shows_person(observations)]  # [P]
    if values.size == 0:
        return Measurement(None, 0, 0, "not_applicable", "no_person")
    return Measurement(float(values.mean()), values.size, values.size)


def _shows_person(observations: Observations) -> np.ndarray:
    pixels = observations.pair["person_fidelity"]["pixels"]  # [T]
    return pixels >= max(MIN_SHARE * observations.width * observations.height, 1)  # [T] bool


PSNR_PERSON = Metric(
    id="psnr_rgb_person",
    version="1",
    column="PSNR person",
    variant="RGB, pixels of the person in the true frame (MediaPipe selfie general, above .5), peak 255",
    unit="dB",
    low=0.0,
    high=float("inf"),
    direction="higher",
    kind="sample",
    needs=("person_fidelity",),
    on_miss="excluded",
    map=psnr_person,
    reduce=mean_over_identities,
    orders=PSNR.orders,
)
SSIM_PERSON = Metric(
    id="ssim_gauss11_rgb_person",
    version="1",
    column="SSIM person",
    variant="SSIM map of the whole frame over the person in the true frame (MediaPipe selfie general, above .5)",
    unit="1",
    low=-1.0,
    high=1.0,
    direction="higher",
    kind="sample",
    needs=("person_fidelity",),
    on_miss="excluded",
    map=ssim_person,
    reduce=mean_over_identities,
    orders=SSIM.orders,
)
