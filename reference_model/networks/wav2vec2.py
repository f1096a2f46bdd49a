"""A_t of the preset `base`: wav2vec 2.0 over fixed windows of sound, at the pictures' rate.

The model hears both ways and normalises over all that it is given, so "the" embedding of an instant depends on where
the sound was cut. Here the cut is part of the definition: pictures come in hops, and each hop is heard with two seconds
before and 80 ms after it. Offline and live then see the same windows and give the same tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reference_model.networks.audio_encoder import LOOKAHEAD_FRAMES, MEL_PER_FRAME
from reference_model.networks.features import HOP
from reference_model.networks.pretrained import WAV2VEC2, PinnedModel, load_pretrained

__all__ = ["HOP_FRAMES", "Wav2Vec2Listener", "load_wav2vec2", "picture_embeddings"]

LEFT_FRAMES = 50
"""Pictures of earlier sound in a window, 2 s."""
HOP_FRAMES = 5
"""Pictures of one window; a live picture waits until its hop is heard, at most 160 ms longer."""
_SAMPLES_PER_FRAME = HOP * MEL_PER_FRAME
_STRIDE, _FIELD = 320, 400  # samples between features of the convolutions, and under one


def load_wav2vec2(folder: Path | None = None, pinned: PinnedModel = WAV2VEC2) -> Any:
    """The frozen model, a `transformers.Wav2Vec2Model`.

    Raises:
        AvatarBenchError: E321 missing, E322 other weights, E603 no transformers.
    """
    return load_pretrained(pinned, "Wav2Vec2Model", folder)


def picture_embeddings(model: Any, samples: Tensor, n_valid: tuple[int, int]) -> Tensor:
    """Embeddings at the pictures of one window.

    The convolutions' features (50 Hz) are interpolated to the instants of the pictures before the transformer, as
    audio-driven video models do, so that it attends over pictures.

    Args:
        model: A `Wav2Vec2Model`.
        samples: The window, [S] float32, S a multiple of 640.
        n_valid: Where sound begins and ends in it; outside are zeros, which the normalisation leaves out.

    Returns:
        [S / 640, d_a].
    """
    begin, end = n_valid
    heard = samples[begin:end]
    normal = torch.zeros_like(samples)
    if len(heard):
        normal[begin:end] = (heard - heard.mean()) / (heard.var(correction=0) + 1e-7).sqrt()
    features = model.feature_extractor(normal[None]).transpose(1, 2)  # [1, n, 512]
    instant = torch.arange(len(samples) // _SAMPLES_PER_FRAME) * _SAMPLES_PER_FRAME
    place = (instant - (_FIELD - 1) / 2) / _STRIDE  # of each picture among the features
    place = place.clamp(0, features.shape[1] - 1).to(features.device)
    below = place.floor().long().clamp(max=features.shape[1] - 2)
    at_pictures = torch.lerp(features[:, below], features[:, below + 1], (place - below)[:, None])
    hidden, _ = model.feature_projection(at_pictures)
    return model.encoder(hidden).last_hidden_state[0]  # [S / 640, d_a]


class Wav2Vec2Listener:
    """Hears a sound in pieces and gives A_t hop by hop.

    Args:
        model: From `load_wav2vec2`.
    """

    latency_frames = LOOKAHEAD_FRAMES + HOP_FRAMES

    def pictures(self, n_inputs: int, last: bool) -> int:
        """One for each embedding."""
        del last
        return n_inputs

    def __init__(self, model: Any) -> None:
        self._model = model
        self._kept, self._begin = torch.zeros(0), 0  # sound from picture `_begin` on
        self._done = 0  # pictures given so far

    @torch.no_grad()
    def push(self, samples: Tensor, last: bool = False) -> Tensor:
        """The embeddings that a further piece completes, [T, d_a]; all that remain when it is the last.

        Args:
            samples: [S] float32 at 16 kHz.
            last: The sound ends here; pictures are counted in full, of 640 samples.
        """
        self._kept = torch.cat([self._kept, samples])
        heard = self._begin + len(self._kept) // _SAMPLES_PER_FRAME  # pictures
        parts = []
        while self._done + HOP_FRAMES + LOOKAHEAD_FRAMES <= heard or (last and self._done < heard):
            n = min(HOP_FRAMES, heard - self._done)
            parts.append(self._window()[LEFT_FRAMES : LEFT_FRAMES + n])
            self._done += n
        begin = max(0, self._done - LEFT_FRAMES)
        self._kept = self._kept[(begin - self._begin) * _SAMPLES_PER_FRAME :].clone()
        self._begin = begin
        return torch.cat(parts) if parts else torch.zeros(0, self._model.config.hidden_size)

    def _window(self) -> Tensor:
        """Embeddings around the next hop, [LEFT + HOP + LOOKAHEAD, d_a]."""
        first = (
            self._done - LEFT_FRAMES - self._begin
        ) * _SAMPLES_PER_FRAME  # in the kept sound; may be negative
        size = (LEFT_FRAMES + HOP_FRAMES + LOOKAHEAD_FRAMES) * _SAMPLES_PER_FRAME
        sound = self._kept[max(first, 0) : first + size]
        begin = max(-first, 0)
        window = torch.zeros(size)
        window[begin : begin + len(sound)] = sound
        return picture_embeddings(self._model, window, (begin, begin + len(sound)))
