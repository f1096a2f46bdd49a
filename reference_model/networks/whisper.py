"""Z of the preset `base`: Whisper's decoder on the transcript that is known, one token of text after the other.

"A speech-to-text model embeds the transcript": a speech-to-text model reads text only in its decoder, so the transcript
is forced through it while it hears the sound, and its last hidden states are Z.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from media.errors import AvatarBenchError
from reference_model.networks.pretrained import WHISPER, PinnedModel, load_pretrained, transformers_package
from reference_model.networks.text_fusion import TextTokens

__all__ = ["WhisperText", "token_starts"]

_SAMPLE_RATE = 16_000
_LONGEST_S = 30.0  # Whisper hears this much at once


class WhisperText:
    """Whisper as an encoder of transcripts.

    Args:
        folder: The model's folder; see `find_model`.
        pinned: Which Whisper.

    Raises:
        AvatarBenchError: E321 missing, E322 other weights, E603 no transformers.
    """

    def __init__(self, folder: Path | None = None, pinned: PinnedModel = WHISPER) -> None:
        package = transformers_package()
        self.model = load_pretrained(pinned, "WhisperModel", folder)
        place = self.model.name_or_path
        self._tokenizer = package.AutoTokenizer.from_pretrained(place, local_files_only=True)
        self._features = package.WhisperFeatureExtractor.from_pretrained(place, local_files_only=True)

    @torch.no_grad()
    def encode(
        self,
        text: str,
        samples: np.ndarray,
        words: Sequence[tuple[float, str]],
        fps: float,
        language: str = "en",
    ) -> TextTokens:
        """Tokens of one utterance.

        Args:
            text: The transcript.
            samples: Its sound at 16 kHz, [S] float32, at most 30 s.
            words: Start in seconds and spelling of each word, in order; where a word has no time, none: then the
                tokens are spread evenly over the sound.
            fps: Frames a second.
            language: ISO 639-1.

        Returns:
            Z [1, L, d_z] and when each of its tokens begins.

        Raises:
            AvatarBenchError: E323, the sound is longer than 30 s or the text than the decoder.
        """
        duration_s = len(samples) / _SAMPLE_RATE
        if duration_s > _LONGEST_S:
            raise _does_not_fit(
                "the sound of a transcript is too long", f"at most {_LONGEST_S:.0f} s", f"{duration_s:.1f} s"
            )
        ids, offsets = self._tokens(text)
        prompt = self._prompt(language)
        forced = torch.tensor([[*prompt, *ids]])
        most = self.model.config.max_target_positions
        if forced.shape[1] > most:
            raise _does_not_fit("a transcript is too long", f"at most {most} tokens", f"{forced.shape[1]}")
        hidden = self.model(
            input_features=self.log_mel(samples), decoder_input_ids=forced, use_cache=False
        ).last_hidden_state
        starts_s = token_starts(text, offsets, words, duration_s)
        return TextTokens(hidden[:, len(prompt) :], torch.tensor([starts_s], dtype=torch.float32) * fps)

    def log_mel(self, samples: np.ndarray) -> Tensor:
        """What Whisper hears, [1, n_mels, 3000]: 30 s, zeros after the sound."""
        return self._features(samples, sampling_rate=_SAMPLE_RATE, return_tensors="pt").input_features

    def _tokens(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of the text and the character at which each begins."""
        coded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return coded["input_ids"], [begin for begin, _ in coded["offset_mapping"]]

    def _prompt(self, language: str) -> list[int]:
        """What precedes a transcript without time stamps."""
        names = ("<|startoftranscript|>", f"<|{language}|>", "<|transcribe|>", "<|notimestamps|>")
        numbers = self._tokenizer.convert_tokens_to_ids(names)
        if None in numbers or self._tokenizer.unk_token_id in numbers[1:2]:
            raise _does_not_fit("Whisper does not know the language of a transcript", "ISO 639-1", language)
        return list(numbers)


def token_starts(
    text: str, offsets: Sequence[int], words: Sequence[tuple[float, str]], duration_s: float
) -> list[float]:
    """When each token of a transcript is spoken, seconds, ascending.

    Args:
        text: The transcript.
        offsets: The character at which each token begins.
        words: Start in seconds and spelling of each word, in order; those that the text does not hold are passed over.
        duration_s: Length of the sound.
    """
    place_of, at = {0: words[0][0] if words else 0.0}, 0  # character -> seconds
    for start_s, word in words:
        found = text.find(word, at)
        if found >= 0:
            place_of[found], at = start_s, found + len(word)
    places, starts = [*place_of, len(text) + 1], [*place_of.values(), duration_s]
    return np.interp(offsets, places, np.maximum.accumulate(starts)).tolist()


def _does_not_fit(what: str, expected: str, got: str) -> AvatarBenchError:
    fix = "give the text in parts, or drive by the sound alone"
    return AvatarBenchError("E323", what, expected=expected, got=got, fix=fix)
