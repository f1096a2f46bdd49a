"""A causal encoder of timed phonemes: the text side Z of section 3.2 where no Whisper is at hand.

A synthesiser that speaks a text knows its phonemes and their times. Each phoneme is written in IPA; its embedding is
the mean of those of its characters, so that a phoneme never met in training still resembles its relatives.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_model.networks.text_fusion import TextTokens

__all__ = ["PHONEME_CHARACTERS", "PhonemeEncoder", "encode_ids", "phoneme_ids"]

PHONEME_CHARACTERS = (
    "abcdefhijklmnopqrstuvwxyz\u0261"  # IPA has no ASCII g
    "æðøħŋœǀǁǂǃɐɑɒɓɔɕɖɗɘəɚɛɜɝɞɟɠɢɣɤɥɦɧɨɪɫɬɭɮɯɰɱɲɳɴɵɶɸɹɺɻɽɾʀʁʂʃʄʈʉʊʋʌʍʎʏʐʑʒʔʕʘʙʛʜʝʟʡʢβθχᵻ"
    "ˈˌːˑʰʲʷˠˤ˞\u0303\u0329\u032f\u0325\u0327\u0361"
)
"""IPA as espeak-ng writes it, decomposed; the last sixteen are stress, length and other marks."""
_MOST_CHARACTERS = 6
_SILENCE, _UNKNOWN = 1, 2  # 0 pads
_NOT_SOUND = re.compile(r"\(.*?\)|-")  # espeak-ng's "(en)" where the language changes, and its hyphen
_ID = {character: number for number, character in enumerate(PHONEME_CHARACTERS, start=3)}


def phoneme_ids(ipa: str) -> list[int]:
    """Numbers of the characters of one phoneme, at most six; no IPA is a pause."""
    ipa = _NOT_SOUND.sub("", ipa)
    if not ipa:
        return [_SILENCE]
    characters = unicodedata.normalize("NFD", ipa.replace("g", "\u0261"))[:_MOST_CHARACTERS]
    return [_ID.get(character, _UNKNOWN) for character in characters]


def encode_ids(phonemes: Sequence[str]) -> Tensor:
    """`phoneme_ids` of each phoneme, 0 where it has fewer than six, [L, 6] int64."""
    ids = torch.zeros(len(phonemes), _MOST_CHARACTERS, dtype=torch.long)
    for row, ipa in zip(ids, phonemes, strict=True):
        numbers = phoneme_ids(ipa)
        row[: len(numbers)] = torch.tensor(numbers)
    return ids


class PhonemeEncoder(nn.Module):
    """Embeddings and two causal convolutions over the sequence of phonemes.

    Args:
        dim: Width d_z of the tokens.
    """

    def __init__(self, dim: int = 96) -> None:
        super().__init__()
        self.dim = dim
        self.embedding = nn.Embedding(3 + len(PHONEME_CHARACTERS), dim, padding_idx=0)
        self.length = nn.Linear(1, dim)
        self.layers = nn.ModuleList(nn.Conv1d(dim, dim, 3) for _ in range(2))
        self.norm = nn.LayerNorm(dim)

    def forward(self, ids: Tensor, start: Tensor) -> TextTokens:
        """Encode timed phonemes.

        Args:
            ids: Characters of each phoneme, 0 where there is none, [B, L, 6].
            start: When each begins, frames, [B, L]; infinite for padding.

        Returns:
            One token for each phoneme; a token depends on itself and those before it alone.
        """
        written = (ids > 0).sum(-1, keepdim=True).clamp(min=1)
        token = self.embedding(ids).sum(2) / written  # [B, L, d]
        # The length of a phoneme is known only when the next begins: each token is told that of the one before.
        gap = torch.diff(start, dim=1, prepend=start[:, :1]).nan_to_num(0.0, 0.0, 0.0).clamp(0.0, 25.0)
        x = (token + self.length(gap[..., None] / 4)).transpose(1, 2)  # [B, d, L]
        for layer in self.layers:
            x = x + F.gelu(layer(F.pad(x, (2, 0))))
        return TextTokens(self.norm(x.transpose(1, 2)), start)

    def encode(self, phonemes: Sequence[tuple[float, str]], fps: float) -> TextTokens:
        """Tokens of one utterance.

        Args:
            phonemes: Start in seconds and IPA of each phoneme, ascending; empty IPA is a pause.
            fps: Frames a second.
        """
        ids = encode_ids([ipa for _, ipa in phonemes])[None]
        starts_s = [start_s for start_s, _ in phonemes]
        if any(a > b for a, b in pairwise(starts_s)) or not all(map(math.isfinite, starts_s)):
            raise ValueError("the phonemes must have finite, ascending times")
        start = torch.tensor([starts_s], dtype=torch.float32) * fps
        device = self.embedding.weight.device
        return self(ids.to(device), start.to(device))
