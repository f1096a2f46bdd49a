"""Batches of prepared clips: what a step sees depends on seed, step and process alone, so that a run can be resumed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from reference_model.corpus.corpus_file import decode_log_mel
from reference_model.networks.audio_encoder import MEL_PER_FRAME
from reference_model.networks.features import augment_power_mel, normalised_log_mel
from reference_model.training.rendered_file import PackedClip, PackedFile
from reference_model.training.rendered_objective import ClipBatch

__all__ = ["RenderedBatches", "step_seed"]


def step_seed(seed: int, step: int, process: int) -> int:
    """A seed of its own for each step and process of a run."""
    return int(np.random.SeedSequence([seed, step, process]).generate_state(1, np.uint32)[0])


class RenderedBatches:
    """Draws clips and pictures of a prepared file.

    Args:
        packed: The file.
        device: Where batches go.
        frames: Longest stretch of a clip, pictures; it always begins with the clip, since the model does.
    """

    def __init__(self, packed: PackedFile, device: torch.device, frames: int = 110) -> None:
        self.people = list(packed.people.values())
        self._index = {person.name: index for index, person in enumerate(self.people)}
        self._device = device
        shortest = min(len(clip.closed) for clip in packed.clips)
        self._frames = min(frames, shortest)
        held_out = {person.name for person in self.people if person.held_out}
        self.training = [clip for clip in packed.clips if clip.person not in held_out]
        self.held_out = [clip for clip in packed.clips if clip.person in held_out] or self.training[-1:]

    def draw(self, clips: int, pictures: int, seed: int) -> ClipBatch:
        """A training batch with augmented sound.

        Args:
            clips: How many clips B.
            pictures: Pictures of each that are drawn, F.
            seed: What to draw.
        """
        generator = torch.Generator().manual_seed(seed)
        chosen = [
            self.training[i] for i in torch.randint(len(self.training), (clips,), generator=generator).tolist()
        ]  # fmt: skip
        rows = []
        for clip in chosen:
            n = int((clip.shown < self._frames).sum())
            rows.append(torch.randperm(n, generator=generator)[:pictures].sort().values)
        return self._batch(chosen, rows, generator)

    def whole(self, clip: PackedClip, most: int | None = None) -> ClipBatch:
        """One clip with its clean sound and its pictures, evenly thinned to at most `most`."""
        n = int((clip.shown < self._frames).sum())
        count = n if most is None else min(n, most)
        rows = torch.linspace(0, n - 1, count).round().long()
        return self._batch([clip], [rows], None)

    def _batch(
        self, clips: list[PackedClip], rows: list[Tensor], generator: torch.Generator | None
    ) -> ClipBatch:
        t = self._frames
        power = torch.from_numpy(
            np.stack([decode_log_mel(clip.log_mel[: MEL_PER_FRAME * t].numpy()) for clip in clips])
        )
        if generator is not None:
            power = augment_power_mel(power, generator)

        def stack(parts: list[Tensor]) -> Tensor:
            return torch.stack(parts).to(self._device)

        views = range(len(clips[0].pictures))
        alpha = [self._pictures(clips, rows, view, "alpha") for view in views]
        rgb = [self._pictures(clips, rows, view, "rgb") * alpha[view][..., None] for view in views]
        return ClipBatch(
            people=[self._index[clip.person] for clip in clips],
            mel=normalised_log_mel(power).to(self._device),
            innovations=stack([clip.innovations[:t].float() for clip in clips]),
            points=stack([clip.points[:t] for clip in clips]),
            seen=stack([clip.seen[:t] for clip in clips]),
            closed=stack([clip.closed[:t] for clip in clips]),
            shown=stack([clip.shown[chosen] for clip, chosen in zip(clips, rows, strict=True)]),
            rgb=rgb,
            alpha=alpha,
        )

    def _pictures(self, clips: list[PackedClip], rows: list[Tensor], view: int, name: str) -> Tensor:
        chosen = [
            np.ascontiguousarray(getattr(clip.pictures[view], name)[row.numpy()])
            for clip, row in zip(clips, rows, strict=True)
        ]
        return torch.from_numpy(np.stack(chosen)).to(self._device).float() / 255
