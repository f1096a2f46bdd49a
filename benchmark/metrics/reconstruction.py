"""PSNR and SSIM against the true video, frame by frame and without any mask."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.definition import Measurement, Metric, Observations
from benchmark.metrics.reduction import mean_over_identities

__all__ = ["PSNR", "SSIM", "psnr", "ssim"]

PEAK = 255.0

_BELOW_THE_TRUTH = tuple(
    ("ground_truth", rung)
    for rung in ("codec", "blur", "noise", "shift", "frozen", "other_speech", "wrong_identity")
)
_ABOVE_ANOTHER_PERSON = tuple((rung, "wrong_identity") for rung in ("codec", "blur", "shift", "frozen"))


def psnr(observations: Observations) -> Measurement:
    """Peak signal-to-noise ratio, dB: the mean over frames of `10 log10(255^2 / MSE)`.

    Equal frames have no finite PSNR. They are left out of the mean, which can only lower it; when all
    frames are equal the value is null with the reason `identical`.

    On the sanity ladder each rung lies below the truth, and pictures of another person lie lowest. What it cannot
    see: what a difference is. It does not hear the sound, so late lips (`shift`) and wrong words (`other_speech`)
    are moved pixels like any others, and a still picture (`frozen`) can lie above a moving one (`other_speech`).
    Rungs of different kinds, such as `codec` and `blur`, are ordered by their stated amounts and by nothing else.
    """
    mse = observations.pair["pixel_error"]["mse"]  # [T] float64, on the scale 0..255
    differing = mse[mse > 0]
    if differing.size == 0:
        return Measurement(None, 0, mse.size, reason="identical")
    decibels = 10.0 * np.log10(PEAK**2 / differing)
    return Measurement(float(decibels.mean()), differing.size, mse.size)


def ssim(observations: Observations) -> Measurement:
    """Structural similarity (Wang et al. 2004): the mean over frames of the frames' mean SSIM.

    On the sanity ladder it sees and misses what PSNR does, but for `noise`: in flat areas noise is all the structure
    that there is, so a noisy truth can lie below a clean picture of another person.
    """
    values = observations.pair["ssim_gauss11"]["ssim"]  # [T] float64
    return Measurement(float(values.mean()), values.size, values.size)


PSNR = Metric(
    id="psnr_rgb_full",
    version="1",
    column="PSNR",
    variant="RGB, whole frame, peak 255, mean of the frames' PSNR",
    unit="dB",
    low=0.0,
    high=float("inf"),
    direction="higher",
    kind="sample",
    needs=("pixel_error",),
    on_miss="excluded",
    map=psnr,
    reduce=mean_over_identities,
    orders=(*_BELOW_THE_TRUTH, *_ABOVE_ANOTHER_PERSON, ("noise", "wrong_identity")),
)
SSIM = Metric(
    id="ssim_gauss11_rgb",
    version="1",
    column="SSIM",
    variant="RGB, whole frame, Gaussian window 11x11 of sigma 1.5, reflected border",
    unit="1",
    low=-1.0,
    high=1.0,
    direction="higher",
    kind="sample",
    needs=("ssim_gauss11",),
    on_miss="excluded",
    map=ssim,
    reduce=mean_over_identities,
    orders=(*_BELOW_THE_TRUTH, *_ABOVE_ANOTHER_PERSON),
)
