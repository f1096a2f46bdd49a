"""A stand-in for identity that needs no weights: likeness of aligned faces by HOG. It is no CSIM."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.definition import Measurement, Metric, Observations
from benchmark.metrics.reduction import mean_over_identities

__all__ = ["FACE_LIKENESS", "face_likeness"]

EXTRACTOR = "face_likeness"


def face_likeness(observations: Observations) -> Measurement:
    """Cosine of the HOG descriptors of reference picture and frame, the mean over every fifth frame with a face.

    Turning the head, blinking and speaking lower it as well as another face does, so that a clip of the right person is
    told from one of another by the mean, not by a threshold, and a still picture (`frozen`) lies above the truth. All
    faces are alike to it: two people score 0.55 to 0.8, not 0.
    """
    arrays = observations.pair[EXTRACTOR]
    cosine = arrays["cosine"]  # [S]
    found = ~np.isnan(cosine)
    if not arrays["reference"][0]:
        return Measurement(None, 0, cosine.size, "undetected", "no_reference_face")
    if not found.any():
        return Measurement(None, 0, cosine.size, "undetected", "no_face")
    return Measurement(float(cosine[found].mean()), int(found.sum()), cosine.size)


FACE_LIKENESS = Metric(
    id="face_likeness_hog_mini",
    version="1",
    column="Face HOG",
    variant="cosine of HOG of the face aligned by five points, to the first true frame, 1 frame in 5; not CSIM",
    unit="1",
    low=0.0,
    high=1.0,
    direction="higher",
    kind="sample",
    needs=(EXTRACTOR,),
    on_miss="excluded",
    map=face_likeness,
    reduce=mean_over_identities,
    orders=tuple(
        (rung, "wrong_identity") for rung in ("ground_truth", "codec", "shift", "frozen", "other_speech")
    ),
)
