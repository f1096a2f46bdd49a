"""Canonical Inception features: torch-fidelity's own class, or torchmetrics' without antialias.

    python inception_features.py OUT.npz IN.npz WEIGHTS.pth

IN: `clip_0`, `clip_1`..., each [T, H, W, 3] uint8 RGB, an even number of them. OUT: features `torch_fidelity` and
`torchmetrics`, [sum T, 2048]; `fid` (scipy) and `kid` (torchmetrics) of the first half of the clips against the second.
"""

from __future__ import annotations

import sys

import numpy as np
import scipy.linalg
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd


def main(target: str, source: str, weights: str) -> None:
    """Write the features of all frames, and the distances between the two halves of the clips."""
    with np.load(source) as archive:
        clips = [torch.from_numpy(archive[name]).permute(0, 3, 1, 2) for name in archive.files]
    fidelity = FeatureExtractorInceptionV3("made", ["2048"], feature_extractor_weights_path=weights)
    torchmetrics = FrechetInceptionDistance(
        2048, feature_extractor_weights_path=weights, antialias=False
    ).inception
    with torch.inference_mode():
        found = {
            "torch_fidelity": torch.cat([fidelity(clip)[0] for clip in clips]).numpy(),
            "torchmetrics": torch.cat([torchmetrics(clip).reshape(-1, 2048) for clip in clips]).numpy(),
        }
    half = len(clips) // 2
    n_fake = sum(len(clip) for clip in clips[:half])
    fake, real = found["torch_fidelity"][:n_fake], found["torch_fidelity"][n_fake:]
    kid = poly_mmd(torch.from_numpy(real).double(), torch.from_numpy(fake).double())
    np.savez(target, **found, kid=float(kid), fid=frechet(fake, real))


def frechet(fake: np.ndarray, real: np.ndarray) -> float:
    """pytorch-fid's formula, in the few dimensions that so few features span: no distance changes."""
    pooled = np.concatenate([fake, real]).astype(np.float64)
    basis = np.linalg.qr((pooled - pooled.mean(axis=0)).T)[0]
    (m_1, s_1), (m_2, s_2) = (
        (rows.mean(axis=0), np.cov(rows, rowvar=False)) for rows in (fake @ basis, real @ basis)
    )
    root = scipy.linalg.sqrtm(s_1 @ s_2)
    return float(np.square(m_1 - m_2).sum() + np.trace(s_1 + s_2 - 2 * np.real(root)))


if __name__ == "__main__":
    main(*sys.argv[1:])
