"""Q-Align through pyiqa, for `benchmark.qalign_worker` alone: importing pyiqa's code changes transformers.

`pyiqa.archs.q_align` replaces transformers' Llama classes for the whole process and puts its folder on `sys.path`, so
nothing but a process of its own may load it. From pyiqa come the network and the reading of its checkpoint. Prompt,
token ids, padding, resizing and scores are ours, because there pyiqa 0.1.16 and the versions of transformers differ
from the canonical Q-Align (Wu et al. 2023, `q_align/evaluate/scorer.py`); the checks here say so where they would.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.qalign import LEVELS, SIDE, pad_to_square, prompt
from media.errors import AvatarBenchError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["QAlignModel", "normalise", "prepare_packages", "token_ids"]

HUB_ID = "q-future/one-align"
"""The name that pyiqa has written into its code; transformers takes a folder of this name where there is one."""
IMAGE_TOKEN = "<|image|>"
IMAGE_TOKEN_ID = -200
"""Marks the place of the picture among token ids (mPLUG-Owl2)."""
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_PACKAGES = ("torch", "torchvision", "transformers", "sentencepiece", "icecream", "pyiqa")
_PROTOCOL = "sentencepiece_model_pb2"


def prepare_packages() -> None:
    """Import what Q-Align needs; E603 where it is missing or does not fit.

    sentencepiece 0.2.3 brings a description of its files that needs protobuf 7, and MediaPipe needs protobuf 4.
    transformers has a copy of the same description that works with both and takes its place here.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise AvatarBenchError(
            "E603",
            "Q-Align (iqa, ase) needs packages that are not installed",
            got=f"no {', '.join(missing)}",
            fix="pip install 'avatarbench[paper]'",
        )
    import sentencepiece

    try:
        importlib.import_module(f"sentencepiece.{_PROTOCOL}")
    except ImportError:
        ours = importlib.import_module(f"transformers.utils.{_PROTOCOL}_new")
        sys.modules[f"sentencepiece.{_PROTOCOL}"] = ours
        setattr(sentencepiece, _PROTOCOL, ours)
    import pyiqa.archs.q_align.visual_encoder as encoder
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()  # it warns of what the pin and the check below are for
    if not hasattr(encoder.MplugOwlVisualAbstractorModel, "invert_attention_mask"):
        raise AvatarBenchError(
            "E603",
            "pyiqa's Q-Align does not work with this version of transformers",
            expected="transformers>=5,<5.17",
            got=f"transformers {transformers.__version__}",
            fix="pip install 'avatarbench[paper]'",
        )


def token_ids(tokenizer_file: Path, text: str) -> list[int]:
    """Token ids of a prompt with one picture, as the canonical Q-Align (transformers 4.36) makes them.

    One token that begins the text, then the two parts around the picture, each tokenised by itself. pyiqa asks the
    tokenizer of transformers, which from version 5 on leaves the first token out unless the checkpoint's
    `tokenizer_config.json` asks for it.

    Args:
        tokenizer_file: LLaMA's `tokenizer.model`.
        text: A prompt that holds `IMAGE_TOKEN` once.
    """
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(tokenizer_file))
    before, after = text.split(IMAGE_TOKEN)
    return [pieces.bos_id(), *pieces.encode(before), IMAGE_TOKEN_ID, *pieces.encode(after)]


def level_ids(tokenizer_file: Path) -> list[int]:
    """Token ids of `LEVELS`; E502 where one of the words is not exactly one token."""
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(tokenizer_file))
    found = [pieces.encode(word) for word in LEVELS]
    named = [[pieces.id_to_piece(number) for number in ids] for ids in found]
    if named != [[f"\u2581{word}"] for word in LEVELS]:
        raise AvatarBenchError(
            "E502",
            "the tokenizer of the weights has not one token for each of Q-Align's levels",
            where=tokenizer_file,
            expected=", ".join(LEVELS),
            got=str(named),
            fix="bench weights verify one_align",
        )
    return [ids[0] for ids in found]


def normalise(frame: np.ndarray) -> np.ndarray:
    """The network's input from a frame [H, W, 3] uint8 sRGB: [3, 448, 448] float32.

    Padded to a square, resized with Pillow's bicubic filter (with antialiasing), and normalised by CLIP's mean and
    deviation, as transformers 4.36 does. transformers 5 resizes with torchvision, which rounds otherwise.
    """
    from PIL import Image

    square = Image.fromarray(pad_to_square(frame))
    resized = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
    scaled = (resized / 255 - np.array(CLIP_MEAN, np.float32)) / np.array(CLIP_STD, np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


class QAlignModel:
    """The network of a checkpoint, with everything verified that decides its scores."""

    def __init__(self, folder: Path, device: str) -> None:
        """Load the checkpoint.

        Args:
            folder: Of the weight `one_align`; the hashes of its files have been compared.
            device: `cpu` or `cuda`.

        Raises:
            AvatarBenchError: E603 for packages, E502 for a checkpoint that is no Q-Align.
        """
        prepare_packages()
        self._tokenizer_file = folder / "tokenizer.model"
        self._levels = level_ids(self._tokenizer_file)
        self._model = _load(folder).to(device).eval()
        self._device = device
        self._ids: dict[str, Tensor] = {}

    def logits(self, frame: np.ndarray, word: str) -> list[float]:
        """Logits of `LEVELS`, in their order, as the next word after the prompt.

        Args:
            frame: [H, W, 3] uint8 sRGB.
            word: What is asked for, `quality` or `aesthetics`.
        """
        import torch

        pixels = torch.from_numpy(normalise(frame))[None].to(self._device, torch.float16)
        with torch.inference_mode():
            output = self._model(self._prompt_ids(word), images=pixels)["logits"]
        return output[0, -1, self._levels].float().tolist()

    def _prompt_ids(self, word: str) -> Tensor:
        import torch

        if word not in self._ids:
            ids = torch.tensor([token_ids(self._tokenizer_file, prompt(word))], device=self._device)
            self._ids[word] = ids
        return self._ids[word]


def _load(folder: Path) -> Any:
    """The network in float16, read from `folder` and from nowhere else."""
    import torch
    from pyiqa.archs.q_align.modeling_mplug_owl2 import MPLUGOwl2LlamaForCausalLM

    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="avatarbench-qalign-") as place:
        link = Path(place) / HUB_ID
        link.parent.mkdir()
        link.symlink_to(folder.resolve(), target_is_directory=True)
        os.chdir(place)
        try:
            found: Any = MPLUGOwl2LlamaForCausalLM.from_pretrained(
                HUB_ID, dtype=torch.float16, weights_only=True, output_loading_info=True
            )
        finally:
            os.chdir(before)
    model, info = found
    wrong = sorted({*map(str, info["missing_keys"]), *map(str, info["mismatched_keys"])})
    if wrong:
        raise AvatarBenchError(
            "E502",
            "the checkpoint lacks weights of Q-Align, which would stay random",
            where=folder,
            got=f"{len(wrong)} missing or of another shape: {', '.join(wrong[:5])}",
            fix="bench weights verify one_align",
        )
    return model
