"""syncnet-python on the frames, boxes, sound and weights of a test; what it decides before it encodes anything.

`syncnet_pipeline.py ANSWER INPUT SYNCNET S3FD`, with arrays in INPUT:
`frames` [T, H, W, 3] uint8 RGB and `samples` [S] int16 at 16 kHz: a clip;
`scale`, `n_detect`: faces are looked for at this scale in the first so many frames;
`found` [k] and `boxes` [k, 4]: a face was found in these frames; `min_track`, `min_face`: which tracks count.
The first track is cut out and compared with its stretch of the sound.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import python_speech_features
import torch
from scipy.io import wavfile
from syncnet_python import SyncNetPipeline


def find_faces(pipeline: SyncNetPipeline, pictures: np.ndarray, scale: float) -> dict[str, np.ndarray]:
    found = [pipeline.s3fd.detect_faces(picture, conf_th=0.9, scales=[scale]) for picture in pictures]
    return {f"faces_{index}": faces for index, faces in enumerate(found)}


def cut_out(
    pipeline: SyncNetPipeline, pictures: np.ndarray, first: int, boxes: np.ndarray, folder: Path
) -> np.ndarray:
    """The pictures that the package gives to the encoder, RGB."""
    written = []

    class Writer:
        def __init__(self, *arguments: object) -> None:
            Path(str(arguments[0])).touch()

        def write(self, picture: np.ndarray) -> None:
            written.append(picture[..., ::-1])

        def release(self) -> None:
            pass

    read, writer, run = cv2.imread, cv2.VideoWriter, subprocess.run
    cv2.imread = lambda index: np.ascontiguousarray(pictures[index][..., ::-1])
    cv2.VideoWriter, subprocess.run = Writer, lambda *arguments, **options: None
    try:
        track = {"frame": np.arange(first, first + len(boxes)), "bbox": boxes}
        pipeline._crop(track, list(range(len(pictures))), "none.wav", folder / "crop")
    finally:
        cv2.imread, cv2.VideoWriter, subprocess.run = read, writer, run
    return np.stack(written)


def compare(
    pipeline: SyncNetPipeline, crops: np.ndarray, samples: np.ndarray, folder: Path
) -> dict[str, np.ndarray]:
    for index, crop in enumerate(crops):  # a PNG whatever its name says, so that nothing is lost
        (folder / f"{index:06d}.jpg").write_bytes(cv2.imencode(".png", crop[..., ::-1])[1].tobytes())
    wavfile.write(folder / "audio.wav", 16000, samples)
    kept = {}

    def keep(lip: torch.Tensor, sound: torch.Tensor, vshift: int) -> list[torch.Tensor]:
        distances = calculate(lip, sound, vshift)
        kept.update(lip=lip.numpy(), sound=sound.numpy(), distances=torch.stack(distances, 1).numpy())
        return distances

    module = sys.modules["syncnet_python.SyncNetInstance"]
    calculate, module.calc_pdist = module.calc_pdist, keep
    options = SimpleNamespace(tmp_dir=str(folder), batch_size=20, vshift=15)
    with torch.inference_mode():
        score = pipeline.syncnet.evaluate(options)
    return kept | {"score": np.array(score)}  # offset, confidence, distance


def follow(pipeline: SyncNetPipeline, found: np.ndarray, boxes: np.ndarray) -> list[dict[str, np.ndarray]]:
    detections: list[list[dict[str, object]]] = [[] for _ in range(int(found.max()) + 1)]
    for frame, box in zip(found, boxes, strict=True):
        detections[frame].append({"frame": int(frame), "bbox": box.tolist(), "conf": 1.0})
    return pipeline._track(detections)


def main() -> None:
    answer, given, syncnet, s3fd = sys.argv[1:]
    with np.load(given) as stored, tempfile.TemporaryDirectory() as scratch:
        arrays = {name: stored[name] for name in stored.files}
        weights = {"s3fd_weights": s3fd, "syncnet_weights": syncnet}
        limits = {"min_track": int(arrays["min_track"]), "min_face_size": float(arrays["min_face"])}
        pipeline = SyncNetPipeline(weights | limits, device="cpu")
        faces = find_faces(pipeline, arrays["frames"][: int(arrays["n_detect"])], float(arrays["scale"]))
        tracks = follow(pipeline, arrays["found"], arrays["boxes"])
        first, last = int(tracks[0]["frame"][0]), int(tracks[0]["frame"][-1])
        crops = cut_out(pipeline, arrays["frames"], first, tracks[0]["bbox"], Path(scratch))
        samples = arrays["samples"][640 * first : 640 * (last + 1)]
        compared = compare(pipeline, crops, samples, Path(scratch))
        np.savez(
            answer,
            n_tracks=len(tracks),
            first=first,
            boxes=tracks[0]["bbox"],
            crops=crops,
            mfcc=python_speech_features.mfcc(samples, 16000),
            **faces,
            **compared,
        )


if __name__ == "__main__":
    main()
