"""A stand-in for picture quality that needs no weights: how sharp and how clean the person is. It is no IQA."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.definition import Measurement, Metric, Observations
from benchmark.metrics.reduction import mean_over_identities
from benchmark.sharpness import clarity

__all__ = ["CLARITY", "person_clarity"]

EXTRACTOR = "person_sharpness"


def person_clarity(observations: Observations) -> Measurement:
    """The mean over every fifth frame with a person of `(1 - blur) / (1 + (noise / 6)^2)`, 0 to 1.

    Blur is that of Crete et al. 2007 in the box about the person, noise its deviation of 255 after Immerkaer 1996 on
    the person's pixels, both of the generated frame alone: no truth is asked. On the sanity ladder it sees `codec`,
    `blur` and `noise`. It says nothing of the person, the lips or the motion: `shift`, `frozen`, `other_speech` and
    `wrong_identity` score about as the truth does. A clip's own cloth and hair move it by as much as a codec does, so
    that only values of the same clips compare, and a picture sharpened beyond the truth scores above it. Below 128 px
    of a person fine detail passes for noise. A missing person costs coverage.
    """
    arrays = observations.prediction[EXTRACTOR]
    found = ~np.isnan(arrays["blur"])  # [S]
    if not found.any():
        return Measurement(None, 0, found.size, "undetected", "no_person")
    scores = clarity(arrays["blur"][found], arrays["noise"][found])
    return Measurement(float(scores.mean()), scores.size, found.size)


CLARITY = Metric(
    id="person_clarity_mini",
    version="1",
    column="Clarity",
    variant="(1 - blur of Crete et al. 2007) / (1 + (noise / 6)^2), box of the person, 1 frame in 5; not IQA",
    unit="1",
    low=0.0,
    high=1.0,
    direction="higher",
    kind="sample",
    needs=(EXTRACTOR,),
    on_miss="excluded",
    map=person_clarity,
    reduce=mean_over_identities,
    orders=tuple(("ground_truth", rung) for rung in ("codec", "blur", "noise")),
)
