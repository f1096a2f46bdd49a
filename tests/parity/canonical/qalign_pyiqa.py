"""pyiqa's own Q-Align metric on the frames of a clip, one a second.

    python qalign_pyiqa.py OUT.npz CHECKPOINT IN.npz

CHECKPOINT is made first where there is none (`qalign_checkpoint.py`), because importing pyiqa takes 10 s and more.
IN has `frames` [T, H, W, 3] uint8 sRGB and `fps`. OUT has for each task pyiqa's scores and the logits behind them
(`quality` [S], `quality_logits` [S, 5], `aesthetics`...), the prompt's token ids (`quality_ids`...) and the network's
input (`pixels` [S, 3, 448, 448]), all with Pillow's resizing as in the transformers 4.36 of the authors. What pyiqa
gives with the torchvision resizing of transformers 5 is `quality_torchvision`, `aesthetics_torchvision` [S]. Nothing
else is replaced; `prepare_packages` only makes pyiqa start.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from qalign_checkpoint import write_checkpoint


def sampled(n_frames: int, fps: float) -> list[int]:
    """Q-Align's `load_video` (scorer.py)."""
    return [int(fps * i) for i in range(int(n_frames / fps))]


def main(target: Path, checkpoint: Path, source: Path) -> None:
    """Score the clip in `source`."""
    if not checkpoint.exists():
        write_checkpoint(checkpoint, seed=0)
    from benchmark.qalign_model import prepare_packages

    prepare_packages()
    import pyiqa
    import torch
    from pyiqa.archs.q_align import modeling_mplug_owl2 as owl
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        link = Path(place) / "q-future" / "one-align"
        link.parent.mkdir()
        link.symlink_to(checkpoint.resolve())
        os.chdir(place)
        metric = pyiqa.create_metric("qalign", device="cpu")
        pillow = CLIPImageProcessorPil.from_pretrained("q-future/one-align")
        os.chdir("/")
    with np.load(source) as given:
        frames, fps = given["frames"], float(given["fps"])
    found: dict[str, list[np.ndarray]] = {}

    def keep(name: str, values: torch.Tensor) -> None:
        found.setdefault(name, []).append(values[0].float().numpy())

    processors = {"_torchvision": metric.net.image_processor, "": pillow}
    for index in sampled(len(frames), fps):
        picture = (
            torch.from_numpy(frames[index]).permute(2, 0, 1)[None].float() / 255
        )  # as torchvision's ToTensor
        for suffix, processor in processors.items():
            metric.net.image_processor = processor
            for task in ("quality", "aesthetics"):
                keep(task + suffix, metric(picture, task_=task))
        pixels = metric.net.preprocess(picture)
        keep("pixels", pixels)
        for task in ("quality", "aesthetics"):
            answer = metric.net.model.score(images=None, image_tensor=pixels, task_=task, return_dict=True)
            keep(f"{task}_logits", answer["logits"])
    for task in ("quality", "aesthetics"):
        text = f"USER: How would you rate the {task} of this image?\n<|image|>\nASSISTANT: The {task} of the image is"
        ids = owl.tokenizer_image_token(text, metric.net.model.tokenizer, owl.IMAGE_TOKEN_INDEX)
        found[f"{task}_ids"] = [np.array(ids)]
    found["level_ids"] = [np.array(metric.net.model.preferential_ids_)]
    np.savez(target, **{name: np.stack(values) for name, values in found.items()})


if __name__ == "__main__":
    main(*(Path(argument).resolve() for argument in sys.argv[1:]))
