"""IQA and ASE: quality and aesthetics of single frames, as Q-Align sees them."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.definition import Measurement, Metric, Observations
from benchmark.metrics.reduction import mean_over_identities
from benchmark.qalign import LEVEL_SCORES

__all__ = ["ASE", "IQA", "ase", "iqa", "level_score"]

EXTRACTOR = "qalign_seconds"


def level_score(logits: np.ndarray) -> np.ndarray:
    """Scores 1 to 5 from logits: the mean of `LEVEL_SCORES` under the softmax of the five logits.

    Args:
        logits: [..., 5] in the order excellent, good, fair, poor, bad. Taken to float64: pyiqa's softmax in float16
            rounds scores to steps of 0.002 to 0.004.

    Returns:
        [...] float64.
    """
    logits = logits.astype(np.float64)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (weights @ np.array(LEVEL_SCORES)) / weights.sum(axis=-1)


def iqa(observations: Observations) -> Measurement:
    """Picture quality, 1 to 5: the mean over one frame a second of Q-Align's score for `quality`.

    Each frame is judged as a picture; nothing of it sees motion. It needs no truth, so that pictures of another person
    or with wrong lips can score as well as the truth. `n_valid` counts the frames looked at, one a second.
    """
    return _mean_score(observations, "quality")


def ase(observations: Observations) -> Measurement:
    """Aesthetics, 1 to 5: as `iqa`, with the word `aesthetics` in the prompt (pyiqa's documents say `aesthetic`)."""
    return _mean_score(observations, "aesthetics")


def _mean_score(observations: Observations, word: str) -> Measurement:
    scores = level_score(observations.prediction[EXTRACTOR][word])  # [S]
    return Measurement(float(scores.mean()), len(scores), len(scores))


# No orders of the sanity ladder are declared for either: that real weights see them has not been measured here.
IQA = Metric(
    id="iqa",
    version="1",
    column="IQA",
    variant="Q-Align (one-align, float16), image prompt, quality, 1 frame a second, 1 to 5",
    unit="1",
    low=1.0,
    high=5.0,
    direction="higher",
    kind="sample",
    needs=(EXTRACTOR,),
    on_miss="excluded",
    map=iqa,
    reduce=mean_over_identities,
)
ASE = Metric(
    id="ase",
    version="1",
    column="ASE",
    variant="Q-Align (one-align, float16), image prompt, aesthetics, 1 frame a second, 1 to 5",
    unit="1",
    low=1.0,
    high=5.0,
    direction="higher",
    kind="sample",
    needs=(EXTRACTOR,),
    on_miss="excluded",
    map=ase,
    reduce=mean_over_identities,
)
