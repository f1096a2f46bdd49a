"""FVD as StyleGAN-V defines it, written from its definition with scipy: no package of it is published.

    python i3d_fvd.py OUT.npz IN.npz SCRIPT.pt

IN: `real`, `fake` [N, 16, H, W, 3] uint8 RGB. OUT: `real`, `fake` logits [N, 400]; `fvd` with covariances over N
(StyleGAN-V) and `fvd_sample` over N - 1 (fvd-comparison).
"""

from __future__ import annotations

import sys

import numpy as np
import scipy.linalg
import torch


def main(target: str, source: str, script: str) -> None:
    """Write logits and distances."""
    detector = torch.jit.load(script).eval()
    logits = {}
    with np.load(source) as archive, torch.inference_mode():
        for name in ("real", "fake"):
            videos = torch.from_numpy(archive[name]).permute(0, 4, 1, 2, 3).contiguous()  # [N, 3, 16, H, W]
            logits[name] = detector(videos, rescale=True, resize=True, return_features=True).numpy()
    found = {
        "fvd": frechet(_moments(logits["fake"]), _moments(logits["real"])),
        "fvd_sample": frechet(*((rows.mean(0), np.cov(rows.T)) for rows in (logits["fake"], logits["real"]))),
    }
    np.savez(target, **logits, **found)


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance from sums in double precision, both over N."""
    rows = rows.astype(np.float64)
    mean = rows.sum(axis=0) / len(rows)
    return mean, rows.T @ rows / len(rows) - np.outer(mean, mean)


def frechet(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    """|m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))."""
    root = scipy.linalg.sqrtm(one[1] @ other[1])
    return float(np.square(one[0] - other[0]).sum() + np.trace(one[1] + other[1] - 2 * np.real(root)))


if __name__ == "__main__":
    main(*sys.argv[1:])
