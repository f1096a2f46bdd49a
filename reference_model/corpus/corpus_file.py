"""The file from which the first weights are trained: sounds and motions side by side, small enough to be carried.

One compressed npz, arrays only. Mel power is stored as its logarithm in 8 bits (steps of 0.11, far finer than the
noise added in training) and joint rotations as a few coefficients of a linear basis found by singular values.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from media.errors import AvatarBenchError
from media.files import atomic_write

__all__ = [
    "MEL_FRAMES_PER_PICTURE",
    "STYLE_FIELDS",
    "GeometryCorpus",
    "compress_rotations",
    "decode_log_mel",
    "encode_log_mel",
    "load_corpus",
    "save_corpus",
]

FORMAT = 3
MEL_FRAMES_PER_PICTURE = 4
STYLE_FIELDS = (
    "expression",
    "gesture_amplitude",
    "head_amplitude",
    "handedness",
    "lip_articulation",
    "loudness_share",
)

_LOWEST_LOG, _HIGHEST_LOG = -18.5, 10.0
"""Natural logarithm of mel power: rounding noise of 16-bit sound, and full scale."""
_ROTATION_ERROR = 1e-3
"""Largest error of a stored rotation, radians."""


@dataclass(frozen=True, slots=True)
class GeometryCorpus:
    """Takes one after the other; N pictures at 25 a second and 4 N sound frames in all, U takes."""

    log_mel: np.ndarray
    """[4N, 80] uint8; `power` decodes it."""
    actions: np.ndarray
    """[N, 52] float16, facial actions in the template's order."""
    rotation_coefficients: np.ndarray
    """[N, C] float16."""
    rotation_basis: np.ndarray
    """[C, joints moved, 3] float32."""
    rotation_joints: np.ndarray
    """[joints moved] int16, joint index of each column of the basis; all others stay still."""
    innovations: np.ndarray
    """[N, 8] float16, what the animator was given."""
    gap_mm: np.ndarray
    """[N] float16, inner-lip gap of the template."""
    closure: np.ndarray
    """[N] bool, pictures whose lips must touch (p, b, m)."""
    phoneme_class: np.ndarray
    """[4N] int8, index into `class_names`."""
    class_names: np.ndarray
    """[classes] str."""
    spoken: np.ndarray
    """[P, 6] int16, what is said: characters of each phoneme, as `networks.phoneme_encoder.encode_ids` writes them."""
    spoken_at: np.ndarray
    """[P] float32, when each phoneme begins, pictures from the start of the corpus, ascending."""
    take_start: np.ndarray
    """[U + 1] int32, first picture of each take, and N."""
    held_out: np.ndarray
    """[U] bool: neither the voice nor the sentences occur in training."""
    voice: np.ndarray
    """[U] str, such as "en-us+random07"."""
    text: np.ndarray
    """[U] str."""
    style: np.ndarray
    """[U, 6] float32, the `STYLE_FIELDS`."""

    def power(self, first: int, last: int) -> np.ndarray:
        """Mel power of the pictures `first` to `last - 1`, [4 (last - first), 80] float32."""
        codes = self.log_mel[MEL_FRAMES_PER_PICTURE * first : MEL_FRAMES_PER_PICTURE * last]
        return decode_log_mel(codes)

    def rotations(self, first: int, last: int) -> np.ndarray:
        """Joint rotations of some pictures, [last - first, joints moved, 3] float32 radians."""
        coefficients = self.rotation_coefficients[first:last].astype(np.float32)
        return np.tensordot(coefficients, self.rotation_basis, 1)

    def takes(self, *, held_out: bool) -> list[tuple[int, int]]:
        """First picture and end of every take of one split."""
        return [
            (int(self.take_start[i]), int(self.take_start[i + 1]))
            for i in np.flatnonzero(self.held_out == held_out)
        ]


def encode_log_mel(power: np.ndarray) -> np.ndarray:
    """Mel power to 8-bit logarithm, any shape."""
    share = (np.log(power + 1e-8) - _LOWEST_LOG) / (_HIGHEST_LOG - _LOWEST_LOG)
    return np.clip(np.round(share * 255.0), 0, 255).astype(np.uint8)


def decode_log_mel(codes: np.ndarray) -> np.ndarray:
    """8-bit logarithm to mel power, float32."""
    return np.exp(codes.astype(np.float32) / 255.0 * (_HIGHEST_LOG - _LOWEST_LOG) + _LOWEST_LOG)


def compress_rotations(rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write rotations as few coefficients; the animator moves its joints by some twenty tracks.

    Args:
        rotations: [N, J, 3] radians.

    Returns:
        Coefficients [N, C] float16, basis [C, joints moved, 3] float32, and the joints moved [joints moved] int16.
    """
    moved = np.flatnonzero(np.abs(rotations).max((0, 2)) > 0)
    flat = rotations[:, moved].reshape(len(rotations), -1).astype(np.float64)  # [N, 3 joints]
    values, vectors = np.linalg.eigh(flat.T @ flat)
    order = np.argsort(values)[::-1]
    for count in range(1, len(order) + 1):
        basis = vectors[:, order[:count]].T  # [C, 3 joints]
        coefficients = (flat @ basis.T).astype(np.float16)
        if np.abs(coefficients @ basis - flat).max() < _ROTATION_ERROR:
            return coefficients, basis.reshape(count, -1, 3).astype(np.float32), moved.astype(np.int16)
    raise ValueError(f"rotations of up to {np.abs(flat).max():.1f} rad cannot be stored in half precision")


def save_corpus(path: Path, corpus: GeometryCorpus) -> None:
    """Write a corpus.

    Raises:
        AvatarBenchError: E601 or E602, the file cannot be written.
    """
    arrays = {name: getattr(corpus, name) for name in GeometryCorpus.__slots__}
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, format=np.int32(FORMAT), **arrays)


def load_corpus(path: Path) -> GeometryCorpus:
    """Read a corpus.

    Raises:
        AvatarBenchError: E401, the file is missing, damaged or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            if int(archive["format"]) != FORMAT:
                raise ValueError(f"format {int(archive['format'])}")
            return GeometryCorpus(**{name: archive[name] for name in GeometryCorpus.__slots__})
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise AvatarBenchError(
            "E401",
            "the training corpus cannot be read",
            where=path,
            expected=f"a file of format {FORMAT}",
            got=str(error),
            fix="make it: python -m reference_model.corpus.geometry_corpus --hours 2 --out FOLDER",
        ) from error
