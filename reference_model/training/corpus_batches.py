"""Batches from the geometry corpus, held on the training device as a whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from media.errors import AvatarBenchError
from reference_model.body.template import load_template
from reference_model.corpus.corpus_file import decode_log_mel, load_corpus
from reference_model.networks.audio_encoder import MEL_PER_FRAME
from reference_model.networks.features import augment_power_mel, normalised_log_mel
from reference_model.networks.text_fusion import TEXT_LOOKAHEAD_FRAMES
from reference_model.training.batches import Batch
from reference_model.training.expressions import ExpressionSampler

__all__ = ["CorpusBatches"]

_LARGEST_SMILE = 0.8
_SMILING_SHARE = 0.5
_PAST_FRAMES = 100
"""Phonemes that began longer before a crop are left out; the fusion would not see them."""
_RISE_FRAMES = 12
"""A crop begins in the middle of a movement, yet the model stands in the photo's pose: the loss fades in."""


class CorpusBatches:
    """Draws crops of takes, people and photo expressions.

    Args:
        path: File of `reference_model.corpus.geometry_corpus`.
        device: Where the corpus is kept and batches are made.
    """

    def __init__(self, path: Path, device: torch.device | str) -> None:
        corpus, template = load_corpus(path), load_template()
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self._device = torch.device(device)
        self._log_mel = self._put(corpus.log_mel)  # [4N, 80] uint8
        self._decode = self._put(decode_log_mel(np.arange(256, dtype=np.uint8)))  # [256]
        self._actions = self._put(corpus.actions)  # [N, 52] float16
        self._rotations = self._put(corpus.rotation_coefficients)  # [N, C] float16
        basis = np.zeros((len(corpus.rotation_basis), template.n_joints, 3), np.float32)
        basis[:, corpus.rotation_joints] = corpus.rotation_basis
        self._rotation_basis = self._put(basis)  # [C, J, 3]
        self._innovations = self._put(corpus.innovations)  # [N, 8] float16
        self._closure = self._put(corpus.closure)  # [N]
        self._gap = self._put(corpus.gap_mm)  # [N] float16
        self._phoneme = self._put(corpus.phoneme_class[::MEL_PER_FRAME].astype(np.int64))  # [N]
        # One phoneme more, of nothing: where rows of a batch end.
        self._spoken = self._put(np.pad(corpus.spoken.astype(np.int64), ((0, 1), (0, 0))))  # [P + 1, 6]
        self._spoken_at = self._put(np.append(corpus.spoken_at, np.float32(np.inf)))  # [P + 1]
        self._take_start = self._put(corpus.take_start.astype(np.int64))  # [U + 1]
        self._takes = {
            held_out: self._put(np.array(corpus.takes(held_out=held_out), np.int64).reshape(-1, 2))
            for held_out in (False, True)
        }
        self._n_shape = len(template.shape_basis)
        self._expressions = ExpressionSampler(template.action_names, device)

    def draw(self, batch: int, frames: int, generator: torch.Generator) -> Batch:
        """A training batch: random crops, augmented sound, random people and photo expressions.

        Args:
            batch: Crops B.
            frames: Pictures of a crop T.
            generator: Source of randomness, on the corpus' device.

        Returns:
            A batch on the corpus' device.
        """
        takes = self._takes[False]
        length = (takes[:, 1] - takes[:, 0]).float()
        chosen = torch.multinomial(length, batch, replacement=True, generator=generator)
        room = (length[chosen] - frames).clamp(min=0)
        # Crops reach over both ends a little, so that the first and last sounds are not rare.
        start = torch.rand(batch, generator=generator, device=self._device) * (room + frames / 4) - frames / 8
        start = start.minimum(room).clamp(min=0).long()
        power, crop = self._crop(takes[chosen], start, frames)
        return self._batch(augment_power_mel(power, generator), crop, generator, fade_in=start > 0)

    def held_out(self, crops: int, frames: int, batch: int, seed: int = 1) -> list[Batch]:
        """Crops of voices and sentences that training never sees, with clean sound.

        Args:
            crops: How many, spread evenly over the held-out takes.
            frames: Pictures of a crop.
            batch: Crops of one batch.
            seed: People and photo expressions.

        Returns:
            Batches that hold the same crops whenever the corpus is the same.
        """
        takes = self._takes[True]
        if len(takes) == 0:
            raise AvatarBenchError(
                "E401",
                "the training corpus holds out no take",
                fix="make a longer one: python -m reference_model.corpus.geometry_corpus --hours 2 --out FOLDER",
            )
        index = torch.arange(crops, device=self._device)
        chosen = takes[index % len(takes)]
        room = (chosen[:, 1] - chosen[:, 0] - frames).clamp(min=0)
        rounds = -(-crops // len(takes))
        start = room * (index // len(takes)) // max(1, rounds - 1)
        generator = torch.Generator(self._device).manual_seed(seed)
        batches = []
        for part in index.split(batch):
            power, crop = self._crop(chosen[part], start[part], frames)
            batches.append(self._batch(power, crop, generator, fade_in=start[part] > 0))
        return batches

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.tensor(array, device=self._device)

    def _crop(self, takes: Tensor, start: Tensor, frames: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Mel power [B, 4T, 80]; picture indices and whether they lie inside of their take, [B, T] each."""
        first, end = takes[:, 0], takes[:, 1]
        picture = (first + start)[:, None] + torch.arange(frames, device=self._device)  # [B, T]
        inside = picture < end[:, None]
        picture = picture.minimum(end[:, None] - 1)
        sound = (
            picture[..., None] * MEL_PER_FRAME + torch.arange(MEL_PER_FRAME, device=self._device)
        ).flatten(1)
        return self._decode[self._log_mel[sound].long()], (picture, inside)

    def _batch(
        self, power: Tensor, crop: tuple[Tensor, Tensor], generator: torch.Generator, fade_in: Tensor
    ) -> Batch:
        picture, inside = crop
        size = len(picture)
        smile = torch.rand(size, generator=generator, device=self._device)
        smile = (
            _LARGEST_SMILE
            * smile
            * (torch.rand(size, generator=generator, device=self._device) < _SMILING_SHARE)
        )
        expression = self._expressions.draw(smile, generator)
        rotations = torch.tensordot(self._rotations[picture].float(), self._rotation_basis, 1)  # [B, T, J, 3]
        rise = ((torch.arange(picture.shape[1], device=self._device) + 1) / _RISE_FRAMES).clamp(max=1)
        text_ids, text_start = self._text(picture)
        rise = torch.where(fade_in[:, None], rise, torch.ones_like(rise))
        return Batch(
            mel=normalised_log_mel(power),
            innovations=self._innovations[picture].float(),
            shape=torch.randn(size, self._n_shape, generator=generator, device=self._device),
            expression=expression,
            change=self._expressions.change(self._actions[picture].float(), expression),
            rotations=rotations,
            closure=self._closure[picture] & inside,
            gap=self._gap[picture].float(),
            phoneme=self._phoneme[picture],
            text_ids=text_ids,
            text_start=text_start,
            weight=rise * inside,
        )

    def _text(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """What is said in crops of the pictures [B, T]: `text_ids` and `text_start` of a batch."""
        first, frames = picture[:, 0].contiguous(), picture.shape[1]
        take = torch.searchsorted(self._take_start, first, right=True) - 1
        begin = self._take_start[take].maximum(first - _PAST_FRAMES)
        end = self._take_start[take + 1].minimum(first + frames + TEXT_LOOKAHEAD_FRAMES)
        low, high = (torch.searchsorted(self._spoken_at, at.float()) for at in (begin, end))
        most = max(1, int((high - low).max()))  # at least one, if only of nothing
        index = low[:, None] + torch.arange(most, device=self._device)  # [B, L]
        nothing = len(self._spoken_at) - 1
        index = torch.where(index < high[:, None], index, nothing)
        return self._spoken[index], self._spoken_at[index] - first[:, None]
