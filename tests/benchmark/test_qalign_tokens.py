"""Token ids of Q-Align's prompts and levels, on a small tokenizer of LLaMA's kind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "parity" / "canonical"))
import qalign_checkpoint

from benchmark.qalign import LEVELS, prompt
from benchmark.qalign_model import level_ids, token_ids
from media.errors import AvatarBenchError

sentencepiece = pytest.importorskip("sentencepiece")


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    qalign_checkpoint.write_tokenizer(tmp_path)
    return tmp_path / "tokenizer.model"


def test_levels_are_five_different_single_tokens(tokenizer: Path):
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
    ids = level_ids(tokenizer)
    assert len(set(ids)) == 5
    assert [pieces.decode([number]) for number in ids] == list(LEVELS)


@pytest.mark.parametrize("word", ["quality", "aesthetics"])
def test_a_prompt_begins_once_and_holds_one_picture(tokenizer: Path, word: str):
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
    ids = token_ids(tokenizer, prompt(word))
    assert ids[0] == pieces.bos_id() == 1
    assert ids.count(1) == ids.count(-200) == 1
    place = ids.index(-200)
    assert pieces.decode(ids[1:place]) == f"USER: How would you rate the {word} of this image?\n"
    assert pieces.decode(ids[place + 1 :]).lstrip(" ") == f"\nASSISTANT: The {word} of the image is"


def test_a_tokenizer_that_splits_a_level_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    without = tuple(text.replace("excellent", "great") for text in qalign_checkpoint.SENTENCES)
    monkeypatch.setattr(qalign_checkpoint, "SENTENCES", without)
    qalign_checkpoint.write_tokenizer(tmp_path)
    with pytest.raises(AvatarBenchError, match="one token for each") as caught:
        level_ids(tmp_path / "tokenizer.model")
    assert caught.value.code == "E502"
