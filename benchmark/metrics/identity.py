"""CSIM: how much the face of each frame is the reference picture's, by ArcFace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmark.metrics.definition import Measurement, Metric, Observations
from benchmark.metrics.reduction import mean_over_identities

__all__ = ["CSIM", "CSIM_STRICT", "csim", "csim_strict"]


def csim(observations: Observations) -> Measurement:
    """Cosine of the embeddings of reference picture and frame, the mean over the frames in which a face is found.

    How many these are is the coverage (`n_valid` of `n_total`): a method that hides the face gains, and `csim_strict`
    says so. On the sanity ladder it tells people apart; it hears nothing, and a still picture (`frozen`) can lie above
    the truth, because it is the reference picture.
    """
    cosine, n_frames = _cosines(observations)
    if cosine is None:
        return Measurement(None, 0, n_frames, "undetected", "no_reference_face")
    if cosine.size == 0:
        return Measurement(None, 0, n_frames, "undetected", "no_face")
    return Measurement(float(cosine.mean()), cosine.size, n_frames)


def csim_strict(observations: Observations) -> Measurement:
    """As `csim`, but the mean over all frames, and one without a face counts 0."""
    cosine, n_frames = _cosines(observations)
    if cosine is None:
        return Measurement(None, 0, n_frames, "undetected", "no_reference_face")
    return Measurement(float(cosine.sum() / n_frames), cosine.size, n_frames)


def _cosines(observations: Observations) -> tuple[np.ndarray | None, int]:
    """Cosines [P] of the frames with a face (None without a reference face), and the number of all frames."""
    arrays = observations.pair["face_identity"]
    found = ~np.isnan(arrays["box"][:, 0])  # [T]
    if np.isnan(arrays["reference_box"][0]):
        return None, found.size
    reference, embedding = (arrays[name].astype(np.float64) for name in ("reference", "embedding"))
    lengths = np.linalg.norm(embedding[found], axis=1) * np.linalg.norm(reference)
    return embedding[found] @ reference / lengths, found.size


CSIM = Metric(
    id="csim",
    version="1",
    column="CSIM",
    variant="ArcFace (buffalo_l) cosine of each frame to the first true frame, mean over frames with a face",
    unit="1",
    low=-1.0,
    high=1.0,
    direction="higher",
    kind="sample",
    needs=("face_identity",),
    on_miss="excluded",
    map=csim,
    reduce=mean_over_identities,
    orders=tuple(
        (rung, "wrong_identity") for rung in ("ground_truth", "codec", "shift", "frozen", "other_speech")
    ),
)
CSIM_STRICT = replace(
    CSIM,
    id="csim_strict",
    column="CSIM strict",
    variant="as CSIM, but over all frames: one without a face counts 0",
    on_miss="zero",
    map=csim_strict,
)
