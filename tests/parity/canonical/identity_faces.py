"""Canonical faces and embeddings: insightface's SCRFD, norm_crop and ArcFace on given ONNX files.

    python identity_faces.py OUT.npz IN.npz DETECTION.onnx RECOGNITION.onnx

IN: `picture_0`... [H, W, 3] uint8 RGB, and `points` [N, 5, 2]. OUT for each picture n: `boxes_n` [K, 4],
`scores_n` [K], `points_n` [K, 5, 2], `crop_n` [112, 112, 3] uint8 RGB and `embedding_n` [512] of the largest face;
`transforms` [N, 2, 3] of `points`.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import onnxruntime
from insightface.app.common import Face
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.model_zoo.scrfd import SCRFD
from insightface.utils import face_align


def main(target: str, source: str, detection: str, recognition: str) -> None:
    """Write what insightface sees."""
    warnings.simplefilter("ignore", FutureWarning)  # skimage's `estimate`
    cpu = ["CPUExecutionProvider"]
    detector = SCRFD(detection, onnxruntime.InferenceSession(detection, providers=cpu))
    detector.prepare(-1, input_size=(640, 640), det_thresh=0.5)
    recogniser = ArcFaceONNX(recognition, onnxruntime.InferenceSession(recognition, providers=cpu))
    found: dict[str, np.ndarray] = {}
    with np.load(source) as archive:
        for name in archive.files:
            if name == "points":
                found["transforms"] = np.stack([face_align.estimate_norm(p) for p in archive[name]])
                continue
            number, bgr = name.split("_")[1], np.ascontiguousarray(archive[name][..., ::-1])
            rows, points = detector.detect(bgr)
            found[f"boxes_{number}"], found[f"scores_{number}"] = rows[:, :4], rows[:, 4]
            found[f"points_{number}"] = points
            largest = np.argmax((rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1]))
            face = Face(bbox=rows[largest, :4], kps=points[largest], det_score=rows[largest, 4])
            recogniser.get(bgr, face)
            found[f"embedding_{number}"] = face.normed_embedding
            found[f"crop_{number}"] = face_align.norm_crop(bgr, face.kps)[..., ::-1]
    np.savez(target, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
