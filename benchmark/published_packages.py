"""The published packages as their users run them on two videos, for `benchmark.package_cost`.

Each is loaded and called alone, and decodes with OpenCV. It needs a checkout with its development packages.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

__all__ = ["LOADERS", "PACKAGES", "Frames", "decode"]

PACKAGES = {
    "psnr": "scikit-image",
    "ssim": "scikit-image",
    "hands": "mediapipe",
    "identity": "insightface",
    "fid": "torch-fidelity",
    "fvd": "StyleGAN-V's definition",
}
"""By what is measured."""
_FRAME_STEP, _WINDOW = 5, 16

Frames = list[np.ndarray]
"""[H, W, 3] uint8 RGB each."""


def decode(path: str, width: int, height: int) -> Frames:
    """All frames with OpenCV, brought to a size in pixels."""
    import cv2

    capture, frames = cv2.VideoCapture(path), []
    while True:
        more, frame = capture.read()
        if not more:
            return frames
        frames.append(cv2.cvtColor(cv2.resize(frame, (width, height)), cv2.COLOR_BGR2RGB))


def _load_psnr(weights: Path) -> Callable[[Frames, Frames], None]:
    from skimage.metrics import peak_signal_noise_ratio

    def work(truth: Frames, prediction: Frames) -> None:
        for one, other in zip(truth, prediction, strict=True):
            peak_signal_noise_ratio(one, other, data_range=255)

    return work


def _load_ssim(weights: Path) -> Callable[[Frames, Frames], None]:
    from skimage.metrics import structural_similarity

    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}

    def work(truth: Frames, prediction: Frames) -> None:
        for one, other in zip(truth, prediction, strict=True):
            structural_similarity(one, other, channel_axis=2, data_range=255, **options)

    return work


def _load_hands(weights: Path) -> Callable[[Frames, Frames], None]:
    from media.landmarks import HandDetector

    detector = HandDetector()

    def work(truth: Frames, prediction: Frames) -> None:
        for frame in (*truth, *prediction):
            detector.detect(frame)

    return work


def _load_identity(weights: Path) -> Callable[[Frames, Frames], None]:
    import onnxruntime
    from insightface.app.common import Face
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX
    from insightface.model_zoo.scrfd import SCRFD

    cpu = ["CPUExecutionProvider"]
    paths = [str(weights / "buffalo_l" / name) for name in ("det_10g.onnx", "w600k_r50.onnx")]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))  # as by default, where all cores may be used
    sessions = [onnxruntime.InferenceSession(path, options, providers=cpu) for path in paths]
    detector, recogniser = SCRFD(paths[0], sessions[0]), ArcFaceONNX(paths[1], sessions[1])
    detector.prepare(-1, input_size=(640, 640), det_thresh=0.5)

    def work(truth: Frames, prediction: Frames) -> None:
        for frame in (truth[0], *prediction):
            picture = np.ascontiguousarray(frame[..., ::-1])
            boxes, points = detector.detect(picture)
            fives = [] if points is None else list(points)
            for box, five in zip(boxes, fives, strict=True):  # FaceAnalysis describes every face
                recogniser.get(picture, Face(bbox=box[:4], kps=five, det_score=box[4]))

    return work


def _load_fid(weights: Path) -> Callable[[Frames, Frames], None]:
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = next(weights.glob("weights-inception*.pth"))
    network = FeatureExtractorInceptionV3("made", ["2048"], feature_extractor_weights_path=str(path))

    def work(truth: Frames, prediction: Frames) -> None:
        for frames in (truth, prediction):
            batch = torch.from_numpy(np.stack(frames[::_FRAME_STEP])).permute(0, 3, 1, 2)
            with torch.inference_mode():
                network(batch)

    return work


def _load_fvd(weights: Path) -> Callable[[Frames, Frames], None]:
    import torch

    detector = torch.jit.load(str(weights / "i3d_torchscript.pt")).eval()

    def work(truth: Frames, prediction: Frames) -> None:
        for frames in (truth, prediction):
            for start in range(0, len(frames) - _WINDOW + 1, _WINDOW):
                window = torch.from_numpy(np.stack(frames[start : start + _WINDOW]))
                with torch.inference_mode():
                    detector(
                        window.permute(3, 0, 1, 2)[None].contiguous(),
                        rescale=True,
                        resize=True,
                        return_features=True,
                    )

    return work


LOADERS: dict[str, Callable[[Path], Callable[[Frames, Frames], None]]] = {
    "psnr": _load_psnr,
    "ssim": _load_ssim,
    "hands": _load_hands,
    "identity": _load_identity,
    "fid": _load_fid,
    "fvd": _load_fvd,
}
"""From the folder of the weights to what looks at truth and prediction."""
