"""How well a sync score tells true lips from wrong ones: pieces of clips, what is done to their lips, and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from benchmark.ladder import separation
from benchmark.lipsync_disturbance import still_lips
from benchmark.lipsync_features import (
    MEL_FRAMES,
    loudness_features,
    mel_features,
    relative_opening,
    speech_level,
)
from benchmark.lipsync_network import MAX_SHIFT, LipSyncNetwork
from benchmark.metrics.lipsync import LipSyncScore, lipsync_score

__all__ = [
    "SHIFTS",
    "Recording",
    "Scorer",
    "Separation",
    "correlation_scorer",
    "network_scorer",
    "pieces_of",
    "separations",
    "table_of",
]

SHIFTS = (2, 5, 10, 15)
"""Frames by which lips are late."""
OTHERS = 8
"""Other pieces, evenly chosen, whose lips each sound is compared with."""
FOUND_WITHIN = 1
"""Frames by which an offset may miss."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Lips and sound of one stretch of one person."""

    source: str
    """File that it comes from; pieces of one file may overlap."""
    first: int
    """First frame in the file."""
    opening: np.ndarray
    """[T] distances of the eyes, 25 a second; NaN where no face is known."""
    power: np.ndarray
    """[4 T, 80] mel power."""


Scorer = Callable[[np.ndarray, np.ndarray], LipSyncScore | None]
"""From the opening [T] and the mel power [4 T, 80] to the score."""


def network_scorer(network: LipSyncNetwork) -> Scorer:
    """The score that the metrics take, by a network that hears what its header says."""
    features = {"mel": mel_features, "loudness": loudness_features}[network.header["sound"]]

    def score(opening: np.ndarray, power: np.ndarray) -> LipSyncScore | None:
        return lipsync_score(network.see(relative_opening(opening)), network.hear(features(power)))

    return score


def correlation_scorer(opening: np.ndarray, power: np.ndarray) -> LipSyncScore | None:
    """No network: 1 - Pearson's correlation of the opening and the logarithm of the power, for each shift."""
    level = power.mean(axis=1).reshape(-1, MEL_FRAMES).mean(axis=1)
    loudness = np.log(level + 1e-4 * speech_level(power))
    n = min(len(opening), len(loudness))
    distances = []
    for later in range(-MAX_SHIFT, MAX_SHIFT + 1):
        seen = opening[max(0, -later) : n - max(0, later)]
        heard = loudness[max(0, later) : n - max(0, -later)]
        known = np.isfinite(seen)
        if known.sum() < 2:
            return None
        still = np.ptp(seen[known]) == 0 or np.ptp(heard[known]) == 0
        distances.append(1.0 if still else 1.0 - float(np.corrcoef(seen[known], heard[known])[0, 1]))
    best = int(np.argmin(distances))
    return LipSyncScore(float(np.median(distances)) - distances[best], distances[best], MAX_SHIFT - best)


def pieces_of(recording: Recording, n_frames: int) -> list[Recording]:
    """Stretches of `n_frames` that begin half of that apart, those left out whose lips are not known throughout."""
    starts = range(0, len(recording.opening) - n_frames + 1, max(n_frames // 2, 1))
    pieces = [
        Recording(
            recording.source,
            recording.first + start,
            recording.opening[start : start + n_frames],
            recording.power[MEL_FRAMES * start : MEL_FRAMES * (start + n_frames)],
        )
        for start in starts
    ]
    return [piece for piece in pieces if np.isfinite(piece.opening).all()]


@dataclass(frozen=True, slots=True)
class Separation:
    """What one score says about one kind of wrong lips."""

    kind: str
    n: int
    """Scores of wrong lips."""
    confidence_auc: float
    """Probability that true lips have the higher confidence; ties count half."""
    distance_auc: float
    """Probability that true lips have the smaller distance."""
    offset_auc: float
    """Probability that true lips have the smaller absolute offset."""
    offset_found: float | None
    """Share of the offsets within a frame of the shift; None where there is no right offset."""
    offset_moved: float | None
    """The same beside the offset of the unshifted lips of the same piece: a lead of the lips does not count."""


def separations(pieces: Sequence[Recording], score: Scorer, seed: int = 0) -> list[Separation]:
    """Compare true lips with lips of other speech, late, frozen and silent ones.

    Args:
        pieces: Of one length.
        score: What is judged.
        seed: Of the silent lips.
    """
    true = _scores(score, [(piece.opening, piece.power) for piece in pieces])
    rows = [_row("ground truth", true, true, 0, true)]
    others = [(other.opening, piece.power) for piece in pieces for other in _others(piece, pieces)]
    rows.append(_row("other speech", true, _scores(score, others), None, None))
    for frames in SHIFTS:
        late = [(_late(piece.opening, frames), piece.power) for piece in pieces]
        rows.append(_row(f"{frames} late", true, _scores(score, late), frames, true))
    frozen = [(np.full_like(piece.opening, piece.opening[0]), piece.power) for piece in pieces]
    rows.append(_row("frozen", true, _scores(score, frozen), None, None))
    lips = still_lips(len(pieces), len(pieces[0].opening), np.random.default_rng(seed))
    silent = [(row, piece.power) for row, piece in zip(lips, pieces, strict=True)]
    rows.append(_row("silent lips", true, _scores(score, silent), None, None))
    return rows


def table_of(title: str, rows: Mapping[str, Sequence[Separation]]) -> Table:
    """One table: a row a kind of lips, for each scorer AUC of confidence and distance, and offsets found."""
    table = Table("lips", "n", *rows, title=f"{title}: AUC of C, D, |offset|; shift found, found from truth")
    for index, first in enumerate(next(iter(rows.values()))):
        cells = [_cell(found[index]) for found in rows.values()]
        table.add_row(first.kind, str(first.n), *cells)
    return table


def _cell(row: Separation) -> str:
    shares = ["-" if share is None else f"{share:.2f}" for share in (row.offset_found, row.offset_moved)]
    return " ".join(
        [f"{row.confidence_auc:.2f}", f"{row.distance_auc:.2f}", f"{row.offset_auc:.2f}", *shares]
    )


def _scores(score: Scorer, cases: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[LipSyncScore]:
    found = [score(opening, power) for opening, power in cases]
    return [one for one in found if one is not None]


def _row(
    kind: str,
    true: Sequence[LipSyncScore],
    wrong: Sequence[LipSyncScore],
    shift: int | None,
    beside: Sequence[LipSyncScore] | None,
) -> Separation:
    confidence = separation([s.confidence for s in true], [s.confidence for s in wrong]) if wrong else np.nan
    distance = separation([-s.distance for s in true], [-s.distance for s in wrong]) if wrong else np.nan
    offset = separation([-abs(s.offset) for s in true], [-abs(s.offset) for s in wrong]) if wrong else np.nan
    found = moved = None
    if shift is not None and beside is not None:
        missed = np.array([s.offset - shift for s in wrong])
        found = float((abs(missed) <= FOUND_WITHIN).mean())
        moved = float((abs(missed - [s.offset for s in beside]) <= FOUND_WITHIN).mean())
    return Separation(kind, len(wrong), float(confidence), float(distance), float(offset), found, moved)


def _others(piece: Recording, pieces: Sequence[Recording]) -> list[Recording]:
    apart = [other for other in pieces if not _share_frames(piece, other)]
    chosen = np.linspace(0, len(apart), min(OTHERS, len(apart)), endpoint=False).astype(int)
    return [apart[index] for index in chosen]


def _late(opening: np.ndarray, frames: int) -> np.ndarray:
    """Late lips: the first opening stands until they begin, as the ladder's `shift` does."""
    return np.concatenate([np.repeat(opening[:1], frames), opening[: len(opening) - frames]])


def _share_frames(one: Recording, other: Recording) -> bool:
    if one.source != other.source:
        return False
    return abs(one.first - other.first) < max(len(one.opening), len(other.opening))
