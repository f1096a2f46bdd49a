"""Phoneme encoder and fusion of a model that hears already: `python -m reference_model.training.text`.

What the model hears with and moves with stays, to the bit: without a text it makes the frames it made before. The text
learns to help a read-out of the driving tokens tell gap and phoneme under noise, through the frozen recurrence, so that
tokens stay of the kind that particles and Gaussians know.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from media.errors import AvatarBenchError
from reference_model.corpus.corpus_file import save_corpus
from reference_model.corpus.geometry_corpus import Take, build_corpus, draw_takes
from reference_model.corpus.speech.recorded import RecordedVoices
from reference_model.corpus.speech.synthesis import MAX_RANDOM_VARIANTS, SpeechSynthesizer
from reference_model.networks.model import AvatarModel, config_dict, load_model
from reference_model.networks.phoneme_encoder import encode_ids
from reference_model.networks.surface import FPS
from reference_model.networks.text_fusion import TextTokens
from reference_model.networks.weights import read_metadata, save_weights
from reference_model.training.batches import Batch
from reference_model.training.corpus_batches import CorpusBatches
from reference_model.training.speech_readout import SpeechReadout

__all__ = ["TextFigures", "TimedPhonemes", "main", "teach_readout", "text_figures", "train_text", "with_text"]

_log = logging.getLogger(__name__)
_FRAMES = 100
_PAST_FRAMES = 100
"""Phonemes that began longer before a crop are left out; the fusion would not see them."""
_RATE, _READOUT_RATE = 2e-3, 1e-2
_HELD_OUT_CROPS = 48


class TimedPhonemes:
    """The phonemes of takes that stand one after the other, as in a geometry corpus.

    Args:
        takes: In the corpus' order.
    """

    def __init__(self, takes: Sequence[Take]) -> None:
        lengths = torch.tensor([len(take.innovations) for take in takes])
        self._end = lengths.cumsum(0)  # [K] pictures
        first = (self._end - lengths).tolist()
        self._ids = [encode_ids([ipa for _, ipa in take.utterance.phonemes]) for take in takes]
        self._start = [
            start + FPS * torch.tensor([at for at, _ in take.utterance.phonemes], dtype=torch.float32)
            for start, take in zip(first, takes, strict=True)
        ]

    def of_crops(self, first: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """What is said in crops, and shortly before.

        Args:
            first: Index of each crop's first picture, [B].
            frames: Pictures of a crop.

        Returns:
            `ids` [B, L, 6] and `start` [B, L] frames after the first picture, as `PhonemeEncoder` takes them.
        """
        take = torch.searchsorted(self._end, first.contiguous(), right=True).tolist()
        ids, start = [], []
        for index, picture in zip(take, first.tolist(), strict=True):
            at = self._start[index] - picture
            near = (at > -_PAST_FRAMES) & (at < frames)
            ids.append(self._ids[index][near])
            start.append(at[near])
        return (
            nn.utils.rnn.pad_sequence(ids, batch_first=True),
            nn.utils.rnn.pad_sequence(start, batch_first=True, padding_value=torch.inf),
        )


class TextFigures(NamedTuple):
    """How well driving tokens tell held-out speech, read out by one linear layer."""

    gap_r: float
    gap_r_with_text: float
    phonemes_right: float
    """Share of the frames."""
    phonemes_right_with_text: float


def with_text(model: AvatarModel) -> AvatarModel:
    """The same model with a new phoneme encoder and fusion; without a text it does what `model` does."""
    reading = AvatarModel(replace(model.config, text="phonemes"))
    loaded = reading.load_state_dict(model.state_dict(), strict=False)
    assert not loaded.unexpected_keys
    return reading


def teach_readout(
    model: AvatarModel, corpus: CorpusBatches, *, steps: int, batch: int, generator: torch.Generator
) -> SpeechReadout:
    """A read-out of the driving tokens of a model that stays as it is, without text; arguments as of `train_text`."""
    readout = SpeechReadout(model.config.dim_driving)
    model.requires_grad_(False).train()
    optimiser = torch.optim.Adam(readout.parameters(), _READOUT_RATE)
    for _ in range(steps):
        crops = corpus.draw(batch, _FRAMES, generator)
        loss = readout(_driving(model, crops, None), crops)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return readout.requires_grad_(False)


def train_text(
    model: AvatarModel,
    readout: SpeechReadout,
    corpus: CorpusBatches,
    phonemes: TimedPhonemes,
    *,
    steps: int,
    batch: int,
    generator: torch.Generator,
) -> Iterator[float]:
    """Train phoneme encoder and fusion of `model` in place, and nothing else.

    Args:
        model: Takes phonemes; see `with_text`.
        readout: From `teach_readout`.
        corpus: Sound and truth.
        phonemes: Of the same takes.
        steps: How many.
        batch: Crops of a step, of 4 s.
        generator: Of crops and augmentation.

    Yields:
        The loss, once a step.
    """
    assert model.text is not None and model.audio.fusion is not None
    model.requires_grad_(False).train()
    parameters = [*model.text.parameters(), *model.audio.fusion.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimiser = torch.optim.Adam(parameters, _RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    for _ in range(steps):
        crops = corpus.draw(batch, _FRAMES, generator)
        loss = readout(_driving(model, crops, phonemes), crops)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        yield loss.item()
    model.requires_grad_(False).eval()


@torch.no_grad()
def text_figures(
    model: AvatarModel, readout: SpeechReadout, batches: Sequence[Batch], phonemes: TimedPhonemes
) -> TextFigures:
    """Figures on held-out speech, with clean sound, with and without its text."""
    model.eval()
    figures = []
    for given in (None, phonemes):
        told, wanted, right = [], [], []
        for crops in batches:
            driving = _driving(model, crops, given)
            inside = crops.weight > 0
            told.append(readout.gap(driving)[..., 0][inside])
            wanted.append(crops.gap[inside])
            right.append((readout.phoneme(driving).argmax(-1) == crops.phoneme)[inside])
        r = torch.corrcoef(torch.stack([torch.cat(told), torch.cat(wanted)]))[0, 1].item()
        figures.append((r, torch.cat(right).float().mean().item()))
    (gap_r, right), (gap_r_text, right_text) = figures
    return TextFigures(gap_r, gap_r_text, right, right_text)


def _driving(model: AvatarModel, crops: Batch, phonemes: TimedPhonemes | None) -> Tensor:
    text: TextTokens | None = None
    if phonemes is not None:
        assert model.text is not None
        text = model.text(*phonemes.of_crops(crops.first, crops.innovations.shape[1]))
    return model.audio(crops.mel, crops.innovations, text=text)[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Train from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--start", type=Path, required=True, help="weights that hear, .safetensors")
    parser.add_argument("--out", type=Path, required=True, help="weights that read as well")
    parser.add_argument("--hours", type=float, default=0.7, help="length of the speech that is made")
    parser.add_argument("--recorded", type=float, default=0.5, help="share of recorded voices; 0 needs none")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        _train(given)
    except AvatarBenchError as error:
        _log.error("%s", error)
        return 3
    return 0


def _train(given: argparse.Namespace) -> None:
    start = read_metadata(given.start, "AvatarModel")
    torch.manual_seed(given.seed)
    model = with_text(load_model(given.start))
    with ExitStack() as stack:
        synthesizer = stack.enter_context(SpeechSynthesizer(MAX_RANDOM_VARIANTS, given.seed))
        recorded = stack.enter_context(RecordedVoices()) if given.recorded else None
        takes = list(draw_takes(synthesizer, given.hours, given.seed, recorded, given.recorded))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        save_corpus(folder / "speech.npz", build_corpus(takes))
        corpus = CorpusBatches(folder / "speech.npz", "cpu")
    phonemes = TimedPhonemes(takes)
    generator = torch.Generator().manual_seed(given.seed)
    readout = teach_readout(model, corpus, steps=given.steps // 2, batch=given.batch, generator=generator)
    training = train_text(
        model, readout, corpus, phonemes, steps=given.steps, batch=given.batch, generator=generator
    )
    for step, loss in enumerate(training, start=1):
        if step % 50 == 0 or step == 1:
            _log.info("step %d of %d  loss %.3f", step, given.steps, loss)
    figures = text_figures(model, readout, corpus.held_out(_HELD_OUT_CROPS, _FRAMES, given.batch), phonemes)
    _log.info("held out: %s", figures)
    metadata = {
        **{key: value for key, value in start.items() if key != "tensors_sha256"},
        "config": config_dict(model.config),
        "text": {
            "command": "python -m reference_model.training.text",
            "options": {key: value for key, value in vars(given).items() if key not in ("start", "out")},
            "corpus_sha256": corpus.sha256,
            "held_out": figures._asdict(),
            "start_tensors_sha256": start["tensors_sha256"],
        },
    }
    save_weights(given.out, model.state_dict(), metadata)
    _log.info("wrote %s", given.out)


if __name__ == "__main__":
    sys.exit(main())
